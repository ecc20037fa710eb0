# SPDX-License-Identifier: Apache-2.0
"""What is kept for users, through the whole service: there after a crash of the store and a restart, on record, and
nobody else's; while the store is away it is refused and all else goes on."""

import base64
import json
import os
import signal
import time

import pytest

from instance import Instance, best_of

ITEM = {"type": "message", "role": "user", "content": "what was said"}


@pytest.fixture(scope="module")
def inst():
    made = Instance()
    yield made.start()
    made.remove()


@pytest.fixture(scope="module")
def other(inst):
    return inst.operate("key", "create", "--tenant", "elsewhere", "--user", "somebody").stdout.strip()


def ok(inst, method, path, body=None, wanted=(200, 201), **kw):
    status, _, answer = inst.request(method, path, body, **kw)
    assert status in wanted, (method, path, status, answer)
    return answer


def conversation(inst, n=1):
    return ok(inst, "POST", "/v1/conversations", {"metadata": {"a": "b"}, "items": [ITEM] * n})["id"]


def texts(inst, conv):
    answer = ok(inst, "GET", f"/v1/conversations/{conv}/items?limit=100&order=asc")
    return [i["content"][0]["text"] if isinstance(i["content"], list) else i["content"] for i in answer["data"]]


def back(inst, conv, timeout=20):
    """Until the store is there again; till then nothing but 503."""
    end = time.monotonic() + timeout
    while ok(inst, "GET", f"/v1/conversations/{conv}", wanted=(200, 503)).get("id") != conv:
        assert time.monotonic() < end
        time.sleep(0.1)


def file(inst, content, key=None):
    body = (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="notes.txt"\r\n\r\n' + content +
            b"\r\n--b--\r\n")
    return ok(inst, "POST", "/v1/files", body, headers={"Content-Type": "multipart/form-data; boundary=b"},
              key=key)["id"]


def test_it_outlives_the_store_and_the_service(inst):
    conv, data = conversation(inst, 3), os.urandom(700_000)
    kept = file(inst, data)
    os.kill(inst.pids("store")[0], signal.SIGKILL)
    back(inst, conv)
    assert len(texts(inst, conv)) == 3
    assert inst.stop() == 0
    inst.start()
    assert texts(inst, conv) == ["what was said"] * 3
    status, _, got = inst.request("GET", f"/v1/files/{kept}/content")
    assert status == 200 and got == data


def test_it_is_on_record(inst):
    before = len(inst.records())
    conv = conversation(inst)
    ok(inst, "GET", f"/v1/conversations/{conv}")
    ok(inst, "GET", "/v1/conversations/conv_" + "0" * 32, wanted=(404,))
    mine = [r for r in inst.records()[before:] if r["event"]["type"] == "ContentAccessed"]
    assert [(r["phase"], r["event"]["operation"], r.get("outcome")) for r in mine] == [
        ("intent", "create", None), ("outcome", "create", "success"), ("intent", "read", None),
        ("outcome", "read", "success"), ("intent", "read", None), ("outcome", "read", "failure")]
    assert mine[0]["resource"] == f"conversation:{conv}"
    assert "what was said" not in str(mine)
    assert inst.verify().returncode == 0


def test_it_is_nobody_elses(inst, other):
    conv, kept = conversation(inst), file(inst, b"mine")
    for method, path in [("GET", f"/v1/conversations/{conv}"), ("DELETE", f"/v1/conversations/{conv}"),
                         ("GET", f"/v1/conversations/{conv}/items"), ("GET", f"/v1/files/{kept}"),
                         ("GET", f"/v1/files/{kept}/content"), ("DELETE", f"/v1/files/{kept}")]:
        ok(inst, method, path, wanted=(404,), key=other)
    assert ok(inst, "GET", "/v1/files", key=other)["data"] == []
    assert texts(inst, conv) == ["what was said"]


def answered_without_the_store(inst, conv):
    """Seconds of the first that finds it away."""
    pid = inst.pids("store")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert inst.chat("hello")[0] == 200
        took = time.monotonic() - begun
    finally:
        os.kill(pid, signal.SIGCONT)
    back(inst, conv)
    return took


def test_without_the_store(inst):
    conv = conversation(inst)
    best_of(3, lambda: answered_without_the_store(inst, conv), 5)
    assert texts(inst, conv) == ["what was said"]


def test_a_person_is_exported_and_erased(inst):
    key = inst.operate("key", "create", "--tenant", "house", "--user", "gone").stdout.strip()
    data = os.urandom(900_000)
    conv = ok(inst, "POST", "/v1/conversations", {"items": [ITEM]}, key=key)["id"]
    kept = file(inst, data, key)
    lines = [json.loads(line) for line in inst.operate("user", "export", "house/gone").stdout.splitlines()]
    assert lines[0] == {"type": "user", "tenant": "house", "user": "gone", "roles": ["user"], "state": "active", "hold": False}
    by_type = {line["type"]: line for line in lines}
    assert by_type["conversation"]["id"] == conv and "what was said" in str(by_type["conversation"]["items"])
    assert by_type["file"]["id"] == kept and base64.b64decode(by_type["file"]["content_base64"]) == data
    assert by_type["api_key"]["id"] == key[3:15]
    # Under a hold it is refused.
    inst.operate("user", "hold", "house/gone")
    assert inst.operate("user", "erase", "house/gone", check=False).returncode == 1
    ok(inst, "GET", f"/v1/conversations/{conv}", key=key)


def test_erased_at_once(inst):
    key = inst.operate("key", "create", "--tenant", "house", "--user", "erased").stdout.strip()
    ok(inst, "POST", "/v1/conversations", {"items": [ITEM]}, key=key)
    before = len(inst.records())
    inst.operate("user", "erase", "house/erased")
    ok(inst, "GET", "/v1/files", wanted=(401,), key=key)
    assert inst.operate("user", "erase", "house/erased", check=False).returncode == 1
    assert inst.operate("user", "export", "house/erased", check=False).returncode == 1
    mine = [r for r in inst.records()[before:] if r["event"]["type"] == "Erased"]
    assert [(r["phase"], r.get("outcome")) for r in mine] == [("intent", None), ("outcome", "success")]
    assert mine[1]["event"]["rows"] == 2 and "erased" not in mine[1]["event"]["target"]
    assert inst.verify().returncode == 0
    assert inst.stop() == 0
    inst.start()
    ok(inst, "GET", "/v1/files", wanted=(401,), key=key)
