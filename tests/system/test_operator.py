# SPDX-License-Identifier: Apache-2.0
"""Secrets of `file:` and usage, as operators use them."""

import base64
import contextlib
import json
import os
import pty
import signal
import subprocess
import time

import pytest

from instance import BUILD, wait_for

CLI = str(BUILD / "sallyport")
VALUE = "sk-canary-5e9b7c1d8f3a4b2c6d7e"


def set_secret(inst, name, value=VALUE, act="set", **kw):
    return inst.operate("secret", act, name, input=value, **kw)


def kill(inst, name):
    """And wait until its successor answers."""
    os.kill(inst.pids(name)[0], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while inst.operate("secret", "list", check=False).returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    inst.wait_ready()


def forms(value):
    raw = value.encode()
    return [raw, base64.b64encode(raw).rstrip(b"="), raw.hex().encode()]


def everywhere(inst):
    for path in inst.top.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # what is replaced each second is gone now and then
            if path.is_file():
                yield path, path.read_bytes()


def test_secrets_have_versions(service):
    r = set_secret(service, "versions", VALUE + "\n")
    assert r.stdout == "" and r.stderr == "sallyport: versions: version 1\n"
    assert set_secret(service, "versions", "other-value", act="rotate").stderr.endswith("version 2\n")
    row = next(s for s in json.loads(service.operate("secret", "list", "--json").stdout)["secrets"]
               if s["name"] == "versions")
    assert (row["version"], row["previous_version"]) == (2, 1) and abs(row["set_s"] - time.time()) < 60
    assert "versions" in service.operate("secret", "list").stdout
    assert set_secret(service, "versions").stderr.endswith("version 3\n")
    service.operate("secret", "remove", "versions")
    assert "versions" not in service.operate("secret", "list").stdout
    assert service.operate("secret", "remove", "versions", check=False).returncode == 1
    r = set_secret(service, "versions", act="rotate", check=False)
    assert r.returncode == 1 and "There is no such secret" in r.stderr
    records = [r for r in service.records() if r["event"].get("secret") == "file:versions"]
    assert [(r["event"]["type"], r["phase"]) for r in records[:4]] == [
        ("SecretSet", "intent"), ("SecretSet", "outcome")] * 2
    assert records[1]["event"] == {"type": "SecretSet", "secret": "file:versions", "version": 1,
                                   "previous_kept": False, "by_uid": 0}


@pytest.mark.parametrize("value,why", [("", "holds no value"), ("\n", "holds no value"),
                                       ("a\r\n", "control character"), ("a\nb", "control character"),
                                       (" a", "blank at an end"), ("ä", "not ASCII"),
                                       ("x" * 4097, "longer than 4096 bytes")])
def test_values_that_cannot_be_sent_are_refused(service, value, why):
    r = set_secret(service, "bad", value, check=False)
    assert r.returncode == 1 and why in r.stderr, r.stderr
    assert len(value) < 9 or value not in r.stderr


def test_usage_of_secret_commands(service):
    for args in (["set"], ["set", "name", VALUE], ["rotate", "a/b"], ["remove", "x" * 65], ["set", ""]):
        r = service.operate("secret", *args, input=VALUE, check=False)
        assert r.returncode == 2 and VALUE not in r.stdout, args
    assert set_secret(service, "long-" + "x" * 59, "y" * 4096).returncode == 0


def test_at_a_terminal_the_value_is_not_shown(service):
    ours, theirs = pty.openpty()
    p = subprocess.Popen([CLI, "secret", "set", "typed", "-c", str(service.conf)], stdin=theirs,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]})
    asked = p.stderr.read(len("value of typed: "))
    os.write(ours, VALUE.encode() + b"\n")
    out, err = p.communicate(timeout=30)
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        echoed = os.read(ours, 4096)
    except (BlockingIOError, OSError):
        echoed = b""
    os.close(ours)
    assert p.returncode == 0, err
    assert asked == b"value of typed: " and VALUE.encode() not in echoed + out + err


def test_a_secret_is_sealed_wherever_it_lies_and_stays(make_instance):
    inst = make_instance()
    set_secret(inst, "canary")
    set_secret(inst, "canary", VALUE + "-2", act="rotate")
    kill(inst, "store")
    row = json.loads(inst.operate("secret", "list", "--json").stdout)["secrets"][0]
    assert (row["name"], row["version"], row["previous_version"]) == ("canary", 2, 1)
    for pid in inst.pids("store") + inst.pids("authority") + inst.pids("audit"):
        for what in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{what}", "rb") as f:
                assert VALUE.encode() not in f.read()
        assert all(f not in memory_of(pid) for f in forms(VALUE)), pid
    for path, data in everywhere(inst):
        assert all(f not in data for f in forms(VALUE)), path
    assert inst.verify().returncode == 0


def memory_of(pid):
    """All readable memory of a process, as root may see it."""
    data = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, perms = line.split()[:2]
            if perms[0] != "r" or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(start)
                data.append(mem.read(end - start))
            except (OSError, ValueError, OverflowError):
                continue
    return b"".join(data)


def usage(inst, *args):
    return json.loads(inst.operate("usage", "--json", *args).stdout)["usage"]


def test_usage_counts_by_key_user_and_model(make_instance):
    inst = make_instance()
    before = sum(r["requests"] for r in usage(inst))
    assert before == 0
    answers = [inst.chat("hello", tools=False)[2]["usage"] for _ in range(3)]
    other = inst.operate("key", "create", "--tenant", "acme", "--user", "kim").stdout.strip()
    assert inst.request("GET", "/v1/models", key=other)[0] == 200
    assert inst.request("POST", "/v1/chat/completions", {"model": "nope", "messages": []}, key=other)[0] >= 400
    wait_for(lambda: sum(r["requests"] for r in usage(inst)) >= 5)  # the store hears of it once a second
    rows = usage(inst)
    mine = next(r for r in rows if r["model"] == "demo")
    assert mine["requests"] == 3 and mine["errors"] == 0
    assert mine["tokens_in"] + mine["estimated_tokens_in"] == sum(a["prompt_tokens"] for a in answers)
    assert mine["tokens_out"] + mine["estimated_tokens_out"] == sum(a["completion_tokens"] for a in answers)
    kim = usage(inst, "--user", "kim")
    assert len(kim) == 1 and kim[0]["key"] == other[3:15] and kim[0]["model"] is None
    assert kim[0]["requests"] == 2 and kim[0]["errors"] == 1
    assert usage(inst, "--key", other[3:15]) == kim
    assert usage(inst, "--model", "demo", "--since", "1d") == [mine]
    assert inst.operate("usage").stdout.splitlines()[0].split()[:4] == ["key", "tenant", "user", "model"]
    assert inst.operate("usage", "--since", "soon", check=False).returncode == 2
    metrics = inst.management("GET", "/metrics")[1]
    assert b"sallyport_tokens_out_total" in (metrics if isinstance(metrics, bytes) else metrics.encode())
    # Settled and flushed: a crash takes nothing away.
    kill(inst, "authority")
    kill(inst, "store")
    assert usage(inst) == rows
    assert inst.chat("hello", tools=False)[0] == 200
    inst.stop()
    inst.start()
    assert sum(r["requests"] for r in usage(inst)) == 6
