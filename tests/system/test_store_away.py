# SPDX-License-Identifier: Apache-2.0
"""The store is away: who is known goes on for the grace, nobody else gets an answer but 503."""

import contextlib
import json
import os
import signal
import time
import urllib.parse

import pytest

from instance import Instance, running

GRACE_S = 15  # for all that is asked within it, on a machine that is slow, too
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def inst():
    with running(edit=lambda text: text + f"\nstore: {{ grace_s: {GRACE_S} }}\n") as i:
        yield i


@contextlib.contextmanager
def without_store(inst):
    """It is killed, and each that the supervisor starts for it ends for want of its directory."""
    store, elsewhere = inst.dir / "store", inst.dir / "store.elsewhere"
    store.rename(elsewhere)
    try:
        for pid in inst.pids("store"):
            os.kill(pid, signal.SIGKILL)
        wait(lambda: away(inst), 30)
        yield
    finally:
        if elsewhere.exists():
            elsewhere.rename(store)
        wait(lambda: away(inst) is None, 60)


def away(inst):
    return json.loads(inst.management("GET", "/status")[1])["store_away"]


def wait(true, seconds):
    deadline = time.monotonic() + seconds
    while not (got := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return got


def ready(inst):
    status, body = inst.management("GET", "/readyz")
    return status, json.loads(body)


def unknown_key():
    """A key of the right form and checksum, that this service has never seen."""
    other = Instance()
    other.remove()
    return other.key


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def form(**fields):
    return urllib.parse.urlencode(fields).encode()


def session(inst):
    status, _, body = inst.request("POST", "/auth/token", form(
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange", subject_token=inst.key,
        subject_token_type="urn:ietf:params:oauth:token-type:access_token"), headers=FORM)
    assert status == 200, body
    return body["access_token"]


def test_the_known_go_on_and_nobody_else(inst):
    stranger, known = unknown_key(), inst.key
    mistyped = known[:-1] + ("x" if known[-1] != "x" else "y")
    other = json.loads(inst.management("POST", "/admin/v1/keys", {"tenant": "acme", "user": "kim"})[1])
    ended = session(inst)
    assert inst.request("GET", "/v1/models", key=ended)[0] == 200
    assert inst.request("POST", "/auth/revoke", form(token=ended), headers=FORM)[0] == 200
    time.sleep(2)  # by then the authority has forgotten it
    assert [inst.request("GET", "/v1/models", key=k)[0] for k in (stranger, ended)] == [401, 401]
    before = time.monotonic()
    with without_store(inst):
        begun = time.monotonic()
        assert inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200
        assert inst.execute("print(1)")[2]["stdout"] == "1\n"
        status, head, body = inst.request("GET", "/v1/models", key=stranger)
        assert (status, body["error"]["code"]) == (503, "unavailable") and int(head["retry-after"]) >= 1
        status, head, body = inst.request("POST", "/v1/messages", {}, key=stranger,
                                          headers={"anthropic-version": "2023-06-01"})
        assert (status, body["type"], body["error"]["type"]) == (503, "error", "api_error")
        assert int(head["retry-after"]) >= 1
        assert inst.request("GET", "/v1/models", key=ended)[0] == 503
        assert inst.request("GET", "/v1/models", key=ended[:-9] + ("x" if ended[-9] != "x" else "y") + ended[-8:])[0] == 401
        assert inst.request("GET", "/v1/models", key=mistyped)[0] == 401
        # A key that somebody else may have is refused at once; the store is told when it is back.
        status, body = inst.management("DELETE", f"/admin/v1/keys/{other['id']}")
        assert status == 200 and json.loads(body)["store_owed"] is True
        assert inst.request("GET", "/v1/models", key=other["key"])[0] == 401
        # All else that must be durable is not done.
        assert inst.operate("user", "erase", "acme/kim", check=False).returncode == 1
        status, body = ready(inst)
        assert (status, body["ready"], body["missing"], body["degraded"]) == (200, True, [], ["store"])
        seen = away(inst)
        assert abs(seen["since_s"] - time.time()) < GRACE_S + 5 and 0 < seen["grace_left_s"] <= GRACE_S
        assert "store away" in inst.operate("status").stdout
        assert time.monotonic() - begun < GRACE_S, "all that was within the grace"
        wait(lambda: inst.request("GET", "/v1/models")[0] == 503, GRACE_S + 10)
        assert time.monotonic() - before >= GRACE_S
        status, head, body = inst.request("POST", "/v1/chat/completions", CHAT)
        assert (status, body["error"]["code"]) == (503, "unavailable")
        assert ready(inst)[0] == 503 and "store" in ready(inst)[1]["missing"]
    inst.wait_ready(60)
    assert inst.request("GET", "/v1/models")[0] == 200
    assert inst.request("GET", "/v1/models", key=stranger)[0] == 401
    assert inst.request("GET", "/v1/models", key=ended)[0] == 401
    assert inst.request("GET", "/v1/models", key=other["key"])[0] == 401
    time.sleep(1)
    inst.stop()
    inst.start()
    assert inst.request("GET", "/v1/models", key=other["key"])[0] == 401

    def ends_of_other():
        return [(r.get("phase"), r.get("outcome")) for r in inst.records()
                if r["event"]["type"] == "KeyRevoked" and r["event"]["key_id"] == other["id"]]

    wait(lambda: len(ends_of_other()) >= 3, 30)     # the last, when the store has heard of it
    assert ends_of_other() == [("intent", None), ("outcome", "unknown"), (None, "success")]
    rows = [r for r in inst.records() if r["event"]["type"] == "StoreAway"]
    assert [(r["event"]["state"], r["outcome"]) for r in rows] == [
        ("grace", "failure"), ("over", "failure"), ("back", "success")]
    assert all(r["event"]["grace_s"] == GRACE_S for r in rows) and rows[2]["event"]["away_s"] >= GRACE_S
    assert inst.verify().returncode == 0


def test_a_store_that_answers_nothing_is_away(inst):
    before = len([r for r in inst.records() if r["event"]["type"] == "StoreAway"])
    (pid,) = inst.pids("store")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait(lambda: away(inst), 30)
        assert inst.request("GET", "/v1/models")[0] == 200
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    wait(lambda: away(inst) is None, 60)
    inst.wait_ready(60)
    # On record a moment after it is seen.
    wait(lambda: len([r for r in inst.records() if r["event"]["type"] == "StoreAway"]) >= before + 2, 30)


EMPTY = 81  # bytes of a list without entries, sealed


def owed_bytes(inst):
    return (inst.dir / "store.owed").stat().st_size


def revoke_without_store(inst, key):
    status, body = inst.management("DELETE", f"/admin/v1/keys/{key['id']}")
    assert status == 200 and json.loads(body)["store_owed"] is True
    assert inst.request("GET", "/v1/models", key=key["key"])[0] == 401


def make_key(inst):
    return json.loads(inst.management("POST", "/admin/v1/keys", {"tenant": "acme", "user": "lee"})[1])


def outcomes(inst, key):
    rows = [r for r in inst.records() if r["event"]["type"] == "KeyRevoked" and r["event"]["key_id"] == key["id"]]
    return [(r.get("phase"), r.get("outcome")) for r in rows]


def kill_everything(inst):
    """As a power loss would, but for what is in the page cache."""
    processes = [inst.proc.pid, *inst.descendants()]
    inst.proc.kill()
    inst.proc.wait()
    wait(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes), 30)


def first_answers(inst, key, seconds):
    """What this key was told from the moment on that somebody answers."""
    seen, deadline = set(), time.monotonic() + seconds
    while 401 not in seen and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            seen.add(inst.request("GET", "/v1/models", key=key)[0])
        time.sleep(0.02)
    return seen


def test_what_is_owed_outlives_the_authority(inst):
    gone, good = make_key(inst), make_key(inst)
    with without_store(inst):
        revoke_without_store(inst, gone)
        assert owed_bytes(inst) > EMPTY
        (pid,) = inst.pids("authority")
        os.kill(pid, signal.SIGKILL)
        wait(lambda: inst.pids("authority") not in ([], [pid]), 30)
        (inst.dir / "store.elsewhere").rename(inst.dir / "store")
        assert first_answers(inst, gone["key"], 60) <= {401, 503}
        inst.wait_ready(60)
        assert inst.request("GET", "/v1/models", key=good["key"])[0] == 200
    wait(lambda: owed_bytes(inst) == EMPTY, 30)
    assert outcomes(inst, gone) == [("intent", None), ("outcome", "unknown"), (None, "success")]


def test_what_is_owed_outlives_the_service(inst):
    gone, good = make_key(inst), make_key(inst)
    with without_store(inst):
        revoke_without_store(inst, gone)
        kill_everything(inst)
        assert owed_bytes(inst) > EMPTY
        (inst.dir / "store.elsewhere").rename(inst.dir / "store")
        kept = (inst.dir / "store.owed").read_bytes()
        # Who changes what is kept starts nothing.
        (inst.dir / "store.owed").write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(RuntimeError, match="store.owed: damaged"):
            inst.start()
        (inst.dir / "store.owed").write_bytes(kept)
        inst.start()
    assert inst.request("GET", "/v1/models", key=gone["key"])[0] == 401
    assert inst.request("GET", "/v1/models", key=good["key"])[0] == 200
    wait(lambda: owed_bytes(inst) == EMPTY, 30)
    assert outcomes(inst, gone) == [("intent", None), ("outcome", "unknown"), (None, "success")]
    # From now on the store knows by itself.
    inst.stop()
    (inst.dir / "store.owed").unlink()
    inst.start()
    assert inst.request("GET", "/v1/models", key=gone["key"])[0] == 401
    assert json.loads(inst.management("DELETE", f"/admin/v1/keys/{gone['id']}")[1])["store_owed"] is False
    assert inst.verify().returncode == 0


def test_what_cannot_be_kept_is_not_revoked(inst):
    key = make_key(inst)
    with without_store(inst):
        # A directory in its place: nothing can be written under that name.
        kept = (inst.dir / "store.owed").read_bytes() if (inst.dir / "store.owed").exists() else None
        (inst.dir / "store.owed").unlink(missing_ok=True)
        (inst.dir / "store.owed").mkdir()
        try:
            status, body = inst.management("DELETE", f"/admin/v1/keys/{key['id']}")
            assert status == 503 and json.loads(body)["error"]["code"] == "store_unavailable"
            assert inst.request("GET", "/v1/models", key=key["key"])[0] == 200
        finally:
            (inst.dir / "store.owed").rmdir()
            if kept is not None:
                (inst.dir / "store.owed").write_bytes(kept)
        revoke_without_store(inst, key)
    wait(lambda: owed_bytes(inst) == EMPTY, 30)
    assert inst.request("GET", "/v1/models", key=key["key"])[0] == 401
