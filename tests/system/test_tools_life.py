# SPDX-License-Identifier: Apache-2.0
"""What becomes of users' tools: another engine, many uploads at once, limits, a reload in the middle of a call."""

import collections
import concurrent.futures
import os
import shutil
import signal
import threading
import time

import httpx
import pytest

from instance import BUILD, Instance, running
from test_tools_calls import BOUNDARY, call, manifest, multipart, new_key, push, pushed
from tools import wat

FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
SCRIPT = b"#!/bin/sh\ncat\n"
VERSIONS_MAX = 64
CONF = """
tools:
  spin: { limits: { time_ms: 12000 } }
"""


@pytest.fixture(scope="module")
def inst():
    with running(edit=lambda text: text + CONF) as i:
        yield i


def metric(inst, name):
    line, = [x for x in inst.management("GET", "/metrics")[1].decode().splitlines()
             if x.startswith(f"sallyport_{name}{{")]
    return int(line.split()[-1])


def changes(inst, tool):
    return [r["event"]["change"] for r in inst.records()
            if r["event"]["type"] == "ToolChanged" and r["resource"] == f"tool:{tool}"]


# ---- another engine ----

ENGINE_NAME = b"wasmtime-%s/%08x\0"
OLD_ENGINE_NAME = b"wasmtimf-%s/%08x\0"


def build_of_an_older_engine(folder):
    """The same service, but compiler and workers call their engine by another name."""
    (folder / "libexec/sallyport").mkdir(parents=True)
    shutil.copy(BUILD / "sallyport", folder)
    shutil.copy(BUILD / "engines.json", folder)
    for program in (BUILD / "libexec/sallyport").iterdir():
        data = program.read_bytes()
        if program.name.startswith("wasm-"):
            assert data.count(ENGINE_NAME) == 1
            data = data.replace(ENGINE_NAME, OLD_ENGINE_NAME)
        (folder / "libexec/sallyport" / program.name).write_bytes(data)
        (folder / "libexec/sallyport" / program.name).chmod(0o755)


def test_another_engine_compiles_anew_at_use(tmp_path):
    build_of_an_older_engine(tmp_path / "old")
    inst = Instance(build=tmp_path / "old")
    try:
        inst.start()
        for name in ("says_ok", "unused"):
            pushed(inst, name, wat("says_ok"))
        assert call(inst, "says_ok")[0]["output"] == {"ok": True}
        assert inst.stop() == 0
        inst.build = BUILD
        inst.start()
        # All at once: it is compiled once for them, and only what is used.
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = [f.result()[0] for f in [pool.submit(call, inst, "says_ok") for _ in range(6)]]
        assert all(a["status"] == "exit" and a["output"] == {"ok": True} for a in answers), answers
        assert metric(inst, "wasm_compiles_total") == 1
        assert changes(inst, "says_ok") == ["current", "rebuilt"] and changes(inst, "unused") == ["current"]
        # It is kept: another start compiles nothing.
        assert inst.stop() == 0
        inst.start()
        assert call(inst, "says_ok")[0]["output"] == {"ok": True}
        assert metric(inst, "wasm_compiles_total") == 0
        # And back again, as an operator may have to go.
        assert inst.stop() == 0
        inst.build = tmp_path / "old"
        inst.start()
        for name in ("says_ok", "unused"):
            assert call(inst, name)[0]["output"] == {"ok": True}
        assert metric(inst, "wasm_compiles_total") == 1
        assert changes(inst, "says_ok") == ["current", "rebuilt", "rebuilt"]
        assert inst.verify().returncode == 0
    except BaseException:
        print(inst.text_log())
        raise
    finally:
        inst.remove()


# ---- uploads ----

def test_push_over_http2(inst):
    """Small, and larger than a stream's window, with other requests on the same connection."""
    with httpx.Client(http2=True, verify=inst.tls(), base_url=inst.url, timeout=60,
                      headers={"Authorization": f"Bearer {inst.key}"}) as c:
        for name, native in (("h2-small", SCRIPT), ("h2-large", SCRIPT + b"# " + os.urandom(1 << 20).hex().encode())):
            body = multipart(manifest(name), wat("says_ok"), native)
            r = c.post("/v1/tools", content=body, headers=FORM)
            assert (r.http_version, r.status_code) == ("HTTP/2", 201), r.text
            r = c.post(f"/v1/tools/{name}/call", json={"arguments": {}})
            assert (r.http_version, r.status_code, r.json()["output"]) == ("HTTP/2", 200, {"ok": True}), r.text
        r = c.post("/v1/tools", content=multipart(manifest("h2-bad"), b"\0asm\1\0\0\0\xff"), headers=FORM)
        assert (r.status_code, r.json()["error"]["code"]) == (400, "invalid_tool")
        assert c.get("/v1/tools").status_code == 200


def push_until_kept(inst, key, name):
    """What a client does that is told to try again. -> when it was kept, how often it was refused."""
    for refused in range(1000):
        status, head, answer = push(inst, manifest(name), wat_of_its_own(name), key=key)
        if status == 201:
            return time.monotonic(), refused
        assert (status, answer["error"]["code"]) == (503, "overloaded") and "retry-after" in head, answer
        time.sleep(0.05)
    raise AssertionError(f"{name} was never taken")


def wat_of_its_own(name):
    """A module as any other, but for a section with its name."""
    text = name.encode()
    return wat("says_ok") + bytes([0, 2 + len(text), 1]) + b"n" + text


def test_many_uploads_at_once(inst):
    """Twenty, half of them by one tenant: all are kept, once, and the others do not wait for that one to be done."""
    keys = {tenant: new_key(inst, tenant) for tenant in ("up-greedy", *(f"up-{i}" for i in range(5)))}
    work = [("up-greedy", f"tool-{i}") for i in range(10)] + [(f"up-{i}", f"tool-{k}") for i in range(5) for k in range(2)]
    with concurrent.futures.ThreadPoolExecutor(len(work)) as pool:
        jobs = {(tenant, name): pool.submit(push_until_kept, inst, keys[tenant], name) for tenant, name in work}
        kept = {who: job.result() for who, job in jobs.items()}
    last = collections.defaultdict(float)
    for (tenant, _), (at, _) in kept.items():
        last[tenant] = max(last[tenant], at)
    print("refused", sum(n for _, n in kept.values()))
    assert all(last[t] < last["up-greedy"] for t in keys if t != "up-greedy"), last
    for tenant, key in keys.items():
        wanted = sorted(name for t, name in work if t == tenant)
        listed = inst.request("GET", "/v1/tools", key=key)[2]["data"]
        assert sorted((t["name"], t["version"]) for t in listed) == [(name, 1) for name in wanted]
        for name in wanted:
            assert call(inst, name, key=key)[0]["output"] == {"ok": True}
    stored = [r for r in inst.records() if r["event"]["type"] == "ToolStored" and r["resource"].startswith("tool:tool-")]
    outcomes = collections.Counter(r["outcome"] for r in stored if r["phase"] == "outcome")
    assert outcomes["success"] == len(work)
    assert len([r for r in stored if r["phase"] == "intent"]) == sum(outcomes.values())


def test_versions_of_a_tool_are_limited(inst):
    key = new_key(inst, "versions")
    for n in range(1, VERSIONS_MAX + 1):
        status, _, answer = push(inst, manifest("full"), None, SCRIPT + b"# %d\n" % n, key=key)
        assert (status, answer["version"]) == (201, n), answer
    for n in ("more", "still more"):
        status, _, answer = push(inst, manifest("full"), None, SCRIPT + n.encode(), key=key)
        assert status == 409 and answer["error"] == {
            "message": "There is no room for another tool or version.", "type": "invalid_request_error",
            "param": None, "code": "too_many_tools"}, answer
    refused = [r for r in inst.records() if r["event"]["type"] == "Error"
               and r["event"]["error_type"] == "too_many_tools"]
    assert len(refused) == 2 and {r["outcome"] for r in refused} == {"denied"}
    assert push(inst, manifest("other"), None, SCRIPT, key=key)[0] == 201
    assert inst.request("DELETE", "/v1/tools/full?version=1", key=key)[0] == 200
    status, _, answer = push(inst, manifest("full"), None, SCRIPT, key=key)
    assert (status, answer["version"]) == (201, VERSIONS_MAX + 1), answer


# ---- a reload ----

def test_a_reload_in_the_middle_of_a_call(inst):
    """The call goes on within what it was granted; the next one gets what is configured by then."""
    key = new_key(inst, "reload")
    pushed(inst, "spin", wat("loop"), key=key, limits={"time_ms": 12000, "memory_mb": 16, "output_kb": 64})
    begun, got = time.monotonic(), []
    thread = threading.Thread(target=lambda: got.append(call(inst, "spin", key=key)))
    thread.start()
    time.sleep(0.5)
    inst.edit(lambda text: text.replace("time_ms: 12000", "time_ms: 150"))
    inst.operate("reload")
    short, took = call(inst, "spin", key=key)
    assert short["status"] == "timeout" and 149 <= short["duration_ms"] < 5000, short
    assert time.monotonic() - begun < 11.9 and not got
    # A tool that its sandbox cannot run any more: the call under way does not care.
    inst.edit(lambda text: text.replace("spin: {", "spin: { sandbox: gvisor,"))
    inst.operate("reload")
    status, _, answer = inst.request("POST", "/v1/tools/spin/call", {"arguments": {}}, key=key)
    assert (status, answer["error"]["code"]) == (400, "tool_part_missing"), answer
    thread.join(40)
    answer, _ = got[0]
    assert answer["status"] == "timeout" and 11999 <= answer["duration_ms"] < 16000, answer
    assert answer["sandbox"].startswith("wasm")
    records = [r for r in inst.records() if r["event"]["type"] == "ToolExecuted" and r["resource"] == "tool:spin"]
    assert collections.Counter(r["phase"] for r in records) == {"intent": 2, "outcome": 2}
    first = min(records, key=lambda r: r["seq"])
    last, = [r for r in records if r.get("intent_seq") == first["seq"]]
    assert last["config"] > first["config"]
    inst.edit(lambda text: text.replace(" sandbox: gvisor,", "").replace("time_ms: 150", "time_ms: 12000"))
    os.kill(inst.proc.pid, signal.SIGHUP)


def test_all_of_it_is_on_record(inst):
    assert inst.verify().returncode == 0
