# SPDX-License-Identifier: Apache-2.0
"""One call of a tool by Python's package wasmtime, as its documentation shows it: module compiled once, a store,
WASI and an instance a call.

usage: wasm_package.py MODULE ARGUMENTS COUNT
"""

import importlib.metadata
import json
import os
import sys
import time

import wasmtime


def main():
    module_path, arguments, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    engine = wasmtime.Engine()
    module = wasmtime.Module.from_file(engine, module_path)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    place = os.path.dirname(module_path)
    given, got = os.path.join(place, "package.in"), os.path.join(place, "package.out")
    with open(given, "w", encoding="utf-8") as f:
        f.write(arguments)
    samples = []
    for _ in range(count):
        begun = time.perf_counter_ns()
        store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["tool"]
        wasi.stdin_file = given
        wasi.stdout_file = got
        store.set_wasi(wasi)
        try:
            linker.instantiate(store, module).exports(store)["_start"](store)
        except wasmtime.ExitTrap as e:
            if e.code != 0:
                raise
        with open(got, "rb") as f:
            output = f.read()
        samples.append(time.perf_counter_ns() - begun)
        if not output:
            sys.exit("no output")
    samples.sort()
    print(json.dumps({"p50_us": samples[count // 2] / 1000, "p99_us": samples[count * 99 // 100] / 1000,
                      "version": importlib.metadata.version("wasmtime")}))


main()
