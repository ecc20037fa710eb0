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

import pytest

from machines import APP, CHAT, CLIENTS, app, ask_token, exchange, house


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
