# SPDX-License-Identifier: Apache-2.0
"""One real service for the tests of a module, and raw TLS beside the SDK."""

import contextlib
import os
import pathlib
import select
import socket
import ssl
import sys
import tempfile
import threading
import time

import pytest

# What takes minutes to show runs when it is asked for.
collect_ignore = [] if os.environ.get("SALLYPORT_LONG") else ["test_credentials_long.py"]

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))

from aws import Aws  # noqa: E402
from instance import Instance, running  # noqa: E402
from pki import Authority  # noqa: E402
from places import places  # noqa: E402
from postgres import Postgres  # noqa: E402
from provider import Provider  # noqa: E402
from vault import Vault  # noqa: E402


class Alone:
    """A TLS socket that one thread sends on while another reads: each call has it alone, and waits outside of it.
    OpenSSL takes no two calls of one connection at a time: they mistake what each other waits for."""

    def __init__(self, sock):
        self.sock, self.seconds, self.lock = sock, sock.gettimeout(), threading.Lock()
        sock.settimeout(0)

    def _call(self, what, *args):
        until = time.monotonic() + self.seconds
        while True:
            with self.lock:
                try:
                    return what(*args)
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
            poll = select.poll()
            poll.register(self.sock, event)
            if not poll.poll(max(0, until - time.monotonic()) * 1000):
                raise TimeoutError

    def recv(self, size):
        return self._call(self.sock.recv, size)

    def sendall(self, data):
        left = memoryview(data)
        while left:
            left = left[self._call(self.sock.send, left[:16384]):]

    def close(self):
        self.sock.close()


class Raw:
    """Bytes over TLS, for requests that no library would send."""

    def __init__(self, inst, timeout=30):
        self.inst = inst
        self.sock = inst.tls().wrap_socket(
            socket.create_connection(("127.0.0.1", inst.port), timeout), server_hostname="localhost")
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send_meanwhile(self, data):
        """On a thread: the service stops reading while answers are not read. -> the thread"""
        self.sock = Alone(self.sock)
        t = threading.Thread(target=self.send, args=(data,))
        t.start()
        return t

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def read_until(self, mark):
        while mark not in self.data:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError(f"the connection ended before {mark!r}: {self.data!r}")
            self.data += piece
        return self.data

    def answer(self):
        """-> status, headers, body of the next answer with a Content-Length."""
        self.read_until(b"\r\n\r\n")
        head, _, rest = self.data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
        self.data = rest
        length = int(headers.get("content-length", 0))
        while len(self.data) < length:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError("cut")
            self.data += piece
        body, self.data = self.data[:length], self.data[length:]
        return int(lines[0].split()[1]), headers, body

    def ended(self):
        """True if the server ends the connection now."""
        try:
            return self.sock.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def request(self, method, path, body=b"", key=None, headers=""):
        key = self.inst.key if key is None else key
        body = body if isinstance(body, bytes) else body.encode()
        self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
                  f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
                  + body)


@pytest.fixture(scope="module")
def service():
    with running() as inst:
        yield inst


@pytest.fixture
def raw(service):
    opened = []

    def open_one(**kw):
        opened.append(Raw(service, **kw))
        return opened[-1]

    yield open_one
    for r in opened:
        r.sock.close()


@pytest.fixture
def make_instance():
    """Instances with a configuration of their own: make_instance(edit=...)."""
    made = []

    def make(**kw):
        made.append(Instance(**kw))
        return made[-1].start()

    yield make
    for inst in made:
        inst.remove()


@pytest.fixture
def client(service):
    openai = pytest.importorskip("openai")
    httpx = pytest.importorskip("httpx")
    with openai.OpenAI(base_url=service.url + "/v1", api_key=service.key, max_retries=0,
                       http_client=httpx.Client(verify=service.tls())) as c:
        yield c


# ---- the world around the service ------------------------------------------------------------------

@pytest.fixture(scope="module")
def authority():
    """A certificate authority for the servers of a module."""
    with tempfile.TemporaryDirectory(prefix="sp-ca-") as folder:
        yield Authority(folder)


@pytest.fixture(scope="module")
def provider(authority):
    """A provider of models; each test forgets what the one before it saw: `provider.forget()`."""
    with Provider(authority) as p:
        yield p


@pytest.fixture(scope="module")
def make_provider(authority):
    """More providers: make_provider(names=[…], tls="1.2", …)."""
    with contextlib.ExitStack() as made:
        yield lambda **kw: made.enter_context(Provider(authority, **kw))


@pytest.fixture(scope="module")
def vault(authority):
    """A real Vault, unsealed, with KV v2, AppRole, TLS certificate and JWT login."""
    with Vault(authority, places()["vaultd"]) as v:
        yield v


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as p:
        yield p


@pytest.fixture(scope="module")
def aws(authority):
    with Aws(authority, places()["aws_python"]) as a:
        yield a
