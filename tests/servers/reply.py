# SPDX-License-Identifier: Apache-2.0
"""What a scripted model answers to one request, and how its server misbehaves meanwhile."""

import dataclasses
import json
import random
import threading


class Refusal(Exception):
    """A request that the real provider would refuse."""

    def __init__(self, status, message, kind="invalid_request_error", param=None, code=None):
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code


@dataclasses.dataclass
class Seen:
    """One request as it came, and what became of it."""
    method: str
    target: str
    fields: list            # [(name, value)] in order, names as sent
    head: bytes
    body: bytes
    connection: int         # number of the connection it came on
    tls: str
    at: float               # time.monotonic()
    http: str = "1.1"
    json: object = None
    refused: str = ""       # why the judge refused it
    sent: int = 0           # bytes of the answer, head and framing included
    done: bool = False      # the answer is out
    left_at: float = 0      # when the peer was seen to be gone in mid-answer
    status: int = 0

    def field(self, name):
        found = [v for k, v in self.fields if k.lower() == name]
        return found[0] if len(found) == 1 else None

    @property
    def key(self):
        bearer = self.field("authorization") or ""
        return self.field("x-api-key") or (bearer[7:] if bearer.startswith("Bearer ") else "")


@dataclasses.dataclass
class Reply:
    # What the model says.
    text: str = "Hello from the model."
    calls: tuple = ()           # ((tool name, arguments), …); arguments: an object, or text as it is
    thinking: str = ""
    sealed: bool = True         # OpenAI's reasoning; without a seal its items cannot come back
    stop: str = ""              # finish_reason, stop_reason; "": what follows from the rest
    usage: tuple | None = (11, 7)   # tokens in and out; None: the provider says nothing of it
    details: tuple = (0, 0, 0)      # of them: read from a cache, written to one, reasoning
    # What the server says instead.
    status: int = 200
    error: str = ""             # with a status of 400 and more
    error_kind: str = ""
    error_code: str | None = None
    headers: tuple = ()
    body: object = None         # bytes, or an iterable of bytes
    content_type: str = ""
    head: bytes | None = None   # in place of status line and fields
    edit: object = None         # a function of the list of pieces (events, or the one body) -> list
    # How it is sent.
    before_s: float = 0         # silence before the head
    between_s: float = 0        # … and between two pieces
    split: object = None        # bytes of a piece of the body: a number, or a random.Random
    wire: object = None         # bytes of one write, head and framing included: likewise
    framing: str = ""           # "length", "chunked" or "close"; "": as real ones do
    length: int | None = None   # a content-length that is not true
    cut: int | None = None      # after so many bytes of the body: reset
    cut_code: int = 0           # … with this code, over HTTP/2
    end: int | None = None      # after so many bytes of the body: an orderly end of the connection
    hang: int | None = None     # after so many bytes of the body: silence until the peer leaves
    hold: threading.Event | None = None     # nothing more after the first piece until it is set
    close: bool = False         # the connection ends after the answer
    refuse: bool = False        # over HTTP/2: the stream is refused, unseen; over 1.1 nothing
    http1: bool = False         # over HTTP/2: the stream is reset, since HTTP/1.1 is required; over 1.1 nothing
    raw: bytes = b""            # over HTTP/2: frames in place of the answer, as they are; over 1.1 nothing

    def stop_reason(self, called, plain):
        return self.stop or (called if self.calls else plain)


def arguments_text(arguments):
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def words(text):
    """Pieces as a model streams them: by word, blanks kept."""
    out = []
    for part in text.split(" "):
        out.append((" " if out else "") + part)
    return [w for w in out if w] or [""]


def thirds(text):
    n = max(1, len(text) // 3)
    return [text[i:i + n] for i in range(0, len(text), n)]


def pieces_of(data, size):
    """data cut into pieces of `size` bytes, or of random sizes."""
    at = 0
    while at < len(data):
        n = size.randint(1, 40) if isinstance(size, random.Random) else size
        yield data[at:at + n]
        at += n


def need(condition, status, message, **more):
    if not condition:
        raise Refusal(status, message, **more)
