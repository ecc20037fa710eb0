# SPDX-License-Identifier: Apache-2.0
"""The audit log of a real instance, judged by an implementation of our own in Python."""

import base64
import hashlib
import json


def leaf(line):
    return hashlib.sha256(b"\0" + line).digest()


def root(leaves):
    """RFC 6962 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def lines_of(inst):
    data = b"".join(p.read_bytes() for p in sorted((inst.dir / "audit").glob("*.jsonl")))
    assert data.endswith(b"\n")
    return data[:-1].split(b"\n")


def check_log(inst):
    """The records of a stopped instance, after every hash of them was computed anew."""
    lines = lines_of(inst)
    prev, opened = "0" * 64, set()
    for seq, line in enumerate(lines, 1):
        rec = json.loads(line)
        assert (rec["seq"], rec["prev"]) == (seq, prev)
        prev = leaf(line).hex()
        if rec.get("phase") == "intent":
            assert "outcome" not in rec
            opened.add(seq)
        elif rec.get("phase") == "outcome":
            opened.remove(rec["intent_seq"])
    assert not opened
    checkpoint = (inst.dir / "audit" / "checkpoint").read_text()
    assert checkpoint == (inst.dir / "audit.head").read_text()
    origin, size, b64 = checkpoint.split("\n")[:3]
    assert int(size) == len(lines)
    assert base64.b64decode(b64) == root([leaf(x) for x in lines])
    assert (inst.dir / "audit.pub").read_text().startswith(origin + "+")
    return [json.loads(x) for x in lines]


def verify(inst, status):
    got = inst.operate("audit", "verify", check=False)
    assert got.returncode == status, got.stdout + got.stderr
    return got.stdout + got.stderr


def test_log_of_a_life(make_instance):
    inst = make_instance()
    verify(inst, 0)
    inst.operate("key", "create", "--tenant", "acme", "--user", "alice")
    inst.stop()
    records = check_log(inst)
    types = {r["event"]["type"] for r in records}
    assert {"LogOpened", "KeyCreated", "ConfigLoaded", "ProcessStarted"} <= types
    verify(inst, 0)


def test_tampering_is_named(make_instance):
    inst = make_instance()
    inst.stop()
    path = inst.dir / "audit" / "00000001.jsonl"
    good = path.read_bytes()
    lines = good[:-1].split(b"\n")
    edits = {
        "changed": lines[:2] + [lines[2].replace(b'"outcome":"success"', b'"outcome":"failure"')]
        + lines[3:],
        "removed": lines[:2] + lines[3:],
        "inserted": lines[:2] + [lines[0]] + lines[2:],
        "reordered": lines[:2] + [lines[3], lines[2]] + lines[4:],
    }
    for what, edited in edits.items():
        path.write_bytes(b"\n".join(edited) + b"\n")
        said = verify(inst, 1)
        assert what in said and "3" in said, said
    path.write_bytes(b"\n".join(lines[:-1]) + b"\n")
    assert "cut off" in verify(inst, 1)
    path.write_bytes(good)
    verify(inst, 0)
