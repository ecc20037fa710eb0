# SPDX-License-Identifier: Apache-2.0
"""Users' tools for the tests: modules from .wat, compiled files, guests in a process of their own, the example tools."""

import fcntl
import functools
import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", ROOT / "build"))
WAT = ROOT / "tests/wasm"
COMPILE_S = 90


def sealed(data):
    """A sealed memory file with `data`."""
    fd = os.memfd_create("module", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as f:
        f.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd


@functools.lru_cache(64)
def compile_module(module):
    """-> exit status of wasm-compile, the compiled file, what it said."""
    source = sealed(module)
    out = os.memfd_create("compiled", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        p = subprocess.run([BUILD / "libexec/sallyport/wasm-compile"], stdin=source, stdout=out,
                           stderr=subprocess.PIPE, timeout=COMPILE_S)
        size = os.fstat(out).st_size
        return p.returncode, os.pread(out, size, 0), p.stderr.decode(errors="replace").strip()
    finally:
        os.close(source)
        os.close(out)


@functools.cache
def wat(name):
    """The module of tests/wasm/NAME.wat."""
    return wat_text((WAT / f"{name}.wat").read_text())


def wat_text(text, *options, names=True):
    """A module of text; what the text format itself refuses is not for here."""
    with tempfile.TemporaryDirectory() as d:
        source = pathlib.Path(d, "m.wat")
        source.write_text(text)
        subprocess.run(["wat2wasm", "--no-check", *(["--debug-names"] if names else []), *options, source, "-o", pathlib.Path(d, "m.wasm")], check=True)
        return pathlib.Path(d, "m.wasm").read_bytes()


class Ended:
    """How one run of a guest ended."""

    def __init__(self, line):
        r = json.loads(line)
        self.end, self.exit_code, self.elapsed_ms = r["end"], r["exit_code"], r["elapsed_us"] / 1000
        self.refused, self.err_cut = r["refused"], r["err_cut"]
        self.trap = bytes.fromhex(r["trap"]).decode()
        self.out, self.err = bytes.fromhex(r["out"]), bytes.fromhex(r["err"])

    def __repr__(self):
        return (f"{self.end} {self.exit_code} {self.trap!r} {self.elapsed_ms:.1f} ms "
                f"out {self.out[:200]!r} err {self.err[-600:]!r}")


def guests(modules, *options, stdin=b""):
    """Modules run one after the other in one engine (tests/wasm/guest.c); options are its own."""
    with tempfile.TemporaryDirectory() as d:
        paths = []
        for i, module in enumerate(modules):
            status, compiled, said = compile_module(module)
            assert status == 0, said
            paths.append(pathlib.Path(d, f"{i}.compiled"))
            paths[-1].write_bytes(compiled)
        p = subprocess.run([BUILD / "tests/wasm/wasm-guest", *options, *paths], input=stdin,
                           capture_output=True, timeout=120)
    assert p.returncode == 0, p.stderr.decode(errors="replace")
    return [Ended(line) for line in p.stdout.splitlines()]


def guest(module, *options, stdin=b""):
    return guests([module], *options, stdin=stdin)[0]


class Example:
    """One of examples/tools, as ./dev built it."""

    def __init__(self, name):
        top = pathlib.Path(json.loads((BUILD / "servers.json").read_text())["tools"]) / name
        self.name, self.top = name, top
        self.manifest_text = (top / "tool.json").read_text()
        self.manifest = json.loads(self.manifest_text)
        self.module = (top / "tool.wasm").read_bytes()
        self.native = (top / "native").read_bytes() if (top / "native").exists() else None


EXAMPLES = ["units", "text-stats", "csv-summary", "dates"]
