# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as other people's clients speak it, and as attackers do."""

import asyncio
import json
import re
import socket
import ssl
import subprocess
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpx
import openai
import pytest

from instance import wait_for

CHAT = "/v1/chat/completions"
HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
FOREVER = "print('x', flush=True)\nwhile True: pass"
CANCELLED_S = 10  # by itself it ends when its 20 s of processor time are over


def alpn(inst, *protocols):
    ctx = inst.tls()
    ctx.set_alpn_protocols(list(protocols))
    return ctx


class Peer:
    """One connection; what goes out is not checked. `lazy`: gives no windows back."""

    def __init__(self, inst, lazy=False, window=None):
        self.inst, self.lazy = inst, lazy
        self.sock = alpn(inst, "h2").wrap_socket(
            socket.create_connection(("127.0.0.1", inst.port), 10), server_hostname="localhost")
        assert self.sock.selected_alpn_protocol() == "h2"
        self.sock.settimeout(20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.status, self.body, self.ended, self.resets, self.headers = {}, {}, set(), {}, {}
        self.goaway = None
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, method, path, body=None, key=None, headers=(), end=True):
        sid = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path),
                  ("authorization", "Bearer " + (self.inst.key if key is None else key)),
                  ("content-type", "application/json"), *headers]
        self.h2.send_headers(sid, fields, end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(sid, body if isinstance(body, bytes) else json.dumps(body).encode(), end_stream=end)
        self.flush()
        return sid

    def read(self):
        """Take what comes. False: the connection ended."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            return False
        for e in self.h2.receive_data(data):
            if isinstance(e, h2.events.ResponseReceived):
                self.headers[e.stream_id] = dict(e.headers)
                self.status[e.stream_id] = int(self.headers[e.stream_id][":status"])
            elif isinstance(e, h2.events.DataReceived):
                self.body[e.stream_id] = self.body.get(e.stream_id, b"") + e.data
                if not self.lazy and e.flow_controlled_length:
                    self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded):
                self.ended.add(e.stream_id)
            elif isinstance(e, h2.events.StreamReset):
                self.resets[e.stream_id] = e.error_code
            elif isinstance(e, h2.events.ConnectionTerminated):
                self.goaway = e.error_code
        self.flush_softly()
        return True

    def flush_softly(self):
        try:
            self.flush()
        except OSError:
            pass

    def until(self, condition):
        while not condition():
            assert self.read(), f"the connection ended (GOAWAY {self.goaway})"

    def answer(self, sid):
        self.until(lambda: sid in self.ended or sid in self.resets)
        return self.status.get(sid), self.body.get(sid, b"")


@pytest.fixture
def peer(service):
    opened = []

    def open_one(**kw):
        opened.append(Peer(service, **kw))
        return opened[-1]

    yield open_one
    for p in opened:
        p.sock.close()


def metric(inst, name):
    text = inst.management("GET", "/metrics")[1].decode()
    return sum(float(v) for v in re.findall(rf"^sallyport_{name}{{process=\"gateway\"[^}}]*}} (\S+)$", text, re.M))


def rss_kb(inst):
    return sum(int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])
               for pid in inst.pids("gateway"))


# ---- clients of others ----

def test_alpn_prefers_http2(service):
    for offered, chosen in ((("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"),
                            (("http/1.1",), "http/1.1"), (("spdy/3", "h2"), "h2")):
        with socket.create_connection(("127.0.0.1", service.port), 5) as s:
            with alpn(service, *offered).wrap_socket(s, server_hostname="localhost") as t:
                assert t.selected_alpn_protocol() == chosen
    with socket.create_connection(("127.0.0.1", service.port), 5) as s:
        with pytest.raises(ssl.SSLError):
            alpn(service, "h3").wrap_socket(s, server_hostname="localhost")


def test_curl(service):
    body = json.dumps({**HELLO, "stream": True})
    out = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", service.ca, "-w", "%{http_version} %{http_code}",
         "-H", f"Authorization: Bearer {service.key}", "-H", "Content-Type: application/json",
         "-d", body, service.url + CHAT], capture_output=True, text=True, timeout=30)
    assert out.returncode == 0, out.stderr
    assert out.stdout.endswith("data: [DONE]\n\n2 200")


def test_curl_is_told_that_its_key_is_wrong(service):
    """Its body comes behind its head; a reset in between would be all that it speaks of."""
    def answered():
        out = subprocess.run(
            ["curl", "-sS", "--http2", "--cacert", service.ca, "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
             "-H", "Authorization: Bearer sp_wrong", "-H", "Content-Type: application/json",
             "-d", '{"language":"python","code":"print(6*7)"}', service.url + "/v1/execute"],
            capture_output=True, text=True, timeout=30)
        return out.returncode, out.stderr, out.stdout

    assert {answered() for _ in range(60)} == {(0, "", "2 401")}


def test_nghttp_and_h2load(service):
    out = subprocess.run(["nghttp", "-nv", "--no-verify-peer", "-H", f"Authorization: Bearer {service.key}",
                          service.url + "/v1/models"], capture_output=True, text=True, timeout=30)
    assert ":status: 200" in out.stdout and "error_code=NO_ERROR" in out.stdout, out.stdout
    out = subprocess.run(["h2load", "-n", "1000", "-c", "10", "-m", "100", "-H", f"Authorization: Bearer {service.key}",
                          service.url + "/v1/models"], capture_output=True, text=True, timeout=60)
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in out.stdout, out.stdout


def test_openai_sdk_over_http2(service):
    seen = []
    http = httpx.Client(http2=True, verify=service.tls(),
                        event_hooks={"response": [lambda r: seen.append(r.http_version)]})
    with openai.OpenAI(base_url=service.url + "/v1", api_key=service.key, max_retries=0, http_client=http) as c:
        assert [m.id for m in c.models.list()] == ["demo"]
        ask = {"model": "demo", "messages": [{"role": "user", "content": "Run:\n```python\nprint(6*7)\n```"}],
               "tools": [{"type": "code_interpreter"}]}
        a = c.chat.completions.create(**ask)
        assert a.sallyport["steps"][0]["stdout"] == "42\n"
        chunks = list(c.chat.completions.create(**ask, stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"
        with pytest.raises(openai.AuthenticationError):
            c.with_options(api_key="sp_x").models.list()
        with pytest.raises(openai.NotFoundError):
            c.chat.completions.create(**{**ask, "model": "none-such"})
    assert set(seen) == {"HTTP/2"}


def test_a_hundred_at_once_on_one_connection(service):
    before = metric(service, "connections_total")

    async def go():
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(http2=True, verify=service.tls(), base_url=service.url, limits=limits,
                                     timeout=60, headers={"Authorization": f"Bearer {service.key}"}) as c:
            await c.get("/v1/models")
            return await asyncio.gather(*(c.post(CHAT, json=HELLO) if i % 2 else c.get("/v1/models")
                                          for i in range(100)))

    answers = asyncio.run(go())
    assert {a.status_code for a in answers} <= {200, 429}, "the policy allows 64 turns at once"
    assert sum(a.status_code == 200 for a in answers) >= 64
    assert metric(service, "connections_total") == before + 1


def test_a_thousand_streams(service, peer):
    """On ten connections, all waiting at once; memory stays small."""
    peers = [peer() for _ in range(10)]
    for p in peers:
        p.read()
    before = rss_kb(service)
    asked = [(p, p.ask("POST", CHAT, end=False)) for p in peers for _ in range(100)]
    for p in peers:
        p.sock.setblocking(True)
    assert rss_kb(service) - before < 50 * 1024
    body = json.dumps(HELLO).encode()
    for p, sid in asked:
        p.h2.send_data(sid, body, end_stream=True)
        p.flush()
    for p, sid in asked:
        assert p.answer(sid)[0] in (200, 429)


# ---- the same rules ----

def test_the_401_is_the_same(peer):
    p = peer()
    answers = [p.answer(p.ask(m, path, key=k)) for m, path, k in (
        ("GET", "/v1/models", "sp_wrong"), ("POST", CHAT, "-"), ("GET", "/nowhere", "x"), ("DELETE", "/../x", "x"))]
    assert {s for s, _ in answers} == {401}
    assert len({b for _, b in answers}) == 1


@pytest.mark.parametrize("name, fields, status", [
    ("upper case", [("X-Upper", "1")], 400),
    ("connection", [("connection", "close")], 400),
    ("transfer-encoding", [("transfer-encoding", "chunked")], 400),
    ("te", [("te", "gzip")], 400),
    ("late pseudo", [("a", "b"), (":path", "/")], 400),
    ("unknown pseudo", [(":protocol", "websocket")], 400),
    ("blank value", [("a", " b")], 400),
    ("line feed", [("a", "b\nc")], 400),
    ("nul", [("a", "b\0c")], 400),
    ("empty name", [("", "b")], 400),
    ("length", [("content-length", "5")], 400),
    ("many fields", [("a", "b")] * 100, 431),
    ("large fields", [("a", "b" * 33000)], 431),
    ("cookies in crumbs", [("cookie", "a=1"), ("cookie", "b=2")], 200),
])
def test_heads(peer, name, fields, status):
    p = peer()
    assert p.answer(p.ask("GET", "/v1/models", headers=fields))[0] == status, name
    assert p.answer(p.ask("GET", "/v1/models"))[0] == 200, "the connection goes on"


def test_targets(peer):
    p = peer()
    for path, status in (("/v1/../models", 400), ("/v1%2fmodels", 400), ("*", 400), ("/" + "a" * 9000, 414),
                         ("/v1/models?x=1", 400), ("/v1/model%73", 200)):
        assert p.answer(p.ask("GET", path))[0] == status, path


def test_bodies_wait_for_their_key(service, peer):
    p = peer()
    sid = p.ask("POST", CHAT, body=b" " * 1000, key="sp_wrong", headers=[("content-length", "8000000")], end=False)
    assert p.answer(sid)[0] == 401
    sid = p.ask("POST", CHAT, headers=[("content-length", "90000000")], end=False)
    assert p.answer(sid)[0] == 413
    # A good key: as fast as the client can.
    body = json.dumps({**HELLO, "messages": [{"role": "user", "content": "a" * 3000000}]}).encode()
    sid = p.ask("POST", CHAT, headers=[("content-length", str(len(body)))], end=False)
    sent = 0
    while sent < len(body):
        n = min(p.h2.local_flow_control_window(sid), p.h2.max_outbound_frame_size, len(body) - sent)
        if n == 0:
            assert p.read()
            continue
        p.h2.send_data(sid, body[sent:sent + n], end_stream=sent + n == len(body))
        sent += n
        p.flush()
    assert p.answer(sid)[0] == 200


# ---- many, slow, gone ----

def test_streams_do_not_wait_for_each_other(peer):
    p = peer()
    slow = p.ask("POST", "/v1/execute", {"language": "python", "code": "import time; time.sleep(6)"})
    for _ in range(20):
        assert p.answer(p.ask("GET", "/v1/models"))[0] == 200
    assert slow not in p.ended
    assert p.answer(slow)[0] == 200


def test_a_slow_reader_costs_no_memory(service, peer):
    """Outputs of a megabyte that nobody reads stay where they are made; then they come, whole."""
    code = "for i in range(900):\n print('%03d' % i + 'x' * 1000)"
    p = peer(lazy=True)
    before = rss_kb(service)
    sids = [p.ask("POST", "/v1/execute", {"language": "python", "code": code, "stream": True}) for _ in range(4)]
    p.sock.settimeout(1.5)
    try:
        while p.read():
            pass
    except TimeoutError:
        pass
    assert sum(len(b) for b in p.body.values()) <= 65535
    assert rss_kb(service) - before < 3 * 1024
    assert not p.ended
    p.sock.settimeout(20)
    assert p.answer(p.ask("HEAD", "/v1/models"))[0] == 405, "others go on"
    p.lazy = False
    p.h2.increment_flow_control_window(1 << 24)
    for sid in sids:
        p.h2.increment_flow_control_window(1 << 24, sid)
    p.flush()
    for sid in sids:
        status, body = p.answer(sid)
        result = json.loads(body.rpartition(b"event: result\ndata: ")[2])
        assert status == 200 and result["stdout"] == "".join(f"{i:03d}{'x' * 1000}\n" for i in range(900))


def test_a_stalled_stream_ends(make_instance):
    inst = make_instance(edit=lambda text: text + "\nlimits: { write_timeout_ms: 500 }\n")
    code = "print('x' * 500000, flush=True)\nwhile True: pass"
    with Peer(inst, lazy=True) as p:
        sid = p.ask("POST", "/v1/execute", {"language": "python", "code": code, "stream": True})
        p.until(lambda: sid in p.resets)
        assert p.resets[sid] == h2.errors.ErrorCodes.CANCEL
    wait_for(lambda: any(r["event"]["type"] == "ResponseReturned" for r in inst.records()), 30,
             "the end of the stalled run is on record")


def test_a_client_that_resets_cancels_its_run(service, peer):
    p = peer()
    before = len(service.records())
    sid = p.ask("POST", "/v1/execute", {"language": "python", "code": FOREVER, "stream": True})
    p.until(lambda: b'"x\\n"' in p.body.get(sid, b""))
    p.h2.reset_stream(sid, h2.errors.ErrorCodes.CANCEL)
    p.flush()

    def closed():
        return any(r["event"]["type"] == "ResponseReturned" and r["outcome"] == "failure"
                   for r in service.records()[before:])

    wait_for(closed, CANCELLED_S, "the end of the cancelled run is not on record")
    assert p.answer(p.ask("GET", "/v1/models"))[0] == 200


def test_a_client_that_leaves_cancels_all_its_runs(service, peer):
    p = peer()
    before = len(service.records())
    sids = [p.ask("POST", "/v1/execute", {"language": "python", "code": FOREVER, "stream": True}) for _ in range(3)]
    for sid in sids:
        p.until(lambda: b'"x\\n"' in p.body.get(sid, b""))
    p.sock.close()

    def closed():
        return sum(r["event"]["type"] == "ResponseReturned" and r["outcome"] == "failure"
                   for r in service.records()[before:]) == 3

    wait_for(closed, CANCELLED_S, "the ends of the cancelled runs are not on record")


def test_a_reload_drops_nothing(make_instance):
    inst = make_instance()
    stop = threading.Event()
    failed, done = [], [0]

    def load():
        with httpx.Client(http2=True, verify=inst.tls(), timeout=30,
                          headers={"Authorization": f"Bearer {inst.key}"}) as c:
            while not stop.is_set():
                try:
                    r = c.post(inst.url + CHAT, json=HELLO)
                    assert r.http_version == "HTTP/2"
                    if r.status_code != 200:
                        failed.append(r.status_code)
                except Exception as e:
                    failed.append(repr(e))
                done[0] += 1
                time.sleep(0.01)

    threads = [threading.Thread(target=load) for _ in range(3)]
    with Peer(inst) as p:
        run = p.ask("POST", "/v1/execute", {"language": "python", "code": "import time; time.sleep(3); print(7)"})
        for t in threads:
            t.start()
        time.sleep(0.5)
        old = inst.pids("gateway")
        inst.operate("reload")
        time.sleep(1.5)
        assert p.answer(run)[0] == 200 and b"7" in p.body[run]
        p.until(lambda: p.goaway is not None)
        assert p.goaway == h2.errors.ErrorCodes.NO_ERROR
    inst.operate("reload")
    time.sleep(1)
    stop.set()
    for t in threads:
        t.join()
    assert not failed and done[0] > 20
    wait_for(lambda: not set(old) & set(inst.pids("gateway")), 30, "replaced workers end")


def test_an_idle_client_does_not_hold_up_the_end(make_instance):
    inst = make_instance()
    with Peer(inst) as used, Peer(inst) as silent:
        assert used.answer(used.ask("GET", "/v1/models"))[0] == 200
        began = time.monotonic()
        assert inst.stop() == 0
        assert time.monotonic() - began < 6  # what is waited for to its end takes ten
        for p in (used, silent):
            while p.read():
                pass
            assert p.goaway == h2.errors.ErrorCodes.NO_ERROR


# ---- attacks ----

def frame(kind, flags, sid, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + sid.to_bytes(4, "big") + payload


GET = b"\x82\x87\x84\x41\x09localhost"


def sent_away(p, data, times=5000):
    """Send it again and again, and read what comes: the bytes of GOAWAY (ENHANCE_YOUR_CALM)."""
    got = b""
    for i in range(times):
        p.sock.settimeout(10)
        try:
            p.sock.sendall(data(i) if callable(data) else data)
        except (ConnectionError, ssl.SSLError, TimeoutError):
            break
        if i % 20 == 0:
            p.sock.settimeout(0.001)
            try:
                while piece := p.sock.recv(65536):
                    got += piece
                break
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except (ConnectionError, ssl.SSLError):
                break
    p.sock.settimeout(20)
    try:
        while piece := p.sock.recv(65536):
            got += piece
    except (OSError, ssl.SSLError):
        pass
    at = got.find(b"\0\0\x08\x07\0\0\0\0\0")
    return at >= 0 and got[at + 13:at + 17] == b"\0\0\0\x0b"


FLOODS = {
    "ping": frame(6, 0, 0, b"12345678"),
    "settings": frame(4, 0, 0),
    "windows": frame(8, 0, 0, b"\0\0\0\1") * 10,
    "rapid reset": lambda i: frame(1, 5, 2 * i + 1, GET) + frame(3, 0, 2 * i + 1, b"\0\0\0\x08"),
    "made to reset": lambda i: frame(1, 5, 2 * i + 1, GET) + frame(8, 0, 2 * i + 1, b"\x7f\xff\xff\xff"),
    "bad frames on closed streams": lambda i: frame(1, 4, 2 * i + 1, GET) + frame(1, 4, 2 * i + 1, b"\0\1a\1b"),
    "nonsense": lambda i: frame(1, 5, 2 * i + 1),
    "continuation": lambda i: frame(1, 1, 1, GET) if i == 0 else frame(9, 0, 1, b"\0\1a\1b"),
    "empty continuation": lambda i: frame(1, 1, 1, GET) if i == 0 else frame(9, 0, 1),
    "empty data": lambda i: frame(1, 4, 1, GET) if i == 0 else frame(0, 0, 1),
    "header bomb": lambda i: frame(1, 5, 2 * i + 1, (GET + b"\x40\1x\x7f\xbd\x1d" + b"v" * 3900).ljust(16384, b"\xbe")),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_end_their_connection(service, peer, name):
    floods = metric(service, "http2_floods_total")
    p = peer()
    if name == "empty data":
        # Only a stream that is open counts: a good key, whose body never comes.
        sid = p.ask("POST", CHAT, end=False)
        time.sleep(1)
        assert sent_away(p, frame(0, 0, sid))
    else:
        assert sent_away(p, FLOODS[name])
    assert metric(service, "http2_floods_total") == floods + 1
    assert service.request("GET", "/v1/models")[0] == 200


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", bytes(range(256)) * 10, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(0, 0, 0, b"x"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 2, GET),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, b"\xff\xff\xff\xff\xff"),
])
def test_garbage_ends_its_connection(service, data):
    with socket.create_connection(("127.0.0.1", service.port), 5) as s:
        with alpn(service, "h2").wrap_socket(s, server_hostname="localhost") as t:
            t.sendall(data)
            got = b""
            try:
                while piece := t.recv(65536):
                    got += piece
            except (OSError, ssl.SSLError):
                pass
            assert b"HTTP/1.1" not in got
    assert service.request("GET", "/v1/models")[0] == 200


def test_rapid_reset_is_bounded_in_work(service, peer):
    """What one connection can start before it is sent away: counted, settled, nothing left."""
    before = metric(service, "requests_total")
    assert sent_away(peer(), FLOODS["rapid reset"])
    assert metric(service, "requests_total") - before < 400
    wait_for(lambda: service.request("GET", "/v1/models")[0] == 200, 20, "the service goes on")
