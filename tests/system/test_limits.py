# SPDX-License-Identifier: Apache-2.0
"""Limits of keys and users: exact, shared by all workers, released when a holder dies; a full disk."""

import concurrent.futures
import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from instance import running

BODY = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


def policy(**limits):
    """Two workers, and a policy `tight` beside the default one."""
    text = ", ".join(f"{k}: {v}" for k, v in limits.items())
    row = f'  tight: {{ endpoints: "*", models: "*", tools: "*", languages: "*", {text} }}\n'
    return lambda conf: conf.replace("policies:\n", "policies:\n" + row) + "\nworkers: 2\n"


def new_key(inst, user="ann", tenant="acme"):
    return inst.operate("key", "create", "--tenant", tenant, "--user", user, "--policy", "tight").stdout.strip()


def burst(inst, keys, n, body=BODY, path="/v1/chat/completions"):
    """n requests at once, each on a connection of its own -> [(status, headers, body)]"""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda i: inst.request("POST", path, body, key=keys[i % len(keys)]), range(n)))


def test_requests_per_minute_are_exact_under_concurrency():
    with running(edit=policy(requests_per_min=20, concurrent=64)) as inst:
        key = new_key(inst)
        answers = burst(inst, [key], 60)
        statuses = [a[0] for a in answers]
        assert statuses.count(200) == 20 and statuses.count(429) == 40, statuses
        refused = next(a for a in answers if a[0] == 429)
        assert refused[2]["error"]["code"] == "rate_limit_exceeded"
        assert refused[1]["x-ratelimit-limit-requests"] == "20"
        assert refused[1]["x-ratelimit-remaining-requests"] == "0"
        assert re.fullmatch(r"\d+(ms|s)", refused[1]["x-ratelimit-reset-requests"])
        assert 0 < int(refused[1]["retry-after"]) <= 60
        assert "Too many requests" in refused[2]["error"]["message"]
        assert "Too many" in inst.request("GET", "/v1/models", key=key)[2]["error"]["message"]
        # Another user is not disturbed, and what was refused is on record.
        assert inst.request("POST", "/v1/chat/completions", BODY)[0] == 200
        errors = [r for r in inst.records() if r["event"]["type"] == "Error"]
        assert len(errors) == 41
        assert {r["event"]["error_type"] for r in errors} == {"rate_limit_exceeded"}


def test_a_user_s_keys_share_the_user_s_limit():
    def edit(conf):
        return policy(requests_per_min=1000, concurrent=64)(conf) + "\nlimits: { user_requests_per_min: 10 }\n"
    with running(edit=edit) as inst:
        keys = [new_key(inst) for _ in range(3)]
        statuses = [a[0] for a in burst(inst, keys, 30)]
        assert statuses.count(200) == 10, statuses
        assert inst.request("POST", "/v1/chat/completions", BODY, key=new_key(inst, user="bea"))[0] == 200
        # The same name in another tenant is another person.
        assert inst.request("POST", "/v1/chat/completions", BODY, key=new_key(inst, tenant="other"))[0] == 200


def test_concurrency_is_exact_and_released_when_the_gateway_dies():
    with running(edit=policy(requests_per_min=1000, concurrent=3)) as inst:
        key = new_key(inst)
        sleep = {"language": "sh", "code": "sleep 28"}

        def hold():
            with contextlib.suppress(OSError):
                inst.request("POST", "/v1/execute", sleep, key=key)
        threads = [threading.Thread(target=hold) for _ in range(3)]
        for t in threads:
            t.start()
        deadline = time.monotonic() + 15
        while not re.search(r"sallyport_turns_open\{[^}]*\} 3\n", inst.management("GET", "/metrics")[1].decode()):
            assert time.monotonic() < deadline, "three runs hold all of three places"
            time.sleep(0.05)
        status, headers, body = inst.request("POST", "/v1/chat/completions", BODY, key=key)
        assert (status, body["error"]["code"]) == (429, "concurrency_exceeded")
        for pid in inst.pids("gateway"):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        status = 0
        while status != 200:
            assert time.monotonic() < deadline, "a dead holder holds nothing"
            with contextlib.suppress(OSError):
                status = inst.request("POST", "/v1/chat/completions", BODY, key=key)[0]
            time.sleep(0.02)
        for t in threads:
            t.join()


def test_policy_is_a_list_of_what_is_allowed():
    def edit(conf):
        row = '  narrow: { endpoints: [execute], models: [], tools: [], languages: [sh] }\n'
        return conf.replace("policies:\n", "policies:\n" + row)
    with running(edit=edit) as inst:
        key = inst.operate("key", "create", "--tenant", "t", "--user", "u", "--policy", "narrow").stdout.strip()
        assert inst.request("POST", "/v1/execute", {"language": "sh", "code": "echo 1"}, key=key)[0] == 200
        assert inst.request("POST", "/v1/execute", {"language": "python", "code": "1"}, key=key)[0] == 403
        assert inst.request("POST", "/v1/chat/completions", BODY, key=key)[0] in (403, 404)


@pytest.fixture
def small_disk(tmp_path):
    """A state directory's place with little room."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_stops_everything_and_loses_nothing(small_disk, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with running() as inst:
        assert inst.request("POST", "/v1/chat/completions", BODY)[0] == 200
        with open(small_disk / "filler", "wb") as f:
            with contextlib.suppress(OSError):
                while True:
                    f.write(bytes(1 << 16))
        before = len(inst.records())
        statuses = set()
        # What is reserved for the log is used up first; then nothing is done any more.
        for _ in range(20000):
            statuses.add(inst.execute("print(1)")[0])
            if 503 in statuses:
                break
        else:
            pytest.fail(f"the disk is full, and still: {statuses}")
        assert inst.execute("print(1)")[2]["error"]["code"] == "audit_unavailable"
        os.unlink(small_disk / "filler")
        deadline = time.monotonic() + 60
        while inst.execute("print(2)")[0] != 200:
            assert time.monotonic() < deadline, inst.text_log()
            time.sleep(0.1)
        assert len(inst.records()) > before
        assert inst.verify().returncode == 0
