# SPDX-License-Identifier: Apache-2.0
"""`sallyport login` and `logout`: people at a terminal, by the device flow of a real provider (oidc-provider)."""

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import time
import urllib.parse

import pytest

from idp import AUDIENCE, Idp
from instance import running
from places import places


def with_login(idp):
    return lambda text: text + (
        f"\noidc:\n- issuer: '{idp.issuer}'\n  audience: {AUDIENCE}\n  ca_file: {idp.ca_file}\n"
        "  claims: { tenant: tenant, user: sub, roles: groups }\n  roles_map: { /staff: user, /admins: auditor }\n"
        "  login_client_id: terminal\n  login_scope: openid use\n")


@pytest.fixture(scope="module")
def idp(tmp_path_factory):
    from pki import Authority

    with Idp(Authority(tmp_path_factory.mktemp("idp-ca")), places()["node_modules"]) as one:
        yield one


@pytest.fixture(scope="module")
def house(idp):
    with running(edit=with_login(idp)) as inst:
        yield inst


class Person:
    """Somebody with a home of their own."""

    def __init__(self, house, idp, home):
        self.house, self.idp, self.home = house, idp, home
        self.file = home / ".config" / "sallyport" / "session"

    def env(self, **more):
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "SALLYPORT_CA_FILE": self.house.ca,
                "SALLYPORT_ISSUER_CA_FILE": self.idp.ca_file, **more}

    def run(self, *args, typed="", **env):
        return subprocess.run([str(self.house.build / "sallyport"), *args], text=True, capture_output=True, timeout=60,
                              env=self.env(**env), input=typed)

    def told(self, *args, **more):
        r = self.run(*args, **more)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def begin(self, *args, **env):
        """-> process, the page that it says to open"""
        # As from a terminal: what a shell starts in the background ignores SIGINT, and so do its children.
        p = subprocess.Popen([str(self.house.build / "sallyport"), "login", "--url", self.house.url, *args], text=True,
                             stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env(**env),
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        said = ""
        for line in p.stderr:
            said += line
            if "Waiting" in line:
                break
        found = re.search(r"or open\s+(https://\S+)", said)
        assert found and re.search(r"enter the code\s+\S{4}-\S{4}", said), said
        return p, found[1]

    def login(self, who, *args, decide="yes"):
        p, page = self.begin(*args)
        with p:
            self.idp.approve(page, who, decide)
            out, err = p.communicate(timeout=40)
        return p.returncode, out, err

    def keep(self, token):
        """A session for a token of the provider, as a login keeps it."""
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": token,
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
        status, _, answer = self.house.request("POST", "/auth/token", urllib.parse.urlencode(form), key=token,
                                               headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert status == 200, answer
        self.file.parent.mkdir(parents=True, mode=0o700)
        self.file.touch(0o600)
        self.file.write_text(f"{self.house.url}\n{self.house.ca}\n{int(time.time()) + 900}\n{answer['access_token']}")

    def ask(self, **env):
        return self.run("ask", "Hi.", **env)


@pytest.fixture
def person(house, idp, tmp_path):
    return Person(house, idp, tmp_path)


def test_sign_in_use_and_sign_out(house, idp, person):
    assert "nobody has signed in" in person.ask().stderr
    rc, out, err = person.login("ann")
    assert (rc, out) == (0, ""), err
    assert "Signed in at" in err
    mode = person.file.stat()
    assert stat.S_IMODE(mode.st_mode) == 0o600 and os.listdir(person.file.parent) == ["session"]
    token = person.file.read_text().splitlines()[-1]
    assert token not in err and token.count(".") == 2
    assert person.ask().returncode == 0
    assert person.ask(SALLYPORT_URL=house.url).returncode == 0
    assert "not where you have signed in" in person.ask(SALLYPORT_URL="https://127.0.0.1:1").stderr
    last = [r for r in house.records() if r["event"]["type"] == "SessionCreated"][-1]
    assert last["event"]["method"] == "oidc"
    # The next one takes its place: nobody would end it any more.
    rc, _, err = person.login("ann")
    assert rc == 0 and "could not be ended" not in err, err
    former, token = token, person.file.read_text().splitlines()[-1]
    assert [house.request("GET", "/v1/models", key=t)[0] for t in (former, token)] == [401, 200]
    # A key in the environment counts before it.
    assert person.ask(SALLYPORT_URL=house.url, SALLYPORT_API_KEY="sp_x").returncode == 1
    assert person.run("logout").returncode == 0
    assert not person.file.exists() and person.ask().returncode == 1
    assert house.request("GET", "/v1/models", key=token)[0] == 401
    assert "nobody has signed in" in person.run("logout").stderr


def test_who_refuses_or_waits_too_long_is_not_let_in(house, idp, person):
    rc, _, err = person.login("ann", decide="no")
    assert rc == 1 and "refused" in err
    idp.do("deviceTtl", seconds=2)
    try:
        r = person.run("login", "--url", house.url)
        assert r.returncode == 1 and "expired" in r.stderr
    finally:
        idp.do("deviceTtl", seconds=600)
    assert not person.file.exists()


def test_one_without_a_tenant_of_ours_is_told_so(person):
    rc, _, err = person.login("nobody")
    assert rc == 1 and "401" in err
    assert not person.file.exists()


def test_interrupted_it_leaves_nothing(house, person):
    p, _ = person.begin()
    with p:
        p.send_signal(signal.SIGINT)
        try:
            p.communicate(timeout=40)
        finally:
            p.kill()
    assert p.returncode == -signal.SIGINT
    assert [f for f in person.home.rglob("*") if f.is_file()] == []


def test_the_file_is_ones_own_or_it_is_none(house, idp, person):
    person.file.parent.mkdir(parents=True, mode=0o700)
    person.file.write_text(f"{house.url}\n{house.ca}\n{int(time.time()) + 60}\n{house.key}")
    person.file.chmod(0o644)
    assert "not yours alone" in person.ask().stderr
    person.file.chmod(0o600)
    assert person.ask().returncode == 0
    for text in ("", "x", "\n\n\n", f"{house.url}\n{house.ca}\n0x10\n{house.key}", f"{house.url}\n{house.ca}\n99\na b"):
        person.file.write_text(text)
        assert person.ask().returncode == 1, text
    person.file.write_text(f"{house.url}\n{house.ca}\n{int(time.time()) - 1}\n{house.key}")
    assert "has ended" in person.ask().stderr
    person.file.unlink()
    person.file.symlink_to(house.ca)
    assert person.ask().returncode == 1


def test_authorities_count(house, idp, person):
    assert "no authority that is trusted" in person.run("login", "--url", house.url, SALLYPORT_ISSUER_CA_FILE=house.ca).stderr
    assert "no authority that is trusted" in person.run("login", "--url", house.url, SALLYPORT_CA_FILE=idp.ca_file).stderr
    assert "not one of the service" in person.run("login", "--url", house.url, "--issuer", "https://x.example").stderr
    assert "where?" in person.run("login").stderr


def test_what_anybody_may_ask(house, idp):
    """The one path that is answered without a credential: this request, and no other that looks like it."""
    expected = {"issuers": [{"issuer": idp.issuer, "client_id": "terminal", "scope": "openid use"}]}
    assert house.request("GET", "/auth/login", key="")[::2] == (200, expected)
    assert house.request("GET", "/auth/login")[::2] == (200, expected)
    for method, path in (("POST", "/auth/login"), ("GET", "/auth/login?x=1"), ("GET", "/auth/login/"), ("HEAD", "/auth/login"),
                         ("GET", "/auth/Login"), ("GET", "/auth"), ("GET", "/openapi.json"), ("DELETE", "/auth/login")):
        assert house.request(method, path, key="")[0] == 401, (method, path)


def test_without_an_issuer_it_is_like_any_other(make_instance):
    inst = make_instance()
    assert inst.request("GET", "/auth/login", key="")[0] == 401
    assert inst.request("GET", "/auth/login")[::2] == (200, {"issuers": []})
    r = subprocess.run([str(inst.build / "sallyport"), "login", "--url", inst.url], text=True, capture_output=True,
                       timeout=30, env={"PATH": os.environ["PATH"], "SALLYPORT_CA_FILE": inst.ca})
    assert r.returncode == 1 and "names no identity provider" in r.stderr


def test_what_one_may_do_about_oneself(house, idp, person, tmp_path):
    """Who has signed in needs no curl: who it is, its keys and sessions, its data."""
    assert "nobody has signed in" in person.run("me", "show").stderr
    assert person.login("bob")[0] == 0
    me = json.loads(person.told("me", "show", "--json"))
    assert (me["tenant"], me["roles"], me["state"], me["hold"]) == ("acme", ["user"], "active", False)
    name = f"acme/{me['id']}"
    shown = person.told("me", "show")
    assert house.url in shown and me["subject"] in shown and 'roles        user\n' in shown
    # A second session, as from elsewhere; each is seen by both, and ended by either.
    other = Person(house, idp, tmp_path / "elsewhere")
    other.keep(idp.token("bob"))
    assert json.loads(other.told("me", "show", "--json")) == me
    mine = json.loads(person.told("me", "sessions", "--json"))["sessions"]
    assert len(mine) == 2 and all(s["user"] == me["id"] for s in mine)
    assert all(s["id"] in other.told("me", "sessions") for s in mine)
    assert "is none of yours" in person.run("me", "end-session", "0" * 32).stderr
    assert person.run("me", "end-session", "../keys").returncode == 2
    assert "revoked" in person.run("me", "end-session", mine[0]["id"]).stderr
    left, = (who for who in (person, other) if who.run("me", "show").returncode == 0)
    # What is kept of it, and then nothing.
    lines = [json.loads(line) for line in left.told("me", "export").splitlines()]
    assert lines[0]["type"] == "user" and lines[0]["user"] == me["id"]
    for typed in ("", "yes\n", name[:-1] + "\n", name + "x\n"):
        r = left.run("me", "erase", typed=typed)
        assert r.returncode == 1 and "nothing was done" in r.stderr and name in r.stderr
    assert left.told("me", "show")
    r = left.run("me", "erase", typed=name + "\n")
    assert r.returncode == 0 and "erased" in r.stderr
    assert not left.file.exists() and "nobody has signed in" in left.run("me", "show").stderr


def test_an_auditor_reads_the_log(person):
    assert person.login("ann")[0] == 0
    assert "auditor" in person.told("me", "show")
    records = [json.loads(line) for line in person.told("audit", "read").splitlines()]
    subjects = {r["subject"] for r in records}
    mine = json.loads(person.told("me", "show", "--json"))["subject"]
    assert mine in subjects and all(records[i]["seq"] < records[i + 1]["seq"] for i in range(len(records) - 1))
    created = [json.loads(line) for line in person.told("audit", "read", "--type", "SessionCreated", "-s", "1h").splitlines()]
    assert created and {r["event"]["type"] for r in created} == {"SessionCreated"}
    assert person.run("audit", "read", "--type", "a b").returncode == 2
    assert "no records of this type" in person.run("audit", "read", "--type", "Nothing").stderr
    r = person.run("me", "erase", typed="acme/" + json.loads(person.told("me", "show", "--json"))["id"] + "\n")
    assert r.returncode == 1 and "takes the other roles away" in r.stderr and person.file.exists()


def test_with_a_key_of_the_environment(house, person):
    """An administrator sees others' keys elsewhere; what it calls its own is its own."""
    status, answer = house.management("POST", "/admin/v1/users", {"tenant": "acme", "user": "boss", "roles": ["owner", "user"]})
    assert status == 201, answer
    texts = [json.loads(house.management("POST", "/admin/v1/keys", {"tenant": "acme", "user": user})[1])["key"]
             for user in ("boss", "boss", "kim")]
    env = {"SALLYPORT_URL": house.url, "SALLYPORT_API_KEY": texts[0]}
    ids = [text[3:15] for text in texts]
    assert {k["id"] for k in json.loads(person.told("me", "keys", "--json", **env))["keys"]} == set(ids[:2])
    assert ids[1] in person.told("me", "keys", **env)
    assert "is none of yours" in person.run("me", "revoke-key", ids[2], **env).stderr
    assert person.run("me", "revoke-key", "nothing", **env).returncode == 2
    assert "revoked" in person.run("me", "revoke-key", ids[1], **env).stderr
    assert house.request("GET", "/v1/models", key=texts[1])[0] == 401
    assert house.request("GET", "/v1/models", key=texts[2])[0] == 200
    r = person.run("audit", "read", **env)
    assert r.returncode == 1 and "role" in r.stderr
