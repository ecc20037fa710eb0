# SPDX-License-Identifier: Apache-2.0
"""What the gateway does with good and bad input, over raw TLS."""

import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import ssl
import statistics
import threading
import time

import pytest

from conftest import Raw
from instance import ROOT, wait_for

CHAT = "/v1/chat/completions"
HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}


# ---- TLS ----

def test_only_tls_1_3(service):
    ctx = service.tls()
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", service.port), 5) as s:
        with pytest.raises(ssl.SSLError):
            ctx.wrap_socket(s, server_hostname="localhost")
    with Raw(service) as r:
        assert r.sock.version() == "TLSv1.3"


def test_plain_http_is_closed(service):
    with socket.create_connection(("127.0.0.1", service.port), 5) as s:
        s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        try:
            while piece := s.recv(4096):
                got += piece
        except ConnectionError:
            pass
        assert b"HTTP/" not in got


def test_garbage_is_closed(service):
    with socket.create_connection(("127.0.0.1", service.port), 5) as s:
        s.sendall(bytes(range(256)) * 16)
        try:
            while s.recv(4096):
                pass
        except ConnectionError:
            pass
    assert service.request("GET", "/v1/models")[0] == 200


# ---- HTTP ----

@pytest.mark.parametrize("name, text, status", [
    ("bare LF", "GET / HTTP/1.1\nHost: localhost\n\n", 400),
    ("obs-fold", "GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400),
    ("two hosts", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    ("CL and TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("TE games", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
    ("blank before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("NUL", "GET / HTTP/1.1\r\nHost: a\r\nB: \0\r\n\r\n", 400),
    ("HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 505),
    ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("long line", "GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("many headers", "GET / HTTP/1.1\r\nHost: a\r\n" + "A: b\r\n" * 200 + "\r\n", 431),
    ("1 GB body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n", 413),
    ("huge chunk", "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\n"
                   "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n", 413),
])
def test_what_cannot_be_parsed(service, raw, name, text, status):
    r = raw()
    r.send(text.replace("KEY", service.key))
    got, headers, body = r.answer()
    assert got == status or (name == "HTTP/2 preface" and got in (400, 505)), name
    assert headers["connection"] == "close"
    assert json.loads(body)["error"]["code"]
    assert r.ended()


# Well-formed targets that are never served: not even that is told without a key.
BAD_TARGETS = ("*", "/v1/../v1/models", "/v1/./models", "/v1/%2e%2e/v1/models", "/v1%2fmodels", "/v1/models%00", "/%ff",
               "localhost:443", "https://elsewhere/v1/models", "http://localhost/v1/models")


def test_one_401_for_every_path_and_method(service, raw):
    seen = set()
    good_form = "sp_" + "A" * 12 + "_" + "B" * 43 + "C" * 6
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for path in ("/", "/v1/models", CHAT, "/v1/execute", "/healthz", "/admin", "/x?y=z"):
            for key in ("", "x", good_form, service.key[:-1] + ("0" if service.key[-1] != "0" else "1")):
                r = raw()
                r.request(method, path, key=key)
                status, headers, body = r.answer()
                assert status == 401
                seen.add(body)
                r.sock.close()
    for key in ("x", good_form):
        r = raw()
        for target in BAD_TARGETS:
            r.request("GET", target, key=key)
            status, headers, body = r.answer()
            assert (status, "connection" in headers) == (401, False), target
            seen.add(body)
    assert len(seen) == 1
    assert json.loads(seen.pop())["error"]["code"] == "invalid_api_key"


def routes():
    """The rows of the table itself: a route that is added is tested, too."""
    text = (ROOT / "src" / "gateway" / "routes.c").read_text()
    return re.findall(r'^\t\{ "([A-Z]+)", "(/v1/[^"]*)",', text, re.M)


def test_every_route_is_strict(service):
    """Key, method, query, body: what no route takes is refused by each."""
    rows = routes()
    assert ("POST", "/v1/execute") in rows and ("GET", "/v1/models") in rows
    for method, path in rows:
        path = path.replace("{}", "name") + ("demo" if path.endswith("/") else "")
        body = {} if method == "POST" else None
        form = (method, path) == ("POST", "/v1/tools")

        def answer(method=method, path=path, body=body, **kw):
            status, headers, data = service.request(method, path, body, **kw)
            assert headers["x-request-id"] and "error" in data, (method, path, data)
            return status, json.dumps(data)

        assert answer(key="x")[0] == 401
        assert answer(method="PATCH")[0] == 405
        assert answer(path=path + "?a=b")[0] == 400
        if method != "POST":
            assert answer(body={})[0] == 400
            continue
        if "/name/" in path:
            assert answer(path=path.replace("name", "na.me"), body={"version": 1, "arguments": {}})[0] == 400
        assert answer(body="{}", headers={"Content-Type": "text/plain"})[0] == 415
        assert answer(body="{}", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})[0] == 415
        if form:
            assert answer(body={})[0] == 415
            for bad in (b"", b"--b", b"--b--", b"--b\r\n\r\n--b--"):
                assert answer(body=bad, headers={"Content-Type": "multipart/form-data; boundary=b"})[0] == 400, bad
            continue
        for bad in ("", "{", "[]", "null", "{}", '{"model":1,"model":2}', '{"model":"demo","Model":"demo"}',
                    '{"model":{"a":{"a":{"a":1}}}}', '{"\\u0000":1}', "\xff"):
            raw_body = bad.encode("latin-1")
            assert answer(body=raw_body, headers={"Content-Type": "application/json"})[0] == 400, (path, bad)


def test_targets_that_are_never_served(service, raw):
    r = raw()
    for target in BAD_TARGETS:
        for method, body in (("GET", ""), ("POST", "{}")):
            r.request(method, target, body)
            status, headers, answer = r.answer()
            assert (status, json.loads(answer)["error"]["code"]) == (400, "bad_request"), target
            assert "connection" not in headers
    r.request("GET", "/v1/models")
    assert r.answer()[0] == 200


def test_credentials_that_are_none(service, raw):
    for header in ("", f"Authorization: Basic {service.key}\r\n", f"Authorization: {service.key}\r\n",
                   f"X-Api-Key: Bearer {service.key}\r\n", f"Cookie: key={service.key}\r\n",
                   f"Authorization: Bearer {service.key}\r\nAuthorization: Bearer {service.key}\r\n"):
        r = raw()
        r.send(f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{header}\r\n")
        assert r.answer()[0] == 401
    r = raw()
    r.send(f"GET /v1/models?key={service.key} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert r.answer()[0] == 401


def test_pipelined_answers_come_in_order(raw):
    r = raw()
    for i in range(20):
        if i % 2:
            r.request("GET", "/v1/models")
        else:
            r.request("POST", "/v1/execute", json.dumps({"language": "sh", "code": f"echo {i}"}))
    for i in range(20):
        status, _, body = r.answer()
        assert status in (200, 429)
        if status == 200 and i % 2:
            assert json.loads(body)["object"] == "list"
        elif status == 200:
            assert json.loads(body)["stdout"] == f"{i}\n"


def test_many_pipelined_requests_are_all_answered_in_order(service, raw):
    def get(path):
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.key}\r\n\r\n"

    r = raw()
    t = r.send_meanwhile((get("/v1/models") + get("/nowhere")) * 750)
    for i in range(1500):
        status, _, body = r.answer()
        assert status in ((404, 429) if i % 2 else (200, 429)), i
    t.join()


def test_pipelined_megabytes_wait_for_a_client_that_reads_late(service, raw):
    """Answers of 8 MB of bad requests do not pile up in the worker's memory."""
    one = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sp_bad\r\n\r\n"
    count = (8 << 20) // len(one)

    def resident():
        lines = [line for pid in service.pids("gateway")
                 for line in open(f"/proc/{pid}/status").read().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    before = resident()
    r = raw()
    t = r.send_meanwhile(one * count)
    time.sleep(2)
    assert t.is_alive() and resident() - before < 8 << 10, "the worker read on"
    for i in range(count):
        assert r.answer()[0] == 401, i
    t.join()


def test_body_behind_its_head_waits_for_a_slow_authority(service, raw):
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "x" * 400_000}]})
    pid = service.pids("authority")[0]
    r = raw()
    os.kill(pid, signal.SIGSTOP)
    try:
        t = r.send_meanwhile(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.key}\r\n"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
        time.sleep(1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert r.answer()[0] == 200
    t.join()


def test_chunked_body_and_100_continue(service, raw):
    body = json.dumps(HELLO).encode()
    r = raw()
    r.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.key}\r\n"
           "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    r.read_until(b"100 Continue\r\n\r\n")
    r.data = b""
    for i in range(0, len(body), 7):
        piece = body[i:i + 7]
        r.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    r.send(b"0\r\n\r\n")
    assert r.answer()[0] == 200
    r.request("GET", "/v1/models")
    assert r.answer()[0] == 200


def test_no_100_for_a_bad_key(raw):
    r = raw()
    r.send("POST /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer no\r\n"
           "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
    status, headers, _ = r.answer()
    assert status == 401 and headers["connection"] == "close"
    assert r.ended()


def test_body_sent_byte_by_byte(service, raw):
    body = json.dumps(HELLO)
    r = raw()
    text = (f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    for c in text:
        r.send(c)
    assert r.answer()[0] == 200


def test_slow_head_and_slow_body(make_instance):
    inst = make_instance(edit=lambda text: text + "\nlimits: { header_timeout_ms: 1000, body_timeout_ms: 1000 }\n")
    with Raw(inst) as r:
        r.send("GET / HTTP/1.1\r\n")
        status, _, body = r.answer()
        assert status == 408 and json.loads(body)["error"]["code"] == "request_timeout"
        assert r.ended()
    with Raw(inst) as r:
        r.send(f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {inst.key}\r\n"
               "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        assert r.answer()[0] == 408
        assert r.ended()
    with Raw(inst) as r:  # nothing at all: closed without a word
        assert r.ended()


def test_connections_per_source(make_instance):
    inst = make_instance(edit=lambda text: text + "\nworkers: 1\nlimits: { connections_per_source: 4 }\n")
    kept = [Raw(inst) for _ in range(4)]
    with pytest.raises((OSError, EOFError)):
        with Raw(inst) as r:
            r.request("GET", "/v1/models")
            r.answer()
    kept.pop().sock.close()

    def fits():
        try:
            with Raw(inst) as r:
                r.request("GET", "/v1/models")
                return r.answer()[0] == 200
        except (OSError, EOFError):
            return False

    wait_for(fits, 20, "the place of a closed connection is not free again")
    for r in kept:
        r.sock.close()


def test_limits_of_a_source_are_shared_by_workers(make_instance):
    inst = make_instance(edit=lambda text: text + "\nworkers: 4\nlimits: { connections_per_source: 8 }\n")
    opened = [socket.create_connection(("127.0.0.1", inst.port), 5) for _ in range(60)]
    for s in opened:
        s.setblocking(False)

    def is_kept(s):
        with contextlib.suppress(ConnectionError):
            try:
                s.recv(1)
            except BlockingIOError:
                return True
        return False

    wait_for(lambda: sum(map(is_kept, opened)) <= 8, 10, "more than eight are kept")
    assert sum(map(is_kept, opened)) >= 2
    for s in opened:
        s.close()


def test_slow_large_bodies_of_one_key_refuse_nobody_else(make_instance):
    inst = make_instance(edit=lambda text: text + "\nworkers: 1\nlimits: { body_bytes: 1048576, "
                         "bodies_total_bytes: 16777216 }\n")
    other = json.loads(inst.management("POST", "/admin/v1/keys", {"tenant": "t2", "user": "u2"})[1])["key"]

    def fits(size):
        content = "x" * size
        status, _, a = inst.request("POST", CHAT, {"model": "demo", "messages": [
            {"role": "user", "content": content}]}, key=other)
        assert status == 200, a

    slow = [Raw(inst) for _ in range(90)]
    for r in slow:
        r.send(f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {inst.key}\r\n"
               "Content-Type: application/json\r\nContent-Length: 1048576\r\nExpect: 100-continue\r\n\r\n")
        r.read_until(b"100 Continue\r\n\r\n")
        r.data = b""
        r.send(b"{")
    for size in [10, 60_000, 900_000] * 5:
        fits(size)
    for r in slow:  # and now most of each: 36 MB, of a share of 4 MB
        with contextlib.suppress(OSError):
            r.send(b" " * 400_000)
    for size in [10, 60_000, 900_000] * 5:
        fits(size)
    wait_for(lambda: len(select.select([r.sock for r in slow], [], [], 0)[0]) > 70, 20, "few of them are refused")
    refused = 0
    for r in slow:
        r.sock.settimeout(0.01)
        with contextlib.suppress(TimeoutError, OSError, EOFError):
            refused += r.answer()[0] == 503
        r.sock.close()
    assert refused > 70
    wait_for(lambda: inst.request("POST", CHAT, HELLO)[0] == 200, 20, "the share is not given back")


def test_connections_obey_the_limit_of_descriptors(make_instance):
    inst = make_instance(edit=lambda text: text + "\nworkers: 1\n")
    resource.prlimit(inst.proc.pid, resource.RLIMIT_NOFILE, (160, 160))
    old = inst.pids("gateway")[0]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: inst.pids("gateway") not in ([], [old]), 30, "no new gateway")
    pid = inst.pids("gateway")[0]

    def answers():
        with contextlib.suppress(OSError, EOFError):
            return inst.request("GET", "/v1/models")[0] == 200

    def ticks():
        with open(f"/proc/{pid}/stat") as f:
            return sum(map(int, f.read().rpartition(")")[2].split()[11:13]))

    wait_for(answers, 30, "the new gateway does not answer")
    idle = [socket.create_connection(("127.0.0.1", inst.port), 5) for _ in range(200)]
    time.sleep(1)
    assert len(os.listdir(f"/proc/{pid}/fd")) < 150
    before = ticks()
    time.sleep(1)
    assert ticks() - before < 0.2 * os.sysconf("SC_CLK_TCK"), "it spins"
    for s in idle:
        s.close()
    wait_for(answers, 30, "the places of closed connections are not free again")


# ---- keys ----

def test_revocation_ends_open_streams(service, raw):
    made = service.management("POST", "/admin/v1/keys", {"tenant": "t", "user": "gone"})
    assert made[0] in (200, 201), made
    key = json.loads(made[1])["key"]
    r = raw()
    r.request("POST", "/v1/execute", json.dumps(
        {"language": "python", "code": "import time\nprint('x', flush=True)\ntime.sleep(20)", "stream": True}),
        key=key)
    r.read_until(b'"x\\n"')
    gone = service.management("DELETE", "/admin/v1/keys/" + key.split("_")[1])
    assert gone[0] in (200, 204), gone
    began = time.monotonic()
    r.read_until(b"key_revoked")
    assert time.monotonic() - began < 5  # the run goes on for twenty
    assert service.request("GET", "/v1/models", key=key)[0] == 401


def test_a_flood_of_bad_keys_is_counted_and_disturbs_nobody(service):
    """Many connections, thousands of requests a second; one counted record a second."""
    sent = [0]
    bad = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sp_bad\r\n\r\n" * 50

    def flood():
        with Raw(service) as r:
            while time.monotonic() < stop:
                r.send(bad)
                for _ in range(50):
                    assert r.answer()[0] == 401
                sent[0] += 50

    time.sleep(2.2)  # what earlier tests left is told by then
    before = len(service.records())
    stop = time.monotonic() + 2
    threads = [threading.Thread(target=flood) for _ in range(4)]
    for t in threads:
        t.start()
    took = []
    while time.monotonic() < stop:
        began = time.monotonic()
        assert service.request("GET", "/v1/models")[0] == 200
        took.append(time.monotonic() - began)
        time.sleep(0.1)
    for t in threads:
        t.join()
    seconds = time.monotonic() - stop + 4   # of what was before, and of a window more at each end
    assert sent[0] > 1000
    def field(rec, name):
        return rec["event"].get(name, rec["event"].get("fields", {}).get(name))

    def counted():
        new = [rec for rec in service.records()[before:] if rec["event"]["type"] == "AuthenticationFailures"]
        single = [rec for rec in service.records()[before:] if rec["event"]["type"] == "Authentication"
                  and field(rec, "success") is False]
        return new, single, sum(field(rec, "count") for rec in new) + len(single)

    wait_for(lambda: counted()[2] >= sent[0], 20, "not each failure is counted")
    time.sleep(1.2)
    new, single, count = counted()
    assert 1 <= len(new) <= 2 * seconds, "about one counted record a second"
    assert len(single) <= 100 * seconds, "one by one only up to the limit of a second"
    assert count == sent[0], "each failure counts once"
    assert statistics.median(took) < 1.5 and max(took) < 10, took


@pytest.mark.parametrize("body", [True, False], ids=["whole", "body-missing"])
@pytest.mark.parametrize("key", ["x", "sp_000000000000_" + "0" * 49, "sp_000000000000_" + "0" * 43 + "3cgrJZ"])
def test_a_bad_key_is_on_record_with_its_request(service, raw, key, body):
    """Of the wrong form, of a wrong checksum, of a right one but unknown."""
    r = raw()
    r.send(f"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: 2\r\n\r\n"
           + ("{}" if body else ""))
    status, headers, _ = r.answer()
    assert (status, "connection" in headers) == (401, not body)
    mine = [r for r in service.records() if r.get("request_id") == headers["x-request-id"]]
    assert [(r["event"]["type"], r["outcome"]) for r in mine] == [("Authentication", "denied")]
