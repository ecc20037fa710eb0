# SPDX-License-Identifier: Apache-2.0
"""The authority as a process: its socket, its records, and what it does without audit."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time

from instance import wait_for

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


def pid_of(inst, name):
    status = json.loads(inst.management("GET", "/status")[1])
    return next(p["pid"] for p in status["processes"] if p["name"] == name and p["up"])


def test_only_root_is_served(service):
    path = str(service.dir / "run" / "management.sock")
    code = ("import os, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "os.chdir(sys.argv[1])\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "try:\n"
            "    s.connect('management.sock')\n"
            "    s.sendall(b'GET /status HTTP/1.1\\r\\nHost: l\\r\\n\\r\\n')\n"
            "    print(len(s.recv(100)))\n"
            "except (PermissionError, ConnectionError):\n"
            "    print(0)\n")
    out = subprocess.run([sys.executable, "-c", code, os.path.dirname(path)], text=True,
                         capture_output=True, check=True, timeout=20).stdout
    assert out.strip() == "0"


def test_metrics_name_every_process(service):
    status, text = service.management("GET", "/metrics")
    lines = text.decode().splitlines()
    assert status == 200
    for name in ("gateway", "authority", "broker", "executor", "spawner", "audit", "store"):
        assert any(line.startswith(f'sallyport_up{{process="{name}",index="0"}} 1') for line in lines), name
    assert sum(line.startswith("# TYPE ") for line in lines) == len(
        {line.split()[2] for line in lines if line.startswith("# TYPE ")})
    writers = {line.split('"')[1] for line in lines if line.startswith("sallyport_turns_total{")}
    assert writers == {"authority"}     # no rows of processes that never count it


def test_ready_means_that_sandboxes_are_warm(make_instance):
    inst = make_instance()
    metrics = inst.management("GET", "/metrics")[1].decode()
    started = [line for line in metrics.splitlines() if line.startswith("sallyport_pool_warm{")]
    assert len(started) == 1 and int(started[0].split()[-1]) > 0, started
    executor = pid_of(inst, "executor")
    os.kill(executor, signal.SIGKILL)
    seen = set()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and "pools" not in seen:
        seen |= set(json.loads(inst.management("GET", "/readyz")[1])["missing"])
    assert "pools" in seen, seen
    inst.wait_ready()
    for _ in range(6):                  # emptied by its callers, it stays ready
        assert inst.execute("print(1)")[0] == 200
        assert inst.management("GET", "/readyz")[0] == 200


def test_a_key_expires(service):
    status, body = service.management("POST", "/admin/v1/keys", {"tenant": "acme", "user": "kim", "expires_in_s": 6})
    key = json.loads(body)["key"]
    assert status == 201
    assert service.request("GET", "/v1/models", key=key)[0] == 200
    begun = time.monotonic()
    wait_for(lambda: service.request("GET", "/v1/models", key=key)[0] == 401, 20)
    assert time.monotonic() - begun < 10


def test_acts_of_operators_are_recorded_before_and_after(service):
    _, body = service.management("POST", "/admin/v1/keys", {"tenant": "acme", "user": "lee"})
    made = json.loads(body)
    assert service.management("DELETE", f"/admin/v1/keys/{made['id']}")[0] == 200
    assert service.management("POST", "/admin/v1/reload")[0] == 200
    service.wait_ready()
    records = service.records()
    for kind in ("KeyCreated", "KeyRevoked"):
        mine = [r for r in records if r["event"]["type"] == kind and
                r["event"].get("key_id", r["event"].get("fields", {}).get("key_id")) == made["id"]]
        assert [r.get("phase") for r in mine] == ["intent", "outcome"], (kind, mine)
        assert mine[1]["intent_seq"] == mine[0]["seq"] and mine[1]["outcome"] == "success"
    assert made["key"] not in json.dumps(records)


def test_a_silent_audit_process_means_503_and_nothing_is_lost(make_instance):
    inst = make_instance()
    audit = pid_of(inst, "audit")
    assert inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200
    os.kill(audit, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        status, _, body = inst.request("POST", "/v1/chat/completions", CHAT)
        assert status == 503 and body["error"]["code"] == "audit_unavailable"
        assert time.monotonic() - begun < 9  # one that hangs is killed after ten
        assert inst.management("GET", "/readyz")[0] == 503
        assert inst.management("GET", "/healthz")[0] == 200
    finally:
        os.kill(audit, signal.SIGCONT)
    inst.wait_ready()
    time.sleep(1.1)  # refused requests come fast: let the limit of handshakes a second pass
    assert inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200
    records = inst.records()
    intents = {r["seq"] for r in records if r.get("phase") == "intent"}
    closed = [r["intent_seq"] for r in records if r.get("phase") == "outcome"]
    assert sorted(closed) == sorted(intents)


def test_a_crash_of_the_authority_under_load_balances(make_instance):
    inst = make_instance()
    stop = time.monotonic() + 4

    def work(_):
        seen = set()
        while time.monotonic() < stop:
            try:
                seen.add(inst.request("POST", "/v1/chat/completions", CHAT, timeout=10)[0])
            except OSError:
                seen.add(0)
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(work, i) for i in range(4)]
        time.sleep(1)
        os.kill(pid_of(inst, "authority"), signal.SIGKILL)
        seen = set().union(*(j.result() for j in jobs))
    assert 200 in seen and seen <= {0, 200, 502, 503}, seen
    inst.wait_ready()
    time.sleep(1.1)  # refused requests come fast: let the limit of handshakes a second pass
    assert inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200
    records = inst.records()
    intents = {r["seq"] for r in records if r.get("phase") == "intent"}
    closed = [r["intent_seq"] for r in records if r.get("phase") == "outcome"]
    assert sorted(closed) == sorted(intents)

