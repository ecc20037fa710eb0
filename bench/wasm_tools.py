# SPDX-License-Identifier: Apache-2.0
"""Users' tools in WebAssembly: one call inside a run worker, beside Python's package wasmtime."""

import contextlib
import fcntl
import json
import os
import pathlib
import subprocess

from service import HERE, ROOT, NotMeasured, compile_tool, median

ROUNDS = 3
CALLS, PACKAGE_CALLS = 20_000, 2_000
ARGUMENTS = '{"numbers": [3, 14, 15, 92, 65, 35]}'
CLANG = ["clang-14", "--target=wasm32-wasi", "-O2", "-s"]
ADD_SEALS, ALL_SEALS = 1033, 1 | 2 | 4 | 8
WORKER_LIBS = ("lib/wasm/libwasm_run.a", "lib/wasm/libwasi.a", "lib/base/libbase.a",
               "engines/wasmtime/libwasmtime_run.a")


def compile_worker(build, out):
    """bench/wasm_worker.c against what is built, if it is."""
    libs = [build / lib for lib in WORKER_LIBS]
    (out / "wasm_worker").unlink(missing_ok=True)
    if all(lib.exists() for lib in libs):
        with contextlib.suppress(subprocess.CalledProcessError):  # cc has said why; its rows will, too
            compile_tool(out, "wasm_worker", ["wasm_worker.c"],
                         [f"-I{ROOT / 'lib' / d}" for d in ("base", "wasm")]
                         + ["-Wl,--start-group", *map(str, libs), "-Wl,--end-group", "-lpthread", "-ldl", "-lm"])


def compiled(build, module, to):
    """`module` by the compile worker, as the executor starts it."""
    given = os.memfd_create("module", os.MFD_ALLOW_SEALING)
    got = os.memfd_create("compiled")
    try:
        os.write(given, module.read_bytes())
        fcntl.fcntl(given, ADD_SEALS, ALL_SEALS)
        p = subprocess.run([str(build / "libexec" / "sallyport" / "wasm-compile")], stdin=given, stdout=got,
                           stderr=subprocess.PIPE, text=True)
        if p.returncode != 0:
            raise NotMeasured(f"wasm-compile: {p.stderr.strip()}")
        to.write_bytes(os.pread(got, os.fstat(got).st_size, 0))
    finally:
        os.close(given)
        os.close(got)


def package(b, module):
    python = os.environ.get("SALLYPORT_BENCH_PYTHON")
    if not python:
        return None
    p = subprocess.run([python, str(HERE / "wasm_package.py"), str(module), ARGUMENTS, str(PACKAGE_CALLS)],
                       capture_output=True, text=True, timeout=max(1, min(60, b.left())))
    if p.returncode != 0:
        raise NotMeasured(f"wasmtime of Python: {p.stderr.strip().splitlines()[-1]}")
    return json.loads(p.stdout)


def wasm(b):
    if not (b.tools / "wasm_worker").is_file():
        raise NotMeasured("bench/wasm_worker.c was not compiled")
    module, artefact = b.tools / "tool.wasm", b.tools / "tool.compiled"
    try:
        subprocess.run([*CLANG, "-o", str(module), str(HERE / "wasm_tool.c")], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise NotMeasured("no clang for WASI") from e
    compiled(pathlib.Path(b.build), module, artefact)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        b.need(10)
        ours.append(b.tool("wasm_worker", artefact, ARGUMENTS, CALLS))
        theirs.append(package(b, module))
    size = f"C, {module.stat().st_size / 1000:.0f} kB module"
    b.put("wasm_p50", [r["p50_us"] for r in ours], f"{ROUNDS}×{CALLS} calls, each an instance of its own; {size}")
    b.put("wasm_p99", [r["p99_us"] for r in ours])
    b.put("wasm_rate", [r["calls_per_s"] for r in ours], "one core, without link and TLS")
    b.put("wasm_load", [r["load_us"] for r in ours])
    b.put("wasm_rss", [r["rss_kb"] / 1000 for r in ours], "the process, one module, after its calls")
    if all(theirs):
        ratio = median(r["p50_us"] for r in theirs) / median(r["p50_us"] for r in ours)
        b.put("wasm_package", [r["p50_us"] for r in theirs],
              f"wasmtime {theirs[0]['version']}, store, WASI and instance a call: {ratio:.0f} times ours")
