# SPDX-License-Identifier: Apache-2.0
"""Sessions outlive every process, their ends too; the keys that sign their tokens rotate, and so
does the pepper under the hashes of API keys."""

import json
import os
import signal
import time

import pytest

from instance import running
from test_identity import claims_of, exchange, form, new_key, operator


@pytest.fixture(scope="module")
def inst():
    with running() as i:
        yield i


def kill(inst, *names):
    """kill -9, and all are there again."""
    old = {pid for name in names for pid in inst.pids(name)}
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while old & set(inst.descendants()) or not all(inst.pids(name) for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    inst.wait_ready(60)


def token_of(inst, key, **more):
    status, _, got = exchange(inst, key, **more)
    assert status == 200, got
    return got["access_token"]


def models(inst, key):
    return inst.request("GET", "/v1/models", key=key)[0]


def session_keys(inst, verb):
    return json.loads(inst.operate("session-keys", verb, "--json").stdout)


def test_sessions_and_their_ends_outlive_crashes(inst):
    made = new_key(inst, "acme", "kim")
    kept, ended, told = (token_of(inst, made["key"], scope="endpoint:models") for _ in range(3))
    other = new_key(inst, "acme", "lee")
    gone = token_of(inst, other["key"])
    assert form(inst, "/auth/revoke", {"token": ended}, made["key"])[0] == 200
    kill(inst, "authority")
    assert models(inst, kept) == 200 and models(inst, ended) == 401
    # A scope is what it was.
    assert inst.request("POST", "/v1/chat/completions", {"model": "demo", "messages": []}, key=kept)[0] in (400, 403)
    sid = claims_of(told)[1]["jti"]
    assert operator(inst, "DELETE", f"/sessions/{sid}")[0] == 200
    assert operator(inst, "DELETE", f"/keys/{other['id']}")[0] == 200
    kill(inst, "authority", "store")
    assert models(inst, kept) == 200
    assert [models(inst, t) for t in (ended, told, gone)] == [401, 401, 401]
    listed = operator(inst, "GET", "/sessions?tenant=acme")[1]["sessions"]
    assert [s["key"] for s in listed] == [made["id"]] and listed[0]["scopes"] == {"endpoints": ["models"]}
    inst.stop()
    inst.start()
    assert models(inst, kept) == 200 and models(inst, told) == 401
    assert inst.verify().returncode == 0


def test_session_keys_rotate(inst):
    key = new_key(inst, "acme", "max")["key"]
    before = session_keys(inst, "status")
    old = token_of(inst, key)
    short = token_of(inst, key, expires_in="60")
    now = session_keys(inst, "rotate")
    assert now["version"] == before["version"] + 1 and now["left"] >= 2 and now["versions"] >= 2, now
    new = token_of(inst, key)
    assert claims_of(new)[0]["kid"] != claims_of(old)[0]["kid"] == claims_of(short)[0]["kid"]
    kill(inst, "authority", "store")
    assert [models(inst, t) for t in (old, short, new)] == [200, 200, 200]
    assert claims_of(token_of(inst, key))[0]["kid"] == claims_of(new)[0]["kid"]
    # The old one goes with the last session that it signed; the next rotation finds that.
    for s in operator(inst, "GET", "/sessions?tenant=acme&limit=100")[1]["sessions"]:
        assert operator(inst, "DELETE", f"/sessions/{s['id']}")[0] == 200
    assert session_keys(inst, "status")["left"] == 0
    assert session_keys(inst, "rotate") | {"created_s": 0} == {
        "what": "session", "version": before["version"] + 2, "versions": 2, "left": 0, "created_s": 0}
    assert [models(inst, t) for t in (old, short, new)] == [401, 401, 401]
    rows = [r for r in inst.records() if r["event"]["type"] == "KeysRotated"]
    assert [(r["phase"], r["event"]["what"], r["event"].get("version")) for r in rows] == [
        ("intent", "session", None), ("outcome", "session", before["version"] + 1),
        ("intent", "session", None), ("outcome", "session", before["version"] + 2)]
    assert "last rotation" in inst.operate("session-keys", "status").stdout


def pepper(inst, verb):
    return json.loads(inst.operate("pepper", verb, "--json").stdout)


def wait_left(inst, n):
    deadline = time.monotonic() + 40
    while (s := pepper(inst, "status"))["left"] != n:
        assert time.monotonic() < deadline, s
        time.sleep(0.2)
    return s


def test_the_pepper_rotates(inst):
    # Of the tests before: keys that are not used any more.
    for row in operator(inst, "GET", "/keys")[1]["keys"]:
        if row["tenant"] == "acme":
            operator(inst, "DELETE", f"/keys/{row['id']}")
    before = new_key(inst, "house", "ann"), new_key(inst, "house", "bob")
    revoked = new_key(inst, "house", "cid")
    assert [models(inst, k["key"]) for k in before] == [200, 200]
    s = pepper(inst, "rotate")
    assert s["version"] == 2 and s["versions"] == 2 and s["left"] >= 4, s
    after = new_key(inst, "house", "dan")
    assert models(inst, after["key"]) == 200
    # The store has the old hash yet, or the new one: both are good.
    assert models(inst, before[0]["key"]) == 200
    kill(inst, "authority", "store")
    assert models(inst, before[0]["key"]) == 200
    assert operator(inst, "DELETE", f"/keys/{revoked['id']}")[0] == 200
    assert inst.request("GET", "/v1/models")[0] == 200      # the first key
    s = wait_left(inst, 1)                                  # those that were revoked do not count
    assert [k["id"] for k in s["keys"]] == [before[1]["id"]] and s["versions"] == 2, s
    assert s["next"] is None and before[1]["id"] in inst.operate("pepper", "status").stdout
    assert operator(inst, "GET", f"/pepper?after={before[1]['id']}")[1]["keys"] == []
    assert operator(inst, "GET", "/pepper?after=nobodys.key.")[0] == 404
    inst.stop()
    inst.start()
    assert models(inst, before[1]["key"]) == 200
    s = wait_left(inst, 0)
    assert s["versions"] == 1 and s["keys"] == [], s
    kill(inst, "authority", "store")
    for key in (*before, after):
        assert models(inst, key["key"]) == 200
    assert models(inst, revoked["key"]) == 401
    rows = [r for r in inst.records() if r["event"]["type"] == "KeysRotated" and r["event"]["what"] == "pepper"]
    assert [(r["phase"], r["event"].get("version")) for r in rows] == [("intent", None), ("outcome", 2)]
    assert inst.verify().returncode == 0
