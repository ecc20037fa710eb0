# SPDX-License-Identifier: Apache-2.0
"""People who sign in with the house's own identity provider: a real one (oidc-provider), its keys and their
rollover, tokens that are none, and the provider away."""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import threading
import time

import pytest

from idp import AUDIENCE, Idp, parts
from instance import wait_for
from places import places

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi."}]}


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def with_issuer(idp, more=""):
    return lambda text: text + (
        f"\noidc:\n- issuer: '{idp.issuer}'\n  audience: {AUDIENCE}\n  ca_file: {idp.ca_file}\n"
        "  claims: { tenant: tenant, user: sub, roles: groups }\n"
        "  roles_map: { /staff: user, /admins: administrator }\n" + more)


def issuer_of(inst):
    return json.loads(inst.management("GET", "/status")[1])["issuers"][0]


def chat(inst, key, timeout=30):
    status, headers, body = inst.request("POST", "/v1/chat/completions", CHAT, key=key, timeout=timeout)
    return status, body


@pytest.fixture
def idp(authority):
    with Idp(authority, places()["node_modules"]) as one:
        yield one


@pytest.fixture
def house(idp, make_instance):
    """A service that knows the provider, and holds its keys."""
    inst = make_instance(edit=with_issuer(idp))
    wait_for(lambda: issuer_of(inst)["keys"] == 1)
    return inst


def claims_of(idp, **more):
    now = int(time.time())
    return {"iss": idp.issuer, "aud": AUDIENCE, "sub": "ann", "tenant": "acme", "groups": ["/staff"], "iat": now,
            "exp": now + 300, **more}


def test_people_of_the_provider_are_let_in(house, idp):
    assert chat(house, idp.token("ann"))[0] == 200
    assert chat(house, idp.token("eve"))[0] == 200
    assert chat(house, idp.sign(claims_of(idp)))[0] == 200
    status, _, models = house.request("GET", "/v1/models", key=idp.token("bob"))
    assert status == 200 and models["data"]
    assert chat(house, house.key)[0] == 200  # keys go on as before
    status, _, _ = house.request("GET", "/v1/models", key="x", headers={"Authorization": "", "x-api-key": idp.token("ann")})
    assert status in (200, 401)  # two different credentials are none; see below
    assert idp.counts() == {"discovery": 1, "keys": 1}


def bad_tokens(idp):
    good = idp.sign(claims_of(idp))
    header, claims, signature = good.split(".")
    now = int(time.time())

    def but(**more):
        return idp.sign({k: v for k, v in claims_of(idp, **more).items() if v is not None})

    def unsigned(head):
        return f"{b64(head)}.{claims}."

    def hs256(secret):
        text = b64({"alg": "HS256", "typ": "JWT", "kid": parts(good)[0]["kid"]}) + "." + claims
        return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())

    kid = parts(good)[0]["kid"]
    modulus = base64.urlsafe_b64decode(idp.do("modulus")["n"] + "==")
    return {
        "none": unsigned({"alg": "none"}) + "AA",
        "none, empty": unsigned({"alg": "none", "kid": kid}),
        "nOnE": unsigned({"alg": "nOnE", "kid": kid}) + signature,
        "HMAC by the modulus": hs256(modulus),
        "HMAC by the PEM": hs256(idp.do("pem")["pem"].encode()),
        "HMAC by nothing": hs256(b""),
        "kid traversal": idp.sign(claims_of(idp), kid="../../../../../../dev/null"),
        "kid of SQL": idp.sign(claims_of(idp), kid="x' UNION SELECT 'key' --"),
        "crit": f"{b64({'alg': 'RS256', 'kid': kid, 'crit': ['x'], 'x': 1})}.{claims}.{signature}",
        "type of something else": idp.sign(claims_of(idp), typ="dpop+jwt"),
        "expired": but(iat=now - 900, exp=now - 120),
        "not yet": but(nbf=now + 300),
        "issued tomorrow": but(iat=now + 86400, exp=now + 90000),
        "without an end": but(exp=None),
        "for another": but(aud="other"),
        "for nobody": but(aud=None),
        "for us in capitals": but(aud="SALLYPORT"),
        "of another issuer": but(iss="https://evil.example"),
        "of the issuer with a slash": but(iss=idp.issuer + "/"),
        "without a tenant": but(tenant=None),
        "of a tenant with a slash": but(tenant="../acme"),
        "user of SQL": but(sub="a'; DROP TABLE users; --"),
        "65 roles": but(groups=["/staff"] * 65),
        "1,000 roles": but(groups=["/staff"] * 1000),
        "roles that are none": but(groups={"a": 1}),
        "more than 8 KiB": but(groups=["x" * 9000]),
        "a part less": f"{header}.{claims}",
        "a part more": f"{good}.AA",
        "cut": good[:-10],
        "no signature": f"{header}.{claims}.",
        "another signature": f"{header}.{claims}.{b64(bytes(256))}",
        "another's claims": f"{header}.{b64(claims_of(idp, sub='eve'))}.{signature}",
        "claims twice": idp.do("raw", payload=json.dumps(claims_of(idp))[:-1] + ',"sub":"eve"}')["token"],
        "claims in two cases": idp.do("raw", payload=json.dumps(claims_of(idp))[:-1] + ',"Sub":"eve"}')["token"],
        "no object": idp.do("raw", payload='"' + good + '"')["token"],
        "a key of its own": idp.do("stranger", claims=claims_of(idp), how="jwk")["token"],
        "a place for keys of its own": idp.do("stranger", claims=claims_of(idp), how="jku")["token"],
    }


def test_bad_tokens_are_nobodys(house, idp):
    """The same answer whatever is wrong, and as without any credential; what names keys of its own moves nothing."""
    none = chat(house, "")
    assert none[0] == 401
    for name, token in bad_tokens(idp).items():
        status, body = chat(house, token)
        assert status == 401, name
        body["error"].pop("request_id", None)
        expected = dict(none[1]["error"])
        expected.pop("request_id", None)
        assert body["error"] == expected, name
    # 10,000 roles are no request at all.
    assert chat(house, idp.sign(claims_of(idp, groups=["/staff"] * 10000)))[0] == 431
    assert chat(house, idp.sign(claims_of(idp)))[0] == 200
    assert idp.counts()["keys"] <= 2  # strange kids: once a minute at most


def test_keys_roll_over_under_load(house, idp):
    """Old and new tokens, all the time: none is refused while the new key comes and the old one goes."""
    tokens, stop, seen = [idp.token("ann")], threading.Event(), []

    def client():
        while not stop.is_set():
            seen.append(chat(house, tokens[-1])[0])
            time.sleep(0.02)  # each is a handshake, and one source has 500 of them a second

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        running = [pool.submit(client) for _ in range(6)]
        time.sleep(1)
        kid = idp.roll(keep=True)
        tokens.append(idp.token("ann"))
        assert parts(tokens[-1])[0]["kid"] == kid
        time.sleep(2)
        stop.set()
        for r in running:
            r.result()
    assert len(seen) > 20 and set(seen) == {200}
    assert idp.counts()["keys"] == 2  # one flight for all of them
    assert chat(house, tokens[0])[0] == 200  # published still
    assert issuer_of(house)["keys"] == 2


def test_a_key_that_went_verifies_nothing(house, idp):
    old = idp.token("ann")
    assert chat(house, old)[0] == 200
    idp.roll()
    assert chat(house, idp.token("ann"))[0] == 200
    assert chat(house, old)[0] == 401


def test_the_provider_is_away(house, idp):
    """What is held goes on; a service that starts meanwhile says 503, and lets people in when it is back."""
    token = idp.token("ann")
    fresh = idp.token("bob")
    assert chat(house, token)[0] == 200
    idp.mode("fail")
    assert chat(house, token)[0] == 200
    assert chat(house, fresh)[0] == 200
    idp.do("hide")
    assert chat(house, idp.sign(claims_of(idp)))[0] == 503  # a key that may be good
    house.stop()
    house.start()
    assert chat(house, token)[0] == 503
    assert chat(house, house.key)[0] == 200
    assert "fault" in issuer_of(house)
    idp.mode("good")
    wait_for(lambda: chat(house, fresh)[0] == 200, 30)


def test_a_provider_that_does_not_answer_is_waited_for_shortly(idp, make_instance):
    token = idp.token("ann")
    idp.mode("hang")
    house = make_instance(edit=with_issuer(idp))
    began = time.monotonic()
    assert chat(house, token)[0] == 503
    assert time.monotonic() - began < 15
    assert chat(house, house.key)[0] == 200


@pytest.mark.parametrize("mode", ["redirect", "huge", "evil"])
def test_documents_from_elsewhere_are_not_taken(idp, make_instance, mode):
    token = idp.token("ann")
    idp.mode(mode)
    house = make_instance(edit=with_issuer(idp))
    assert chat(house, token)[0] == 503
    assert issuer_of(house)["keys"] == 0 and "fault" in issuer_of(house)


def test_a_reload_forgets_an_issuer(house, idp):
    token = idp.token("ann")
    assert chat(house, token)[0] == 200
    house.edit(lambda text: text[:text.index("\noidc:")])
    house.operate("reload")
    wait_for(lambda: chat(house, token)[0] == 401)
    house.edit(with_issuer(idp))
    house.operate("reload")
    wait_for(lambda: chat(house, token)[0] == 200)


def test_people_are_known_like_any_other(house, idp):
    """Roles are the token's; the log says what was wrong and names nobody; a revoked person stays out."""
    assert chat(house, idp.sign(claims_of(idp, sub="carol")))[0] == 200
    assert chat(house, idp.sign(claims_of(idp, sub="carol", groups=["/nobody"])))[0] == 403
    assert chat(house, idp.sign(claims_of(idp, sub="carol", exp=1)))[0] == 401
    records = house.records()
    methods = [(r["event"]["success"], r["event"].get("reason")) for r in records
               if r["event"]["type"] == "Authentication" and r["event"]["method"] == "oidc"]
    assert (True, None) in methods and (False, "expired") in methods
    assert [r["phase"] for r in records if r["event"]["type"] == "KeyCreated"][-4:] == ["intent", "outcome"] * 2
    assert "carol" not in json.dumps(records)
    keys = [k for k in json.loads(house.operate("key", "list", "--json").stdout)["keys"] if k["user"] == "carol"]
    assert len(keys) == 2 and {k["tenant"] for k in keys} == {"acme"}
    for k in keys:
        house.operate("key", "revoke", k["id"])
    assert chat(house, idp.sign(claims_of(idp, sub="carol")))[0] == 401
    assert chat(house, idp.sign(claims_of(idp, sub="ann")))[0] == 200
