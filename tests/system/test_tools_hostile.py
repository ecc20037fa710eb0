# SPDX-License-Identifier: Apache-2.0
"""Modules that mean harm (tests/wasm/*.wat, and such as are made here): in the engine, and in the jailed compiler."""

import os
import resource
import subprocess
import time

import pytest

from tools import BUILD, WAT, compile_module, guest, guests, sealed, wat, wat_text

SLACK_MS = 20  # beyond the deadline, on a quiet machine
LOADED_MS = 3000
TIME_MS = 100
EASY_MS = 20000  # of what ends by itself

# name -> how it ends, exit status or what the trap says
ENDS = {
    "loop": ("timeout", ""),
    "loop_start": ("timeout", ""),
    "memory_grow": ("memory", ""),
    "memory_grow_stubborn": ("timeout", ""),
    "table_grow": ("memory", ""),
    "memory_fill": ("timeout", ""),
    "recursion": ("trap", "trap: call stack exhausted in deep"),
    "sleep": ("exit", 52),
    "read_all": ("exit", 0),
    "stdout_flood": ("output", ""),
    "stderr_flood": ("exit", 0),
    "bad_utf8": ("exit", 0),
    "bad_json": ("exit", 0),
    "two_values": ("exit", 0),
    "says_ok": ("exit", 0),
    "exit_3": ("exit", 3),
    "silent": ("exit", 0),
    "trap_unreachable": ("trap", "trap: unreachable in inner"),
    "trap_divide": ("trap", "trap: integer divide by zero in inner"),
    "trap_overflow": ("trap", "trap: integer overflow in inner"),
    "trap_bounds": ("trap", "trap: out of bounds memory access in inner"),
    "trap_bounds_far": ("trap", "trap: out of bounds memory access in inner"),
    "trap_fill": ("trap", "trap: out of bounds memory access in inner"),
    "trap_number": ("trap", "trap: invalid conversion to integer in inner"),
    "trap_table": ("trap", "trap: out of bounds table access"),
    "trap_null": ("trap", "trap: call of an empty table element"),
    "trap_type": ("trap", "trap: indirect call of another type"),
    "wild": ("exit", 0),
    "secret_writer": ("exit", 0),
    "secret_scanner": ("exit", 0),
}
REFUSED = {
    "refused_import": "import",
    "refused_name": "import",
    "refused_type": "import",
    "refused_memory": "import",
    "refused_no_start": "_start",
    "refused_start_type": "_start",
    "refused_two_memories": "",
    "refused_memory_wanted": "memory",
}


def named(name):
    """The module with the names of its functions."""
    return wat(name)


def test_every_module_has_its_expectation():
    assert {p.stem for p in WAT.glob("*.wat")} == set(ENDS) | set(REFUSED)


@pytest.mark.parametrize("name", sorted(ENDS))
def test_end(name):
    end = guest(named(name), "-t", str(TIME_MS if ENDS[name][0] == "timeout" else EASY_MS), "-m", "16", "-o", "65536", stdin=b"x" * 100000)
    how, what = ENDS[name]
    assert end.end == how, end
    assert (end.exit_code if how == "exit" else end.trap) == what, end
    assert end.elapsed_ms < TIME_MS + LOADED_MS, end
    assert len(end.out) <= 65536 and len(end.err) <= 65536
    if name == "stderr_flood":
        assert end.err_cut and end.out == b"{}"
    if name == "stdout_flood":
        assert len(end.out) == 65536


def test_deadline_holds():
    """The median of 20 shows what is promised to who has a core of its own; where others take it, the best does."""
    medians, best = [], []
    while len(medians) < 5 and (not medians or medians[-1] >= 50 + SLACK_MS):
        before, begun = cpu_s_of_children(), time.monotonic()
        times = sorted(e.elapsed_ms for e in guests([wat("loop")], "-t", "50", "-n", "20"))
        share = (cpu_s_of_children() - before) / (time.monotonic() - begun)
        assert times[0] >= 49 and times[-1] < 50 + LOADED_MS, times
        best.append(times[0])
        if share > 0.9:
            medians.append(times[10])
        elif len(best) == 5:
            break
    assert min(best) < 50 + SLACK_MS, best
    assert not medians or medians[-1] < 50 + SLACK_MS, medians


def cpu_s_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_secret_is_gone_for_the_next_tool():
    """Also after a tool that was ended, and the other way round, in one engine with its pool."""
    order = ["secret_writer", "secret_scanner", "loop", "secret_writer", "secret_writer", "secret_scanner",
             "memory_grow", "secret_scanner", "memory_fill", "secret_scanner"]
    ends = guests([wat(name) for name in order], "-t", "1000", "-m", "4", "-f")
    for name, end in zip(order, ends):
        if name == "secret_scanner":
            assert (end.end, end.out) == ("exit", b"true"), end


def test_memory_of_the_process_stays(tmp_path):
    """1,000 bombs take no more memory than 20."""
    script = ["-t", "50", "-m", "16", "-n"]
    few = peak_kb([*script, "20"], tmp_path)
    many = peak_kb([*script, "1000"], tmp_path)
    assert many < few + 4096, (few, many)


def peak_kb(options, tmp_path):
    status, compiled, said = compile_module(wat("memory_grow"))
    assert status == 0, said
    file = tmp_path / "bomb.compiled"
    file.write_bytes(compiled)
    p = subprocess.Popen([BUILD / "tests/wasm/wasm-guest", *options, file], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(p.pid, 0)
    assert status == 0
    return usage.ru_maxrss


def test_worker_in_its_jail():
    """wasm-run as it is, strict seccomp and all: answers, traps, and ends at the deadline."""
    for name, status in (("says_ok", 0), ("exit_3", 3), ("loop", 124), ("trap_bounds", 125), ("wild", 0)):
        rc, compiled, said = compile_module(wat(name))
        assert rc == 0, said
        p = run_once(compiled, str(TIME_MS if name == "loop" else EASY_MS), "16")
        assert p.returncode == status, (name, p)
    assert b"out of bounds memory access" in run_once(compile_module(wat("trap_bounds"))[1]).stderr


def run_once(compiled, *args):
    """The worker takes its file as descriptor 3."""
    fd = sealed(compiled)
    try:
        return subprocess.run([BUILD / "libexec/sallyport/wasm-run", "--once", *args], pass_fds=[3],
                              preexec_fn=lambda: os.dup2(fd, 3), input=b"{}", capture_output=True, timeout=30)
    finally:
        os.close(fd)


@pytest.mark.parametrize("cut", [0, 4, 8, 40, 200, -1, -8])
def test_compiled_file_that_was_cut(cut):
    compiled = compile_module(wat("says_ok"))[1]
    p = run_once(compiled[:cut])
    assert p.returncode == 125 and p.stdout == b"", p


# ---- what the compiler refuses, and what ends it ----

@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name):
    status, compiled, said = compile_module(wat_multi(name))
    assert status == 1 and compiled == b"", said
    assert REFUSED[name] in said, said


def wat_multi(name):
    return wat_text((WAT / f"{name}.wat").read_text(), "--enable-multi-memory")


def leb(n):
    out = b""
    while True:
        byte = n & 0x7F
        n >>= 7
        out += bytes([byte | (0x80 if n else 0)])
        if not n:
            return out


def section(number, body):
    return bytes([number]) + leb(len(body)) + body


HEAD = b"\0asm\1\0\0\0"


def functions(bodies, extra=b"", after=b""):
    """A module of functions () -> (), the first of them _start, with one page of memory."""
    n = len(bodies)
    return b"".join([
        HEAD, section(1, b"\x01\x60\x00\x00"), section(3, leb(n) + b"\0" * n), section(5, b"\x01\x00\x01"),
        section(7, b"\x02\x06memory\x02\x00\x06_start\x00\x00"), extra,
        section(10, leb(n) + b"".join(leb(len(b)) + b for b in bodies)), after])


def data_segments(n):
    return functions([b"\0\x0b"], after=section(11, leb(n) + b"\0\x41\0\x0b\x01x" * n))


GOOD = wat_text((WAT / "says_ok.wat").read_text(), names=False)
MADE = {
    "empty": b"",
    "text": b"(module)",
    "random": bytes(range(256)) * 100,
    "head_only": HEAD,
    "other_version": b"\0asm\2\0\0\0" + GOOD[8:],
    "component": b"\0asm\x0d\0\1\0" + GOOD[8:],
    "section_longer_than_the_file": HEAD + b"\x01\xff\xff\xff\xff\x0f",
    "section_twice": GOOD + section(1, b"\0"),
    "nested_deep": functions([b"\0" + b"\x02\x40" * 400000 + b"\x0b" * 400000 + b"\x0b"]),
    "functions_50000": functions([b"\0\x0b"] * 50000),
    "data_segments_100000": data_segments(100000),
    "locals_50000_loops_20000": functions([b"\x01" + leb(50000) + b"\x7e" + b"\x03\x40" * 20000 + b"\x0b" * 20000 + b"\x0b"]),
    "locals_four_billion": functions([b"\x01\xff\xff\xff\xff\x0f\x7e\x0b"]),
    "one_body_of_4_MB": functions([b"\0" + b"\x41\0\x1a" * 1400000 + b"\x0b"]),
    "custom_100_MB": GOOD + section(0, b"\x01x" + b"\0" * (100 << 20)),
}


@pytest.mark.parametrize("name", sorted(MADE))
def test_made_module_is_refused_in_time(name):
    """Refused with a reason, or the process ends by its own limits; never a compiled file, never long."""
    begun = time.monotonic()
    status, compiled, said = compile_module(MADE[name])
    took = time.monotonic() - begun
    assert status != 0 and compiled == b"", (status, len(compiled), said)
    assert status < 0 or (status == 1 and said), (status, said)
    assert took < 60, took
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak < 1300 << 10, peak


def section_ends(module):
    at = len(HEAD)
    while at < len(module):
        size = shift = 0
        at += 1
        while True:
            size |= (module[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not module[at - 1] & 0x80:
                break
        at += size
        yield at


def test_module_that_was_cut():
    """Between two sections, what is left may be a module; anywhere else it is none."""
    ends = set(section_ends(GOOD))
    assert max(ends) == len(GOOD)
    for n in range(0, len(GOOD), 3):
        status, compiled, said = compile_module(GOOD[:n])
        assert (status == 1 and compiled == b"" and said) or (status == 0 and n in ends), (n, status, said)


def test_module_with_a_flipped_bit_never_crashes_the_compiler():
    for bit in range(0, len(GOOD) * 8, 29):
        module = bytearray(GOOD)
        module[bit // 8] ^= 1 << bit % 8
        status, compiled, said = compile_module(bytes(module))
        assert (status == 1 and said) or (status == 0 and compiled), (bit, status, said)
