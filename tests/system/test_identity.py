# SPDX-License-Identifier: Apache-2.0
"""People and machines: scoped keys, rotation, sessions, administration by roles, two people."""

import base64
import concurrent.futures
import json
import re
import subprocess
import time
import urllib.parse

import pytest

from instance import BUILD, wait_for

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
TYPE = "urn:ietf:params:oauth:token-type:access_token"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"


def operator(inst, method, path, body=None):
    status, data = inst.management(method, "/admin/v1" + path, body)
    return status, json.loads(data)


def new_key(inst, tenant, user, **more):
    status, made = operator(inst, "POST", "/keys", {"tenant": tenant, "user": user, **more})
    assert status == 201, made
    return made


def person(inst, tenant, user, *roles):
    """A user with these roles, and a key."""
    status, made = operator(inst, "POST", "/users", {"tenant": tenant, "user": user, "roles": list(roles)})
    assert status == 201, made
    return new_key(inst, tenant, user)["key"]


def admin(inst, key, method, path, body=None):
    status, _, data = inst.request(method, "/admin/v1" + path, body, key=key)
    return status, data


def form(inst, path, fields, key):
    return inst.request("POST", path, urllib.parse.urlencode(fields), key=key,
                        headers={"Content-Type": "application/x-www-form-urlencoded"})


def exchange(inst, key, **more):
    return form(inst, "/auth/token", {"grant_type": GRANT, "subject_token": key,
                                      "subject_token_type": TYPE, **more}, key)


def chat(inst, key):
    return inst.request("POST", "/v1/chat/completions", CHAT, key=key)[0]


def test_scopes_take_away(service):
    key = new_key(service, "acme", "kim", scopes={"endpoints": ["models"]})["key"]
    assert service.request("GET", "/v1/models", key=key)[0] == 200
    assert chat(service, key) == 403
    key = new_key(service, "acme", "kim", scopes={"models": ["other"]})["key"]
    assert chat(service, key) == 404
    key = new_key(service, "acme", "kim", scopes={"networks": ["127.0.0.0/8", "::1"]})["key"]
    assert chat(service, key) == 200
    key = new_key(service, "acme", "kim", scopes={"networks": ["10.0.0.0/8"]})["key"]
    wrong = service.request("GET", "/v1/models", key=key)
    none = service.request("GET", "/v1/models", key="sp_none")
    assert wrong[0] == none[0] == 401 and wrong[2] == none[2]
    for scopes in ({"endpoint": ["chat"]}, {"networks": ["10.0.0.1/8"]}, {"models": ["*"]}, {"tools": "x"}):
        assert operator(service, "POST", "/keys", {"tenant": "acme", "user": "kim", "scopes": scopes})[0] == 400
    for scopes in ({"endpoints": ["chat", "nope"]}, {"endpoints": []}, {"models": ["gpt*"]}, {"tools": ["acme/x"]},
                   {"languages": ["ruby"]}, {"networks": ["0.0.0.0"]}, {"networks": []}):
        status, answer = operator(service, "POST", "/keys", {"tenant": "acme", "user": "kim", "scopes": scopes})
        error = answer["error"]
        assert status == 400 and error["code"] == "invalid_scopes", answer
        assert error["message"].startswith(f"scopes.{next(iter(scopes))} "), answer


def test_rotation_under_load_fails_nobody(service):
    made = new_key(service, "acme", "rot", scopes={"endpoints": ["models"]})
    keys, statuses, stop = [made["key"]], [], []

    def load():
        while not stop:
            statuses.append(service.request("GET", "/v1/models", key=keys[-1])[0])
            time.sleep(0.01)  # each is a handshake, and one source has 500 of them a second

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(load) for _ in range(2)]
        time.sleep(0.5)
        status, new = operator(service, "POST", f"/keys/{made['id']}/rotate", {"overlap_s": 10})
        assert status == 201 and new["replaces"] == made["id"]
        keys.append(new["key"])
        time.sleep(1)
        stop.append(1)
        for j in jobs:
            j.result()
    assert set(statuses) == {200} and len(statuses) > 10
    assert operator(service, "POST", f"/keys/{made['id']}/rotate", {})[0] == 409    # two live ones
    assert operator(service, "POST", f"/keys/{new['id']}/rotate", {})[0] == 409
    wait_for(lambda: service.request("GET", "/v1/models", key=made["key"])[0] == 401, 60)
    assert service.request("GET", "/v1/models", key=new["key"])[0] == 200
    assert chat(service, new["key"]) == 403                                         # the same rights
    rows = {k["id"]: k for k in operator(service, "GET", "/keys?tenant=acme&user=rot")[1]["keys"]}
    assert rows[new["id"]]["replaces"] == made["id"] and rows[new["id"]]["last_used_s"] > 0
    assert rows[new["id"]]["scopes"] == {"endpoints": ["models"]}


def claims_of(token):
    head, payload, _ = token.split(".")
    load = lambda part: json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return load(head), load(payload)


def test_sessions_are_narrower_and_end(service):
    made = new_key(service, "acme", "ses")
    status, _, got = exchange(service, made["key"], scope="endpoint:models", expires_in="120")
    assert status == 200 and got["token_type"] == "Bearer" and got["expires_in"] == 120, got
    head, claims = claims_of(got["access_token"])
    assert head["alg"] == "EdDSA" and head["typ"] == "at+jwt" and claims["client_id"] == made["id"]
    assert claims["exp"] - claims["iat"] == 120 and "ses" not in claims["sub"]
    token = got["access_token"]
    assert service.request("GET", "/v1/models", key=token)[0] == 200
    assert chat(service, token) == 403
    status, _, again = exchange(service, token)
    assert status == 400 and again["error"] == "invalid_request"      # no session of a session
    narrow = new_key(service, "acme", "ses", scopes={"endpoints": ["models"]})["key"]
    assert exchange(service, narrow, scope="endpoint:models endpoint:chat")[2]["error"] == "invalid_scope"
    for none in ("x", "endpoint:nope", "language:cobol", "model:gpt*"):
        status, _, answer = exchange(service, made["key"], scope=none)
        assert (status, answer["error"]) == (400, "invalid_scope"), none
    assert form(service, "/auth/token", {"grant_type": "password"}, made["key"])[2]["error"] == \
        "unsupported_grant_type"
    assert form(service, "/auth/token", {"a": "b"}, made["key"])[2]["error"] == "invalid_request"
    spare = exchange(service, made["key"], client_id="x", client_secret=made["key"], audience="sallyport",
                     resource=service.url)[2]["access_token"]
    assert form(service, "/auth/revoke", {"token": spare, "client_id": "x", "client_secret": made["key"]}, made["key"])[0] == 200
    assert exchange(service, made["key"], resource=service.url + "/v1")[2]["error"] == "invalid_target"
    tampered = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert service.request("GET", "/v1/models", key=tampered)[0] == 401
    # one's own, by RFC 7009; anything else is no error
    assert form(service, "/auth/revoke", {"token": "nothing"}, made["key"])[0] == 200
    assert form(service, "/auth/revoke", {"token": token}, made["key"])[0] == 200
    # a key is nothing that ends there, and nothing that is to be told
    other = new_key(service, "acme", "ses")["key"]
    refused = [form(service, "/auth/revoke", {"token": k}, made["key"]) for k in (made["key"], other)]
    refused += [exchange(service, made["key"], scope="model:" + other), exchange(service, other + " ")]
    refused += [form(service, "/auth/token", {"grant_type": GRANT, "subject_token": other, "subject_token_type": TYPE}, made["key"])]
    assert [a["error"] for _, _, a in refused] == ["unsupported_token_type"] * 2 + ["invalid_request"] * 3
    assert {s for s, _, _ in refused} == {400} and chat(service, made["key"]) == chat(service, other) == 200
    leaks = [r["event"]["key_id"] for r in service.records() if r["event"]["type"] == "KeyLeaked"]
    assert leaks == [other[3:15]] * 3 and other not in service.text_log()
    assert service.request("GET", "/v1/models", key=token)[0] == 401
    # with its key
    token = exchange(service, made["key"])[2]["access_token"]
    assert chat(service, token) == 200
    listed = operator(service, "GET", "/sessions?tenant=acme")[1]["sessions"]
    assert [s["key"] for s in listed if s["user"] == "ses"] == [made["id"]]
    assert operator(service, "DELETE", f"/keys/{made['id']}")[0] == 200
    assert chat(service, token) == 401


def test_a_session_ends_with_its_key_and_by_an_administrator(service):
    short = new_key(service, "acme", "ses2", expires_in_s=5)
    got = exchange(service, short["key"])[2]
    assert got["expires_in"] <= 5
    begun = time.monotonic()
    wait_for(lambda: service.request("GET", "/v1/models", key=got["access_token"])[0] == 401)
    assert time.monotonic() - begun < 9
    key = new_key(service, "acme", "ses3")["key"]
    token = exchange(service, key)[2]["access_token"]
    sid = claims_of(token)[1]["jti"]
    assert operator(service, "DELETE", f"/sessions/{sid}")[0] == 200
    assert service.request("GET", "/v1/models", key=token)[0] == 401
    assert service.request("GET", "/v1/models", key=key)[0] == 200
    records = service.records()
    created = [r for r in records if r["event"]["type"] == "SessionCreated"]
    revoked = [r for r in records if r["event"]["type"] == "SessionRevoked"]
    assert created and revoked and token not in json.dumps(records)


@pytest.fixture(scope="module")
def people(service):
    return {role: person(service, "corp", role + "1", role)
            for role in ("user", "service", "auditor", "administrator", "owner")} | {
                "owner2": person(service, "corp", "owner2", "owner"),
                "stranger": person(service, "rival", "boss", "owner", "user")}


def test_roles_over_https(service, people):
    reads = ("/tenants", "/users", "/policies", "/usage", "/approvals")
    for role in ("user", "service", "auditor"):
        for path in reads:
            assert admin(service, people[role], "GET", path)[0] == 403, (role, path)
    for role in ("administrator", "owner"):
        for path in reads + ("/keys", "/sessions"):
            status, data = admin(service, people[role], "GET", path)
            assert status == 200, (role, path, data)
        assert chat(service, people[role]) == 403       # runs the house, and reads nobody's mail
    assert chat(service, people["user"]) == chat(service, people["service"]) == 200
    assert service.request("GET", "/v1/models", key=people["auditor"])[0] == 403
    # keys of people are their own
    assert admin(service, people["administrator"], "POST", "/keys", {"user": "user1"})[0] == 403
    assert admin(service, people["owner"], "POST", "/keys", {"user": "user1"})[0] == 403
    status, made = admin(service, people["administrator"], "POST", "/keys",
                         {"user": "service1", "scopes": {"endpoints": ["chat"]}})
    assert status == 201 and chat(service, made["key"]) == 200
    status, own = admin(service, people["user"], "POST", "/keys", {})
    assert status == 201 and chat(service, own["key"]) == 200
    assert admin(service, people["user"], "GET", "/keys?user=owner1")[0] == 404
    assert {k["user"] for k in admin(service, people["user"], "GET", "/keys")[1]["keys"]} == {"user1"}
    # roles are given by owners
    assert admin(service, people["administrator"], "PATCH", "/users/user1", {"roles": ["owner"]})[0] == 403
    assert admin(service, people["administrator"], "PATCH", "/users/owner1", {"state": "disabled"})[0] == 403
    assert admin(service, people["administrator"], "POST", "/users", {"user": "n1"})[0] == 201
    assert admin(service, people["administrator"], "POST", "/users", {"user": "n1"})[0] == 409
    # a narrowed credential makes nothing wider
    status, _, got = exchange(service, people["user"], scope="endpoint:admin")
    assert status == 200, got
    assert admin(service, got["access_token"], "POST", "/keys", {})[0] == 403
    narrow = new_key(service, "corp", "owner1", scopes={"endpoints": ["chat"]})["key"]
    assert admin(service, narrow, "GET", "/users")[0] == 403


def test_who_is_made_by_several_at_once_is_made_once(service, people):
    """Whoever is told 201 has made it, and with these roles."""
    def make(name, roles):
        return roles, admin(service, people["administrator"], "POST", "/users", {"user": name, "roles": roles})[0]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for name in (f"twin{i}" for i in range(8)):
            made = list(pool.map(lambda roles: make(name, roles), [["user"], ["service"]] * 4))
            assert sorted(status for _, status in made) == [201] + [409] * 7, made
            roles = next(roles for roles, status in made if status == 201)
            assert admin(service, people["administrator"], "GET", "/users/" + name)[1]["roles"] == roles


def test_who_is_disabled_is_nobody(service):
    key = person(service, "corp2", "gone", "user")
    token = exchange(service, key)[2]["access_token"]
    assert chat(service, token) == 200
    assert operator(service, "PATCH", "/users/gone?tenant=corp2", {"state": "disabled"})[0] == 200
    assert chat(service, key) == chat(service, token) == 401
    assert operator(service, "PATCH", "/users/gone?tenant=corp2", {"state": "active"})[0] == 200
    assert chat(service, key) == 200


def test_other_tenants_are_404(service, people):
    stranger = people["stranger"]
    victim = new_key(service, "corp", "user1")
    sid = claims_of(exchange(service, victim["key"])[2]["access_token"])[1]["jti"]
    rows = [("GET", "/users/user1", None), ("PATCH", "/users/user1", {"state": "disabled"}),
            ("DELETE", f"/keys/{victim['id']}", None), ("POST", f"/keys/{victim['id']}/rotate", {}),
            ("DELETE", f"/sessions/{sid}", None), ("GET", "/users?tenant=corp", None),
            ("GET", "/keys?tenant=corp", None), ("GET", f"/keys?after={victim['id']}", None),
            ("GET", "/users?after=corp/user1", None), ("POST", "/keys", {"tenant": "corp"}),
            ("POST", "/users", {"tenant": "corp", "user": "x"}), ("GET", "/users/user1?tenant=corp", None)]
    for method, path, body in rows:
        status, data = admin(service, stranger, method, path, body)
        assert status == 404, (method, path, data)
    seen = json.dumps([admin(service, stranger, "GET", p)[1] for p in ("/users", "/keys", "/tenants", "/sessions",
                                                                      "/usage", "/approvals")])
    assert "corp" not in seen and victim["id"] not in seen
    assert service.request("GET", "/v1/models", key=victim["key"])[0] == 200
    for path in ("/reload", "/secrets/x", "/secrets", "/tools"):
        assert admin(service, people["owner"], "GET", path)[0] == 404, path
    assert service.request("GET", "/admin/v1/users", key="")[0] == 401
    assert service.request("GET", "/admin/v1/nothing", key="sp_x")[0] == 401
    assert admin(service, people["owner"], "GET", "/nothing")[0] == 404


def test_two_people(service, people):
    assert admin(service, people["administrator"], "PATCH", "/users/user1", {"hold": True})[0] == 200
    status, data = admin(service, people["owner"], "PATCH", "/users/user1", {"hold": False})
    assert status == 202, data
    approval = data["approval"]["id"]
    held = lambda: admin(service, people["owner"], "GET", "/users/user1")[1]["hold"]
    assert held() is True
    decide = lambda key, what="approve": admin(service, key, "POST", f"/approvals/{approval}", {"decision": what})
    assert decide(people["owner"])[0] == 403                        # the same person
    assert decide(people["auditor"])[0] == 403 and decide(people["stranger"])[0] == 404
    assert decide(people["user"])[0] == 403 and held() is True
    status, data = decide(people["owner2"])
    assert status == 200 and data["status"] == 200 and data["state"] == "approved", data
    assert held() is False
    assert decide(people["owner2"])[0] == 404                       # once
    status, data = admin(service, people["owner"], "PATCH", "/users/auditor1", {"roles": ["user"]})
    approval = data["approval"]["id"]
    assert status == 202 and decide(people["owner2"], "refuse")[1]["state"] == "refused"
    assert admin(service, people["owner"], "GET", "/users/auditor1")[1]["roles"] == ["auditor"]
    states = [r["event"]["state"] if "state" in r["event"] else r["event"]["fields"]["state"]
              for r in service.records() if r["event"]["type"] == "Approval"]
    assert states == ["asked", "approved", "asked", "refused"]


def cli(inst, *args, want=0):
    r = subprocess.run([BUILD / "sallyport", *args, "-c", str(inst.dir / "sallyport.yaml")], text=True,
                       capture_output=True, timeout=30)
    assert r.returncode == want, (args, r)
    return r.stdout.strip(), r.stderr


def test_the_operators_commands(service):
    cli(service, "user", "create", "cli/ann", "--roles", "user,owner")
    assert "exists" not in cli(service, "user", "create", "cli/bob")[1]
    assert "already" in cli(service, "user", "create", "cli/bob", want=1)[1]
    assert "from the beginning" in cli(service, "user", "set", "cli/bob", "--roles", "service", want=1)[1]
    cli(service, "user", "set", "cli/bob", "--roles", "administrator")
    users = {u["id"]: u for u in json.loads(cli(service, "user", "list", "--tenant", "cli", "--json")[0])["users"]}
    assert users["bob"]["roles"] == ["administrator"] and users["ann"]["roles"] == ["user", "owner"]
    key = cli(service, "key", "create", "--tenant", "cli", "--user", "ann", "--scope-endpoints", "chat,models,admin",
              "--network", "127.0.0.0/8,::1")[0]
    assert chat(service, key) == 200 and service.request(
        "POST", "/v1/execute", {"language": "python", "code": "print(1)"}, key=key)[0] == 403
    new = cli(service, "key", "rotate", key.split("_")[1], "--overlap", "0")[0]
    assert chat(service, key) == 401 and chat(service, new) == 200
    table = cli(service, "key", "list")[0]
    assert key.split("_")[1] in table and new.split("_")[1] in table and key not in table
    assert " endpoints=chat,models,admin networks=127.0.0.0/8,::1" in table and "null" not in table
    for words, mine in ((("--tenant", "cli"), True), (("--tenant", "cli", "--user", "ann"), True),
                        (("--user", "bob"), False), (("--tenant", "none"), False)):
        assert (new.split("_")[1] in cli(service, "key", "list", *words)[0]) is mine
    cli(service, "key", "list", "--user", "a&b", want=2)
    assert re.search(r"^cli +ann +active +false user,owner$", cli(service, "user", "list")[0], re.M)
    token = exchange(service, new, scope="endpoint:chat")[2]["access_token"]
    sid = claims_of(token)[1]["jti"]
    assert sid in cli(service, "session", "list", "--tenant", "cli")[0]
    cli(service, "session", "revoke", sid)
    assert chat(service, token) == 401
    assert cli(service, "user", "release", "cli/bob")[1] == "sallyport: cli/bob: is not held\n"
    cli(service, "user", "hold", "cli/bob")
    out, waits = cli(service, "user", "release", "cli/bob", want=1)      # a script does not take it for done
    assert out == "" and "not done" in waits and "An owner or administrator" in waits
    approval = waits.split("/")[-1].strip()
    assert re.search(rf"^{approval} hold\.lift +waiting +operator +20", cli(service, "approval", "list")[0], re.M)
    cli(service, "approval", "approve", approval, want=1)               # who asked does not approve
    assert admin(service, new, "POST", f"/approvals/{approval}", {"decision": "approve"})[0] == 403     # it may less than ann
    whole = cli(service, "key", "create", "--tenant", "cli", "--user", "ann")[0]
    assert admin(service, whole, "POST", f"/approvals/{approval}", {"decision": "approve"})[0] == 200
    assert approval not in cli(service, "approval", "list")[0]
    assert '"state":"done"' in cli(service, "approval", "show", approval)[0].replace(" ", "")
    cli(service, "approval", "show", approval[::-1], want=1)
    export = cli(service, "tenant", "export", "cli", want=1)[1].split("/")[-1].strip()
    assert admin(service, whole, "POST", f"/approvals/{export}", {"decision": "approve"})[0] == 200
    assert re.search(rf"^{export} tenant\.export +approved +operator +20", cli(service, "approval", "list")[0], re.M)
    assert json.loads(cli(service, "user", "list", "--json", "--tenant", "cli")[0])["users"][1]["hold"] is False
    cli(service, "user", "disable", "cli/ann")
    assert chat(service, new) == 401
    cli(service, "user", "enable", "cli/ann")
    assert chat(service, new) == 200
    assert "cli" in cli(service, "tenant", "list")[0] and "default" in cli(service, "policy", "list")[0]
    assert re.search(r"^default +endpoints=\S+ .* requests_per_min=\d+ concurrent=\d+$", cli(service, "policy", "list")[0], re.M)
