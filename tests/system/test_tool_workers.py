# SPDX-License-Identifier: Apache-2.0
"""Users' tools through the whole service: both sandboxes, the workers' jails, deaths in the middle."""

import ctypes
import json
import os
import pathlib
import re
import signal
import struct
import threading

import pytest

from instance import PROCESSES, ROOT, running, wait_for
from tools import wat_text

BOUNDARY = "a-boundary-of-no-part"
ECHO_SCRIPT = b"#!/bin/sh\ncat\n"


def vector(name):
    return (ROOT / f"tests/vectors/wasm/{name}.wasm").read_bytes()


def push(inst, name, **parts):
    parts = {"manifest": json.dumps({"name": name, "description": "For a test.",
                                     "input_schema": {"type": "object"},
                                     "limits": {"time_ms": 20000}}).encode(), **parts}
    body = b"".join(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"; filename="{k}"\r\n'
                    "Content-Type: application/octet-stream\r\n\r\n".encode() + v + b"\r\n"
                    for k, v in parts.items()) + f"--{BOUNDARY}--\r\n".encode()
    status, _, answer = inst.request(
        "POST", "/v1/tools", body,
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, timeout=120)
    return status, answer


def call(inst, name, timeout=60, **arguments):
    status, _, answer = inst.request("POST", f"/v1/tools/{name}/call", {"arguments": arguments},
                                     timeout=timeout)
    return status, answer


@pytest.fixture(scope="module")
def service():
    # Time for calls that something else must end.
    more = "\ntools:\n" + "".join(
        f"  {n}: {{ sandbox: wasm, limits: {{ time_ms: 20000 }} }}\n" for n in ("spin", "spin2"))
    with running(edit=lambda text: text + more) as inst:
        assert push(inst, "echo", module=vector("echo"))[0] == 201
        assert push(inst, "spin", module=vector("loop"))[0] == 201
        yield inst


def workers(inst):
    """execveat() leaves argv[0] as it was given: the one fixed argument."""
    return [pid for pid, argv0 in inst.descendants().items() if argv0 == "wasm-run"]


def until_served(inst):
    def served():
        status, answer = call(inst, "echo", a=1)
        assert status in (200, 503), answer
        return status == 200
    wait_for(served, 30, "the service did not come back")


def test_one_tool_in_both_sandboxes(service):
    assert push(service, "echo_native", native=ECHO_SCRIPT)[0] == 201
    for arguments in ({}, {"a": [1, {"b": None}]}, {"text": "é\t \U0001f600" * 500}):
        answers = [call(service, name, **arguments) for name in ("echo", "echo_native")]
        assert [a[0] for a in answers] == [200, 200], answers
        assert answers[0][1]["output"] == answers[1][1]["output"] == arguments
        assert answers[0][1]["sandbox"].startswith("wasm:")
        assert answers[1][1]["sandbox"].startswith("gvisor:sh")


def test_the_worker_as_the_kernel_sees_it(service):
    assert call(service, "echo")[0] == 200
    pid = workers(service)[0]
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    status = dict(re.findall(r"^(\w+):[ \t]*(.*)$", text, re.M))
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # Its own filter, beside the one that all below the supervisor have.
    above = pathlib.Path(f"/proc/{service.proc.pid}/status").read_text()
    assert int(status["Seccomp_filters"]) == int(re.search(r"Seccomp_filters:\s*(\d+)", above)[1]) + 1
    assert {status[k] for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert len(set(status["Uid"].split())) == 1 and status["Uid"].split()[0] != "0"
    mine = {n: os.readlink(f"/proc/self/ns/{n}") for n in ("user", "pid", "mnt", "net", "ipc", "uts")}
    assert not {n for n, ns in mine.items() if os.readlink(f"/proc/{pid}/ns/{n}") == ns}
    assert os.listdir(f"/proc/{pid}/root/") == []
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert sum(x.startswith("socket:") for x in links) == 1
    assert not [x for x in links if not re.match(r"(socket|pipe|anon_inode|/dev/null|/memfd)", x)]


def test_status_shows_them(service):
    until_served(service)
    shown = json.loads(service.operate("status", "--json").stdout)["wasm_workers"]
    assert shown == {"live": len(workers(service)), "tenants": 1, "most_of_one_tenant": len(workers(service)),
                     "calls_waiting": 0}
    assert re.search(r"^wasm workers +[1-9][0-9]*, of tenants: 1, most of one: [1-9][0-9]*, calls waiting: 0$",
                     service.operate("status").stdout, re.M)


def slice_us(pid):
    """How long the kernel lets a turn of its first thread be: sched_getattr(2); 0: this kernel does not tell."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = ctypes.create_string_buffer(56)
    assert libc.syscall(315, pid, attr, len(attr), 0) == 0, os.strerror(ctypes.get_errno())
    return struct.unpack_from("<Q", attr, 24)[0] // 1000


def test_turns_are_short_for_those_who_wait_and_not_for_those_who_spin(service):
    """Kernels before 6.12 have one length for all."""
    tells = tuple(int(x) for x in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 12)
    until_served(service)
    of_service = {slice_us(pid) for name in PROCESSES for pid in service.pids(name)}
    assert of_service == ({100} if tells else {0})
    thread = threading.Thread(target=lambda: call(service, "spin", timeout=60))
    spinner, = [p for p in workers(service)]
    assert slice_us(spinner) == (200 if tells else 0)
    thread.start()
    if tells:
        wait_for(lambda: slice_us(spinner) > 200, 10, "one that spins keeps its short turns")
        sandboxes = [pid for pid, argv0 in service.descendants().items() if argv0.startswith("runsc")]
        assert sandboxes and all(slice_us(pid) > 200 for pid in sandboxes)
    os.kill(spinner, signal.SIGKILL)
    thread.join(40)
    until_served(service)


SLOW = ('(func (export "_start")', '''(func (export "_start") (local $i i32)
  (loop $again (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200000000))))''')


def test_a_call_that_took_long_leaves_no_long_turns(service):
    until_served(service)
    slow = wat_text((ROOT / "tests/wasm/says_ok.wat").read_text().replace(*SLOW))
    assert push(service, "slow", module=slow)[0] == 201
    pid, = workers(service)
    short = slice_us(pid)
    for _ in range(3):
        answer = call(service, "slow")[1]
        assert answer["status"] == "exit" and answer["duration_ms"] > 20, answer
        assert workers(service) == [pid] and slice_us(pid) == short


@pytest.mark.parametrize("victim, status, said", [
    ("worker", 200, "trap"), ("spawner", 503, None), ("executor", 503, None)])
def test_a_death_in_the_middle_of_a_call(service, victim, status, said):
    until_served(service)
    got = []
    thread = threading.Thread(target=lambda: got.append(call(service, "spin")))
    thread.start()

    def busy():
        return [p for p in workers(service)
                if int(pathlib.Path(f"/proc/{p}/schedstat").read_text().split()[0]) > 50_000_000]
    wait_for(busy, 19, "no worker spins")
    for pid in busy() if victim == "worker" else service.pids(victim):
        os.kill(pid, signal.SIGKILL)
    thread.join(40)
    assert got and got[0][0] == status, got
    if said:
        assert (got[0][1]["status"], got[0][1]["trap"]) == (said, "trap: worker died")
    until_served(service)
    records = [r for r in service.records() if r["event"]["type"] == "ToolExecuted"]
    assert {r["phase"] for r in records} == {"intent", "outcome"}


def test_a_client_that_leaves_takes_its_call_along(service):
    until_served(service)
    before = set(workers(service))
    connection = service.connection()
    connection.request("POST", "/v1/tools/spin/call", body='{"arguments": {}}',
                       headers={"Authorization": f"Bearer {service.key}",
                                "Content-Type": "application/json"})

    def spinning():
        return [p for p in workers(service)
                if int(pathlib.Path(f"/proc/{p}/schedstat").read_text().split()[0]) > 50_000_000]
    wait_for(spinning, 15, "no worker spins")
    victim = spinning()
    connection.close()
    wait_for(lambda: not set(victim) & set(workers(service)), 15, (victim, before))
    assert call(service, "echo", a=1)[1]["output"] == {"a": 1}


def test_nothing_is_left(service):
    assert service.stop() == 0
    assert service.verify().returncode == 0
