# SPDX-License-Identifier: Apache-2.0
"""Executor and spawner with their real jails, launcher and runsc, driven by tests/escape/rig.c."""
import contextlib
import glob
import json
import os
import pathlib
import queue
import signal
import subprocess
import tempfile
import threading
import time
import zlib

from guest_driver import ROOT, load_engines

BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", f"{ROOT}/build"))
UID_BASE = 100000000       # far above what `sallyport init` hands out
UID_RANGE = 4096
CONF = """
policies: {{ default: {{ endpoints: "*", models: "*", tools: "*", languages: "*" }} }}
engines: {{ runsc: {runsc}, image: {image}, manifest: {manifest} }}
sandboxes:
  python: {{ pool: {pool}, pool_data: {pool_data}, memory_mb: {memory_mb}, wall_s: {wall_s},
             cpu_s: {cpu_s}, output_kb: 256, pids: 64, tmp_mb: 16, queue: {queue} }}
  javascript: {{ pool: 1 }}
  sh: {{ pool: 1, wall_s: {wall_s}, pids: 48, tmp_mb: 16 }}
"""
DEFAULTS = {"pool": 1, "pool_data": 0, "memory_mb": 256, "wall_s": 8, "cpu_s": 3, "queue": 64}


def children(pid):
    with contextlib.suppress(OSError):
        return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    return []


def wait_until(what, seconds):
    """How long it took; None when it did not come true."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if what():
            return time.monotonic() - start
        time.sleep(0.01)
    return None


class Rig:
    made = 0

    def __init__(self, instance=None, **settings):
        Rig.made += 1
        self.instance = instance or f"{os.getpid():x}{Rig.made:04x}"
        self.uid_base = UID_BASE + UID_RANGE * (zlib.crc32(self.instance.encode()) % 100000)
        engines = load_engines()
        self.dir = tempfile.TemporaryDirectory(prefix="sp-rig-")
        conf = pathlib.Path(self.dir.name) / "c.yaml"
        conf.write_text(CONF.format(**{**DEFAULTS, **settings}, runsc=engines["runsc"],
                                    image=engines["image"],
                                    manifest=engines.get("manifest", engines["image"])))
        self.proc = subprocess.Popen(
            [str(BUILD / "tests/escape/sandbox-rig"), str(BUILD / "libexec/sallyport"), str(conf)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={"PATH": os.environ["PATH"], "RIG_UID_BASE": str(self.uid_base),
                 "RIG_INSTANCE": self.instance})
        self.count = 0
        self.others = []
        self.queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        ready = self.queue.get(timeout=60)
        assert ready["event"] == "ready", ready
        self.executor, self.spawner = ready["executor"], ready["spawner"]

    def cgroups(self):
        name = f"sallyport-{self.instance}"
        return glob.glob(f"/sys/fs/cgroup/*/{name}") + glob.glob(f"/sys/fs/cgroup/{name}")

    def processes(self):
        """Pids whose uid is one of the rig's; the dead that nobody has reaped yet do not count."""
        found = []
        for path in glob.glob("/proc/[0-9]*/status"):
            with contextlib.suppress(OSError):
                status = dict(line.split(":", 1) for line in open(path))
                uid = int(status["Uid"].split()[0])
                if (self.uid_base <= uid < self.uid_base + UID_RANGE and
                        status["State"].split()[0] not in "ZX"):
                    found.append(int(path.split("/")[2]))
        return found

    def nothing_left(self):
        return not (self.cgroups() or self.processes() or
                    os.path.exists(f"/run/sallyport/{self.instance}"))

    def _read(self):
        for line in self.proc.stdout:
            self.queue.put(json.loads(line))
        self.queue.put({"event": "eof"})

    def send(self, *words):
        self.proc.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.proc.stdin.flush()

    def start(self, language, code, turn=None, keep=0, notebook=0, timeout_ms=0, stdin=""):
        self.count += 1
        self.send("run", self.count, language, turn or self.count, keep, notebook, timeout_ms,
                  code.encode().hex(), stdin.encode().hex())
        return self.count

    def tool(self, native, arguments="{}", time_ms=5000, memory_mb=64, output_kb=64):
        """A call of a user's tool in gVisor: the bytes of its native part, one JSON value."""
        self.count += 1
        self.send("tool", self.count, self.count, time_ms, memory_mb, output_kb, native.hex(),
                  arguments.encode().hex())
        return self.wait(self.count)

    def wait(self, number, kinds=("result", "failed"), timeout=110):
        out = {"stdout": b"", "stderr": b""}
        until = time.monotonic() + timeout
        mine = [e for e in self.others if e.get("id") == number]
        self.others = [e for e in self.others if e.get("id") != number]
        while True:
            event = mine.pop(0) if mine else self.queue.get(
                timeout=max(0.01, until - time.monotonic()))
            assert event["event"] not in ("eof", "link-closed"), event
            if event.get("id") != number:
                self.others.append(event)
                continue
            if event["event"] in ("stdout", "stderr"):
                out[event["event"]] += bytes.fromhex(event["data"])
                out.setdefault("first_ms", event["ms"])
            if event["event"] in kinds:
                out.update(event)
                return out

    def run(self, *args, **kw):
        return self.wait(self.start(*args, **kw))

    def event(self, name, timeout=20, **fields):
        """The next event of that name, and with these fields: else of whatever run."""
        def is_it(event):
            return event["event"] == name and fields.items() <= event.items()

        for i, event in enumerate(self.others):
            if is_it(event):
                return self.others.pop(i)
        until = time.monotonic() + timeout
        while True:
            event = self.queue.get(timeout=max(0.01, until - time.monotonic()))
            if is_it(event):
                return event
            self.others.append(event)

    def launcher(self):
        return children(self.spawner)[0]

    def sandboxes(self):
        return children(self.launcher())

    def close(self):
        if self.proc.poll() is None:
            with contextlib.suppress(OSError):
                self.proc.stdin.close()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                os.kill(self.proc.pid, signal.SIGKILL)
                self.proc.wait()
        self.dir.cleanup()
        return wait_until(self.nothing_left, 15)
