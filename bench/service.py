# SPDX-License-Identifier: Apache-2.0
"""What the rows measure with: the load client, raw fdatasync, /proc of a running service, nginx."""

import contextlib
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests" / "system"))
sys.path.insert(0, str(ROOT / "tests" / "servers"))

import instance  # noqa: E402
import pki  # noqa: E402

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wvla", "-Wswitch-enum",
            "-Wmissing-prototypes", "-Wno-missing-field-initializers", "-Werror"]
TOOLS = {
    "load": (["load.c", "load_http.c"], ["-lssl", "-lcrypto"]),
    "upstream": (["upstream.c"], ["-lssl", "-lcrypto"]),
    "fsync": (["fsync.c"], []),
}
AUDIT_LIBRARIES = ["-luv", "-lcrypto", "-lssl", "-lseccomp", "-lyaml"]
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


class NotMeasured(Exception):
    """A row cannot be measured; the text says why."""


def compile_tool(out, name, sources, more):
    subprocess.run(["cc", "-std=gnu17", "-O2", "-D_GNU_SOURCE", *WARNINGS,
                    *[str(HERE / s) for s in sources], "-o", str(out / name), *more], check=True)


def compile_tools(build, out):
    out.mkdir(parents=True, exist_ok=True)
    for name, (sources, libraries) in TOOLS.items():
        compile_tool(out, name, sources, libraries)
    core = build / "src" / "audit" / "libaudit_core.a"
    if core.is_file():
        archives = [str(core), *map(str, sorted((build / "lib").glob("*/lib*.a")))]
        includes = [f"-I{d}" for d in [ROOT, ROOT / "src" / "audit",
                                           *(d for d in (ROOT / "lib").iterdir() if d.is_dir())]]
        (out / "audit_speed").unlink(missing_ok=True)
        with contextlib.suppress(subprocess.CalledProcessError):  # cc has said why; its rows will, too
            compile_tool(out, "audit_speed", ["audit_speed.c"],
                         [*includes, "-Wl,--start-group", *archives, "-Wl,--end-group", *AUDIT_LIBRARIES])


def median(values):
    return statistics.median(values)


# ---- /proc ----------------------------------------------------------------------------------------

def family(inst):
    """Every process of the service, sandboxes and all: supervisor and what descends from it."""
    return [inst.proc.pid, *inst.descendants()]


def thread_ns(task):
    """Nanoseconds that one thread has been on a CPU."""
    with contextlib.suppress(OSError):
        return int((task / "schedstat").read_text().split()[0])
    with contextlib.suppress(OSError):
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_NS
    return 0


def cpu_ns(pids):
    """{(pid, tid): ns} of all their threads."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                found[pid, int(task.name)] = thread_ns(task)
    return found


def cpu_spent(before, after):
    """ns spent between two cpu_ns(); a thread that came in between counts from 0."""
    return sum(ns - before.get(who, 0) for who, ns in after.items())


def cpu_by_process(inst, before, after):
    """{process name: ns}"""
    names = {pid: pathlib.Path(argv0).name for pid, argv0 in inst.descendants().items()}
    out = {}
    for (pid, tid), ns in after.items():
        name = "supervisor" if pid == inst.proc.pid else names.get(pid, "?")
        name = name if not name.startswith(("runsc", "exe")) else "sandboxes"
        out[name] = out.get(name, 0) + ns - before.get((pid, tid), 0)
    return out


def by_process_note(shares, count):
    parts = sorted(((ns / 1000 / count, name) for name, ns in shares.items()), reverse=True)
    return ", ".join(f"{name} {us:.1f}" for us, name in parts if us >= 0.1)


def pss_bytes(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) * 1024
    return total


def pin(pids, cores):
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.name), cores)


# ---- the tools ------------------------------------------------------------------------------------

class Bench:
    """Tools, deadline, and what has been measured so far."""

    def __init__(self, tools, build, deadline):
        self.tools, self.build, self.deadline = tools, build, deadline
        self.results = {}  # key -> {"values", "note", "raw"}
        self.raws = []  # of the group that runs
        self.machine_notes = []

    def put(self, key, values, note=""):
        self.results[key] = {"values": list(values), "note": note, "raw": list(self.raws)}

    def left(self):
        return self.deadline - time.monotonic()

    def need(self, seconds):
        if self.left() < seconds:
            raise NotMeasured("no time left")

    def tool(self, name, *args, cores=None, seconds=60):
        preexec = (lambda: os.sched_setaffinity(0, cores)) if cores else None
        p = subprocess.run([str(self.tools / name), *map(str, args)], text=True,
                           capture_output=True, preexec_fn=preexec,
                           timeout=max(1, min(seconds, self.left())))
        if p.returncode != 0:
            raise NotMeasured(f"{name}: {p.stderr.strip().splitlines()[0] if p.stderr else p.returncode}")
        return json.loads(p.stdout)

    def raw(self, place, count=400, interval_us=0):
        """p50 of a bare append and fdatasync on the disk of `place`, in µs."""
        r = self.tool("fsync", place, count, interval_us)
        self.raws.append(r["p50_us"])
        return r["p50_us"]

    def load(self, port, request, *args, ca=None, cores=None, allow_failures=False, seconds=90):
        trust = ["--ca", ca] if ca else []
        r = self.tool("load", "--port", port, "--request", request, *trust, *args, cores=cores,
                      seconds=seconds)
        if r["failures"] and not allow_failures:
            raise NotMeasured(f"{r['failures']} of {r['issued']} requests failed ({r['not_200']} not 200, "
                              f"{r['without_text']} without output, {r['broken']} broken)")
        return r


class Stepper:
    """One keep-alive connection; each once() is one request."""

    def __init__(self, bench, inst, request, first):
        self.proc = subprocess.Popen(
            [str(bench.tools / "load"), "--port", str(inst.port), "--ca", inst.ca, "--request",
             str(request), "--first", first, "--step"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def once(self):
        self.proc.stdin.write("\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        if not line:
            raise NotMeasured("the load client ended")
        r = json.loads(line)
        if r["failures"]:
            raise NotMeasured("a request failed")
        return r

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(10)


# ---- the service ----------------------------------------------------------------------------------

def write_request(inst, name, path, body):
    """A whole HTTP request in a file -> its path."""
    body = json.dumps(body).encode()
    head = (f"POST {path} HTTP/1.1\r\nHost: localhost:{inst.port}\r\n"
            f"Authorization: Bearer {inst.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    file = inst.top / name
    file.write_bytes(head + body)
    return file


def configuration(sandboxes, workers=0, edit=None):
    """An edit of the configuration that `init` wrote: pools, and limits out of the way."""
    def change(text):
        text = edit(text) if edit else text
        text = re.sub(r"\npolicies:\n(  .*\n)+", "\n", text)
        text = re.sub(r"\nsandboxes:\n(  .*\n)+", "\n", text)
        return text + f"""
workers: {workers}
policies:
  default: {{ endpoints: "*", models: "*", tools: "*", languages: "*", requests_per_min: 100000000,
             concurrent: 4096 }}
limits: {{ user_requests_per_min: 100000000, user_concurrent: 4096, connections_per_source: 4096,
          handshakes_per_source_per_s: 100000 }}
sandboxes:
{sandboxes}"""
    return change


@contextlib.contextmanager
def service(bench, sandboxes, workers=0, edit=None):
    """A running instance; one that cannot start is why its rows were not measured."""
    try:
        inst = instance.Instance(build=bench.build, edit=configuration(sandboxes, workers, edit))
        inst.ca_key = pki.earlier_authority(inst)
    except (OSError, subprocess.SubprocessError) as e:
        raise NotMeasured(f"sallyport init: {getattr(e, 'stderr', None) or e}") from e
    try:
        try:
            inst.start()
        except (OSError, RuntimeError, TimeoutError) as e:
            raise NotMeasured(f"the service does not start: {str(e).strip().splitlines()[-1]}") from e
        yield inst
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            inst.remove()


def metrics(inst):
    """{metric name: sum over processes}"""
    status, text = inst.management("GET", "/metrics")
    if status != 200:
        raise NotMeasured(f"/metrics answers {status}")
    out = {}
    for name, value in re.findall(r"^sallyport_(\w+)(?:\{[^}]*\})? (\S+)$", text.decode(), re.M):
        out[name] = out.get(name, 0) + float(value)
    return out


def wait_full(inst, seconds=60):
    """Until every pool is as warm as it should be."""
    deadline = time.monotonic() + seconds
    while True:
        m = metrics(inst)
        if m.get("pool_target", 0) > 0 and m.get("pool_warm", 0) >= m["pool_target"]:
            return m
        if time.monotonic() > deadline:
            raise NotMeasured(f"the pool stays at {m.get('pool_warm', 0):.0f} of "
                              f"{m.get('pool_target', 0):.0f}")
        time.sleep(0.02)


# ---- nginx ----------------------------------------------------------------------------------------

NGINX_CONF = """worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    ssl_protocols TLSv1.3;
    location / {{
      default_type {type};
      {headers}
      return 200 '{body}';
    }}
  }}
}}
"""
NGINX_OWN_FIELDS = {"content-type", "content-length", "date", "connection", "server",
                    "transfer-encoding", "keep-alive"}


def nginx_quote(text):
    if "$" in text:
        raise NotMeasured("nginx cannot return a text with a dollar sign")
    return text.replace("\\", "\\\\").replace("'", "\\'")


def put_pair(inst, place):
    """A leaf of the service's authority, whose own leaf has a key that is sealed."""
    ca = place / "ca.pem"
    ca.write_bytes((inst.dir / "ca.pem").read_bytes())
    cert, key = pki.Authority.of(ca, inst.ca_key).issue(place, "cert", ["localhost", "127.0.0.1"])
    os.rename(key, place / "key.pem")
    assert cert == str(place / "cert.pem")


@contextlib.contextmanager
def nginx(inst, cores, path, body):
    """nginx on one core, with a certificate like the service's and the bytes of one of its answers
    -> port, its processes."""
    status, fields, answer = inst.request("POST", path, body)
    if status != 200:
        raise NotMeasured(f"a sample request is answered {status}")
    place = inst.top / "nginx"
    place.mkdir()
    put_pair(inst, place)
    port = instance.free_port()
    headers = "\n      ".join(f"add_header {k} '{nginx_quote(v)}';" for k, v in fields.items()
                              if k not in NGINX_OWN_FIELDS)
    text = NGINX_CONF.format(dir=place, port=port, headers=headers,
                             type=fields.get("content-type", "application/json").split(";")[0],
                             body=nginx_quote(json.dumps(answer, separators=(",", ":"))))
    (place / "nginx.conf").write_text(text)
    try:
        p = subprocess.Popen(["nginx", "-p", str(place), "-c", str(place / "nginx.conf")],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             preexec_fn=lambda: os.sched_setaffinity(0, cores))
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
