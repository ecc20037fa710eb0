# SPDX-License-Identifier: Apache-2.0
"""A call of a user's tool through the API, everything on; beside it a warm Python in gVisor doing the same work."""

import json
import subprocess
import time

from service import ROOT, NotMeasured, Stepper, median, pss_bytes, service, wait_full, write_request

ROUNDS = 3
RATE = 200  # calls a second, for the time of one
PACED_S = 10.2  # 2,000 samples and more
SATURATE_S = 2.5
CONNECTIONS = 32
PYTHON_SAMPLES = 10
SETTLE_S = 0.15
US_PER_S = 1_000_000
BOUNDARY = "bench-boundary"
CLANG = ["clang-14", "--target=wasm32-wasi", "-O2", "-Wl,--strip-all"]
TOOL = ROOT / "examples/tools/units"
ARGUMENTS = {"value": 3, "from": "mi", "to": "km"}
SANDBOXES = ("  python: { pool: 4, pool_data: 0 }\n  javascript: { pool: 0 }\n  sh: { pool: 0 }\n")
PYTHON = """import json, sys
factors = {"mm": .001, "cm": .01, "m": 1, "km": 1000, "in": .0254, "ft": .3048, "yd": .9144, "mi": 1609.344}
a = json.load(sys.stdin)
print(json.dumps({"value": a["value"] * factors[a["from"]] / factors[a["to"]], "unit": a["to"]}))"""


def push(b, inst):
    module = b.tools / "units.wasm"
    try:
        subprocess.run([*CLANG, "-o", str(module), str(TOOL / "units.c"), "-lm"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise NotMeasured("no clang for WASI (packages clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32)") from e
    parts = (("manifest", (TOOL / "tool.json").read_bytes()), ("module", module.read_bytes()))
    body = b"".join(b"--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
                    % (BOUNDARY.encode(), name.encode(), data) for name, data in parts)
    status, _, answer = inst.request("POST", "/v1/tools", body + b"--%s--\r\n" % BOUNDARY.encode(),
                                     headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    if status != 201:
        raise NotMeasured(f"push: {status} {answer}")
    status, _, answer = inst.request("POST", "/v1/tools/units/call", {"arguments": ARGUMENTS})
    if status != 200 or answer["output"] != {"value": 4.828032, "unit": "km"}:
        raise NotMeasured(f"call: {status} {answer}")
    return module.stat().st_size


def python(b, inst):
    """p50 of whole answers, each of a warm sandbox of its own."""
    request = write_request(inst, "python.http", "/v1/execute",
                            {"language": "python", "code": PYTHON, "stdin": json.dumps(ARGUMENTS), "stream": True})
    step = Stepper(b, inst, request, "event: stdout")
    try:
        took = []
        for _ in range(PYTHON_SAMPLES):
            b.need(2)
            wait_full(inst)
            time.sleep(SETTLE_S)
            took.append(step.once()["end_us"] / 1000)
        return median(took)
    finally:
        step.close()


def tool_calls(b):
    with service(b, SANDBOXES) as inst:
        wait_full(inst)
        size = push(b, inst)
        request = write_request(inst, "tool.http", "/v1/tools/units/call", {"arguments": ARGUMENTS})
        p50, p99, beyond, rate, theirs = [], [], [], [], []
        for _ in range(ROUNDS):
            b.need(2 * PACED_S + SATURATE_S)
            disk = b.raw(inst.top, 400, US_PER_S // RATE // 2)
            r = b.load(inst.port, request, "--connections", 4, "--rate", RATE, "--warmup", 0.5, "--seconds", PACED_S,
                       ca=inst.ca)
            disk = (disk + b.raw(inst.top, 400, US_PER_S // RATE // 2)) / 2
            p50.append(r["end_us"]["p50"] / 1000)
            p99.append(r["end_us"]["p99"] / 1000 if r["end_us"]["p99"] else float("nan"))
            beyond.append((r["end_us"]["p50"] - 2 * disk) / 1000)
            r = b.load(inst.port, request, "--connections", CONNECTIONS, "--warmup", 0.5, "--seconds", SATURATE_S,
                       ca=inst.ca)
            rate.append(r["issued"] / SATURATE_S)
            theirs.append(python(b, inst))
        workers = [pid for pid, argv0 in inst.descendants().items() if argv0.rpartition("/")[2] == "wasm-run"]
        b.put("tool_p50", p50, f"{ROUNDS}×{r['n']} calls, C, {size / 1000:.0f} kB module, TLS kept alive, the tool "
              "known to the gateway (cached: one ADMIT)")
        b.put("tool_p99", p99)
        b.put("tool_beyond", beyond, f"at {RATE}/s; raw ones at the same pace, before and after each round")
        b.put("tool_rate", rate, f"{CONNECTIONS} connections, one tenant: one call at a time")
        b.put("tool_idle", [pss_bytes(workers) / 1e6 / max(1, len(workers))], "PSS of one tenant's worker after its calls")
        b.put("tool_python", theirs, f"{ROUNDS}×{PYTHON_SAMPLES} runs, pool full before each")


