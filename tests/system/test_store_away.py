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

GRACE_S = 3
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def inst():
    with running(edit=lambda text: text + f"\nstore: {{ grace_s: {GRACE_S} }}\n") as i:
        yield i


@contextlib.contextmanager
def without_store(inst):
    """It is killed, and the supervisor, which stands still, starts no other."""
    os.kill(inst.proc.pid, signal.SIGSTOP)
    try:
        for pid in inst.pids("store"):
            os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(inst.proc.pid, signal.SIGCONT)
        wait(lambda: away(inst) is None, 20)


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
    with without_store(inst):
        wait(lambda: away(inst), 2)
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
        assert abs(seen["since_s"] - time.time()) < 5 and 0 < seen["grace_left_s"] <= GRACE_S
        assert "store away" in inst.operate("status").stdout
        assert time.monotonic() - begun < GRACE_S, "all that was within the grace"
        wait(lambda: inst.request("GET", "/v1/models")[0] == 503, GRACE_S + 1)
        assert time.monotonic() - begun >= GRACE_S - 0.5
        status, head, body = inst.request("POST", "/v1/chat/completions", CHAT)
        assert (status, body["error"]["code"]) == (503, "unavailable")
        assert ready(inst)[0] == 503 and "store" in ready(inst)[1]["missing"]
    inst.wait_ready(10)
    assert inst.request("GET", "/v1/models")[0] == 200
    assert inst.request("GET", "/v1/models", key=stranger)[0] == 401
    assert inst.request("GET", "/v1/models", key=ended)[0] == 401
    assert inst.request("GET", "/v1/models", key=other["key"])[0] == 401
    time.sleep(1)
    inst.stop()
    inst.start()
    assert inst.request("GET", "/v1/models", key=other["key"])[0] == 401
    rows = [r for r in inst.records() if r["event"]["type"] == "KeyRevoked" and r["event"]["key_id"] == other["id"]]
    assert [(r.get("phase"), r.get("outcome")) for r in rows] == [
        ("intent", None), ("outcome", "unknown"), (None, "success")]
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
        wait(lambda: away(inst), 8)
        assert inst.request("GET", "/v1/models")[0] == 200
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    wait(lambda: away(inst) is None, 20)
    inst.wait_ready(10)
    # On record a moment after it is seen.
    wait(lambda: len([r for r in inst.records() if r["event"]["type"] == "StoreAway"]) >= before + 2, 5)


def test_what_is_owed_at_the_end_is_named(inst):
    """It was never said to be durable: `unknown` on record, and the operator hears which key it is."""
    key = json.loads(inst.management("POST", "/admin/v1/keys", {"tenant": "acme", "user": "lee"})[1])
    os.kill(inst.pids("store")[0], signal.SIGSTOP)
    wait(lambda: away(inst), 8)
    status, body = inst.management("DELETE", f"/admin/v1/keys/{key['id']}")
    assert status == 200 and json.loads(body)["store_owed"] is True
    assert inst.request("GET", "/v1/models", key=key["key"])[0] == 401
    inst.stop()
    said = [line for line in inst.text_log().splitlines() if key["id"] in line]
    assert len(said) == 2 and "warning" in said[0] and "error" in said[1], said
    inst.start()
    rows = [r for r in inst.records() if r["event"]["type"] == "KeyRevoked" and r["event"]["key_id"] == key["id"]]
    assert [(r.get("phase"), r.get("outcome")) for r in rows] == [("intent", None), ("outcome", "unknown")]
    # As the documents say: again, and this time for good.
    assert json.loads(inst.management("DELETE", f"/admin/v1/keys/{key['id']}")[1])["store_owed"] is False
    assert inst.request("GET", "/v1/models", key=key["key"])[0] == 401
