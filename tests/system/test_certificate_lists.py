# SPDX-License-Identifier: Apache-2.0
"""Machines' certificates that are revoked: lists come, are over, are older than others; what is made of them ends."""

import contextlib
import http.client
import json
import os
import ssl
import time
import urllib.parse

import pytest

from machines import APP, CHAT, CLIENTS, EXCHANGE, FORM, app, ask_token, house
from pki import Authority


def house_http2(house, pair):
    httpx = pytest.importorskip("httpx")
    return httpx.Client(http2=True, verify=house.tls(pair), timeout=30)


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


def test_a_refused_configuration_says_nothing_of_the_lists_in_use(house, app, lists):
    """Its file is not there; the one in use is good, and nobody looks at the other again."""
    path, _ = lists
    wait_for(lambda: shown(house)["fault"] is None)
    house.inst.edit(lambda text: text.replace(str(path), f"{path}.gone"))
    failed = house.inst.operate("reload", check=False)
    assert failed.returncode == 1 and "crl.pem.gone" in failed.stderr, failed.stderr
    house.inst.edit(lambda text: text.replace(f"{path}.gone", str(path)))
    wait_for(lambda: changes(house)[-1] == ("reload", "unreadable"))
    assert shown(house)["fault"] is None and shown(house)["state"] == "good" and house.ask(app)[0] == 200


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
    house.inst.stop()
    (house.inst.dir / "crl.used").unlink()
    house.authority.crl(path, seconds=1) if fault == "expired" else house.authority.crl(path, begin=3600, seconds=7200)
    time.sleep(1.1)
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
    for begin in (8, 40):  # the second on a machine that is so slow
        late = house.issue(f"late{begin}", [APP])
        before = len(changes(house))
        house.authority.crl(path, [stolen[0]])
        wait_for(lambda: changes(house)[before:] and house.is_refused(stolen))
        before = len(changes(house))
        house.authority.crl(path, [stolen[0], late[0]], begin=begin, seconds=3600)
        wait_for(lambda: changes(house)[before:])
        if not house.is_refused(late):
            break
    else:
        pytest.fail("it counts before its time")
    assert house.is_refused(stolen)
    wait_for(lambda: house.is_refused(late), 60)
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
def second(request, house, lists):
    """Another authority beside the first. -> it, and what puts lists of both in their place"""
    path, stolen = lists
    by = Authority(house.folder.sub(request.node.name), "Second")
    cas, parts = house.folder.path / "both.pem", [house.folder.path / f"{n}.crl" for n in "ab"]
    cas.write_bytes(house.authority.ca.read_bytes() + by.ca.read_bytes())

    def put(revoked, first=None, theirs=(), **its):
        """`first`: its list as it is, not another one"""
        parts[0].write_bytes(first) if first else house.authority.crl(parts[0], [stolen[0], *revoked])
        by.crl(parts[1], theirs, **its)
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
    wait_for(lambda: changes(house)[before:] == [("file", "expired")])
    assert house.records("RevocationsChanged")[-1]["event"]["authority"] == "CN=Second"
    assert {k: shown(house)[k] for k in ("state", "fault", "authority")} == {
        "state": "good", "fault": "expired", "authority": "CN=Second"}
    assert "(CN=Second) of ca_file has no list that still counts; the list in use of that authority stays" in house.inst.text_log()
    assert "not in use as it is: expired, of CN=Second" in house.inst.operate("status").stdout
    house.inst.operate("reload")
    assert house.is_refused(late) and house.ask(theirs)[0] == 200
    put([late[0]])
    wait_for(lambda: changes(house)[-1] == ("file", None) and shown(house)["fault"] is None)
    assert house.is_refused(late) and house.ask(theirs)[0] == 200


def test_long_lists_find_room_beside_those_in_use(house, app, second):
    """One authority's long list stays in use, another one's comes: together they are more than a file may have."""
    by, put = second
    theirs, part = house.issue("beside", [APP], by=by), house.folder.path / "long.crl"
    wait_for(lambda: not house.is_refused(theirs))
    house.authority.crl(part, begin=-60)
    old = part.read_bytes()
    house.authority.crl(part, more=26000)
    assert len(part.read_bytes()) > 5 << 18
    before = len(changes(house))
    put([], first=part.read_bytes())
    wait_for(lambda: changes(house)[before:] == [("file", None)])
    put([], first=old, theirs=[theirs[0]], more=26000)
    wait_for(lambda: changes(house)[before + 1:])
    assert changes(house)[before + 1:] == [("file", "older")]
    wait_for(lambda: house.is_refused(theirs))
    house.inst.stop()
    assert (house.inst.dir / "crl.used").stat().st_size > 5 << 19
    house.inst.start()
    assert house.ask(app)[0] == 200 and house.is_refused(theirs)
    wait_for(lambda: changes(house)[-1] == ("start", "older"))


def test_each_authoritys_end_is_on_record(house, lists, second):
    """Once, also of the one that is over when another one's lists are over already; and at a start."""
    _, put = second
    part = house.folder.path / "short.crl"

    def over(before):
        return [(r["event"]["why"], r["event"]["authority"]) for r in house.records("RevocationsChanged")[before:] if r["event"].get("fault")]

    for life_s in (8, 40):  # the second on a machine that is so slow
        before = len(changes(house))
        house.authority.crl(part, [lists[1][0]], seconds=life_s + 2)
        put([], first=part.read_bytes(), seconds=life_s)
        wait_for(lambda: changes(house)[before:])
        if changes(house)[before] == ("file", None):
            break
    else:
        pytest.fail("they are over before they are in use")
    wait_for(lambda: len(over(before)) >= 2, 60)
    house.inst.operate("reload")
    time.sleep(1.5)
    assert sorted(over(before)) == [("schedule", "CN=Clients"), ("schedule", "CN=Second")]
    house.inst.stop()
    before = len(changes(house))
    house.inst.start()
    wait_for(lambda: len(over(before)) >= 2)
    time.sleep(1.5)
    assert over(before) == [("start", "CN=Clients"), ("schedule", "CN=Second")]


def test_an_older_list_where_the_one_in_use_is_over(house, app, lists):
    """It does not count; that nothing else does is on record, too."""
    path, _ = lists
    for life_s in (6, 30):  # on a slow machine they are over before they are in use
        house.authority.crl(path)
        old = path.read_bytes()
        time.sleep(1.1)     # made in another second
        before = len(changes(house))
        house.authority.crl(path, seconds=life_s)
        over_at = time.time() + life_s + 1
        wait_for(lambda: changes(house)[before:])
        if changes(house)[before] == ("file", None):
            break
    else:
        pytest.fail("they are over before they are in use")
    house.inst.stop()
    time.sleep(max(0, over_at - time.time()))
    path.write_bytes(old)
    before = len(changes(house))
    house.inst.start()
    wait_for(lambda: len(changes(house)) >= before + 2)
    assert changes(house)[before:] == [("start", "older"), ("schedule", "expired")]
    assert "has an older list than the one in use; certificates of that authority are refused" in house.inst.text_log()
    assert house.is_refused(app)
    house.authority.crl(path)
    wait_for(lambda: not house.is_refused(app))


def test_an_older_list_takes_no_revocation_back(house, app, lists):
    """Whoever puts it back; also at a start; but not for an operator who means it."""
    path, stolen = lists
    back = house.issue("back", [APP])

    def put(data):
        fresh = house.folder.path / "older.crl"
        fresh.write_bytes(data)
        fresh.replace(path)

    house.authority.crl(path, [stolen[0]])
    old = path.read_bytes()
    wait_for(lambda: house.is_refused(stolen))
    time.sleep(1.1)  # made in another second
    house.authority.crl(path, [stolen[0], back[0]])
    new = path.read_bytes()
    wait_for(lambda: house.is_refused(back))
    before = len(changes(house))
    put(old)
    wait_for(lambda: changes(house)[before:])
    assert house.is_refused(back) and house.ask(app)[0] == 200
    assert {k: shown(house)[k] for k in ("state", "fault", "authority")} == {
        "state": "good", "fault": "older", "authority": "CN=Clients"}
    house.inst.operate("reload")
    assert house.is_refused(back) and changes(house)[before:] == [("file", "older")]
    house.inst.stop()
    house.inst.start()
    assert house.is_refused(back) and house.ask(app)[0] == 200
    wait_for(lambda: changes(house)[-1] == ("start", "older"))
    house.inst.stop()
    used = house.inst.dir / "crl.used"
    used.unlink()
    os.mkfifo(used)
    before = len(changes(house))
    house.inst.start()
    assert house.ask(back)[0] == 200  # nobody can tell: so it is on record
    wait_for(lambda: changes(house)[before:])
    assert changes(house)[before:] == [("start", "unreadable")]
    assert used.is_file() and used.with_name("crl.used.bad").is_fifo()
    house.inst.stop()
    used.unlink()
    house.inst.start()
    assert house.ask(back)[0] == 200
    put(new)
    wait_for(lambda: house.is_refused(back))
    wait_for(lambda: changes(house)[-1] == ("file", None) and shown(house)["fault"] is None)


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
