# SPDX-License-Identifier: Apache-2.0
"""The rows of the table, and the groups of measurements that fill them."""

import dataclasses
import os
import tempfile
import time

import content
import h2_chat
import passthrough
import tool_calls
import wasm_tools
from service import (NotMeasured, Stepper, by_process_note, cpu_by_process, cpu_ns, cpu_spent, family, median,
                     nginx, pin, pss_bytes, service, wait_full, write_request)

ROUNDS = 3
EXECUTE_SAMPLES = 30  # of each round
PANDAS_SAMPLES = 7
SETTLE_S = 0.15  # after a pool is full again, before the next sample
IDLE_S = 20
CHAT_CONNECTIONS = 64
CHAT_ROUNDS = 5
SATURATE_S = 2.5
PACED_RATE = 500
PACED_S = 4.2  # 2,000 samples and more
PACED_ROUNDS = 5
AUDIT_S = 2
PACED_AUDIT_S = 3
HALF_RATE_S = 10
BURST, BURST_POOL = 32, 16
STDOUT_EVENT = "event: stdout"
CHAT_PATH = "/v1/chat/completions"
CHAT_BODY = {"model": "demo", "messages": [{"role": "user", "content": "Good morning, who are you?"}]}
US_PER_S = 1_000_000


@dataclasses.dataclass(frozen=True)
class Row:
    group: str
    key: str
    name: str
    unit: str
    most: float | None = None  # the target: at most …
    least: float | None = None  # … or at least


def proxied_rows(size, stream):
    name = passthrough.name_of(size, stream)
    kind = f"stream of {passthrough.EVENTS}" if stream else "whole answer"
    text = f"model call, {size.upper()}B prompt, {kind}"
    yield Row("proxied", f"proxy_{name}_cpu", f"{text}: CPU of all our processes a request, saturated", "µs",
              most=105)
    yield Row("proxied", f"proxy_{name}_rate", f"{text}: all our processes on one core", "requests/s")
    yield Row("proxied", f"proxy_{name}_ratio", f"{text}: share of nginx's rate as a proxy", "", least=1 / 5)


ROWS = [
    Row("idle", "idle_pss", "Idle, 4 warm light Pythons: memory, PSS of all processes", "MB", most=250),
    Row("idle", "idle_cpu", "Idle, 4 warm light Pythons: CPU of one core", "%", most=1),
    Row("execute", "execute_first", "execute `print(1)`, warm: first output, p50", "ms", most=6),
    Row("execute", "execute_end", "execute `print(1)`, warm: whole answer, p50", "ms"),
    Row("pandas", "pandas_first", "execute `import pandas`, warm: first output, p50", "ms", most=25),
    Row("burst", "burst_last", f"burst of {BURST} on a pool of {BURST_POOL}: last answer", "ms"),
    Row("burst", "burst_answered", f"burst of {BURST} on a pool of {BURST_POOL}: answered", "of 32",
        least=BURST),
    Row("burst", "refill", "refill after a burst", "sandboxes/s"),
    Row("burst", "half_p50", "execute at half the refill rate: first output, p50", "ms"),
    Row("burst", "half_p90", "execute at half the refill rate: first output, p90", "ms"),
    Row("chat", "chat_cpu", "chat on demo: CPU of all our processes a request, one core, saturated",
        "µs", most=80),
    Row("chat", "chat_rate", "chat on demo: all our processes on one core", "requests/s"),
    Row("chat", "nginx_rate", "nginx on that core, same bytes over TLS 1.3", "requests/s"),
    Row("chat", "nginx_cpu", "nginx on that core: CPU a request", "µs"),
    Row("chat", "chat_ratio", "chat on demo: share of nginx's rate", "", least=1 / 7),
    Row("h2", "h2_cpu", "chat on demo over HTTP/2: CPU of all our processes a request, one core, saturated", "µs",
        most=80),
    Row("h2", "h2_rate", "chat on demo over HTTP/2: all our processes on one core", "requests/s"),
    Row("paced", "paced_cpu", f"chat on demo at {PACED_RATE}/s: CPU of all our processes a request", "µs"),
    Row("paced", "paced_p50", f"chat on demo at {PACED_RATE}/s: p50", "ms"),
    Row("paced", "paced_p99", f"chat on demo at {PACED_RATE}/s: p99", "ms"),
    Row("paced", "paced_beyond", f"chat on demo at {PACED_RATE}/s: p50 beyond two raw fdatasyncs",
        "ms", most=1),
    Row("tool", "tool_p50", "call of a user's tool in WebAssembly, through the API: p50", "ms"),
    Row("tool", "tool_p99", "call of a user's tool in WebAssembly, through the API: p99", "ms"),
    Row("tool", "tool_beyond", "call of a user's tool: p50 beyond two raw fdatasyncs", "ms", most=0.4),
    Row("tool", "tool_rate", "calls of a user's tool, saturated", "calls/s"),
    Row("tool", "tool_idle", "memory of an idle tenant's worker", "MB"),
    Row("tool", "tool_python", "the same work by execute in a warm Python in gVisor: p50", "ms"),
    Row("content", "content_save", "a stored turn: save, sealed and durable, p50", "ms", most=1),
    Row("content", "content_load", "a stored turn: load its conversation, p50", "ms", most=1),
    Row("content", "content_seal", "files: sealing, one core", "GB/s", least=1),
    Row("content", "content_open", "files: opening, one core", "GB/s", least=1),
    Row("content", "content_list", "many stored turns: list a conversation, p50", "ms"),
    Row("content", "content_erase", "many stored turns: erase one person", "ms", most=1000),
    Row("content", "content_rewrap", "many stored turns: sealed anew under new keys", "values/s"),
    Row("audit", "audit_bare", "audit: durable records, batched, bare writer", "records/s",
        least=200_000),
    Row("audit", "audit_link", "audit: durable records, batched, through the link, real mix",
        "records/s", least=75_000),
    Row("audit", "audit_p50", "audit: receipt at 1,000/s, p50", "ms"),
    Row("audit", "audit_p99", "audit: receipt at 1,000/s, p99", "ms"),
    Row("keys", "key_check", "check of an API key, 24,576 keys: p50", "µs", most=3),
    Row("keys", "token_cached", "check of a token that was verified before, RS256: p50", "µs", most=5),
    Row("keys", "token_longest", "the same, of the longest token", "µs"),
    Row("keys", "token_es256", "a token that is verified, ES256: p50", "µs"),
    Row("keys", "key_leak", "check of an API key: difference of means by what is wrong", "%"),
    Row("wasm", "wasm_p50", "tool in WebAssembly, inside its worker: call, p50", "µs", most=10),
    Row("wasm", "wasm_p99", "tool in WebAssembly, inside its worker: call, p99", "µs"),
    Row("wasm", "wasm_rate", "tool in WebAssembly, inside its worker", "calls/s"),
    Row("wasm", "wasm_load", "tool in WebAssembly: compiled file loaded", "µs"),
    Row("wasm", "wasm_rss", "tool in WebAssembly: memory of an idle worker", "MB"),
    Row("wasm", "wasm_package", "the same module in Python's package wasmtime: call, p50", "µs"),
    *[row for size, stream in passthrough.CASES for row in proxied_rows(size, stream)],
    Row("proxy_paced", "proxy_p50", f"model call, 1 KB prompt, at {PACED_RATE}/s: p50", "ms"),
    Row("proxy_paced", "proxy_p99", f"model call, 1 KB prompt, at {PACED_RATE}/s: p99", "ms"),
    Row("proxy_paced", "proxy_added", f"model call at {PACED_RATE}/s: added p50 beyond two raw fdatasyncs",
        "ms", most=1),
    Row("proxy_paced", "proxy_first", f"model stream at {PACED_RATE}/s: first token, p50", "ms"),
    Row("proxy_paced", "proxy_first_beyond",
        f"model stream at {PACED_RATE}/s: first token later than nginx's, beyond one raw fdatasync", "ms",
        most=1),
    Row("streams", "proxy_streams", f"{passthrough.OPEN_STREAMS:,} open streams: memory of all processes",
        "MiB", most=100),
]


def ms(us):
    return us / 1000


def idle(b):
    """The first 5 seconds are left for what a start leaves behind."""
    with service(b, "  python: { pool: 4, pool_data: 0 }\n  javascript: { pool: 0 }\n"
                    "  sh: { pool: 0 }\n") as inst:
        wait_full(inst)
        b.raw(inst.top)
        time.sleep(5)
        b.need(IDLE_S + 5)
        before, start = cpu_ns(family(inst)), time.monotonic()
        time.sleep(IDLE_S)
        after, elapsed = cpu_ns(family(inst)), time.monotonic() - start
        pids = family(inst)
        b.put("idle_cpu", [cpu_spent(before, after) / 1e7 / elapsed], f"over {IDLE_S} s")
        b.put("idle_pss", [pss_bytes(pids) / 1e6], f"{len(pids)} processes")


def sample_warm(b, inst, stepper, count):
    """count requests, each with the pools full and the machine quiet -> [answers]"""
    out = []
    for _ in range(count):
        wait_full(inst)
        time.sleep(SETTLE_S)
        out.append(stepper.once())
    return out


def warm_rounds(b, inst, body, count, seconds):
    """-> p50 of first output and of the end, one of each a round, in ms"""
    stepper = Stepper(b, inst, write_request(inst, "execute.http", "/v1/execute", body), STDOUT_EVENT)
    first, end = [], []
    try:
        sample_warm(b, inst, stepper, 2)
        for _ in range(ROUNDS):
            b.need(seconds)
            b.raw(inst.top)
            samples = sample_warm(b, inst, stepper, count)
            first.append(ms(median(s["first_us"] for s in samples)))
            end.append(ms(median(s["end_us"] for s in samples)))
    finally:
        stepper.close()
    return first, end


def execute(b):
    with service(b, "  python: { pool: 4, pool_data: 0 }\n  javascript: { pool: 0 }\n"
                    "  sh: { pool: 0 }\n") as inst:
        body = {"language": "python", "code": "print(1)", "stream": True}
        first, end = warm_rounds(b, inst, body, EXECUTE_SAMPLES, 20)
        note = f"{ROUNDS}×{EXECUTE_SAMPLES} requests, pool full before each"
        b.put("execute_first", first, note)
        b.put("execute_end", end, note)


def pandas(b):
    with service(b, "  python: { pool: 1, pool_data: 2 }\n  javascript: { pool: 0 }\n"
                    "  sh: { pool: 0 }\n") as inst:
        body = {"language": "python", "code": "import pandas\nprint(pandas.DataFrame({'a': [1]}).a.sum())",
                "stream": True}
        first, _ = warm_rounds(b, inst, body, PANDAS_SAMPLES, 25)
        b.put("pandas_first", first, f"{ROUNDS}×{PANDAS_SAMPLES} requests, pool full before each")


def burst(b):
    with service(b, f"  python: {{ pool: {BURST_POOL}, pool_data: 0 }}\n  javascript: {{ pool: 0 }}\n"
                    "  sh: { pool: 0 }\n") as inst:
        request = write_request(inst, "execute.http", "/v1/execute",
                                {"language": "python", "code": "print(1)", "stream": True})
        last, answered, rate = [], [], []
        for _ in range(ROUNDS):
            b.need(20)
            started = wait_full(inst)["sandboxes_started_total"]
            b.raw(inst.top)
            time.sleep(SETTLE_S)
            begun = time.monotonic()
            r = b.load(inst.port, request, "--connections", BURST, "--count", BURST, "--first",
                       STDOUT_EVENT, ca=inst.ca, allow_failures=True)
            last.append(ms(r["end_us"]["max"]) if r["n"] else float("nan"))
            answered.append(r["n"])
            made = wait_full(inst)["sandboxes_started_total"] - started
            rate.append(made / (time.monotonic() - begun))
        b.put("burst_last", last)
        b.put("burst_answered", [min(answered)], f"the worst of {ROUNDS} bursts")
        b.put("refill", rate, f"from the burst until {BURST_POOL} are warm again")
        half_rate(b, inst, request, median(rate) / 2)


def half_rate(b, inst, request, rate):
    p50, p90 = [], []
    for _ in range(ROUNDS):
        wait_full(inst)
        b.need(HALF_RATE_S + 5)
        r = b.load(inst.port, request, "--connections", 64, "--rate", f"{rate:.2f}", "--seconds",
                   HALF_RATE_S, "--first", STDOUT_EVENT, ca=inst.ca)
        p50.append(ms(r["first_us"]["p50"]))
        p90.append(ms(r["first_us"]["p90"]))
    note = f"at {rate:.1f}/s, {ROUNDS}×{HALF_RATE_S} s"
    b.put("half_p50", p50, note)
    b.put("half_p90", p90, note)


def chat(b):
    """Ours and nginx in turns on one core, the load client on the other."""
    if os.cpu_count() < 2:
        raise NotMeasured("needs two cores")
    with service(b, "  python: { pool: 4, pool_data: 0 }\n  javascript: { pool: 0 }\n"
                    "  sh: { pool: 0 }\n", workers=1) as inst:
        wait_full(inst)
        ours = write_request(inst, "chat.http", CHAT_PATH, CHAT_BODY)
        pin(family(inst), {0})
        load = ["--connections", CHAT_CONNECTIONS, "--warmup", 0.5, "--seconds", SATURATE_S]
        cpu, rate, their_cpu, their_rate, shares = [], [], [], [], {}
        with nginx(inst, {0}, CHAT_PATH, CHAT_BODY) as (port, nginx_pids):
            for _ in range(CHAT_ROUNDS):
                b.need(3 * SATURATE_S)
                b.raw(inst.top)
                before = cpu_ns(family(inst))
                mine = b.load(inst.port, ours, *load, ca=inst.ca, cores={1})
                after = cpu_ns(family(inst))
                cpu.append(cpu_spent(before, after) / 1000 / mine["issued"])
                shares = cpu_by_process(inst, before, after)
                before = cpu_ns(nginx_pids)
                other = b.load(port, ours, *load, ca=inst.ca, cores={1})
                their_cpu.append(cpu_spent(before, cpu_ns(nginx_pids)) / 1000 / other["issued"])
                rate.append(mine["rate"])
                their_rate.append(other["rate"])
        b.put("chat_cpu", cpu, by_process_note(shares, mine["issued"]))
        b.put("chat_rate", rate, f"{CHAT_CONNECTIONS} connections, {mine['cipher']}, one gateway worker")
        b.put("nginx_rate", their_rate, other["cipher"])
        b.put("nginx_cpu", their_cpu)
        # Whoever else uses the core takes from both: CPU a request tells what is left of that.
        b.put("chat_ratio", [a / c for a, c in zip(rate, their_rate)],
              f"each in the same round; by CPU a request {median(their_cpu) / median(cpu):.3f}")


def paced(b):
    """Not pinned, as configured by default."""
    with service(b, "  python: { pool: 4, pool_data: 0 }\n  javascript: { pool: 0 }\n"
                    "  sh: { pool: 0 }\n") as inst:
        wait_full(inst)
        request = write_request(inst, "chat.http", CHAT_PATH, CHAT_BODY)
        cpu, p50, p99, beyond, shares, steady = [], [], [], [], {}, []
        for _ in range(PACED_ROUNDS):
            b.need(2 * PACED_S)
            # As often as the service will: twice a request.
            disk = b.raw(inst.top, 1000, US_PER_S // PACED_RATE // 2)
            before = cpu_ns(family(inst))
            r = b.load(inst.port, request, "--connections", 32, "--rate", PACED_RATE, "--warmup", 0.5,
                       "--seconds", PACED_S, ca=inst.ca)
            after = cpu_ns(family(inst))
            disk = (disk + b.raw(inst.top, 1000, US_PER_S // PACED_RATE // 2)) / 2
            steady.append(b.tool("fsync", inst.top, 400)["p50_us"])
            cpu.append(cpu_spent(before, after) / 1000 / r["issued"])
            shares = cpu_by_process(inst, before, after)
            p50.append(ms(r["end_us"]["p50"]))
            p99.append(ms(r["end_us"]["p99"]) if r["end_us"]["p99"] else float("nan"))
            beyond.append(ms(r["end_us"]["p50"] - 2 * disk))
        b.put("paced_cpu", cpu, by_process_note(shares, r["issued"]))
        b.put("paced_p50", p50, f"{PACED_ROUNDS}×{r['n']} requests, from when each was due")
        b.put("paced_p99", p99)
        b.put("paced_beyond", beyond, "raw ones at the same pace, before and after each round; "
              f"back to back they take {ms(median(steady)):.3f} ms")


def audit(b):
    """The log alone, then the audit process's server behind a link."""
    if not (b.tools / "audit_speed").is_file():
        raise NotMeasured("bench/audit_speed.c was not compiled")
    bare, link, p50, p99 = [], [], [], []
    for _ in range(ROUNDS):
        b.need(2 * AUDIT_S + PACED_AUDIT_S + 5)
        b.raw(tempfile.gettempdir())
        bare.append(in_empty_folder(b, "bare", AUDIT_S)["per_s"])
        link.append(in_empty_folder(b, "link", AUDIT_S)["per_s"])
        receipts = in_empty_folder(b, "paced", PACED_AUDIT_S)
        p50.append(ms(receipts["p50_us"]))
        p99.append(ms(receipts["p99_us"]))
    b.put("audit_bare", bare, "3 records a chat request, 1,000 requests a commit")
    b.put("audit_link", link, "1,024 requests at once, each in two steps, two processes")
    b.put("audit_p50", p50, f"{ROUNDS}×{receipts['n']} receipts, from when each append was due")
    b.put("audit_p99", p99)


def keys(b):
    """The check by itself, a million tries in random order; tests/system/test_key_timing.py bounds the difference."""
    tool = b.build / "tests" / "key-timing"
    if not tool.is_file():
        raise NotMeasured("the build has no tests")
    took, leak, tokens = [], [], []
    for _ in range(ROUNDS):
        b.need(10)
        kinds = b.tool(tool)
        means = [k["mean"] for name, k in kinds.items() if name not in ("good", "revoked")]
        took.append(kinds["good"]["p50"] / 1000)
        tokens.append(b.tool(b.build / "tests" / "token-timing"))
        leak.append(100 * (max(means) - min(means)) / min(means))
    b.put("key_check", took, "with the clock's own cost")
    for row, name in (("token_cached", "cached"), ("token_longest", "cached_longest"), ("token_es256", "ES256")):
        b.put(row, [t[name] / 1000 for t in tokens], "with the clock's own cost")
    b.put("key_leak", leak, "unknown id, early, late, whole mismatch")


def in_empty_folder(b, mode, seconds):
    with tempfile.TemporaryDirectory(prefix="sp-") as folder:
        return b.tool("audit_speed", folder, mode, seconds)


GROUPS = {"idle": idle, "execute": execute, "pandas": pandas, "burst": burst, "chat": chat,
          "h2": h2_chat.chat, "paced": paced, "tool": tool_calls.tool_calls, "audit": audit, "keys": keys,
          "content": content.content, "wasm": wasm_tools.wasm,
          "proxied": passthrough.proxied,
          "proxy_paced": passthrough.paced_proxied, "streams": passthrough.open_streams}
