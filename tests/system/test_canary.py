# SPDX-License-Identifier: Apache-2.0
"""A provider's key that lies in Vault is looked for everywhere, in every form, during and after a run with
errors of all kinds: it is in the broker's locked pages, and nowhere else."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from canary import LETTERS, Canary, regions
from instance import BUILD, Instance
from reply import Reply
from upstreams import entry, models_at

PROMPT = [{"role": "user", "content": "Hi."}]
CODE = {"language": "python", "code": "print(6*7)"}
TOOLS = [{"type": "code_interpreter"}]


def other_build(folder, broker):
    """The build with another broker, of tests/leaky; the real one is beside it."""
    (folder / "libexec/sallyport").mkdir(parents=True)
    for name in ("sallyport", "engines.json"):
        shutil.copy(BUILD / name, folder / name)
    for f in (BUILD / "libexec/sallyport").iterdir():
        if f.name != "broker":
            shutil.copy(f, folder / "libexec/sallyport" / f.name)
    shutil.copy(BUILD / "libexec/sallyport/broker", folder / "libexec/sallyport/broker.real")
    shutil.copy(BUILD / "tests/leaky" / broker, folder / "libexec/sallyport/broker")
    return folder


@contextlib.contextmanager
def placed(canary, provider, vault, authority, build=BUILD):
    """A service whose providers' key is the canary."""
    vault.put("providers/canary", {"key": canary.value})
    credential = "vault:secret/providers/canary#key"
    inst = Instance(build=build)
    try:
        inst.edit(models_at({"one": entry(provider, authority, credential=credential)},
                            {"gpt": [("one", "gpt-real")]}, vault=vault.approle(inst.dir)))
        yield inst.start()
    finally:
        inst.remove()


class Run:
    """Requests of all kinds; every byte that came back."""

    def __init__(self, inst, provider, canary):
        self.inst, self.provider, self.canary = inst, provider, canary
        self.answers = []

    def ask(self, *replies, stream=False, tools=False, key=None, body=None, cut_s=None):
        self.provider.say(*replies)
        body = body or {"model": "gpt", "messages": PROMPT, "stream": stream}
        if tools:
            body["tools"] = TOOLS
        c = self.inst.connection()
        try:
            c.request("POST", "/v1/chat/completions", json.dumps(body), {
                "Authorization": f"Bearer {key or self.inst.key}", "Content-Type": "application/json"})
            r = c.getresponse()
            head = f"{r.status} {r.getheaders()}".encode()
            if cut_s:
                c.sock.settimeout(cut_s)
            data = b""
            with contextlib.suppress(TimeoutError, http.client.IncompleteRead, ConnectionError):
                while piece := r.read1(65536):
                    data += piece
            self.answers.append(head + b"\n" + data)
            return r.status, data
        finally:
            c.close()
            self.provider.queue.clear()

    def recover(self):
        """Until the breaker lets calls through again: what it keeps away is not looked at."""
        deadline = time.monotonic() + 70
        while self.ask(Reply())[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def errors_of_all_kinds(self):
        value = self.canary.value
        raw = value.encode()
        forms = [raw, raw[:20], base64.b64encode(raw), base64.b64encode(b"x" + raw), raw.hex().encode(),
                 base64.b64encode(b"xy" + raw), raw.hex().upper().encode(),
                 value.replace("/", "%2F").replace("+", "%2B").encode()]
        for form in forms:  # echoed in whole answers, in a field, in events, cut anywhere
            text = f"your key is {form.decode()}, keep it"
            self.ask(Reply(text=text))
            self.ask(Reply(text=text, split=7), stream=True)
            self.ask(Reply(text=text, split=1), stream=True)
            self.ask(*[Reply(status=401, error=text)] * 4)
            self.ask(Reply(headers=(("x-echo", form.decode()), ("x-request-id", form.decode()))))
            self.recover()
        echo = f"<html>Bearer {value}</html>".encode()
        self.ask(*[Reply(status=500, body=echo, content_type="text/html")] * 4)
        self.ask(*[Reply(status=429, error=value, headers=(("retry-after", "1"),))] * 4)
        self.ask(*[Reply(status=302, headers=(("location", f"http://169.254.169.254/?k={value}"),))] * 4)
        self.ask(*[Reply(body=b'{"choices": [' + raw)] * 4)
        self.ask(Reply(body=[b"data: {" + raw + b"\n\n"], content_type="text/event-stream"), stream=True)
        self.ask(Reply(text=value, split=5, cut=600), stream=True)
        self.ask(Reply(text=value, split=5, end=600), stream=True)
        self.ask(*[Reply(text=value, cut=100)] * 4)
        self.ask(Reply(text=value, split=5, hang=600), stream=True, cut_s=0.3)
        self.recover()
        self.ask(*[Reply(head=b"HTTP/1.1 200 OK\r\nx: " + raw + b"\r\n bad\r\n\r\n")] * 4)
        self.recover()
        # A stream's arguments come in several events; the broker knows bytes, not events, so the key is whole
        # in one of them here.
        for code, stream in (("print(6*7)", True), ("print(6*7)", False), (f"print({value!r})", False)):
            call = ("code_interpreter", {"language": "python", "code": code})
            self.ask(Reply(text="", calls=(call,)), Reply(text="done"), tools=True, stream=stream)
        self.recover()
        # What the client does wrong.
        self.ask(key="sp_wrong")
        self.ask(body={"model": "none-such", "messages": PROMPT})
        self.ask(body={"model": "gpt", "messages": "x", "Model": "y"})
        self.ask(body={"model": "gpt", "messages": PROMPT, "base_url": "https://localhost/"})

    def operate(self):
        """What an operator sees."""
        for words in (("status",), ("status", "--json"), ("key", "list"), ("audit", "verify")):
            done = self.inst.operate(*words, check=False)
            self.answers.append((done.stdout + done.stderr).encode())
        for path in ("/metrics", "/healthz", "/readyz"):
            self.answers.append(self.inst.management("GET", path)[1])
        self.answers.append(self.inst.operate("reload", check=False).stderr.encode())


class Watch(threading.Thread):
    """Searches the memory of all processes but the broker, again and again."""

    def __init__(self, inst, canary):
        super().__init__(daemon=True)
        self.inst, self.canary, self.hits, self.rounds, self.ended = inst, canary, [], 0, threading.Event()

    def run(self):
        while not self.ended.is_set():
            self.hits += search_others(self.inst, self.canary)
            self.rounds += 1
            self.ended.wait(0.5)


def search_others(inst, canary):
    brokers = inst.pids("broker")
    found = []
    for pid in [inst.proc.pid, *inst.descendants()]:
        if pid not in brokers:
            found += [str(h) for h in canary.in_memory(pid)]
    return found


@pytest.fixture(scope="module", params=[("1.1", True), ("2", True), ("1.1", False)],
                ids=["to-1.1", "to-2", "without-memfd_secret"])
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def provider(variant, make_provider):
    """By either version of HTTP: the credential is written by different code, and echoed to it."""
    return make_provider(http=variant[0])


@pytest.fixture(scope="module")
def scene(variant, provider, vault, authority, tmp_path_factory):
    """The canary's run, once: what the tests below look at. On a kernel with memfd_secret, and as on one without."""
    canary = Canary()
    build = BUILD if variant[1] else other_build(tmp_path_factory.mktemp("unhidden"), "unhidden-broker")
    with placed(canary, provider, vault, authority, build=build) as inst:
        try:
            run = Run(inst, provider, canary)
            watch = Watch(inst, canary)
            watch.start()
            run.errors_of_all_kinds()
            run.operate()
            watch.ended.set()
            watch.join(60)
            run.watch, run.hides = watch, variant[1]
            yield run
        except BaseException:
            print(inst.text_log())
            raise


def test_the_search_finds(tmp_path):
    """Every form of both halves, in a file and in the memory of a process."""
    canary = Canary()
    forms = b"\n".join(canary.needles)
    (tmp_path / "f").write_bytes(b"x" * ((1 << 22) - 40) + forms)
    found = {line.partition(": ")[2] for line in canary.in_tree(tmp_path)}
    assert found == set(canary.needles.values())
    with subprocess.Popen([sys.executable, "-c", "import sys; x = sys.stdin.buffer.read(int(sys.argv[1])); "
                           "print(len(x), flush=True); sys.stdin.read()", str(len(forms))],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        p.stdin.write(forms)
        p.stdin.flush()
        p.stdout.readline()
        assert {h.form for h in canary.in_memory(p.pid)} == set(canary.needles.values())
        p.stdin.close()
    raw = canary.value.encode()
    for form in (base64.b64encode(b"?" * n + raw) for n in range(3)):
        assert len(canary.forms_in(form)) >= 2


def test_the_key_was_used(scene):
    """Else all that follows means nothing."""
    seen = [s for s in scene.provider.seen if s.key == scene.canary.value]
    assert len(seen) > 40 and {s.http for s in seen} == {scene.provider.http}


def test_answers(scene):
    assert len(scene.answers) > 50
    for a in scene.answers:
        assert scene.canary.forms_in(a) == [], a[:300]


def test_files(scene):
    inst = scene.inst
    assert scene.canary.in_tree(inst.top) == []
    assert scene.canary.in_tree("/run/sallyport") == []
    assert len(inst.records()) > 100


def test_processes(scene):
    assert scene.canary.in_proc() == []
    assert scene.watch.rounds > 1 and scene.watch.hits == []
    assert search_others(scene.inst, scene.canary) == []


def test_broker(scene):
    """Idle: in its secret pages only. They are unreadable, where the kernel has memfd_secret."""
    broker, = scene.inst.pids("broker")
    hits = scene.canary.in_memory(broker)
    assert [str(h) for h in hits if not h.region.locked] == []
    hidden = [r for r in regions(broker) if "secretmem" in r.name]
    assert scene.hides or hidden == []
    if hidden:
        assert hits == []
        with open(f"/proc/{broker}/mem", "rb", buffering=0) as mem:
            for r in hidden:
                mem.seek(r.low)
                with pytest.raises(OSError):
                    mem.read(1)
    else:
        assert hits, "it is in locked pages"


def test_broker_while_a_stream_is_open(scene):
    hold = threading.Event()
    asking = threading.Thread(target=scene.ask, args=(Reply(text="a b c d", hold=hold),),
                              kwargs={"stream": True})
    count = len(scene.provider.seen)
    asking.start()
    try:
        scene.provider.wait(lambda: len(scene.provider.seen) > count and scene.provider.seen[-1].sent > 0)
        broker, = scene.inst.pids("broker")
        assert [str(h) for h in scene.canary.in_memory(broker) if not h.region.locked] == []
        assert search_others(scene.inst, scene.canary) == []
    finally:
        hold.set()
        asking.join(20)


def test_core_dump(scene):
    """None is written, neither by the kernel nor from outside."""
    broker, = scene.inst.pids("broker")
    limits = pathlib.Path(f"/proc/{broker}/limits").read_text()
    core, = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"], core
    out = scene.inst.top / "dump"
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(["gcore", "-o", str(out), str(broker)], capture_output=True, timeout=60)
    for f in scene.inst.top.glob("dump*"):
        assert scene.canary.in_file(f) == set()
        f.unlink()
    os.kill(broker, signal.SIGSEGV)
    deadline = time.monotonic() + 60
    while not (now := scene.inst.pids("broker")) or now == [broker]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    places = [pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip(), "core", f"core.{broker}"]
    for place in places:
        for folder in ("/", scene.inst.top, scene.inst.dir, os.getcwd()):
            assert not (pathlib.Path(folder) / place).is_file() or place.startswith("|")


# Looks for all that has the canary's shape, with patterns that do not match themselves; prints digests.
IN_SANDBOX = r"""
import base64, hashlib, os, re
head = "sk-" + "canary"[::1] + "-"
mark = "[%s]%s" % (head[0], re.escape(head[1:]))
found = set()
def b64(pad):
    text = base64.b64encode(b"\0" * pad + head.encode()).decode()
    return text[-(-pad * 8 // 6):(pad + len(head)) * 8 // 6]
hexed = head.encode().hex()
forms = [mark + "[A-Za-z0-9+/]{36}", hexed[:-1] + "[%s][0-9a-f]{72}" % hexed[-1]]
forms += [re.escape(b64(i)[:-1]) + "[%s][A-Za-z0-9+/_-]{40}" % re.escape(b64(i)[-1]) for i in range(3)]
pattern = re.compile("|".join("(?:%s)" % f for f in forms).encode())
def look(data):
    for m in pattern.findall(data):
        found.add(hashlib.sha256(m).hexdigest())
looked = 0
def look_at(path):
    global looked
    try:
        with open(path, "rb") as f:
            tail = b""
            while piece := f.read(1 << 20):
                look(tail + piece); tail = piece[-128:]; looked += 1
    except OSError:
        pass
look(repr(dict(os.environ)).encode())
for p in os.listdir("/proc"):
    if p.isdigit():
        for name in ("environ", "cmdline", "maps", "status", "mountinfo", "stat"):
            look_at(f"/proc/{p}/{name}")
    elif p not in ("kcore", "kmsg"):
        look_at(f"/proc/{p}")
try:
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as mem:
        for line in maps:
            low, high = (int(x, 16) for x in line.split()[0].split("-"))
            if "r" in line.split()[1]:
                try:
                    mem.seek(low); look(mem.read(min(high - low, 1 << 26))); looked += 1
                except (OSError, OverflowError, ValueError):
                    pass
except OSError:
    pass
for top in ("/tmp", "/home", "/etc", "/run", "/var", "/dev", "/root", "/mnt", "/opt", "/srv", os.getcwd()):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                look_at(path)
print(looked > 50, *sorted(found))
"""


def test_sandbox(scene):
    decoy = "sk-canary-" + "".join(secrets.choice(LETTERS) for _ in range(36))
    status, _, a = scene.inst.request("POST", "/v1/execute", {
        "language": "python", "code": IN_SANDBOX, "timeout_ms": 25000,
        "files": [{"name": "decoy", "content_base64": base64.b64encode(decoy.encode()).decode()}]})
    assert status == 200 and a["status"] == "exit", a
    assert a["stdout"].split() == ["True", hashlib.sha256(decoy.encode()).hexdigest()], a
    scene.answers.append(json.dumps(a).encode())


def test_after_the_end(scene):
    """Last: the service is stopped, and what it leaves behind is looked at once more."""
    scene.inst.stop()
    assert scene.canary.in_tree(scene.inst.top) == []
    assert scene.canary.forms_in((scene.inst.top / "log").read_bytes()) == []
    assert scene.inst.verify().returncode == 0


def test_a_leaky_broker_is_found_out(provider, vault, authority, tmp_path_factory):
    """The same search on a broker that keeps its secrets on the heap."""
    canary = Canary()
    provider.forget()
    build = other_build(tmp_path_factory.mktemp("leaky"), "leaky-broker")
    with placed(canary, provider, vault, authority, build=build) as inst:
        Run(inst, provider, canary).recover()  # once its credential is there
        broker, = inst.pids("broker")
        hits = [h for h in canary.in_memory(broker) if not h.region.locked]
        assert {h.form for h in hits} >= {"plain of half 0", "plain of half 1"}, hits
