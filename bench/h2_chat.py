# SPDX-License-Identifier: Apache-2.0
"""Chat over HTTP/2 on kept connections, by nghttp2's own client; in the same rounds the same number of requests
at once over HTTP/1.1, one a connection, by that client, too."""

import json
import os
import re
import subprocess

from service import NotMeasured, by_process_note, cpu_by_process, cpu_ns, cpu_spent, family, median, pin, service

ROUNDS = 3
CONNECTIONS, STREAMS = 8, 8  # of each
SATURATE_MS = 2500
CHAT_PATH = "/v1/chat/completions"
CHAT_BODY = {"model": "demo", "messages": [{"role": "user", "content": "Good morning, who are you?"}]}
NO_SANDBOXES = "  python: { pool: 0 }\n  javascript: { pool: 0 }\n  sh: { pool: 0 }\n"


def h2load(b, inst, body, *args):
    """-> answered requests, and how many a second"""
    command = ["h2load", "-t", "1", "-D", f"{SATURATE_MS}ms", *args, "-d", str(body),
               "-H", f"authorization: Bearer {inst.key}", "-H", "content-type: application/json",
               f"https://localhost:{inst.port}{CHAT_PATH}"]
    try:
        p = subprocess.run(command, capture_output=True, text=True, timeout=max(1, min(60, b.left())),
                           preexec_fn=lambda: os.sched_setaffinity(0, {1}))
    except OSError as e:
        raise NotMeasured("no h2load (package nghttp2-client)") from e
    rate = re.search(r"finished in \S+, ([\d.]+) req/s", p.stdout)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", p.stdout)
    if p.returncode != 0 or rate is None or codes is None:
        raise NotMeasured(f"h2load: {(p.stderr or p.stdout).strip()[:200]}")
    good, *bad = map(int, codes.groups())
    if any(bad) or good == 0:
        raise NotMeasured(f"h2load: {codes.group(0)}")
    return good, float(rate.group(1))


def one_round(b, inst, body, *args):
    """-> CPU of all our processes a request in µs, requests a second, whose CPU it was"""
    before = cpu_ns(family(inst))
    count, rate = h2load(b, inst, body, *args)
    after = cpu_ns(family(inst))
    return cpu_spent(before, after) / 1000 / count, rate, by_process_note(cpu_by_process(inst, before, after), count)


def chat(b):
    if os.cpu_count() < 2:
        raise NotMeasured("needs two cores")
    two = ["-c", str(CONNECTIONS), "-m", str(STREAMS)]
    one = ["--h1", "-c", str(CONNECTIONS * STREAMS)]
    with service(b, NO_SANDBOXES, workers=1) as inst:
        body = inst.top / "chat.json"
        body.write_text(json.dumps(CHAT_BODY))
        pin(family(inst), {0})
        cpu, rate, old_cpu, old_rate, note = [], [], [], [], ""
        for _ in range(ROUNDS):
            b.need(3 * SATURATE_MS / 1000)
            b.raw(inst.top)
            us, r, note = one_round(b, inst, body, *two)
            cpu.append(us)
            rate.append(r)
            us, r, _ = one_round(b, inst, body, *one)
            old_cpu.append(us)
            old_rate.append(r)
        b.put("h2_cpu", cpu, f"{note}; over HTTP/1.1 {median(old_cpu):.1f} µs")
        b.put("h2_rate", rate, f"{CONNECTIONS} connections of {STREAMS} streams, kept, by h2load; over HTTP/1.1 on "
              f"{CONNECTIONS * STREAMS} connections {median(old_rate):,.0f}/s")
