# SPDX-License-Identifier: Apache-2.0
"""Role × operation, cell by cell, over HTTPS. The table is this test's own; the program has another one
(src/authority/roles.c), and openapi.yaml says which operations there are: one that is not here fails."""

import json

import pytest

from instance import running
from openapi import load, operations
from test_tools import FORM, form
from upstreams import entry, models_at

OPERATIONS = operations(load())
BY_ID = {op.id: op for op in OPERATIONS}
ROLES = ("owner", "administrator", "auditor", "user", "service")

PEOPLE = {"user", "service"}                    # who uses the API, for themselves
HOUSE = {"owner", "administrator"}              # who runs the house, and reads nobody's mail
EVERYBODY = set(ROLES)
NOBODY = set()

# What each may do; all else is 403, `role`.
MAY = {
    **dict.fromkeys(["getOpenapi", "getLogin", "getMe", "exportMe"], EVERYBODY),
    **dict.fromkeys([
        "createChatCompletion", "createResponse", "createEmbeddings", "createMessage", "countMessageTokens",
        "listModels", "getModel", "execute", "listTools", "pushTool", "getTool", "removeTool", "chooseToolVersion",
        "callTool", "createConversation", "getConversation", "updateConversation", "deleteConversation", "createItems",
        "listItems", "getItem", "deleteItem", "getResponse", "deleteResponse", "listInputItems", "createFile",
        "listFiles", "getFile", "getFileContent", "deleteFile"], PEOPLE),
    **dict.fromkeys(["listTenants", "listUsers", "getUser", "createUser", "changeUser", "listPolicies", "readUsage",
                     "listApprovals", "getApproval", "decideApproval"], HOUSE),
    "readAudit": {"auditor"},
    "exportUser": {"owner"},  # of somebody else: see ACTS
    "eraseUser": HOUSE,
    "exportTenant": {"owner"},
    "eraseMe": {"user"},
    **dict.fromkeys(["exchangeToken", "revokeToken", "listSessions", "revokeSession"], EVERYBODY),
    **dict.fromkeys(["listKeys", "createKey", "rotateKey", "revokeKey"], HOUSE | PEOPLE),
}

# Bodies where the smallest one would be none.
HELLO = [{"role": "user", "content": "Hi."}]
BODIES = {
    "changeUser": {"state": "active"},
    "createChatCompletion": {"model": "gpt", "messages": HELLO},
    "createResponse": {"model": "gpt", "input": "Hi.", "store": False},
    "createEmbeddings": {"model": "gpt", "input": "Hi."},
    "createMessage": {"model": "claude", "max_tokens": 9, "messages": HELLO},
    "countMessageTokens": {"model": "claude", "messages": HELLO},
    "execute": {"language": "sh", "code": "true"},
}
FILE = (b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n')
TOOL = form(manifest={"name": "t", "description": "d", "input_schema": {"type": "object"}}, native=b"#!/bin/sh\ncat\n")
FORMS = {
    "createFile": (FILE, FORM),
    "pushTool": (TOOL, FORM),
    **dict.fromkeys(["exchangeToken", "revokeToken"], (b"x=1", {"Content-Type": "application/x-www-form-urlencoded"})),
}


class House:
    """One tenant with a person of each role, and one of several."""

    def __init__(self, inst):
        self.inst = inst
        self.keys = {}
        for role in ROLES:
            self.person(role, [role])
        self.person("other", ["user"])
        self.person("robot", ["service"])

    def person(self, name, roles):
        status, answer = self.operate("POST", "/admin/v1/users", {"tenant": "acme", "user": name, "roles": roles})
        assert status == 201, answer
        status, answer = self.operate("POST", "/admin/v1/keys", {"tenant": "acme", "user": name})
        assert status == 201, answer
        self.keys[name] = answer["key"]

    def operate(self, method, path, body=None):
        status, answer = self.inst.management(method, path, body)
        return status, json.loads(answer)

    def ask(self, who, method, path, body=None, headers=None):
        """-> status, code of the error, answer"""
        status, _, answer = self.inst.request(method, path, body, key=self.keys[who], headers=headers, timeout=60)
        answer = answer if isinstance(answer, dict) else {}
        error = answer.get("error") or {}
        error = error if isinstance(error, dict) else {"code": error}
        code = error.get("code") or error.get("details", {}).get("error_code")
        return status, code, answer

    def id_of(self, who):
        return self.keys[who][3:15]


@pytest.fixture(scope="module")
def house(provider, authority):
    provider.keyless = True
    edit = models_at({"real": entry(provider, authority), "a": entry(provider, authority, kind="anthropic")},
                     {"gpt": [("real", "gpt-real")], "claude": [("a", "real")]})
    with running(edit=edit) as inst:
        yield House(inst)


def test_every_operation_is_in_the_table():
    assert set(BY_ID) == set(MAY)


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
@pytest.mark.parametrize("role", ROLES)
def test_cell(house, role, op):
    who = role
    if op.id == "eraseMe":  # somebody whom no other cell needs
        who = f"self-{role}"
        house.person(who, [role])
    body, headers = FORMS.get(op.id) or (BODIES.get(op.id) or op.example(), None)
    status, code, answer = house.ask(who, op.method, op.at(), body, headers)
    assert status != 405 and status < 500, answer
    if role in MAY[op.id]:
        assert code != "role", answer
    else:
        assert (status, code) == (403, "role"), answer


# ---- acts whose right depends on what they are about: (name, method, path, body), who may, and what is answered ----

ACTS = [
    ("a new person", "POST", "/admin/v1/users", {"user": "new-{who}"}, HOUSE, {201}),
    ("a new service", "POST", "/admin/v1/users", {"user": "svc-{who}", "roles": ["service"]}, HOUSE, {201}),
    ("a new auditor", "POST", "/admin/v1/users", {"user": "aud-{who}", "roles": ["auditor"]}, {"owner"}, {201}),
    ("a new administrator", "POST", "/admin/v1/users", {"user": "adm-{who}", "roles": ["administrator"]}, {"owner"}, {201}),
    ("a new owner", "POST", "/admin/v1/users", {"user": "own-{who}", "roles": ["owner", "user"]}, {"owner"}, {201}),
    ("more for oneself", "PATCH", "/admin/v1/users/{who}", {"roles": ["owner", "administrator", "user"]}, {"owner"}, {200}),
    ("an administrator disabled", "PATCH", "/admin/v1/users/administrator", {"state": "active"}, {"owner"}, {200}),
    ("a person's roles", "PATCH", "/admin/v1/users/other", {"roles": ["user"]}, HOUSE, {200}),
    ("a person made a service", "PATCH", "/admin/v1/users/other", {"roles": ["service"]}, HOUSE, {409}),
    ("a person made administrator", "PATCH", "/admin/v1/users/other", {"roles": ["administrator"]}, {"owner"}, {200}),
    ("a hold", "PATCH", "/admin/v1/users/other", {"hold": True}, HOUSE, {200}),
    ("the hold lifted", "PATCH", "/admin/v1/users/other", {"hold": False}, HOUSE, {202}),
    ("an auditor taken away", "PATCH", "/admin/v1/users/auditor", {"roles": ["user"]}, {"owner"}, {202}),
    ("an auditor disabled", "PATCH", "/admin/v1/users/auditor", {"state": "disabled"}, {"owner"}, {202}),
    ("a key of one's own", "POST", "/admin/v1/keys", {}, HOUSE | PEOPLE, {201}),
    ("a key of a person", "POST", "/admin/v1/keys", {"user": "other"}, NOBODY, set()),
    ("a key of a service", "POST", "/admin/v1/keys", {"user": "robot"}, HOUSE, {202}),
    ("one that reaches its files", "POST", "/admin/v1/keys",
     {"user": "robot", "scopes": {"endpoints": ["chat", "files"]}}, HOUSE, {202}),
    ("one that reaches nothing kept", "POST", "/admin/v1/keys",
     {"user": "robot", "scopes": {"endpoints": ["chat", "models"]}}, HOUSE, {201}),
    ("a service's key rotated", "POST", "/admin/v1/keys/{robot}/rotate", {}, HOUSE, {202}),
    ("oneself exported", "GET", "/admin/v1/users/{who}/export", None, EVERYBODY, {200}),
    ("a person exported", "GET", "/admin/v1/users/other/export", None, {"owner"}, {202}),
    ("a person erased", "POST", "/admin/v1/users/new-{who}/erase", None, HOUSE, {200}),
    ("a person's key rotated", "POST", "/admin/v1/keys/{other}/rotate", {}, NOBODY, set()),
]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act[0])
@pytest.mark.parametrize("role", ROLES)
def test_act(house, role, act):
    if "changeUser" not in BY_ID:
        pytest.fail("there is no administration")
    _, method, path, body, who, wanted = act
    # Auditors and administrators of a role of their own are still what they were.
    path = path.format(who=role, other=house.id_of("other"), robot=house.id_of("robot"))
    body = json.loads(json.dumps(body).replace("{who}", role)) if body is not None else None
    status, code, answer = house.ask(role, method, path, body)
    if role in who:
        assert status in wanted, answer
    else:
        assert (status, code) in ((403, "role"), (404, "not_found")), answer
    if status == 202:  # nobody agrees: a person has few that wait
        assert house.operate("POST", "/admin/v1/approvals/" + answer["approval"]["id"], {"decision": "refuse"})[0] == 200
    for name, roles in ((role, [role]), ("other", ["user"])):  # as they were
        assert house.operate("PATCH", f"/admin/v1/users/{name}?tenant=acme", {"roles": roles})[0] == 200


def test_an_administrator_reads_no_mail(house):
    """Nor a key's text, whatever is asked for."""
    for who in HOUSE | {"auditor"}:
        for path in ("/v1/conversations/conv_x", "/v1/files", "/v1/responses/resp_x", "/v1/tools"):
            assert house.ask(who, "GET", path)[:2] == (403, "role"), (who, path)
    for who in HOUSE:
        text = json.dumps(house.ask(who, "GET", "/admin/v1/keys")[2])
        assert house.id_of("other") in text and not any(key[16:] in text for key in house.keys.values())


def test_an_administrator_reads_no_mail_of_services(house):
    """By no key that it makes alone; by one that another agreed to, whoever agreed has it."""
    status, _, kept = house.ask("robot", "POST", "/v1/responses", {"model": "gpt", "input": "a customer's mail", "store": True})
    assert status == 200, kept
    mail = f"/v1/responses/{kept['id']}/input_items"
    assert house.ask("robot", "GET", mail)[0] == 200
    for scopes in ({"endpoints": ["stored_responses"]}, {"models": ["gpt"]}, {}):
        status, _, answer = house.ask("administrator", "POST", "/admin/v1/keys", {"user": "robot", "scopes": scopes})
        assert status == 202 and "key" not in answer, answer
    path = "/admin/v1/approvals/" + answer["approval"]["id"]
    status, _, alone = house.ask("administrator", "POST", "/admin/v1/keys", {"user": "robot", "scopes": {"endpoints": ["chat"]}})
    assert status == 201, alone
    house.keys["alone"] = alone["key"]
    assert house.ask("alone", "GET", mail)[:2] == (403, "denied")
    assert house.ask("alone", "POST", "/v1/responses",
                     {"model": "gpt", "input": "Repeat.", "previous_response_id": kept["id"]})[:2] == (403, "denied")
    assert house.ask("alone", "POST", "/admin/v1/keys", {})[0] == 403
    assert house.ask("administrator", "POST", path, {"decision": "approve"})[:2] == (403, "same_person")
    status, _, answer = house.ask("owner", "POST", path, {"decision": "approve"})
    assert status == 200 and answer["status"] == 201, answer
    house.keys["agreed"] = answer["result"]["key"]
    assert house.ask("agreed", "GET", mail)[0] == 200
    states = [r["event"]["state"] for r in house.inst.records()
              if r["event"]["type"] == "Approval" and r["event"]["operation"] == "service.key"]
    assert states.count("asked") >= 3 and states[-1] == "approved"


def test_roles_add_up(house):
    house.person("both", ["administrator", "user"])
    assert house.ask("both", "GET", "/v1/tools")[0] == 200
    assert house.ask("both", "GET", "/admin/v1/users")[0] == 200
    # Nobody has none: who had could do nothing, and nobody would be told why.
    assert house.operate("POST", "/admin/v1/users", {"tenant": "acme", "user": "none", "roles": []})[0] == 400
    assert house.operate("PATCH", "/admin/v1/users/both?tenant=acme", {"roles": []})[0] == 400
    assert house.ask("both", "GET", "/admin/v1/users")[0] == 200


def test_a_role_that_is_taken_is_gone_at_once(house):
    house.person("was", ["administrator"])
    assert house.ask("was", "GET", "/admin/v1/users")[0] == 200
    assert house.operate("PATCH", "/admin/v1/users/was?tenant=acme", {"roles": ["user"]})[0] == 200
    assert house.ask("was", "GET", "/admin/v1/users")[:2] == (403, "role")
    assert house.operate("PATCH", "/admin/v1/users/was?tenant=acme", {"state": "disabled"})[0] == 200
    assert house.ask("was", "GET", "/v1/models")[0] == 401


def test_two_people(house):
    """Whoever asks does not approve; who may not do it does not either; then it is done once."""
    house.person("second", ["owner"])
    house.operate("PATCH", "/admin/v1/users/other?tenant=acme", {"hold": True})
    status, _, answer = house.ask("owner", "PATCH", "/admin/v1/users/other", {"hold": False})
    assert status == 202, answer
    path = "/admin/v1/approvals/" + answer["approval"]["id"]
    assert house.ask("owner", "POST", path, {"decision": "approve"})[0] == 403
    for who in ("user", "service", "auditor"):
        assert house.ask(who, "POST", path, {"decision": "approve"})[:2] == (403, "role")
    assert house.ask("second", "GET", "/admin/v1/users/other")[2]["hold"] is True
    state = lambda who: house.ask(who, "GET", path)[2].get("state")
    assert [state(who) for who in ("owner", "second", "administrator", "auditor")] == ["waiting"] * 3 + [None]
    status, _, answer = house.ask("second", "POST", path, {"decision": "approve"})
    assert status == 200, answer
    assert [state(who) for who in ("owner", "second", "administrator", "auditor")] == ["done"] * 3 + [None]
    assert "other" not in json.dumps(house.ask("owner", "GET", path)[2])
    assert house.ask("second", "GET", "/admin/v1/users/other")[2]["hold"] is False
    assert house.ask("second", "POST", path, {"decision": "approve"})[0] == 404
    kinds = [r["event"]["state"] for r in house.inst.records() if r["event"]["type"] == "Approval"]
    assert kinds[-2:] == ["asked", "approved"] or "approved" in kinds


def test_what_was_refused_is_on_record(house):
    before = len(house.inst.records())
    assert house.ask("user", "GET", "/admin/v1/users")[0] == 403
    assert house.ask("auditor", "GET", "/v1/models")[0] == 403
    records = house.inst.records()[before:]
    denied = [r for r in records if r.get("outcome") in ("denied", "failure")]
    assert len(denied) >= 2 and all(r.get("subject") for r in denied)
