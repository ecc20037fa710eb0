# SPDX-License-Identifier: Apache-2.0
"""Machines that come with a certificate, over HTTP/1.1 and HTTP/2: who is taken, who is not, and when it ends."""

import calendar
import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest

from instance import running
from pki import Authority

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi."}]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EXCHANGE = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}
APP = "spiffe://house.example/app"
CLIENTS = [
    f'{{ match: "{APP}", tenant: acme, user: app }}',
    '{ match: "spiffe://house.example/ci/*/build", tenant: acme, user: ci, roles: [user] }',
    '{ match: "spiffe://house.example/zeus", tenant: zeus, user: app }',
    '{ match: "spiffe://house.example/admin", tenant: acme, user: robot, roles: [administrator] }',
]


def table(ca, clients, crl=None):
    rows = "".join(f"  - {c}\n" for c in clients)
    lists = f"  crl_file: {crl}\n" if crl else ""
    return f"\nclient_certificates:\n  ca_file: {ca}\n{lists}  clients:\n{rows}"


class House:
    def __init__(self, inst, folder):
        self.inst, self.folder = inst, folder
        self.authority, self.other = folder.authority, folder.other

    def issue(self, name, names, by=None, usage="clientAuth", days=1):
        return (by or self.authority).issue(self.folder.path, name, names, usage=usage, days=days)

    def tls(self, pair=None):
        context = self.inst.tls()
        if pair:
            context.load_cert_chain(*pair)
        return context

    def connection(self, pair=None):
        return http.client.HTTPSConnection("127.0.0.1", self.inst.port, context=self.tls(pair), timeout=30)

    def ask(self, pair, method="POST", path="/v1/chat/completions", body=CHAT, headers=None):
        c = self.connection(pair)
        with contextlib.closing(c):
            return self.ask_on(c, method, path, body, headers)

    @staticmethod
    def ask_on(c, method="POST", path="/v1/chat/completions", body=CHAT, headers=None):
        text = json.dumps(body) if isinstance(body, dict) else body
        c.request(method, path, body=text, headers={"Content-Type": "application/json", **(headers or {})})
        r = c.getresponse()
        data = r.read()
        with contextlib.suppress(ValueError):
            data = json.loads(data)
        return r.status, data

    def is_refused(self, pair):
        """True: the handshake ends; with TLS 1.3 the client hears of it by its first read."""
        try:
            self.ask(pair)
        except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
            return True
        return False

    def configure(self, clients, crl=None, reload=True, ca=None):
        before = self.inst.conf.read_text()
        self.inst.conf.write_text(before[:before.index("\nclient_certificates:")] +
                                  table(ca or self.authority.ca, clients, crl))
        if reload:
            self.inst.operate("reload")

    def records(self, event):
        return [r for r in self.inst.records() if r["event"]["type"] == event]


class Folder:
    def __init__(self, path):
        self.path = path
        self.authority = Authority(self.sub("ca"), "Clients")
        self.other = Authority(self.sub("other"), "Clients")

    def sub(self, name):
        (self.path / name).mkdir()
        return self.path / name


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("certificates"))
    with running(edit=lambda text: text + "\ntls: { watch_s: 1 }\n" + table(folder.authority.ca, CLIENTS)) as inst:
        yield House(inst, folder)


@pytest.fixture(scope="module")
def app(house):
    return house.issue("app", [APP])


def test_a_machine_is_taken_by_its_certificate(house, app):
    status, answer = house.ask(app)
    assert status == 200, answer
    assert house.ask(house.issue("ci", ["spiffe://house.example/ci/17/build", "ci.house.example"]))[0] == 200
    record = house.records("Authentication")[-1]
    assert record["event"]["method"] == "client_certificate" and record["event"]["success"] and record["subject"]
    assert APP not in json.dumps(house.records("KeyCreated")) and house.records("KeyCreated")
    users = {u["id"] for u in json.loads(house.inst.management("GET", "/admin/v1/users?tenant=acme")[1])["users"]}
    assert {"app", "ci"} <= users


def test_who_comes_without_is_asked_for_a_key_as_ever(house):
    assert house.ask(None)[0] == 401
    assert house.inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200


def test_a_header_counts_where_there_is_one(house, app):
    assert house.ask(app, headers={"Authorization": f"Bearer {house.inst.key}"})[0] == 200
    assert house.records("Authentication")[-1]["event"]["method"] == "api_key"
    assert house.ask(app, headers={"x-api-key": house.inst.key})[0] == 200
    for headers in ({"Authorization": "Bearer sp_none"}, {"Authorization": "Basic YTpi"}, {"x-api-key": "x"},
                    {"Authorization": ""}):
        assert house.ask(app, headers=headers)[0] == 401, headers


def test_no_header_can_be_taken_for_a_certificate(house):
    end = int(time.time()) + 300
    raw = house.inst.tls().wrap_socket(socket.create_connection(("127.0.0.1", house.inst.port), 10),
                                       server_hostname="localhost")
    with raw:
        raw.sendall(f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \x01{end}\x01{APP}\r\n\r\n".encode())
        assert raw.recv(4096).split()[1] in (b"400", b"401")


@pytest.mark.parametrize("what", ["wrong authority", "expired", "for servers", "self-signed"])
def test_one_that_does_not_verify_ends_the_handshake(house, what):
    if what == "wrong authority":
        pair = house.issue("wrong", [APP], by=house.other)
    elif what == "expired":
        pair = house.issue("expired", [APP], days=-1)
    elif what == "for servers":
        pair = house.issue("server", [APP], usage="serverAuth")
    else:
        pair = (house.folder.path / "self.pem", house.folder.path / "self.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", pair[1], "-out", pair[0], "-days", "1", "-subj", "/CN=app", "-addext",
                        f"subjectAltName=URI:{APP}", "-addext", "extendedKeyUsage=clientAuth"], check=True,
                       capture_output=True, timeout=30)
    assert house.is_refused(pair)


@pytest.mark.parametrize("names", [["app.house.example"], [APP, "spiffe://house.example/b"],
                                   ["spiffe://house.example/nobody"], ["spiffe://house.example/ci/a/b/build"],
                                   ["spiffe://House.example/app"]])
def test_one_that_names_nobody_is_nobody(house, names):
    status, answer = house.ask(house.issue("nobody", names))
    none = house.ask(None)[1]["error"]
    assert status == 401 and {**answer["error"], "request_id": 0} == {**none, "request_id": 0}


def test_http2(house, app):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(http2=True, verify=house.tls(app), timeout=30) as c:
        for _ in range(3):
            r = c.post(house.inst.url + "/v1/chat/completions", json=CHAT)
            assert r.status_code == 200 and r.http_version == "HTTP/2"
        assert c.get(house.inst.url + "/v1/models", headers={"Authorization": "Bearer x"}).status_code == 401


def exchange(house, pair, **more):
    return house.ask(pair, path="/auth/token", body=urllib.parse.urlencode({**EXCHANGE, **more}), headers=FORM)


def test_it_is_exchanged(house, app):
    status, answer = exchange(house, app, scope="endpoint:models", expires_in=600)
    assert status == 200, answer
    token = answer["access_token"]
    assert house.inst.request("GET", "/v1/models", key=token)[0] == 200
    assert house.inst.request("POST", "/v1/chat/completions", CHAT, key=token)[0] == 403
    assert exchange(house, app, subject_token="x", subject_token_type="urn:ietf:params:oauth:token-type:jwt")[0] == 400
    assert exchange(house, None)[0] == 401
    # A certificate does not grow: neither keys nor other rights come of it.
    assert house.ask(app, path="/admin/v1/keys", body={})[0] == 403
    robot = house.issue("robot", ["spiffe://house.example/admin"])
    assert house.ask(robot, "GET", "/admin/v1/users", body=None)[0] == 200
    assert house.ask(robot)[0] == 403  # an administrator asks no models
    assert house.ask(app, "GET", "/admin/v1/users", body=None)[0] == 403


def test_other_tenants_things_are_not_there(house, app):
    zeus = house.issue("zeus", ["spiffe://house.example/zeus"])
    status, made = house.ask(app, path="/v1/conversations", body={"metadata": {"topic": "x"}})
    assert status == 200, made
    where = f"/v1/conversations/{made['id']}"
    assert house.ask(app, "GET", where, body=None)[0] == 200
    for method, body in (("GET", None), ("POST", {"metadata": {"a": "b"}}), ("DELETE", None)):
        assert house.ask(zeus, method, where, body=body)[0] == 404
    assert house.ask(house.issue("ci2", ["spiffe://house.example/ci/1/build"]), "GET", where, body=None)[0] == 404
    assert house.ask(app, "GET", where, body=None)[0] == 200


def test_no_session_carries_it_on(house, app):
    """Tickets come to who has no certificate, and stand for nobody; who has one does not get one."""
    def visit(context, session=None):
        s = context.wrap_socket(socket.create_connection(("127.0.0.1", house.inst.port), 10),
                                server_hostname="localhost", session=session)
        with s:
            s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := s.recv(65536):
                data += piece
            return int(data.split()[1]), s.session, s.session_reused

    bare, with_one = house.tls(), house.tls(app)
    status, session, _ = visit(bare)
    assert status == 401 and session.has_ticket
    assert visit(bare, session)[::2] == (401, True)
    for _ in range(2):
        status, session, reused = visit(with_one)
        assert status == 200 and not reused and not session.has_ticket
    assert visit(with_one, session)[::2] == (200, False)


def test_it_ends_on_a_living_connection(house):
    """Signed for a few seconds: the next request behind its end is nobody's, and the connection goes."""
    for life_s in (4, 30):  # on a slow machine it is over before all is asked
        pair, end = short_leaf(house, life_s)
        c = house.connection(pair)
        with contextlib.closing(c), contextlib.suppress(ConnectionError, http.client.HTTPException, ssl.SSLError):
            status = house.ask_on(c)[0]
            token = json.loads(ask_token(c)).get("access_token")
            if time.time() > end - 0.5 and life_s == 4:
                continue
            assert status == 200 and token
            time.sleep(max(0, end + 1.1 - time.time()))
            status, _ = house.ask_on(c)
            assert status == 401
            assert c.sock is None  # "Connection: close"
            break
    else:
        raise AssertionError("nobody was let in")
    assert house.records("Authentication")[-1]["event"]["reason"] == "expired"
    assert house.inst.request("GET", "/v1/models", key=token)[0] == 401
    assert house.is_refused(pair)


def short_leaf(house, life_s):
    """-> certificate and key, and the second in which it ends"""
    cert, key = house.issue("short", [APP])
    request = house.folder.path / "short.csr"
    end = time.gmtime(time.time() + life_s)
    (house.folder.path / "index").write_text("")
    (house.folder.path / "ca.conf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={house.folder.path}/index\nnew_certs_dir={house.folder.path}\nrand_serial=yes\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    subprocess.run(["openssl", "ca", "-batch", "-config", house.folder.path / "ca.conf", "-cert", house.authority.ca,
                    "-keyfile", house.authority.key, "-in", request, "-out", cert, "-notext", "-startdate",
                    "20240101000000Z", "-enddate", time.strftime("%Y%m%d%H%M%SZ", end), "-extfile",
                    house.folder.path / "short.ext"], check=True, capture_output=True, timeout=30)
    return (cert, key), calendar.timegm(end)


def ask_token(c):
    c.request("POST", "/auth/token", urllib.parse.urlencode(EXCHANGE), FORM)
    return c.getresponse().read()


def test_a_disabled_user_is_out(house, app):
    assert house.ask(app)[0] == 200
    house.inst.operate("user", "disable", "acme/app")
    try:
        assert house.ask(app)[0] == 401
        assert house.records("Authentication")[-1]["event"]["reason"] == "revoked"
    finally:
        house.inst.operate("user", "enable", "acme/app")
    assert house.ask(app)[0] == 200


def test_who_leaves_the_table_is_out(house, app):
    """Also on a connection of before, and with the session token that it was exchanged for."""
    token = exchange(house, app)[1]["access_token"]
    assert house.inst.request("GET", "/v1/models", key=token)[0] == 200
    c = house.connection(app)
    with contextlib.closing(c):
        assert house.ask_on(c)[0] == 200
        house.configure(CLIENTS[1:])
        with contextlib.suppress(ConnectionError, http.client.HTTPException, ssl.SSLError):
            assert house.ask_on(c)[0] == 401
    assert house.inst.request("GET", "/v1/models", key=token)[0] == 401
    assert house.ask(app)[0] == 401
    house.configure(CLIENTS)
    assert house.ask(app)[0] == 200


# ---- lists of revoked certificates ----------------------------------------------------------------

def wait_for(what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.2)
    raise TimeoutError(what)


def changes(house):
    return [(r["event"]["why"], r["event"].get("fault")) for r in house.records("RevocationsChanged")]


@pytest.fixture(scope="module")
def lists(house):
    """-> the file, and a certificate that comes to be on it"""
    path = house.folder.path / "crl.pem"
    house.authority.crl(path)
    house.configure(CLIENTS, path)
    yield path, house.issue("stolen", [APP])
    house.configure(CLIENTS)


def test_a_revoked_one_is_out(house, app, lists):
    """Also on a connection of before, with other lists, and without a reload."""
    path, stolen = lists
    mine, its = house.connection(app), house.connection(stolen)
    with contextlib.closing(mine), contextlib.closing(its), house_http2(house, stolen) as h2:
        assert house.ask_on(mine)[0] == house.ask_on(its)[0] == h2.get(house.inst.url + "/v1/models").status_code == 200
        house.authority.crl(path, [stolen[0]])
        wait_for(lambda: house.is_refused(stolen))
        # Each worker hears of it by itself, a moment before or after another one.
        wait_for(lambda: house.ask_on(its)[0] == 401)
        assert its.sock is None
        assert house.records("Authentication")[-1]["event"]["reason"] == "revoked"
        wait_for(lambda: h2.get(house.inst.url + "/v1/models").status_code == 401)
        assert house.ask_on(mine)[0] == 200 and mine.sock is not None
    assert house.ask(app)[0] == 200 and house.ask(None)[0] == 401
    wait_for(lambda: changes(house)[-1] == ("file", None))


def exchanged(house, pair):
    c = house.connection(pair)
    with contextlib.closing(c):
        return json.loads(ask_token(c)).get("access_token")


def is_good(house, token):
    return house.inst.request("GET", "/v1/models", key=token)[0] == 200


def test_what_was_made_of_it_ends(house, app, lists):
    """A session that was exchanged from a certificate does not outlive it; nor what others' were, who exchange anew."""
    path, stolen = lists
    pair = house.issue("stolen as well", [APP])
    form = {**EXCHANGE, "subject_token": house.inst.key, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    status, _, of_key = house.inst.request("POST", "/auth/token", urllib.parse.urlencode(form), headers=FORM)
    assert status == 200, of_key
    its, mine = wait_for(lambda: exchanged(house, pair)), wait_for(lambda: exchanged(house, app))
    house.authority.crl(path, [stolen[0]])
    time.sleep(2.5)  # other lists, and nothing more on them
    assert is_good(house, its) and is_good(house, mine)
    house.authority.crl(path, [stolen[0], pair[0]])
    wait_for(lambda: house.is_refused(pair))
    wait_for(lambda: not is_good(house, its) and not is_good(house, mine))
    fresh = wait_for(lambda: exchanged(house, app))
    assert is_good(house, fresh) and is_good(house, of_key["access_token"])
    assert len(house.records("SessionRevoked")) >= 2


def test_also_where_a_gateway_ends(house, lists):
    """A reload brings the list: the gateways of before take what comes meanwhile, and not of the revoked one."""
    path, stolen = lists
    pair = house.issue("stolen too", [APP])
    c = house.connection(pair)
    with contextlib.closing(c):
        assert house.ask_on(c)[0] == 200
        house.inst.edit(lambda text: text.replace("watch_s: 1", "watch_s: 0"))
        house.inst.operate("reload")
        c.close()
        assert house.ask_on(c)[0] == 200
        house.authority.crl(path, [stolen[0], pair[0]])
        house.inst.operate("reload")
        with contextlib.suppress(ConnectionError, http.client.HTTPException, ssl.SSLError):
            assert house.ask_on(c)[0] == 401
    house.inst.edit(lambda text: text.replace("watch_s: 0", "watch_s: 1"))
    house.inst.operate("reload")


def house_http2(house, pair):
    httpx = pytest.importorskip("httpx")
    return httpx.Client(http2=True, verify=house.tls(pair), timeout=30)


@pytest.mark.parametrize("what, fault", [("no list", "invalid"), ("another authority's", "mismatch"),
                                         ("too long", "invalid"), ("open to all", "unreadable"), ("gone", "unreadable")])
def test_bad_lists_are_refused_and_those_in_use_stay(house, app, lists, what, fault):
    path, stolen = lists
    good, before = path.read_bytes(), len(changes(house))
    if what == "no list":
        path.write_text("nothing\n")
    elif what == "another authority's":
        house.other.crl(path)
    elif what == "too long":
        path.write_bytes(good + b"\n" * (2 << 20))
    elif what == "gone":
        path.unlink()
    else:
        path.chmod(0o666)
        path.write_bytes(good)
    try:
        wait_for(lambda: ("file", fault) in changes(house)[before:])
        assert house.is_refused(stolen) and house.ask(app)[0] == 200
        failed = house.inst.operate("reload", check=False)
        assert failed.returncode == 1 and "client_certificates" in failed.stderr, failed.stderr
        if fault != "unreadable":
            checked = house.inst.cli("config", "check", str(house.inst.conf), check=False)
            assert checked.returncode == 1 and "crl.pem" in checked.stderr, checked.stderr
        assert house.is_refused(stolen) and house.ask(app)[0] == 200
    finally:
        path.write_bytes(good)
        path.chmod(0o644)
    house.inst.operate("reload")
    house.inst.cli("config", "check", str(house.inst.conf))


def test_lists_that_are_over_let_none_in(house, app, lists):
    path, _ = lists
    for life_s in (6, 30):  # on a slow machine they are over before all is asked
        end = time.time() + life_s
        house.authority.crl(path, seconds=life_s)
        house.inst.operate("reload", check=life_s > 6)
        c = house.connection(app)
        with contextlib.closing(c), contextlib.suppress(ConnectionError, http.client.HTTPException, ssl.SSLError):
            status, _ = house.ask_on(c)
            token = json.loads(ask_token(c))
            if time.time() > end - 1.5 and life_s == 6:
                continue
            assert status == 200
            assert token["expires_in"] <= life_s  # never beyond what is known
            wait_for(lambda: house.is_refused(app), 60)
            assert house.ask_on(c)[0] == 401 and c.sock is None
            break
    else:
        raise AssertionError("nobody was let in")
    assert house.inst.request("GET", "/v1/models", key=token["access_token"])[0] == 401
    assert house.inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200
    wait_for(lambda: "lists in crl_file are over" in house.inst.text_log())
    wait_for(lambda: changes(house)[-1] == ("schedule", "expired"))
    assert shown(house)["state"] == "expired"
    assert "a list in crl_file counts until 20" in house.inst.operate("status").stdout
    # Another configuration is taken; the lists that are over are the same.
    house.inst.edit(lambda text: text.replace("watch_s: 1", "watch_s: 2"))
    house.inst.operate("reload")
    house.inst.edit(lambda text: text.replace("watch_s: 2", "watch_s: 1"))
    house.inst.operate("reload")
    assert house.is_refused(app) and changes(house)[-1] == ("schedule", "expired")


def shown(house):
    return json.loads(house.inst.management("GET", "/status")[1])["client_certificate_lists"]


@pytest.mark.parametrize("fault", ["expired", "early"])
def test_a_start_with_lists_of_another_time_serves_keys(house, app, lists, fault):
    """Who comes with a certificate is refused until there are other lists, and everybody hears why."""
    path, stolen = lists
    house.authority.crl(path, seconds=1) if fault == "expired" else house.authority.crl(path, begin=3600, seconds=7200)
    time.sleep(1.1)
    house.inst.stop()
    before = len(changes(house))
    house.inst.start()
    assert house.inst.management("GET", "/readyz")[0] == 200
    assert house.inst.request("POST", "/v1/chat/completions", CHAT)[0] == 200
    assert house.is_refused(app) and house.is_refused(stolen) and house.ask(None)[0] == 401
    wait_for(lambda: changes(house)[before:])
    assert "certificates of that authority are refused" in house.inst.text_log()
    assert shown(house)["state"] == fault
    assert "certificates of clients are refused" in house.inst.operate("status").stdout
    checked = house.inst.cli("config", "check", str(house.inst.conf), check=False)
    assert checked.returncode == 1 and "crl.pem" in checked.stderr, checked.stderr
    time.sleep(2.2)  # the look at the time says it once only
    assert changes(house)[before:] == [("start", fault)]
    house.authority.crl(path, [stolen[0]])
    wait_for(lambda: not house.is_refused(app))
    wait_for(lambda: changes(house)[-1] == ("file", None) and shown(house)["state"] == "good")
    assert house.is_refused(stolen) and "certificates of clients" not in house.inst.operate("status").stdout


def test_lists_that_are_to_count_soon_count_then(house, app, lists):
    """An authority's clock is ahead by some seconds: its list is spoken of once, and looked at until it counts."""
    path, stolen = lists
    late = house.issue("late", [APP])
    before = len(changes(house))
    house.authority.crl(path, [stolen[0]])
    wait_for(lambda: changes(house)[before:] and house.is_refused(stolen))
    before = len(changes(house))
    house.authority.crl(path, [stolen[0], late[0]], begin=8, seconds=3600)
    wait_for(lambda: changes(house)[before:])
    assert not house.is_refused(late) and house.is_refused(stolen)
    wait_for(lambda: house.is_refused(late))
    wait_for(lambda: len(changes(house)) >= before + 2)
    assert changes(house)[before:] == [("file", "early"), ("file", None)]
    assert house.ask(app)[0] == 200


def test_what_was_judged_before_other_lists_makes_no_session(house, app, lists):
    """The head is here, its last byte comes when there are other lists: who it was then is not who it is."""
    path, stolen = lists
    body = urllib.parse.urlencode(EXCHANGE).encode()
    head = f"POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    c = house.connection(app)
    c.connect()
    with contextlib.closing(c):
        c.sock.sendall(head.encode() + body[:-1])
        time.sleep(1)  # the certificate is found good
        before = len(changes(house))
        house.authority.crl(path, [stolen[0], app[0]])
        wait_for(lambda: changes(house)[before:])
        wait_for(lambda: house.is_refused(app))
        time.sleep(2.2)  # what is made in the first second of other lists is in doubt anyway
        c.sock.sendall(body[-1:])
        answer = c.sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"access_token" not in answer, answer
    house.authority.crl(path, [stolen[0]])
    wait_for(lambda: not house.is_refused(app))


@pytest.fixture
def second(house, lists):
    """Another authority beside the first. -> it, and what puts lists of both in their place"""
    path, stolen = lists
    by = Authority(house.folder.sub("second"), "Second")
    cas, parts = house.folder.path / "both.pem", [house.folder.path / f"{n}.crl" for n in "ab"]
    cas.write_bytes(house.authority.ca.read_bytes() + by.ca.read_bytes())

    def put(revoked, **its):
        house.authority.crl(parts[0], [stolen[0], *revoked])
        by.crl(parts[1], **its)
        fresh = house.folder.path / "both.crl"
        fresh.write_bytes(b"".join(p.read_bytes() for p in parts))
        fresh.replace(path)

    put([])
    house.configure(CLIENTS, path, ca=cas)
    yield by, put
    house.authority.crl(path, [stolen[0]])
    house.configure(CLIENTS, path)


def test_one_authority_does_not_wait_for_another(house, app, second):
    """Its new list counts at once, whatever the other one's is; who is of the other is judged by what was in use."""
    by, put = second
    theirs, late = house.issue("theirs", [APP], by=by), house.issue("too late", [APP])
    wait_for(lambda: not house.is_refused(theirs))  # each worker of the new configuration is there
    assert house.ask(theirs)[0] == house.ask(late)[0] == 200
    before = len(changes(house))
    put([late[0]], begin=-60, seconds=-1)
    wait_for(lambda: house.is_refused(late))
    assert house.ask(theirs)[0] == house.ask(app)[0] == 200
    wait_for(lambda: changes(house)[before:])
    assert changes(house)[before:] == [("file", "expired")]
    assert house.records("RevocationsChanged")[-1]["event"]["authority"] == "CN=Second"
    assert {k: shown(house)[k] for k in ("state", "fault", "authority")} == {
        "state": "good", "fault": "expired", "authority": "CN=Second"}
    assert "not in use as it is: expired, of CN=Second" in house.inst.operate("status").stdout
    house.inst.operate("reload")
    assert house.is_refused(late) and house.ask(theirs)[0] == 200
    put([late[0]])
    wait_for(lambda: changes(house)[-1] == ("file", None))
    assert shown(house)["fault"] is None and house.is_refused(late) and house.ask(theirs)[0] == 200


def test_a_start_with_what_is_no_list_is_refused(house, app, lists):
    path, _ = lists
    good = path.read_bytes()
    house.inst.stop()
    for text, why in ((b"nothing\n", "is none in PEM"), (None, "crl.pem")):
        path.write_bytes(text) if text else path.unlink()
        with pytest.raises(RuntimeError, match=why):
            house.inst.start()
    path.write_bytes(good)
    house.inst.start()
    assert house.ask(app)[0] == 200
