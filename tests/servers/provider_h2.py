# SPDX-License-Identifier: Apache-2.0
"""A provider's connection that speaks HTTP/2, by the package h2: many answers at once, each as slow or as
broken as its Reply says."""

import asyncio
import contextlib
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from reply import Seen


class Connection:
    def __init__(self, provider, number, reader, writer):
        self.provider, self.number, self.reader, self.writer = provider, number, reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.streams, self.tasks, self.gone, self.last = {}, set(), False, None

    async def serve(self):
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.provider.streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(64 << 20)
        self.send()
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self.take(event)
                self.send()
                await self.writer.drain()
        except h2.exceptions.ProtocolError:
            self.send()
        finally:
            self.gone = True
            for s in self.streams.values():
                s.leave()
            for task in self.tasks:
                task.cancel()

    def go_away(self):
        """What has come is answered, nothing else; the package would answer nothing at all."""
        if self.last is None:
            self.last = self.h2.highest_inbound_stream_id
            self.writer.write(b"\0\0\x08\7\0\0\0\0\0" + self.last.to_bytes(4, "big") + bytes(4))

    def send(self):
        with contextlib.suppress(h2.exceptions.ProtocolError):
            if data := self.h2.data_to_send():
                self.writer.write(data)

    def take(self, event):
        s = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            if self.last is not None and event.stream_id > self.last:
                return
            self.streams[event.stream_id] = Stream(self, event.stream_id, event.headers)
            self.provider.most_streams = max(getattr(self.provider, "most_streams", 0), len(self.streams))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if s:
                s.body += event.data
        elif isinstance(event, h2.events.StreamEnded) and s:
            task = asyncio.ensure_future(s.answer())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif isinstance(event, h2.events.StreamReset) and s:
            s.reset_code = event.error_code
            s.leave()
        elif isinstance(event, h2.events.WindowUpdated):
            for other in [s] if s else list(self.streams.values()):
                other.window.set()


class Stream:
    """One request; for its Answer it is reader and writer."""

    def __init__(self, connection, number, headers):
        self.c, self.id, self.body, self.left = connection, number, b"", False
        self.window, self.reset_code, self.seen = asyncio.Event(), None, None
        fields = [("host" if k == ":authority" else k, v) for k, v in headers]
        self.line = dict(headers)
        self.fields = [(k, v) for k, v in fields if not k.startswith(":")]

    def leave(self):
        self.left = True
        if self.seen and not self.seen.done and not self.seen.left_at:
            self.seen.left_at = time.monotonic()
        self.window.set()

    async def answer(self):
        tls = self.c.writer.get_extra_info("ssl_object")
        head = "".join(f"{k}: {v}\r\n" for k, v in self.fields).encode()
        self.seen = Seen(self.line[":method"], self.line[":path"], self.fields, head, self.body, self.c.number,
                         tls.version() if tls else "", time.monotonic(), http="2")
        try:
            await self.c.provider.answer_to(self.seen, self, self, how=answer_class())
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
        except Exception as e:  # noqa: BLE001: Gone, of the module that imports this one
            if type(e).__name__ != "Gone":
                raise
        finally:
            self.c.streams.pop(self.id, None)

    # What Answer asks of its reader and writer.
    def at_eof(self):
        return self.left or self.c.gone

    @property
    def transport(self):
        return self.c.writer.transport

    async def data(self, data, end=False):
        """Within the windows that the other side gives."""
        while data or end:
            if self.at_eof():
                raise ConnectionError
            room = min(self.c.h2.local_flow_control_window(self.id), self.c.h2.max_outbound_frame_size)
            if data and room <= 0:
                self.window.clear()
                await self.window.wait()
                continue
            part, data = data[:room], data[room:]
            self.c.h2.send_data(self.id, part, end_stream=end and not data)
            self.c.send()
            await self.c.writer.drain()
            if self.seen:
                self.seen.sent += len(part)
            if not data:
                return


def answer_class():
    from provider import Answer

    class H2Answer(Answer):
        async def send(self):
            r, c = self.reply, self.writer.c
            if r.refuse:
                c.h2.reset_stream(self.writer.id, h2.errors.ErrorCodes.REFUSED_STREAM)
                c.send()
                return True
            if r.http1:
                c.h2.reset_stream(self.writer.id, h2.errors.ErrorCodes.HTTP_1_1_REQUIRED)
                c.send()
                return True
            if r.raw:
                c.writer.write(r.raw(self.writer.id) if callable(r.raw) else r.raw)
                await self.pause(60)
            return await super().send()

        async def write_head(self, fields):
            c = self.writer.c
            if self.reply.head is not None:     # no HTTP/2 at all
                c.writer.write(self.reply.head)
                return
            fields = [(k.lower(), v) for k, v in fields if k not in ("connection", "transfer-encoding")]
            c.h2.send_headers(self.writer.id, [(":status", str(self.reply.status)), *fields])
            c.send()
            await c.writer.drain()
            self.seen.sent += sum(len(k) + len(v) for k, v in fields)

        async def write_piece(self, piece, framing):
            if piece:
                await self.write(piece)

        async def write(self, data):
            from reply import pieces_of
            for part in pieces_of(data, self.reply.wire) if self.reply.wire else [data]:
                await self.writer.data(part)

        async def finish(self, framing):
            await self.writer.data(b"", end=True)
            if self.reply.close:
                self.writer.c.go_away()

        async def break_off(self):
            r, c = self.reply, self.writer.c
            if r.hang is not None:
                while True:
                    await self.pause(60)
            if r.cut is not None:
                c.h2.reset_stream(self.writer.id, r.cut_code or h2.errors.ErrorCodes.INTERNAL_ERROR)
                c.send()
            else:
                c.writer.close()
            return False

    return H2Answer
