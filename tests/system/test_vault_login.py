# SPDX-License-Identifier: Apache-2.0
"""Ways into a real Vault, and out of it: a stolen wrapping token, TLS certificate, JWT, a rotated token file, a
standby's redirect. A login of Kubernetes, which this Vault does not have, is judged by a strict stand-in."""

import base64
import contextlib
import http.server
import json
import os
import pathlib
import signal
import ssl
import subprocess
import threading
import time

import pytest

from instance import Instance, wait_for
from upstreams import entry, models_at

CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "Hi."}]}
KEY = "sk-login-0123456789"


class Ways:
    """Instances that differ in the value of `vault:`."""

    def __init__(self, provider, authority):
        self.provider, self.authority, self.made = provider, authority, []

    def start(self, vault, credential="vault:secret/providers/login#key", inst=None):
        inst = inst or Instance()
        self.made.append(inst)
        inst.edit(models_at({"real": entry(self.provider, self.authority, credential=credential)},
                            {"gpt": [("real", "gpt-real")]}, vault=vault))
        return inst.start()

    def accesses(self, inst):
        return [r for r in inst.records() if r["event"]["type"] == "SecretAccessed" and r["phase"] == "outcome"]

    def logins(self, inst):
        return [r for r in inst.records() if r["event"]["type"] == "SecretLogin"]


def answered(inst):
    return inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200


@pytest.fixture
def ways(provider, authority, vault):
    provider.forget()
    provider.keys = {KEY}
    vault.put("providers/login", {"key": KEY})
    w = Ways(provider, authority)
    try:
        yield w
    except BaseException:
        for inst in w.made:
            print(inst.text_log())
        raise
    finally:
        for inst in w.made:
            inst.remove()
        provider.keys = None


def conf(vault, method):
    return f"{{ address: {vault.address}, ca_file: {vault.ca_file}, poll_s: 2, auth: {{ {method} }} }}"


def test_stolen_wrapping_token(ways, vault):
    """Somebody unwrapped it first: an alarm, no login, no key; a fresh one in the file mends it."""
    inst = Instance()
    value = vault.approle(inst.dir)
    file = inst.dir / "broker.secret-id"
    vault.call("PUT", "sys/wrapping/unwrap", token=file.read_text())
    ways.start(value, inst=inst)
    wait_for(lambda: "somebody else has unwrapped the secret id" in inst.text_log(), 60)
    assert not answered(inst)
    faults = [r["event"] for r in ways.accesses(inst) if r["outcome"] == "failure"]
    assert faults and faults[0]["fault"] == "tampered", faults
    vault.secret_id(file)
    wait_for(lambda: answered(inst), 60)


def test_wrapping_token_of_another_path(ways, vault):
    """A token that wraps something else is not unwrapped: it may be bait."""
    inst = Instance()
    value = vault.approle(inst.dir)
    bait = vault.call("GET", "secret/data/providers/login", headers={"X-Vault-Wrap-TTL": "60s"})["wrap_info"]["token"]
    (inst.dir / "broker.secret-id").write_text(bait)
    ways.start(value, inst=inst)
    wait_for(lambda: "was not made by the secret-id endpoint" in inst.text_log(), 60)
    assert vault.call("PUT", "sys/wrapping/unwrap", token=bait)["data"]  # still whole


def test_certificate(ways, vault, authority, tmp_path):
    cert, key = authority.issue(tmp_path, "broker", ["broker.internal"], usage="clientAuth")
    vault.call("POST", "auth/cert/certs/broker", {
        "certificate": pathlib.Path(vault.ca_file).read_text(), "allowed_dns_sans": "broker.internal",
        "token_policies": "broker", "token_ttl": "10m"})
    inst = ways.start(conf(vault, f"cert: {{ role: broker, cert_file: {cert}, key_file: {key} }}"))
    wait_for(lambda: answered(inst), 60)
    assert any(p == "auth/cert/login" for _, p, _ in vault.audit())


def jwt(key, **claims):
    def b(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    head = b(b'{"alg":"RS256","typ":"JWT"}') + b"." + b(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=head, check=True,
                               capture_output=True, timeout=30).stdout
    return (head + b"." + b(signature)).decode()


def test_jwt_file_is_read_anew(ways, vault, tmp_path):
    """Whoever rotates the file (kubelet, an agent) puts a new one in its place: the next login takes that."""
    key, public = tmp_path / "jwt.key", tmp_path / "jwt.pub"
    for args in (["genrsa", "-out", key, "2048"], ["rsa", "-in", key, "-pubout", "-out", public]):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)
    vault.call("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [public.read_text()],
                                           "bound_issuer": "https://idp.test"})
    vault.call("POST", "auth/jwt/role/broker", {
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": "broker",
        "token_ttl": "6s", "token_max_ttl": "6s", "clock_skew_leeway": -1, "expiration_leeway": -1})

    def token(subject, seconds):
        now = int(time.time())
        new = tmp_path / "token.new"
        new.write_text(jwt(key, iss="https://idp.test", aud="vault", sub=subject, iat=now, exp=now + seconds))
        new.rename(tmp_path / "token")

    token("first", 20)
    inst = ways.start(conf(vault, f"jwt: {{ role: broker, token_file: {tmp_path / 'token'} }}"))
    wait_for(lambda: token("first", 8) or answered(inst), 60)
    token("second", 600)
    time.sleep(9)  # the first one has expired, and the token of its login, too
    vault.put("providers/login", {"key": KEY + "-2"})
    ways.provider.keys = {KEY + "-2"}
    wait_for(lambda: answered(inst), 60)
    assert len([1 for _, p, _ in vault.audit() if p == "auth/jwt/login"]) >= 2


class Strict(http.server.BaseHTTPRequestHandler):
    """What Vault's documentation says of a login by Kubernetes, and of KV version 2; anything else is 400."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        s = self.server
        s.seen.append((self.path, self.headers, body))
        if s.silent:
            time.sleep(8)
        if self.path == "/v1/auth/k8s/login" and body == {"role": "broker", "jwt": s.jwt}:
            s.index += 1
            self.answer(200, {"auth": {"client_token": "hvs.k8s", "lease_duration": 600, "renewable": True}},
                        {"X-Vault-Index": f"v1:{s.index}"} if s.standbys else {})
        elif self.path == "/v1/auth/token/revoke-self" and self.headers["X-Vault-Token"] == "hvs.k8s":
            self.send_response(204)
            self.end_headers()
        else:
            self.answer(400, {"errors": ["invalid"]})

    do_PUT = do_POST

    def do_GET(self):
        s = self.server
        s.seen.append((self.path, self.headers, None))
        if s.says:
            with contextlib.suppress(OSError):
                s.says(self)
            self.close_connection = True
        elif s.leads_to:
            self.send_response(307)
            self.send_header("Location", s.leads_to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif s.standbys and self.headers["X-Vault-Index"] != f"v1:{s.index}":
            self.answer(403, {"errors": ["permission denied"]})     # a standby that has not heard of the token
        elif s.behind > 0:
            s.behind -= 1
            self.answer(412, {"errors": ["required index state not present"]})
        elif self.headers["X-Vault-Token"] != "hvs.k8s" or self.headers["X-Vault-Namespace"] != "team/a":
            self.answer(403, {"errors": ["permission denied"]})
        elif self.path.startswith("/v1/sys/internal/ui/mounts/"):
            self.answer(200, {"data": {"path": "deep/kv/", "type": "kv", "options": {"version": "2"}}})
        elif self.path == "/v1/deep/kv/data/gpt":
            self.answer(200, {"data": {"data": {"key": KEY}, "metadata": {"version": s.version}}})
        elif self.path == "/v1/deep/kv/metadata/gpt":
            one = {"deletion_time": "", "destroyed": False}
            self.answer(200, {"data": {"current_version": s.version, "versions": {str(s.version): one}}})
        else:
            self.answer(404, {"errors": []})

    def answer(self, status, what, fields=None):
        data = json.dumps(what).encode()
        self.send_response(status)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def stand_in(authority, tmp_path):
    made = []

    def make(name="standin"):
        cert, key = authority.issue(tmp_path, name, ["localhost"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Strict)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.seen, server.jwt, server.leads_to, server.says = [], "head.body.sig", "", None
        server.version, server.silent = 4, False
        server.standbys, server.index, server.behind = False, 0, 0
        server.at = f"localhost:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
        return server

    yield make
    for server in made:
        server.shutdown()
        server.server_close()


def kubernetes(server, authority, tmp_path, more=""):
    file = tmp_path / "k8s-token"
    file.write_text("head.body.sig\n")
    return (f"{{ address: https://{server.at}, ca_file: {authority.ca}, namespace: team/a, poll_s: 2, {more}auth: {{ "
            f"kubernetes: {{ role: broker, mount: k8s, token_file: {file} }} }} }}")


def test_kubernetes(ways, stand_in, authority, tmp_path):
    server = stand_in()
    inst = ways.start(kubernetes(server, authority, tmp_path), credential="vault:deep/kv/gpt#key")
    wait_for(lambda: answered(inst), 60)
    read = [r["event"] for r in ways.accesses(inst) if r["outcome"] == "success"]
    assert read[0]["version"] == "4"
    assert all(h["X-Vault-Request"] == "true" and h["X-Vault-Namespace"] == "team/a" for _, h, _ in server.seen)
    inst.stop()
    assert server.seen[-1][0] == "/v1/auth/token/revoke-self"


def test_performance_standbys(ways, stand_in, authority, tmp_path):
    """The index of the login goes with each request: a standby that is behind says so, and is asked again."""
    server = stand_in()
    server.standbys, server.behind = True, 2
    inst = ways.start(kubernetes(server, authority, tmp_path), credential="vault:deep/kv/gpt#key")
    wait_for(lambda: answered(inst), 60)
    gets = [h["X-Vault-Index"] for _, h, body in server.seen if body is None]
    assert len(gets) >= 4 and set(gets) == {"v1:1"}
    assert len([1 for p, _, _ in server.seen if p.endswith("/login")]) == 1
    # A state that was restored has not what the index names: it is forgotten then.
    server.behind = 1 << 30
    wait_for(lambda: server.seen[-1][1]["X-Vault-Index"] is None, 60)


def test_standby_redirects(ways, stand_in, authority, tmp_path):
    """307 leads to a host that the configuration names, and to no other."""
    standby, active, stranger = stand_in("standby"), stand_in("active"), stand_in("stranger")
    standby.leads_to = f"https://{active.at}"
    more = f"redirect_hosts: [ \"{active.at}\" ], "
    inst = ways.start(kubernetes(standby, authority, tmp_path, more), credential="vault:deep/kv/gpt#key")
    wait_for(lambda: answered(inst), 60)
    assert any(p == "/v1/deep/kv/data/gpt" for p, _, _ in active.seen)
    inst.stop()
    standby.leads_to = f"https://{stranger.at}"
    inst = ways.start(kubernetes(standby, authority, tmp_path, more), credential="vault:deep/kv/gpt#key")
    wait_for(lambda: [r for r in ways.accesses(inst) if r["outcome"] == "failure"], 60)
    assert not answered(inst) and stranger.seen == []


def test_refused_login(ways, stand_in, authority, tmp_path):
    server = stand_in()
    server.jwt = "another"  # every login is 400
    inst = ways.start(kubernetes(server, authority, tmp_path), credential="vault:deep/kv/gpt#key")
    wait_for(lambda: [r for r in ways.accesses(inst) if r["outcome"] == "failure"], 60)
    status, _, answer = inst.request("POST", "/v1/chat/completions", CHAT)
    assert status == 503 and "head.body.sig" not in str(answer) + inst.text_log()
    assert [r["event"]["fault"] for r in ways.accesses(inst)][0] == "login"


def whole(data, status=b"200 OK", fields=b""):
    return lambda h: h.wfile.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n" % len(data) + fields
                                   + b"\r\n" + data)


def endless(h):
    h.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        h.wfile.write(b"10000\r\n" + b"a" * 65536 + b"\r\n")


HOSTILE = {
    "html": whole(b"<html>We are sorry</html>"),
    "html-500": whole(b"<html>", b"500 Oops"),
    "empty": whole(b""),
    "null": whole(b"null"),
    "other-shape": whole(b'{"data":{"data":[],"metadata":7,"current_version":"x"}}'),
    "deep": whole(b"[" * 60000),
    "endless": endless,
    "cut": lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "silent": lambda h: time.sleep(12),
    "fields": whole(b"{}", fields=b"".join(b"x-%d: y\r\n" % n for n in range(10000))),
    "slow-down": whole(b"{}", b"429 Slow", b"Retry-After: 1\r\n"),
    "far-away": whole(b"{}", b"307 There", b"Location: https://169.254.169.254/\r\n"),
}


def test_hostile_answers(ways, stand_in, authority, tmp_path):
    """Whatever Vault's answers turn into: what is cached serves, memory stays flat, and it recovers."""
    server = stand_in()
    inst = ways.start(kubernetes(server, authority, tmp_path), credential="vault:deep/kv/gpt#key")
    wait_for(lambda: answered(inst), 60)
    broker = inst.pids("broker")

    def memory():
        text = pathlib.Path(f"/proc/{broker[0]}/status").read_text()
        return int(next(x for x in text.splitlines() if x.startswith("VmRSS")).split()[1])

    before = memory()
    for name, says in HOSTILE.items():
        seen = len(server.seen)
        server.says = says
        wait_for(lambda at=seen: len(server.seen) > at, 60)
        assert answered(inst), name
    server.says = None
    server.version = 5
    wait_for(lambda: any(r["event"].get("version") == "5" for r in ways.accesses(inst)), 90)
    assert inst.pids("broker") == broker and memory() < before + 4096
    assert KEY not in inst.text_log()


def test_a_silent_vault_keeps_nobody(ways, stand_in, authority, tmp_path):
    """The token is given back at the end, if there is somebody to take it."""
    server = stand_in()
    inst = ways.start(kubernetes(server, authority, tmp_path), credential="vault:deep/kv/gpt#key")
    wait_for(lambda: answered(inst), 60)
    server.silent = True
    begun = time.monotonic()
    inst.stop()
    assert time.monotonic() - begun < 7.5  # it is silent for eight
    assert server.seen[-1][0] == "/v1/auth/token/revoke-self"


def test_a_killed_broker_logs_in_again(ways, vault):
    """The wrapping token is used up; whoever takes the broker's place has the secret id all the same."""
    inst = Instance()
    ways.start(vault.approle(inst.dir), inst=inst)
    wait_for(lambda: answered(inst), 60)
    os.kill(inst.pids("broker")[0], signal.SIGKILL)
    wait_for(lambda: answered(inst), 60)
    assert "unwrapped" not in inst.text_log()
