# SPDX-License-Identifier: Apache-2.0
"""A provider of models over TLS 1.3 in a thread of the test: it speaks OpenAI's and Anthropic's wire
formats, refuses what the real ones refuse, records every request, and misbehaves as it is told.

    with Provider(authority) as p:          # a pki.Authority
        p.keys = {"sk-…"}                   # None: any key
        p.say(Reply(text="…"), Reply(status=429, …))    # the next answers, in order
        p.answer = lambda seen: Reply(…)    # every other answer
        … p.seen[-1].body …
"""

import asyncio
import collections
import contextlib
import json
import random
import socket
import ssl
import struct
import tempfile
import threading
import time

import provider_h2
import wire_anthropic
import wire_openai
from reply import Refusal, Reply, Seen, need, pieces_of

HEAD_MAX = 65536
BODY_MAX = 64 << 20
POLL_S = 0.005
REASONS = {200: "OK", 302: "Found", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized",
           404: "Not Found", 413: "Payload Too Large", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
OPENAI_KINDS = {429: "requests", 500: "server_error", 503: "server_error", 401: "invalid_request_error"}


class Gone(Exception):
    """The peer has left."""


class Provider:
    def __init__(self, authority, names=("localhost", "127.0.0.1"), tls="1.3", keys=None, days=1,
                 plain=False, backlog=512, http="auto", streams=100):
        self.http, self.streams = http, streams     # "1.1", "2", or "auto": both are offered
        self.keys = keys
        self.keyless = False    # a server in the house that asks for none
        self.answer = lambda seen: Reply()
        self.seen, self.queue = [], collections.deque()
        self.connections = self.open = self.most_open = self.handshakes_failed = 0
        self.number = 0
        self.lock = threading.Lock()
        self.dir = tempfile.TemporaryDirectory(prefix="sp-provider-")
        self.context = None if plain else self._context(authority, names, tls, days)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        self.host = f"localhost:{self.port}"
        self.url = f"{'http' if plain else 'https'}://{self.host}"
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _context(self, authority, names, tls, days):
        cert, key = authority.issue(self.dir.name, "provider", names, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[tls]
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(cert, key)
        context.set_alpn_protocols({"1.1": ["http/1.1"], "2": ["h2"], "auto": ["h2", "http/1.1"]}[self.http])
        return context

    # ---- for the test
    def say(self, *replies):
        with self.lock:
            self.queue.extend(replies)

    def forget(self):
        with self.lock:
            self.seen.clear()
            self.queue.clear()
        self.answer = lambda seen: Reply()

    def refused(self):
        """Why requests were refused that a true provider would refuse, too: should be empty."""
        return [s.refused for s in self.seen if s.refused]

    def wait(self, what, seconds=30):
        """Until what() is true, which may look at anything of this provider."""
        deadline = time.monotonic() + seconds
        while not what():
            if time.monotonic() > deadline:
                raise TimeoutError("the provider did not see it")
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        if not self.thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.dir.cleanup()

    # ---- the server
    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda *_: None)
        server = self.loop.run_until_complete(asyncio.start_server(
            self._serve, sock=self.listener, ssl=self.context, limit=HEAD_MAX))
        try:
            self.loop.run_forever()
        finally:
            server.close()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RuntimeError):
                self.loop.run_until_complete(asyncio.sleep(0.01))
            self.loop.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = self.connections
        tls = writer.get_extra_info("ssl_object")
        try:
            if tls.selected_alpn_protocol() == "h2" if tls else self.http == "2":
                await provider_h2.Connection(self, number, reader, writer).serve()
                return
            while await self._exchange(number, reader, writer):
                pass
        except (Gone, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError,
                ssl.SSLError, TimeoutError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _exchange(self, connection, reader, writer):
        seen = await read_request(reader, writer, connection)
        return seen is not None and await self.answer_to(seen, reader, writer)

    async def answer_to(self, seen, reader, writer, how=None):
        with self.lock:
            self.seen.append(seen)
            self.number += 1
            number = self.number
        dialect = wire_anthropic if seen.target.startswith("/v1/messages") or \
            seen.field("anthropic-version") else wire_openai
        try:
            self._judge(seen, dialect)
        except Refusal as r:
            if r.status != 401:
                seen.refused = r.message
            reply = Reply(status=r.status, body=dump(dialect.error_body(r)), content_type="application/json")
        else:
            with self.lock:
                reply = self.queue.popleft() if self.queue else None
            reply = reply or self.answer(seen)
        return await (how or Answer)(seen, reply, dialect, number, self.host, reader, writer).send()

    def _judge(self, seen, dialect):
        """Refusal: what the true provider would say to such a request."""
        if self.keys is not None and seen.key not in self.keys:
            raise dialect.refuse_key(seen.key)
        need(seen.field("host") == self.host, 400, f"host is {seen.field('host')}")
        need(seen.field("transfer-encoding") is None, 400, "transfer-encoding with this provider")
        if dialect is wire_anthropic:
            need(self.keyless or seen.field("x-api-key") or seen.field("authorization"), 401, "x-api-key header is required",
                 kind="authentication_error")
            wire_anthropic.judge_headers(seen)
        else:
            need(self.keyless or seen.field("authorization"), 401, "You didn't provide an API key.")
            need(seen.field("x-api-key") is None, 400, "x-api-key to a provider of another dialect")
        path = seen.target.partition("?")[0]
        if seen.method == "GET" and path == "/v1/models":
            return
        need(path in dialect.ROUTES, 404, f"Invalid URL ({seen.method} {path})", kind="not_found_error")
        need(seen.method == "POST", 405, f"Not allowed to {seen.method} on {path}")
        kind = seen.field("content-type") or ""
        need(kind.partition(";")[0] == "application/json", 400, f"content-type is {kind!r}")
        try:
            seen.json = json.loads(seen.body.decode(), object_pairs_hook=no_doubles)
        except ValueError as e:
            raise Refusal(400, "We could not parse the JSON body of your request.") from e
        need(isinstance(seen.json, dict), 400, "the body is no JSON object")
        dialect.ROUTES[path][0](seen.json)


def no_doubles(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def dump(obj):
    return json.dumps(obj, separators=(",", ":")).encode()


async def read_request(reader, writer, connection):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as e:
        if e.partial:
            raise
        return None
    lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ConnectionError("a malformed field")
        fields.append((name, value.strip()))
    tls = writer.get_extra_info("ssl_object")
    seen = Seen(method, target, fields, head, b"", connection, tls.version() if tls else "",
                time.monotonic())
    length = int(seen.field("content-length") or 0)
    if version != "HTTP/1.1" or length > BODY_MAX:
        raise ConnectionError("not such a request")
    seen.body = await reader.readexactly(length)
    return seen


class Answer:
    """One reply on its way out."""

    def __init__(self, seen, reply, dialect, number, host, reader, writer):
        self.seen, self.reply, self.dialect, self.number, self.host = seen, reply, dialect, number, host
        self.reader, self.writer = reader, writer

    async def send(self):
        """-> whether the connection goes on"""
        r = self.reply
        kind, pieces, streamed = self.content()
        await self.pause(r.before_s)
        if r.edit:
            pieces = r.edit(list(pieces))
        framing = r.framing or ("chunked" if streamed else "length")
        body = b"".join(pieces) if framing == "length" and not callable(getattr(pieces, "send", None)) \
            else None
        await self.write_head(self.head(kind, framing, len(body) if body is not None else 0))
        sent = 0
        first = True
        for piece in self.cut_to_size([body] if body is not None else pieces):
            if not first:
                await self.pause(r.between_s)
            limits = [x for x in (r.cut, r.end, r.hang) if x is not None]
            if limits and sent + len(piece) >= min(limits):
                await self.write_piece(piece[:min(limits) - sent], framing)
                return await self.break_off()
            await self.write_piece(piece, framing)
            sent += len(piece)
            if first and r.hold:
                await self.held()
            first = False
        if [x for x in (r.cut, r.end, r.hang) if x is not None]:
            return await self.break_off()
        await self.finish(framing)
        self.seen.done = True
        return not (r.close or framing == "close")

    def content(self):
        """-> content type, pieces of the body, whether it is a stream"""
        r, seen = self.reply, self.seen
        if r.body is not None:
            pieces = [r.body] if isinstance(r.body, bytes) else r.body
            return r.content_type or "application/json", pieces, not isinstance(r.body, bytes)
        if r.status >= 400:
            kinds = wire_anthropic.ERROR_KINDS if self.dialect is wire_anthropic else OPENAI_KINDS
            why = Refusal(r.status, r.error or "The server had an error", code=r.error_code,
                          kind=r.error_kind or kinds.get(r.status, "invalid_request_error"))
            return "application/json", [dump(self.dialect.error_body(why))], False
        if seen.method == "GET":
            return "application/json", [dump(self.dialect.models_whole())], False
        _, whole, events = self.dialect.ROUTES[seen.target.partition("?")[0]]
        if events and seen.json.get("stream"):
            return "text/event-stream; charset=utf-8", events(seen.json, r, self.number), True
        return "application/json", [dump(whole(seen.json, r, self.number))], False

    def head(self, kind, framing, length):
        r = self.reply
        self.seen.status = r.status
        name = "request-id" if self.dialect is wire_anthropic else "x-request-id"
        fields = [("date", "Tue, 07 Oct 2025 12:00:00 GMT"), ("content-type", r.content_type or kind),
                  (name, f"req_upstream_{self.number}"), ("server", "test"), *r.headers]
        if framing == "length":
            fields.append(("content-length", str(length if r.length is None else r.length)))
        elif framing == "chunked":
            fields.append(("transfer-encoding", "chunked"))
        if r.close or framing == "close":
            fields.append(("connection", "close"))
        return fields

    async def write_head(self, fields):
        r = self.reply
        lines = [f"HTTP/1.1 {r.status} {REASONS.get(r.status, 'Status')}", *(f"{k}: {v}" for k, v in fields)]
        await self.write(r.head if r.head is not None else "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    async def finish(self, framing):
        if framing == "chunked":
            await self.write(b"0\r\n\r\n")

    def cut_to_size(self, pieces):
        size = self.reply.split
        if size is None:
            yield from (p for p in pieces if p)
            return
        if isinstance(size, int) and size > 64:
            yield from (x for p in pieces for x in pieces_of(p, size))
            return
        yield from pieces_of(b"".join(pieces), size)  # across the borders of events

    async def write_piece(self, piece, framing):
        if piece:
            await self.write(b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunked" else piece)

    async def write(self, data):
        sizes = pieces_of(data, self.reply.wire) if self.reply.wire else [data]
        for part in sizes:
            if self.gone():
                self.seen.left_at = time.monotonic()
                raise Gone
            self.writer.write(part)
            try:
                await self.writer.drain()
            except ConnectionError:
                self.seen.left_at = time.monotonic()
                raise
            self.seen.sent += len(part)

    def gone(self):
        return self.reader.at_eof() or self.writer.transport.is_closing()

    async def pause(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(POLL_S, left))
            if self.gone():
                self.seen.left_at = time.monotonic()
                raise Gone

    async def held(self):
        while not self.reply.hold.is_set():
            await self.pause(POLL_S)

    async def break_off(self):
        r = self.reply
        if r.hang is not None:
            while True:
                await self.pause(60)
        if r.cut is not None:
            self.writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        return False


def somehow(seed):
    """For Reply.split and Reply.wire: pieces of random sizes that a seed repeats."""
    return random.Random(seed)
