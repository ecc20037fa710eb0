# SPDX-License-Identifier: Apache-2.0
"""Users' tools between their owner, others of the tenant, operators and the store."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from instance import running, wait_for

SCRIPT = b"#!/bin/sh\nread x\nprintf '{\"got\":%s}' \"$x\"\n"

TOOLS = """
tools:
  echo: { sandbox: gvisor, limits: { time_ms: 20000 }, allow: [default] }
  python: { limits: { time_ms: 1500 } }
  sh: { allow: [nobody] }
"""


def form(**parts):
    body = b""
    for name, data in parts.items():
        body += (b"--sallyport\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\n"
                 b"Content-Type: application/octet-stream\r\n\r\n" % (name.encode(), name.encode()))
        body += data + b"\r\n"
    return body + b"--sallyport--\r\n"


def push(inst, name, key=None, script=SCRIPT, **more):
    manifest = {"name": name, "description": "says what it got",
                "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}
    return inst.request("POST", "/v1/tools", form(manifest=json.dumps(manifest).encode(), native=script, **more), key=key,
                        headers={"Content-Type": "multipart/form-data; boundary=sallyport"}, timeout=60)


def call(inst, name, key=None, n=7):
    return inst.request("POST", f"/v1/tools/{name}/call", {"arguments": {"n": n}}, key=key, timeout=60)


def new_key(inst, tenant, user):
    return inst.operate("key", "create", "--tenant", tenant, "--user", user).stdout.strip()


@pytest.fixture(scope="module")
def inst():
    def edit(text):
        # A policy beside the default one.
        assert "\n  default:" in text, text
        return text.replace("\n  default:", "\n  nobody: { endpoints: [execute], languages: [sh] }\n  default:", 1) + TOOLS

    with running(edit=edit) as i:
        yield i


@pytest.fixture(scope="module")
def owner(inst):
    key = new_key(inst, "acme", "ann")
    status, _, answer = push(inst, "echo", key)
    assert status in (200, 201), answer
    assert answer["version"] == 1
    return key


def test_owner_calls(inst, owner):
    status, _, answer = call(inst, "echo", owner)
    assert status == 200, answer
    assert answer["output"] == {"got": {"n": 7}}, answer
    assert answer["version"] == 1
    assert answer["sandbox"].startswith("gvisor")


def test_others_need_it_allowed(inst, owner):
    bob = new_key(inst, "acme", "bob")
    far = new_key(inst, "other", "ann")
    for key in (bob, far):
        status, _, answer = call(inst, "echo", key)
        assert status == 404 and answer["error"]["code"] == "tool_not_found", answer
    r = inst.operate("tool", "allow", "acme/ann/echo", "1")
    assert "version 1 is allowed to others" in r.stderr, r.stderr
    assert call(inst, "echo", bob)[2]["output"] == {"got": {"n": 7}}
    assert call(inst, "echo", far)[0] == 404
    # A changed tool must be allowed again: others stay with what was allowed.
    status, _, answer = push(inst, "echo", owner, SCRIPT.replace(b"got", b"new"))
    assert answer["version"] == 2, answer
    assert call(inst, "echo", owner)[2]["output"] == {"new": {"n": 7}}
    assert call(inst, "echo", bob)[2]["output"] == {"got": {"n": 7}}
    # Another user's tool of the name cannot be allowed beside it, but hides it from its owner.
    assert push(inst, "echo", bob, SCRIPT.replace(b"got", b"bob"))[0] in (200, 201)
    assert call(inst, "echo", bob)[2]["output"] == {"bob": {"n": 7}}
    assert inst.operate("tool", "allow", "acme/bob/echo", check=False).returncode == 1
    assert inst.request("DELETE", "/v1/tools/echo", key=bob)[0] in (200, 204)
    inst.operate("tool", "disallow", "acme/ann/echo")
    assert call(inst, "echo", bob)[0] == 404


def test_operators_see_all(inst, owner):
    listed = json.loads(inst.operate("tool", "list", "--json").stdout)["tools"]
    assert [(t["tenant"], t["user"], t["name"], t["version"], t["current"]) for t in listed] == [
        ("acme", "ann", "echo", 1, False), ("acme", "ann", "echo", 2, True)]
    for args, rc in ((("acme/ann",), 2), (("acme/ann/echo", "0"), 2), (("acme/ann/echo", "9"), 1),
                     (("acme/ann/none",), 1), (("nobody/ann/echo",), 1)):
        assert inst.operate("tool", "allow", *args, check=False).returncode == rc, args
    status, _ = inst.management("POST", "/admin/v1/tools/mark", {"tenant": "acme"})
    assert status == 400


def test_code_is_in_the_same_table(inst):
    began = time.monotonic()
    status, _, answer = inst.execute("import time; time.sleep(20)")
    assert status == 200 and answer["status"] == "timeout", answer
    assert time.monotonic() - began < 15
    # Its policy allows the language; the table's row names another one.
    status, _, answer = inst.execute("echo hello", "sh")
    assert status == 403 and answer["error"]["code"] == "denied", answer


# Says the same as SAME_SCRIPT.
WAT = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "{\"same\":1}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100))
    (i32.store (i32.const 4) (i32.const 10))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""
SAME_SCRIPT = b"#!/bin/sh\nprintf '{\"same\":1}'\n"


def test_sandbox_changes_under_load(inst, owner, tmp_path):
    """Calls go on while the operator chooses the other sandbox, again and again: each ends well in one of them."""
    (tmp_path / "t.wat").write_text(WAT)
    subprocess.run(["wat2wasm", str(tmp_path / "t.wat"), "-o", str(tmp_path / "t.wasm")], check=True)
    status, _, answer = push(inst, "both", owner, SAME_SCRIPT, module=(tmp_path / "t.wasm").read_bytes())
    assert status == 201, answer
    text, stop, seen, wrong = inst.conf.read_text(), threading.Event(), {}, []

    def caller():
        while not stop.is_set():
            status, _, answer = call(inst, "both", owner)
            if status == 200 and answer["output"] == {"same": 1}:
                kind = answer["sandbox"].split(":")[0]
                seen[kind] = seen.get(kind, 0) + 1
            elif answer.get("error", {}).get("code") != "sandbox_busy":
                wrong.append((status, answer))

    threads = [threading.Thread(target=caller) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for i in range(6):
            inst.conf.write_text(text.replace("\ntools:\n", "\ntools:\n  both: { sandbox: %s, limits: { time_ms: %d } }\n" % (
                ("gvisor", 30000) if i % 2 == 0 else ("wasm", 20000))))
            inst.operate("reload")
            time.sleep(0.7)
            kind = "gvisor" if i % 2 == 0 else "wasm"  # a slow machine takes its time for each
            wait_for(lambda: wrong or seen.get(kind, 0) > i // 2, 30, "no call ended in it")
    finally:
        stop.set()
        for t in threads:
            t.join()
        inst.conf.write_text(text)
        inst.operate("reload")
    # A gateway that was replaced closes its connections once they are idle.
    assert not wrong, wrong[:3]
    assert seen.get("wasm", 0) > 0 and seen.get("gvisor", 0) > 0, seen
    assert inst.request("DELETE", "/v1/tools/both", key=owner)[0] == 200
    assert inst.verify().returncode == 0


def test_versions_survive_and_are_recorded(inst, owner):
    for pid in inst.pids("store") + inst.pids("authority"):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        try:
            status, _, answer = call(inst, "echo", owner)
        except OSError:
            status = 0
        if status == 200:
            break
        assert time.monotonic() < deadline, (status, answer)
        time.sleep(0.2)
    assert answer["output"] == {"new": {"n": 7}}
    records = inst.records()
    done = [r for r in records if r["event"]["type"] == "ToolExecuted" and r.get("outcome") == "success"]
    assert done and done[0]["event"]["sandbox_type"] == "gvisor" and done[0]["event"]["tool_version"] == 1
    stored = [r for r in records if r["event"]["type"] == "ToolStored" and r.get("phase") == "outcome"]
    assert done[0]["event"]["tool_sha256"] == stored[0]["event"]["sha256"]
    changes = [r["event"]["change"] for r in records
               if r["event"]["type"] == "ToolChanged" and r.get("outcome") == "success"]
    assert changes == ["current", "allowed", "current", "current", "removed", "disallowed", "current", "removed"], changes
    assert inst.verify().returncode == 0


def test_a_changed_database_gives_no_tools(inst, owner):
    inst.stop()
    with sqlite3.connect(inst.dir / "store/store.db") as db:
        db.execute("UPDATE tools SET marks = (SELECT marks FROM tools WHERE id = 2) WHERE id = 1")
    db.close()
    inst.start()
    assert call(inst, "echo", owner)[0] == 404
    assert push(inst, "echo", owner)[0] == 503
    assert inst.execute("print(1)")[0] == 200  # all else goes on
    assert "rows in the database (tools) were changed" in inst.text_log()
