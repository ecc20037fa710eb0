# SPDX-License-Identifier: Apache-2.0
"""Sandboxes for real, without the rest of the service: executor, spawner, launcher, runsc."""
import os
import signal
import struct
import subprocess
import time

import pytest

from instance import best_of
from rig import Rig, wait_until


@pytest.fixture(scope="module")
def rig():
    r = Rig(pool=2, wall_s=100, cpu_s=6)     # so far apart that a busy machine does not mix them up
    yield r
    assert r.close() is not None, (r.cgroups(), r.processes())


@pytest.fixture
def fresh():
    made = []

    def make(**settings):
        made.append(Rig(**settings))
        return made[-1]

    yield make
    for r in reversed(made):
        assert r.close() is not None, (r.cgroups(), r.processes())


def files_of(result):
    data, out = bytes.fromhex(result["files"]), {}
    count, at = struct.unpack_from(">I", data)[0], 4
    for _ in range(count):
        pair = []
        for _ in range(2):
            n = struct.unpack_from(">I", data, at)[0]
            pair.append(data[at + 4:at + 4 + n])
            at += 4 + n
        out[pair[0].decode()] = pair[1]
    assert at == len(data)
    return out


FLOOD = "import sys\nwhile True: sys.stdout.write('x' * 4096)"
GREEDY = "a = []\nwhile True: a.append(bytearray(10**7))"
ENDS = [
    ("python", "print('hi')", "exit", 0),
    ("python", "import sys; sys.exit(5)", "exit", 5),
    ("python", "1/0", "exit", 1),
    ("python", "import os; os._exit(7)", "exit", 7),
    ("python", "import os; os.kill(os.getpid(), 9)", "signal", 9),
    ("python", "import ctypes; ctypes.string_at(0)", "signal", 11),
    ("python", "import time; time.sleep(60)", "timeout", 0),
    ("python", "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)",
     "timeout", 0),
    ("python", "while True: pass", "cpu", 0),
    ("python", GREEDY, "memory", 0),
    ("python", FLOOD, "output", 0),
    ("sh", "echo hi; exit 3", "exit", 3),
    # Only the end of the shell itself is a signal's; of a child's the shell says 128 + n.
    ("sh", "kill -9 $$", "signal", 9),
    ("sh", "kill -SEGV $$", "signal", 11),
    ("sh", "(kill -TERM $$); sleep 5", "signal", 15),
    ("sh", "sh -c 'kill -9 $$'", "exit", 137),
    ("sh", "sh -c 'kill -9 $$'; echo $?", "exit", 0),
    ("sh", "exit 137", "exit", 137),
    ("javascript", "process.kill(process.pid, 'SIGKILL'); setTimeout(() => {}, 5000)", "signal", 9),
    ("javascript", "console.log(1)", "exit", 0),
    ("javascript", "process.exit(4)", "exit", 4),
]


@pytest.mark.parametrize("language, code, status, exit_code", ENDS)
def test_every_end_is_named(rig, language, code, status, exit_code):
    result = rig.run(language, code, timeout_ms=1500 if status == "timeout" else 0)
    assert (result["event"], result["status"]) == ("result", status), result
    assert result["exit_code"] == exit_code
    done = rig.event("done", turn=rig.count)
    assert (done["error"], done["status"]) == (0, status)


SUM = b"""#!/usr/bin/python3
import json, os, sys
print(json.dumps({"sum": sum(json.load(sys.stdin)["of"]), "env": os.environ["GREETING"]}), end="")
"""


def test_a_native_tool_script(rig):
    result = rig.tool(SUM, '{"of": [1, 2, 39]}')
    assert (result["event"], result["status"], result["exit_code"]) == ("result", "exit", 0), result
    assert result["stdout"] == b'{"sum": 42, "env": "it\'s me"}'


def test_a_native_tool_binary(rig, tmp_path):
    source, binary = tmp_path / "t.c", tmp_path / "t"
    source.write_text("#include <stdio.h>\nint main(void){char b[64];"
                      "size_t n = fread(b, 1, sizeof b, stdin);"
                      "fwrite(b, 1, n, stdout); fputs(\"log\", stderr); return 0;}")
    subprocess.run(["gcc", "-static", "-O2", "-s", "-o", binary, source], check=True)
    result = rig.tool(binary.read_bytes(), '{"x":1}')
    assert (result["status"], result["stdout"], result["stderr"]) == ("exit", b'{"x":1}', b"log"), result


NATIVE_ENDS = [
    (b"#!/bin/sh\nexit 9\n", "exit", 9),
    (b"#!/bin/sh\nkill -9 $$\n", "signal", 9),
    (b"#!/bin/sh\nsleep 60\n", "timeout", 0),
    (b"#!/bin/sh\nyes\n", "output", 0),
    (b"#!/usr/bin/python3\na = bytearray(300 << 20)\nprint(len(a))\n", "memory", 0),
    (b"#!/no/such\n", "exit", 127),
    (b"\x7fELF cut", "exit", 126),
]


@pytest.mark.parametrize("native, status, exit_code", NATIVE_ENDS)
def test_every_end_of_a_native_tool(rig, native, status, exit_code):
    result = rig.tool(native, time_ms=1500 if status == "timeout" else 20000)
    assert (result["event"], result["status"], result["exit_code"]) == ("result", status, exit_code), \
        result


def test_output_comes_as_it_is_written(rig):
    n = rig.start("python", "import time, sys\nprint('a', flush=True)\ntime.sleep(2)\n"
                            "sys.stderr.write('b')")
    first = rig.wait(n, kinds=("stdout",))
    result = rig.wait(n)
    assert result["ms"] - first["ms"] > 1000 and result["stderr"] == b"b" and result["ms"] > 2000


def test_output_is_cut_at_the_cap_exactly(rig):
    at_cap = rig.run("python", "print('x' * (256 * 1024 - 1))")
    assert (at_cap["status"], at_cap["truncated"]) == ("exit", 0)
    assert len(at_cap["stdout"]) == 256 * 1024
    over = rig.run("python", "print('x' * (256 * 1024))")
    assert (over["status"], over["truncated"], len(over["stdout"])) == ("output", 1, 256 * 1024)


def test_stdin_and_big_code(rig):
    code = "import sys\n" + "# pad\n" * 40000 + "print(len(sys.stdin.read()))"
    assert rig.run("python", code, stdin="y" * 200000)["stdout"] == b"200000\n"


def test_files_come_back(rig):
    result = rig.run("python", "open('/tmp/out/a.bin', 'wb').write(bytes(range(256)) * 500)\n"
                               "import os; os.symlink('/etc/passwd', '/tmp/out/link')\n"
                               "os.mkdir('/tmp/out/dir')")
    assert files_of(result) == {"a.bin": bytes(range(256)) * 500}


def test_a_request_may_lower_the_wall_limit(rig):
    result = rig.run("python", "import time; time.sleep(20)", timeout_ms=300)
    assert result["status"] == "timeout" and result["duration"] < 5000


def test_a_turn_keeps_its_sandbox_and_nobody_else_gets_it(rig):
    first = rig.wait(rig.start("python", "x = 41", turn=1000, keep=1))
    assert first["status"] == "exit"
    second = rig.run("python", "x + 1", turn=1000, keep=1, notebook=1)
    assert second["stdout"] == b"42\n"
    other = rig.run("python", "print('x' in globals())", turn=1001, keep=1)
    assert other["stdout"] == b"False\n"
    for turn in (1000, 1001):
        rig.send("turn-end", turn)
        assert rig.event("turn-ended")["turn"] == turn


def test_nothing_is_reused(rig):
    for _ in range(3):
        result = rig.run("python", "import os\nprint(os.path.exists('/tmp/work/mark'))\n"
                                   "open('/tmp/work/mark', 'w').close()")
        assert result["stdout"] == b"False\n"


def test_a_grant_is_good_once(rig):
    n = rig.start("python", "print(1)")
    assert rig.wait(n)["status"] == "exit"
    rig.send("replay", n)
    assert rig.wait(n)["error"] == "grant_refused"


def test_a_grant_may_come_after_its_stream(rig):
    """A burst may fill the authority's link; a run waits for its grant, but not for long."""
    code = "x = '" + "y" * 100000 + "'\nprint(len(x))"  # beyond a stream's first credit
    rig.send("late", 300)
    assert rig.run("python", code)["stdout"] == b"100000\n"
    rig.send("late", 1400)
    assert rig.run("python", code)["error"] == "grant_refused"
    time.sleep(0.6)                                     # the late grant is there, and spends itself
    rig.send("late", 1400)
    n = rig.start("python", code)
    time.sleep(0.2)
    rig.send("cancel", n)                               # before its grant: nothing is left
    time.sleep(1.5)
    assert rig.run("python", "print(1)")["stdout"] == b"1\n"


def cancel_once(rig):
    """Seconds from the cancel until the sandbox's process is gone."""
    n = rig.start("python", "import time; time.sleep(60)")
    slot = int(rig.wait(n, kinds=("started",))["sandbox"].rsplit("-", 1)[1])
    assert all(os.path.exists(g + f"/slot-{slot}") for g in rig.cgroups())
    pids = set(rig.sandboxes())
    rig.send("cancel", n)
    took = wait_until(lambda: pids - set(rig.sandboxes()), 20)
    assert rig.event("done", turn=n)["status"] == "cancelled"
    return took


def test_a_client_that_leaves_ends_its_run(rig):
    best_of(10, lambda: cancel_once(rig), 0.1)


def test_lies_end_their_own_lease_only(rig):
    liar = ("import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'E' + b'\\xff' * 64)\n"
            "  except OSError: pass\nimport time; time.sleep(30)")
    result = rig.run("python", liar)
    assert (result["status"], result["exit_code"]) == ("signal", 9) and result["duration"] < 10000
    assert rig.run("python", "print(1)")["stdout"] == b"1\n"


def test_a_forged_end_is_its_own_run_s_end(rig):
    forger = ("import os, struct, time\nfor fd in range(3, 64):\n"
              "  try: os.write(fd, b'E' + struct.pack('>IIII', 12, 1, 0, 0)); break\n"
              "  except OSError: pass\ntime.sleep(30)")
    assert rig.run("python", forger)["duration"] < 10000


POPEN = "import subprocess\nfor i in range(300): subprocess.Popen(['/bin/sleep', '60'])"
THREADS = ("import threading, time\n"
           "while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()")
SPAWN = ("const c = require('child_process')\n"
         "try { for (;;) c.spawn('/bin/sleep', ['60']) } catch (e) { process.exit(1) }")
SH_BOMB = "b() { b & b & wait; }; b"
SH_SLEEPS = "i=0; while [ $i -lt %d ]; do sleep 2 & i=$((i+1)); done; wait"
BOMBS = [
    ("python", POPEN, "pids", 0),
    ("python", THREADS, "exit", 1),         # threads end at the guest's own limit
    ("javascript", SPAWN, "pids", 0),
    ("sh", SH_SLEEPS % 300, "pids", 0),
]


@pytest.mark.parametrize("language, code, status, exit_code", BOMBS)
def test_bombs_are_contained_and_named(rig, language, code, status, exit_code):
    neighbour = rig.start("python", "import time; time.sleep(2); print('here')")
    result = rig.run(language, code, timeout_ms=20000)
    assert (result["status"], result["exit_code"]) == (status, exit_code), result
    assert rig.wait(neighbour)["stdout"] == b"here\n"
    assert rig.run("python", "print(1)")["stdout"] == b"1\n"


@pytest.mark.parametrize("language, code, stdout", [
    ("python", f"try:\n  exec({POPEN!r})\nexcept OSError: print('met')", b"met\n"),
    ("sh", SH_SLEEPS % 44, b""),            # four below the limit
])
def test_who_comes_near_the_limit_may_go_on(rig, language, code, stdout):
    """As a rule: gVisor's kernel takes threads of the same limit, and ends where it gets none."""
    ends = []
    while ("exit", 0) not in ends:
        assert len(ends) < 3, ends
        result = rig.run(language, code, timeout_ms=20000)
        ends.append((result["status"], result["exit_code"]))
        assert ends[-1] in [("exit", 0), ("pids", 0)], result
    assert result["stdout"] == stdout
    assert rig.run("python", "print(1)")["stdout"] == b"1\n"


@pytest.mark.parametrize("language, code", [
    ("python", "import os\nwhile True: os.fork()"),
    ("sh", SH_BOMB),
])
def test_bombs_that_multiply_end_at_the_limit(fresh, language, code):
    rig = fresh(memory_mb=1024, cpu_s=40, wall_s=30)
    result = rig.run(language, code, timeout_ms=20000)
    assert result["status"] == "pids", result
    assert rig.run("python", "print(1)")["stdout"] == b"1\n"


def test_the_disk_of_a_sandbox_is_small(rig):
    result = rig.run("python", "f = open('/tmp/big', 'wb')\nwhile True: f.write(b'x' * 1000000)")
    assert result["status"] == "exit" and result["exit_code"] == 1
    assert b"OSError" in result["stderr"]


def test_a_burst_beyond_the_pool_is_answered(fresh):
    rig = fresh(pool=4)
    time.sleep(2)
    numbers = [rig.start("python", "print(1)") for _ in range(12)]
    results, start = {}, time.monotonic()
    while len(results) < len(numbers) and time.monotonic() - start < 90:
        e = rig.queue.get(timeout=90)
        if e["event"] in ("result", "failed"):
            results[e["id"]] = e
    assert all(r["event"] == "result" for r in results.values()) and len(results) == 12


def test_a_full_queue_is_said_at_once(fresh):
    rig = fresh(pool=0, queue=1)
    first = rig.start("python", "print(1)")
    second = rig.start("python", "print(1)")
    assert rig.wait(second)["error"] == "sandbox_busy"
    assert rig.wait(first)["stdout"] == b"1\n"


def test_the_warm_data_variant_is_used(fresh):
    rig = fresh(pool=1, pool_data=1, memory_mb=512)
    rig.run("python", "print(1)")

    def duration():
        time.sleep(6)  # one more is warm by then
        result = rig.run("python", "import pandas; print(pandas.__name__)")
        assert result["stdout"] == b"pandas\n"
        return result["duration"]

    best_of(8, duration, 500)


@pytest.mark.parametrize("victim", ["executor", "spawner", "launcher", "rig", "all sandboxes"])
def test_whoever_is_killed_nothing_is_left(fresh, victim):
    rig = fresh(pool=2)
    n = rig.start("python", "import time; time.sleep(60)")
    rig.wait(n, kinds=("started",))
    pids = {"executor": [rig.executor], "spawner": [rig.spawner], "launcher": [rig.launcher()],
            "rig": [rig.proc.pid], "all sandboxes": rig.sandboxes()}[victim]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    if victim == "all sandboxes":
        assert rig.wait(n)["status"] == "signal"
        assert rig.run("python", "print(1)")["stdout"] == b"1\n"
    elif victim == "launcher":
        assert wait_until(lambda: not rig.processes(), 15) is not None
        fresh(pool=1, instance=rig.instance)          # the next start sweeps the groups
    else:
        assert wait_until(rig.nothing_left, 15) is not None, (rig.cgroups(), rig.processes())


def test_a_group_that_stays_withholds_no_end(fresh):
    rig = fresh(pool=1)
    n = rig.start("python", "x = 1", turn=2000, keep=1)
    slot = rig.wait(n, kinds=("started",))["sandbox"].rsplit("-", 1)[1]
    rig.wait(n)
    held = [f"{group}/slot-{slot}/held" for group in rig.cgroups()]
    for path in held:
        os.mkdir(path)
    try:
        rig.send("turn-end", 2000)
        assert rig.event("turn-ended", timeout=20)["turn"] == 2000
        for _ in range(3):
            n = rig.start("python", "print(1)")
            assert rig.wait(n, kinds=("started",))["sandbox"].rsplit("-", 1)[1] != slot
            assert rig.wait(n)["stdout"] == b"1\n"
    finally:
        for path in held:
            os.rmdir(path)


def test_no_descriptor_leaks_after_many_runs(rig):
    def count(pid):
        return len(os.listdir(f"/proc/{pid}/fd"))

    for _ in range(3):
        rig.run("python", "print(1)")
    time.sleep(1)
    before = [count(p) for p in (rig.executor, rig.spawner, rig.launcher())]
    for _ in range(10):
        rig.run("sh", "echo 1")

    def few():
        after = [count(p) for p in (rig.executor, rig.spawner, rig.launcher())]
        return all(a <= b + 4 for a, b in zip(after, before))

    time.sleep(2)
    assert wait_until(few, 20) is not None, before
