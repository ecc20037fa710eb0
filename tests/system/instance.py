# SPDX-License-Identifier: Apache-2.0
"""A real instance of the service, in a 0700 directory of its own, for a test."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", ROOT / "build"))
# A database of before there were sums: at the next start its rows are taken as they are.
UNSUMMED = "DELETE FROM secrets WHERE name GLOB 'sum*' OR name = 'generation';"
PROCESSES = ["gateway", "authority", "broker", "executor", "spawner", "audit", "store", "demo"]


def free_port():
    """Below those that the kernel gives to clients: nobody has it by chance while a service is stopped or starts."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    few = range(min(low, 32768) // 2, low) if low >= 16384 else range(40000, 60000)
    for port in random.sample(few, 100):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def wait_for(condition, seconds=20, what="it did not come true"):
    """What `condition` gives when that is true."""
    deadline = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return got


def best_of(tries, measure, bound):
    """A machine that has other things to do is late now and then; what is slow is so each time. -> all that was measured"""
    took = []
    while not took or took[-1] >= bound:
        assert len(took) < tries, took
        took.append(measure())
    return took


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=20):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Instance:
    """init, serve, talk, stop. `edit` changes the text of sallyport.yaml before the start."""

    def __init__(self, build=BUILD, edit=None):
        self.build = pathlib.Path(build)
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="sp-"))
        self.dir = self.top / "state"
        self.port = free_port()
        self.conf = self.dir / "sallyport.yaml"
        self.proc = None
        self.next_s, self.pace = 0, threading.Lock()
        self.serve_options = []
        out = self.cli("init", str(self.dir), "--listen", f"127.0.0.1:{self.port}").stdout
        env = dict(line.split("=", 1) for line in out.splitlines())
        self.url, self.key, self.ca = (env["SALLYPORT_URL"], env["SALLYPORT_API_KEY"],
                                       env["SALLYPORT_CA_FILE"])
        self.env = env
        if edit:
            self.edit(edit)

    def edit(self, change):
        self.conf.write_text(change(self.conf.read_text()))

    def cli(self, *args, check=True, env=None, **kw):
        return subprocess.run([str(self.build / "sallyport"), *args], check=check, text=True,
                              capture_output=True, timeout=60,
                              env={"PATH": os.environ["PATH"], **(env or {})}, **kw)

    def operate(self, *args, **kw):
        """An operator's command: the configuration is named after its words."""
        return self.cli(*args, "-c", str(self.conf), **kw)

    def start(self, timeout=60):
        self.log = open(self.top / "log", "ab")
        self.proc = subprocess.Popen([str(self.build / "sallyport"), "serve", "-c", str(self.conf),
                                      *self.serve_options],
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                     env={"PATH": os.environ["PATH"]})
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                raise RuntimeError(f"serve ended with {self.proc.returncode}:\n{self.text_log()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.management("GET", "/readyz")[0] == 200:
                    return
            time.sleep(0.02)
        raise TimeoutError(f"not ready:\n{self.text_log()}")

    def text_log(self):
        return (self.top / "log").read_text(errors="replace")[-8000:]

    def management(self, method, path, body=None):
        c = UnixConnection(str(self.dir / "run" / "management.sock"))
        try:
            c.request(method, path, body=json.dumps(body) if body is not None else None,
                      headers={"Content-Type": "application/json"} if body is not None else {})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def tls(self):
        return ssl.create_default_context(cafile=self.ca)

    def connection(self, timeout=30):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls(), timeout=timeout)

    def paced(self):
        """Each request is a TLS handshake, and one source has 500 of them a second, half of that for each of two gateways."""
        with self.pace:
            now = time.monotonic()
            at = max(self.next_s, now)
            self.next_s = at + 0.005
        time.sleep(at - now)

    def request(self, method, path, body=None, key=None, headers=None, timeout=30):
        """-> status, headers (lower case), parsed JSON (or bytes)."""
        self.paced()
        c = self.connection(timeout)
        h = {"Authorization": f"Bearer {self.key if key is None else key}"}
        if body is not None:
            h["Content-Type"] = "application/json"
        h.update(headers or {})
        try:
            c.request(method, path, body=json.dumps(body) if isinstance(body, (dict, list)) else body,
                      headers=h)
            r = c.getresponse()
            data = r.read()
        finally:
            c.close()
        with contextlib.suppress(ValueError):
            data = json.loads(data)
        return r.status, {k.lower(): v for k, v in r.getheaders()}, data

    def execute(self, code, language="python", **more):
        return self.request("POST", "/v1/execute", {"language": language, "code": code, **more})

    def chat(self, prompt, tools=True, **more):
        body = {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more}
        if tools:
            body["tools"] = [{"type": "code_interpreter"}]
        return self.request("POST", "/v1/chat/completions", body)

    def descendants(self):
        """-> {pid: argv[0]} of everything below the supervisor."""
        children = {}
        for p in pathlib.Path("/proc").iterdir():
            if p.name.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    stat = (p / "stat").read_text()
                    ppid = int(stat.rpartition(")")[2].split()[1])
                    argv0 = (p / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
                    children.setdefault(ppid, []).append((int(p.name), argv0))
        found, todo = {}, [self.proc.pid]
        while todo:
            for pid, argv0 in children.get(todo.pop(), []):
                found[pid] = argv0
                todo.append(pid)
        return found

    def pids(self, name):
        return sorted(pid for pid, argv0 in self.descendants().items()
                      if argv0.endswith(f"/libexec/sallyport/{name}"))

    def records(self):
        lines = []
        for f in sorted((self.dir / "audit").glob("*.jsonl")):
            whole = f.read_text().rpartition("\n")[0]  # a line that is being written is none yet
            lines += [json.loads(x) for x in whole.splitlines()]
        return lines

    def verify(self):
        return self.operate("audit", "verify", check=False)

    def stop(self, timeout=30):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
                raise
        return self.proc.returncode if self.proc else None

    def remove(self):
        if self.proc and self.proc.poll() is None:
            self.stop()
        shutil.rmtree(self.top, ignore_errors=True)


@contextlib.contextmanager
def running(**kw):
    inst = Instance(**kw)
    try:
        yield inst.start()
    except BaseException:
        if inst.proc:
            print(inst.text_log())
        raise
    finally:
        inst.remove()
