# SPDX-License-Identifier: Apache-2.0
"""Model calls through the service to a provider that costs next to nothing (upstream.c), beside nginx as a
plain TLS 1.3 reverse proxy to the same provider, in the same run."""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from service import (ROOT, NotMeasured, by_process_note, cpu_by_process, cpu_ns, cpu_spent, family, instance, median,
                     metrics, pin, pss_bytes, put_pair, service, write_request)

sys.path.insert(0, str(ROOT / "tests" / "servers"))

import pki  # noqa: E402

CHAT_PATH = "/v1/chat/completions"
NO_SANDBOXES = "  python: { pool: 0 }\n  javascript: { pool: 0 }\n  sh: { pool: 0 }\n"
ROUNDS = 3
CONNECTIONS = 64
SATURATE_S = 1.8
PACED_RATE = 500
PACED_S = 4.2  # 2,000 samples and more
OPEN_STREAMS = 1000
EVENTS = 8  # of a stream; two more end it
STREAM_EVENTS, STREAM_GAP_MS = 14, 1000
FIRST_TOKEN = "Good"
PROMPT_BYTES = {"1k": 1024, "100k": 102400}
CASES = [(size, stream) for size in PROMPT_BYTES for stream in (False, True)]
US_PER_S = 1_000_000

NGINX = """worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  client_max_body_size 8m;
  client_body_buffer_size 256k;
  upstream provider {{
    server 127.0.0.1:{upstream};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    ssl_protocols TLSv1.3;
    location / {{
      proxy_pass https://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {ca};
      proxy_ssl_server_name on;
      proxy_ssl_name localhost;
    }}
  }}
}}
"""


def ms(us):
    return us / 1000


def name_of(size, stream):
    return f"{size}_{'stream' if stream else 'whole'}"


def body_of(size, stream):
    prompt = "Tell me something that is true. " * (PROMPT_BYTES[size] // 32)
    return {"model": "bench", "messages": [{"role": "user", "content": prompt}], "stream": stream}


# ---- the world around it --------------------------------------------------------------------------

@contextlib.contextmanager
def provider(b, folder, events=EVENTS, gap_ms=0):
    """upstream.c -> its port, its process, the file of its certificate authority"""
    folder.mkdir(exist_ok=True)
    authority = pki.Authority(folder)
    cert, key = authority.issue(folder, "upstream", ["localhost", "127.0.0.1"])
    p = subprocess.Popen([str(b.tools / "upstream"), "--cert", cert, "--key", key, "--events", str(events),
                          "--gap-ms", str(gap_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = p.stdout.readline().strip()
        if not port:
            raise NotMeasured("the stand-in for a provider does not start")
        yield int(port), p.pid, str(authority.ca)
    finally:
        p.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(5)
        p.kill()


@contextlib.contextmanager
def gateway(b, port, ca, workers=1):
    """The service with that provider, its key sealed in the local store."""
    def models(text):
        up = (f"  up: {{ kind: openai, base_url: \"https://localhost:{port}/v1\", "
              f"credential: \"file:bench\", ca_file: {ca} }}\n")
        text = text.replace("\nproviders:\n", "\nproviders:\n" + up)
        return text.replace("\nmodels:\n", "\nmodels:\n  bench: [ { provider: up, model: bench-model } ]\n")

    with service(b, NO_SANDBOXES, workers=workers, edit=models) as inst:
        done = inst.operate("secret", "set", "bench", input="sk-bench-0123456789abcdef", check=False)
        if done.returncode != 0:
            raise NotMeasured(f"sallyport secret set: {done.stderr.strip()}")
        deadline = time.monotonic() + 20
        while (answer := inst.request("POST", CHAT_PATH, body_of("1k", False)))[0] != 200:
            if time.monotonic() > deadline:
                raise NotMeasured(f"a sample request is answered {answer[0]}: {answer[2]}")
            time.sleep(0.1)
        yield inst


@contextlib.contextmanager
def proxy(inst, upstream, ca, cores):
    """nginx before that provider, with a certificate like the service's -> port, its processes"""
    place = inst.top / "nginx"
    place.mkdir()
    put_pair(inst, place)
    port = instance.free_port()
    (place / "nginx.conf").write_text(NGINX.format(dir=place, port=port, upstream=upstream, ca=ca))
    try:
        p = subprocess.Popen(["nginx", "-p", str(place), "-c", str(place / "nginx.conf")],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None)
    except OSError as e:
        raise NotMeasured(f"nginx: {e.strerror} (package nginx-light)") from e
    try:
        time.sleep(0.5)
        if p.poll() is not None:
            raise NotMeasured(f"nginx: {p.stderr.read().decode(errors='replace').strip()}")
        children = pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()
        yield port, [p.pid, *map(int, children)]
    finally:
        p.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(5)


def spoken(inst):
    """Between the broker and the provider; nginx speaks HTTP/1.1 to it."""
    two = metrics(inst).get("upstream_http2_connections_total", 0) > 0
    return f"HTTP/{'2' if two else '1.1'} to the provider"


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


# ---- groups ---------------------------------------------------------------------------------------

def proxied(b):
    """Ours and nginx in turns on one core; load and provider on the other."""
    if os.cpu_count() < 2:
        raise NotMeasured("needs two cores")
    with contextlib.ExitStack() as s:
        folder = pathlib.Path(s.enter_context(temporary()))
        port, pid, ca = s.enter_context(provider(b, folder))
        inst = s.enter_context(gateway(b, port, ca))
        their_port, their_pids = s.enter_context(proxy(inst, port, ca, {0}))
        pin(family(inst), {0})
        pin([pid], {1})
        load = ["--connections", CONNECTIONS, "--warmup", 0.4, "--seconds", SATURATE_S]
        kinds = ("cpu", "rate", "their_cpu", "their_rate")
        found = {name_of(*case): {k: [] for k in kinds} for case in CASES}
        notes = {}
        for _ in range(ROUNDS):
            b.raw(inst.top)
            for size, stream in CASES:
                b.need(3 * SATURATE_S)
                name = name_of(size, stream)
                request = write_request(inst, f"{name}.http", CHAT_PATH, body_of(size, stream))
                before = cpu_ns(family(inst))
                mine = b.load(inst.port, request, *load, ca=inst.ca, cores={1})
                after = cpu_ns(family(inst))
                their_before = cpu_ns(their_pids)
                other = b.load(their_port, request, *load, ca=inst.ca, cores={1})
                theirs = cpu_spent(their_before, cpu_ns(their_pids)) / 1000 / other["issued"]
                f = found[name]
                f["cpu"].append(cpu_spent(before, after) / 1000 / mine["issued"])
                f["rate"].append(mine["rate"])
                f["their_cpu"].append(theirs)
                f["their_rate"].append(other["rate"])
                notes[name] = (by_process_note(cpu_by_process(inst, before, after), mine["issued"])
                               + f"; {spoken(inst)}")
                say(f"{name}: {f['cpu'][-1]:.0f} µs, {mine['rate']:.0f}/s; nginx {theirs:.0f} µs, "
                    f"{other['rate']:.0f}/s")
        for name, f in found.items():
            b.put(f"proxy_{name}_cpu", f["cpu"], notes[name])
            b.put(f"proxy_{name}_rate", f["rate"], f"nginx {median(f['their_rate']):,.0f}/s at "
                  f"{median(f['their_cpu']):.1f} µs")
            b.put(f"proxy_{name}_ratio", [a / c for a, c in zip(f["rate"], f["their_rate"])],
                  f"each in the same round; by CPU a request {median(f['their_cpu']) / median(f['cpu']):.3f}")


def paced_proxied(b):
    """Not pinned: ours, nginx and the provider itself at the same pace."""
    with contextlib.ExitStack() as s:
        folder = pathlib.Path(s.enter_context(temporary()))
        port, _, ca = s.enter_context(provider(b, folder))
        inst = s.enter_context(gateway(b, port, ca, workers=0))
        their_port, _ = s.enter_context(proxy(inst, port, ca, None))
        whole = write_request(inst, "whole.http", CHAT_PATH, body_of("1k", False))
        stream = write_request(inst, "stream.http", CHAT_PATH, body_of("1k", True))
        load = ["--connections", 32, "--rate", PACED_RATE, "--warmup", 0.4, "--seconds", PACED_S]
        p50, p99, added, first, beyond = [], [], [], [], []
        for _ in range(ROUNDS):
            b.need(6 * PACED_S)
            # As often as the service will: twice a request.
            disk = b.raw(inst.top, 1000, US_PER_S // PACED_RATE // 2)
            mine = b.load(inst.port, whole, *load, ca=inst.ca)
            direct = b.load(port, whole, *load, ca=ca)
            ours = b.load(inst.port, stream, *load, "--first", FIRST_TOKEN, ca=inst.ca)
            theirs = b.load(their_port, stream, *load, "--first", FIRST_TOKEN, ca=inst.ca)
            disk = (disk + b.raw(inst.top, 1000, US_PER_S // PACED_RATE // 2)) / 2
            p50.append(ms(mine["end_us"]["p50"]))
            p99.append(ms(mine["end_us"]["p99"]) if mine["end_us"]["p99"] else float("nan"))
            added.append(ms(mine["end_us"]["p50"] - direct["end_us"]["p50"] - 2 * disk))
            first.append(ms(ours["first_us"]["p50"]))
            beyond.append(ms(ours["first_us"]["p50"] - theirs["first_us"]["p50"] - disk))
            say(f"p50 {p50[-1]:.3f} ms, direct {ms(direct['end_us']['p50']):.3f}, raw {ms(disk):.3f}; "
                f"first token {first[-1]:.3f}, nginx {ms(theirs['first_us']['p50']):.3f}")
        b.put("proxy_p50", p50, f"{ROUNDS}×{mine['n']} requests, from when each was due; {spoken(inst)}")
        b.put("proxy_p99", p99)
        b.put("proxy_added", added, "over the provider itself, which answers the same load without us")
        b.put("proxy_first", first, f"{ROUNDS}×{ours['n']} streams")
        b.put("proxy_first_beyond", beyond, "over nginx in the same round")


def open_streams(b):
    """The memory of all our processes while all the streams are open."""
    with contextlib.ExitStack() as s:
        folder = pathlib.Path(s.enter_context(temporary()))
        port, _, ca = s.enter_context(provider(b, folder, STREAM_EVENTS, STREAM_GAP_MS))
        inst = s.enter_context(gateway(b, port, ca, workers=0))
        before = pss_bytes(family(inst))
        request = write_request(inst, "stream.http", CHAT_PATH, body_of("1k", True))
        b.need(STREAM_EVENTS * STREAM_GAP_MS / 1000 + 20)
        load = subprocess.Popen(
            [str(b.tools / "load"), "--port", str(inst.port), "--request", str(request), "--ca", inst.ca,
             "--connections", str(OPEN_STREAMS), "--count", str(OPEN_STREAMS)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            seen, active, parts = 0, 0, {}
            while load.poll() is None:
                now = {pid: pss_bytes([pid]) for pid in family(inst)}
                if sum(now.values()) > seen:
                    seen, parts = sum(now.values()), now
                active = max(active, streams_open(port))
                time.sleep(0.25)
            out, err = load.communicate()
        finally:
            load.kill()
        if load.returncode != 0:
            raise NotMeasured(f"load: {err.strip()}")
        report = json.loads(out)
        if report["failures"]:
            why = collections.Counter(r["event"]["error_type"] for r in inst.records()
                                      if r["event"]["type"] == "Error")
            raise NotMeasured(f"{report['failures']} of {OPEN_STREAMS} streams failed: "
                              + ", ".join(f"{n} {kind}" for kind, n in why.items()))
        if active < OPEN_STREAMS:
            raise NotMeasured(f"only {active} streams were open at once")
        names = {pid: pathlib.Path(argv0).name for pid, argv0 in inst.descendants().items()}
        most = sorted(((n, names.get(pid, "supervisor")) for pid, n in parts.items()), reverse=True)[:4]
        b.put("proxy_streams", [seen / (1 << 20)], f"PSS of {len(parts)} processes; {before / (1 << 20):.1f} "
              "MiB before; " + ", ".join(f"{name} {n / (1 << 20):.1f}" for n, name in most)
              + f"; {spoken(inst)}")


def streams_open(port):
    """Connections that the provider has taken: one for each open stream."""
    suffix = f":{port:04X}"
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[1].endswith(suffix) and line.split()[3] == "01")


def temporary():
    return tempfile.TemporaryDirectory(prefix="sp-up-")
