# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.yaml against the running service, in both directions."""

import json
import re
import urllib.parse

import pytest

from instance import ROOT, running
from openapi import (DOCUMENT, METHODS, admin_codes, admin_routes, anonymous, error_codes, faults, inlined, judge, load, operations,
                     resolve, routes, schema_of)
from test_tools import form, push

API = load()
OPERATIONS = operations(API)
SCHEMAS = ROOT / "src/gateway/schema"
FEW = 150  # requests a minute, above what the document has
NARROW = ("policies:\n  narrow: { endpoints: [models], models: [demo] }\n"
          f"  few: {{ endpoints: ['*'], models: [demo], requests_per_min: {FEW} }}\n")
MANIFEST = {"name": "echo", "description": "Says it again.", "input_schema": {"type": "object"}}
NO_ROUTE = "There is no such endpoint."
ADMIN = "/admin/v1/"


@pytest.fixture(scope="module")
def service():
    with running(edit=lambda text: text.replace("policies:\n", NARROW, 1)) as inst:
        yield inst


def parse(data):
    return json.loads(data) if isinstance(data, (bytes, str)) else data


def said(answer):
    error = parse(answer)["error"]
    return error if isinstance(error, str) else error["message"]


FORMS = {"multipart/form-data": "multipart/form-data; boundary=b"}


def bad_but_known(op):
    """-> body, head: of the operation's kind, and as small as can be"""
    kind = next(iter(op.content), None)
    if kind in (None, "application/json"):
        return op.example(), {}
    body = form(manifest=MANIFEST) if kind == "multipart/form-data" else b"x=1"
    return body, {"Content-Type": FORMS.get(kind, kind)}


# ---- the document by itself ----

def test_the_document_is_one_of_openapi_3_1():
    assert faults(API) == ""
    ids = [op.id for op in OPERATIONS]
    assert len(set(ids)) == len(ids)
    for op in OPERATIONS:
        assert op.spec["summary"] and op.spec["tags"] and "default" in op.spec["responses"], op
        assert {p["name"] for p in op.parameters if p["in"] == "path"} == set(op.holes), op


def test_the_validator_sees_faults():
    broken = json.loads(json.dumps(API))
    del broken["info"]["title"]
    broken["paths"]["/v1/execute"]["post"]["parameters"] = [{"name": "x", "in": "nowhere"}]
    assert "info" in faults(broken) and "execute" in faults(broken)


def test_codes_of_errors_are_those_of_the_table():
    said_codes = API["components"]["schemas"]["ErrorCode"]["enum"]
    assert len(set(said_codes)) == len(said_codes)
    assert set(said_codes) == error_codes() | {"upstream_rejected"}


def codes_at(text):
    """Literals that are told as codes: third of a call's arguments, conditionals too, or of a row of a table."""
    call = re.compile(r'(?:admin_(?:refuse|op_answer|op_finish)|conn_answer_error)\((?:[^;"]*?),([^;,]*"[^;]*?),[^;]*;', re.S)
    row = re.compile(r'\{ E_\w+, \d{3}, ("[a-z_]+"),')
    return {code for found in call.findall(text) + row.findall(text) for code in re.findall(r'"([a-z_]+)"', found)}


def test_codes_of_administration_are_those_of_the_table():
    """In the program, in the document (but those that operators alone are told), and in api.md: each way."""
    table = admin_codes()
    files = [f for f in (ROOT / "src/authority").glob("*.c") if f.name != "admin_codes.c"]
    told = set().union(*(codes_at(f.read_text()) for f in files))
    assert told <= table.keys()
    assert {"too_many_secrets", "store_unavailable", "bad_request", "two_live_keys"} <= told and len(told) > 30
    assert table.keys() - told <= error_codes()  # by their row of wire/errors.h
    said_codes = API["components"]["schemas"]["AdminCode"]["enum"]
    assert sorted(said_codes) == sorted(code for code, door in table.items() if door != "operator")
    text = (ROOT / "docs/api.md").read_text()
    assert {c for c in table if f"`{c}`" not in text} == set()


def test_what_operators_have_is_in_the_manual():
    """Their door is no part of the public API."""
    text = (ROOT / "docs/api.md").read_text()
    paths = {row.path.split("/{")[0] for row in admin_routes() if row.door == "operator"}
    assert len(paths) > 8 and {p for p in paths if f"`{p}" not in text and f" {p}" not in text} == set()


def test_bodies_are_described_by_what_checks_them():
    """Each file is in the document as it is, but for where its own references lead."""
    titles = {}
    for file in SCHEMAS.glob("*.json"):
        mine = json.loads(file.read_text())
        del mine["$schema"]
        theirs = json.dumps(API["components"]["schemas"][file.stem])
        assert json.loads(theirs.replace(f"#/components/schemas/{file.stem}/", "#/")) == mine, file
        titles[mine["title"]] = file.stem
    for op in OPERATIONS:
        if op.body is not None and not op.path.startswith(ADMIN):
            assert op.body == {"$ref": f"#/components/schemas/{titles.pop(str(op))}"}
    assert titles == {}, "a schema that no operation has"


def test_every_part_is_used():
    text = json.dumps(API)
    for kind, parts in API["components"].items():
        for name in parts:
            if kind != "securitySchemes":
                assert f'"#/components/{kind}/{name}"' in text, f"{kind}/{name}"


# ---- the program's tables ----

def test_every_route_is_documented_and_nothing_else():
    documented = {(op.method, anonymous(op.path)): op for op in OPERATIONS if not op.path.startswith(ADMIN)}
    table = {(method, anonymous(path)): (endpoint, title) for method, path, endpoint, title in routes()
             if path != ADMIN}
    assert documented.keys() == table.keys()
    for at, (endpoint, title) in table.items():
        op = documented[at]
        assert op.spec["x-policy"] == ("any" if endpoint in ("openapi", "other") else endpoint), op
        assert title in ("-", str(op)), op
        assert (title != "-") == (op.body is not None), op


def test_every_act_of_administration_is_documented_and_nothing_else():
    documented = {(op.method, anonymous(op.path)): op for op in OPERATIONS if op.path.startswith(ADMIN)}
    table = {(row.method, anonymous(row.path)): row for row in admin_routes() if row.door in ("person", "both")}
    assert documented.keys() == table.keys()
    for at, row in table.items():
        op = documented[at]
        assert (op.spec["x-policy"], op.spec["x-action"]) == ("admin", row.action), op
        assert set(op.named("query")) == set(row.query), op
        assert (op.body is None) == (row.schema is None), op
        assert op.body is None or inlined(API, op.body) == row.schema, op
    # The gateway lets the methods through that there are, and no others.
    assert {method for method, path, _, _ in routes() if path == ADMIN} == {row.method for row in table.values()}


# ---- the running service ----

def test_it_is_served_as_it_was_built(service):
    status, headers, body = service.request("GET", "/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body == API == json.loads(DOCUMENT.read_text())
    last = service.records()[-1]
    assert last["event"]["type"] == "ResponseReturned" and last["resource"] == "endpoint:openapi"


def test_any_valid_key_reads_it_and_no_other(service):
    narrow = service.operate("key", "create", "--tenant", "t", "--user", "n", "--policy", "narrow").stdout.strip()
    assert service.request("GET", "/openapi.json", key=narrow)[0] == 200
    assert service.request("GET", "/v1/tools", key=narrow)[0] == 403
    id = narrow[3:15]
    assert service.operate("key", "revoke", id).returncode == 0
    assert service.request("GET", "/openapi.json", key=narrow)[0] == 401
    assert service.request("GET", "/openapi.json?x=1")[0] == 400
    assert service.request("GET", "/openapi.json", {})[0] == 400


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
def test_what_is_documented_exists(service, op):
    body, headers = bad_but_known(op)
    status, _, answer = service.request(op.method, op.at(), body, headers=headers)
    assert status != 405 and status < 500 or (status, body["model"]) == (503, "x"), answer
    assert status < 400 or said(answer) != NO_ROUTE
    # What a caller without a key is told does not depend on it.
    assert service.request(op.method, op.at(), body, key="sp_no", headers=headers)[0] == 401


def refused(service, key):
    """Each operation, and each that takes a body with one that is none -> {answer's id: (what was asked, status)}"""
    asked = {}
    for op in OPERATIONS:
        kind = next(iter(op.content), None)
        body, headers = bad_but_known(op)
        ways = [(op.at() + "?nope=1", body, headers)]
        if kind is not None:
            ways.append((op.at(), {"nope": 1} if kind == "application/json" else b"x=1", headers))
        for at, bad, head in ways:
            status, got, answer = service.request(op.method, at, bad, key=key, headers=head)
            assert 400 <= status < 500 and status not in (401, 405, 429), (op, at, status, answer)
            asked[got["x-request-id"]] = (op.method, at, status)
    return asked


def test_what_is_refused_is_on_record_and_counts(service):
    """Whatever is asked and however it is refused: nobody asks unseen, or without end."""
    key = service.operate("key", "create", "-T", "t", "-u", "f", "--policy", "few").stdout.strip()
    asked = refused(service, key)
    assert len(OPERATIONS) < len(asked) < FEW
    left = FEW - len(asked)
    statuses = []  # on a slow machine the first ones are out of the minute again, before the last come
    while 429 not in statuses and len(statuses) < 2 * FEW:
        statuses.append(service.request("GET", "/v1/models", key=key)[0])
    assert statuses[-1] == 429 and set(statuses[:-1]) == {200} and len(statuses) > left
    seen = {r.get("request_id") for r in service.records() if r.get("outcome") in ("denied", "failure")}
    assert {what for id, what in asked.items() if id not in seen} == set()


def test_no_other_method_and_no_other_path(service):
    for path in API["paths"]:
        mine = {op.method for op in OPERATIONS if op.path == path}
        op = next(op for op in OPERATIONS if op.path == path)
        for method in {m.upper() for m in METHODS} - mine - {"HEAD", "TRACE"}:
            assert service.request(method, op.at())[0] == 405, (method, path)
        assert service.request("GET", op.at() + "/x/y/z")[0] in (400, 404) or "models" in path
    for path in ("/", "/v1", "/openapi.yaml", "/v1/nothing", "/admin/v2", "/admin/v1", "/admin/v1/", "/auth"):
        status, _, answer = service.request("GET", path)
        assert (status, said(answer)) == (404, NO_ROUTE), path
    for row in admin_routes():
        if row.door == "operator":  # nobody finds these here, whoever it is
            status, _, answer = service.request(row.method, row.path.replace("{}", "x"))
            assert status == 404 or (status, row.method) == (405, "PUT") or row.path == ADMIN + "kek/data", row
    assert service.request("GET", ADMIN + "nothing")[0] == 404


def events_of(text):
    """[(name, value)] of a stream."""
    found = []
    for block in text.decode().replace("\r\n", "\n").split("\n\n"):
        fields = dict(re.match(r"(\w+): ?(.*)", line).groups() for line in block.split("\n") if line)
        if fields and fields["data"] != "[DONE]":
            found.append((fields.get("event", ""), json.loads(fields["data"])))
    return found


TOKEN = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
         "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}


def administration(service, note):
    """An owner's day."""
    def operate(path, body):
        return json.loads(service.management("POST", ADMIN + path, body)[1])

    people = {}
    for name in ("owner", "second"):
        operate("users", {"tenant": "acme", "user": name, "roles": ["owner", "user"]})
        people[name] = {"key": operate("keys", {"tenant": "acme", "user": name})["key"]}
    owner, second = people.values()
    key = operate("keys", {"tenant": "acme", "user": "owner"})["id"]
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    form_of_token = urllib.parse.urlencode({**TOKEN, "subject_token": owner["key"]})

    def session():
        return service.request("POST", "/auth/token", form_of_token, headers=urlencoded, **owner)[2]["access_token"]

    def approval(operation):
        waiting = service.request("GET", ADMIN + "approvals", **owner)[2]["approvals"]
        return next(a["id"] for a in waiting if a["operation"] == operation)

    yield 200, note("listTenants", **owner)
    yield 201, note("createUser", body={"user": "kim", "roles": ["user", "auditor"]}, **owner)
    yield 409, note("createUser", body={"user": "kim"}, **owner)
    yield 200, note("listUsers", ADMIN + "users?limit=1", **owner)
    yield 200, note("getUser", ADMIN + "users/kim", **owner)
    yield 404, note("getUser", ADMIN + "users/nobody", **owner)
    yield 200, note("changeUser", ADMIN + "users/kim", {"hold": True}, **owner)
    yield 202, note("changeUser", ADMIN + "users/kim", {"hold": False}, **owner)
    yield 200, note("listApprovals", **owner)
    yield 403, note("decideApproval", ADMIN + "approvals/" + approval("hold.lift"), {"decision": "approve"}, **owner)
    lift = ADMIN + "approvals/" + approval("hold.lift")
    yield 200, note("getApproval", lift, **owner)
    yield 200, note("decideApproval", lift, {"decision": "approve"}, **second)
    yield 200, note("getApproval", lift, **owner)
    yield 404, note("getApproval", ADMIN + "approvals/" + "0" * 32, **owner)
    yield 200, note("exportUser", ADMIN + "users/owner/export", **owner)
    yield 202, note("exportUser", ADMIN + "users/kim/export", **owner)
    yield 400, note("exportUser", ADMIN + "users/owner/export?cursor=1.2", **owner)
    yield 200, note("getMe", **owner)
    yield 200, note("exportMe", **owner)
    yield 202, note("exportTenant", ADMIN + "tenants/acme/export", **owner)
    yield 200, note("decideApproval", ADMIN + "approvals/" + approval("tenant.export"), {"decision": "approve"}, **second)
    yield 200, note("listApprovals", **owner)
    yield 200, note("exportTenant", ADMIN + "tenants/acme/export", **owner)
    yield 404, note("exportTenant", ADMIN + "tenants/zeus/export", **owner)
    yield 409, note("eraseMe", **owner)
    operate("users", {"tenant": "acme", "user": "pat", "roles": ["user"]})
    yield 200, note("eraseMe", key=operate("keys", {"tenant": "acme", "user": "pat"})["key"])
    yield 202, note("eraseUser", ADMIN + "users/kim/erase", **owner)    # an auditor: two people
    yield 200, note("decideApproval", ADMIN + "approvals/" + approval("auditor.remove"), {"decision": "approve"}, **second)
    yield 404, note("eraseUser", ADMIN + "users/kim/erase", **owner)
    yield 201, note("createUser", body={"user": "lee"}, **owner)
    yield 200, note("eraseUser", ADMIN + "users/lee/erase", **owner)
    yield 201, note("createKey", body={"expires_in_s": 1000, "scopes": {"endpoints": ["models"]}}, **owner)
    yield 200, note("listKeys", **owner)
    yield 201, note("rotateKey", ADMIN + f"keys/{key}/rotate", {"overlap_s": 5}, **owner)
    yield 200, note("revokeKey", ADMIN + "keys/" + key, **owner)
    operate("users", {"tenant": "acme", "user": "bot", "roles": ["service"]})
    bot = operate("keys", {"tenant": "acme", "user": "bot"})["id"]
    yield 202, note("createKey", body={"user": "bot"}, **owner)
    yield 202, note("rotateKey", ADMIN + f"keys/{bot}/rotate", {}, **owner)
    yield 200, note("decideApproval", ADMIN + "approvals/" + approval("service.key"), {"decision": "approve"}, **second)
    yield 200, note("listPolicies", **owner)
    yield 200, note("readUsage", **owner)
    operate("users", {"tenant": "acme", "user": "max", "roles": ["auditor"]})
    auditor = {"key": operate("keys", {"tenant": "acme", "user": "max"})["key"]}
    yield 200, note("readAudit", **auditor)
    yield 200, note("readAudit", ADMIN + "audit?type=Error&order=asc", **auditor)
    yield 400, note("readAudit", ADMIN + "audit?order=up", **auditor)
    yield 403, note("readAudit", **owner)
    yield 403, note("listUsers", key=service.operate("key", "create", "-T", "t", "-u", "u").stdout.strip())
    yield 200, note("exchangeToken", body=form_of_token, headers=urlencoded, **owner)
    yield 400, note("exchangeToken", body="grant_type=x", headers=urlencoded, **owner)
    yield 400, note("revokeToken", body="token=" + owner["key"], headers=urlencoded, **owner)
    yield 200, note("listSessions", **owner)
    yield 200, note("revokeToken", body="token=" + session(), headers=urlencoded, **owner)
    session()
    last = service.request("GET", ADMIN + "sessions", **owner)[2]["sessions"][-1]["id"]
    yield 200, note("revokeSession", ADMIN + "sessions/" + last, **owner)
    yield 404, note("revokeSession", ADMIN + "sessions/" + last, **owner)


def answers(service):
    """[(name, schema, value)]: real answers, each with what is said of it."""
    by_id, cases = {op.id: op for op in OPERATIONS}, []

    def note(id, path=None, body=None, **kw):
        op = by_id[id]
        status, headers, answer = service.request(op.method, path or op.path, body, **kw)
        kind = headers["content-type"].partition(";")[0]
        cases.append((f"{id} {status}", {"type": "string"}, kind))
        if kind == "text/event-stream":
            rows = resolve(API, op.spec["responses"]["200"])["content"][kind]["x-events"]
            for name, value in events_of(answer):
                cases.append((f"{id} event {name}", rows.get(name, False), value))
        else:
            cases.append((f"{id} {status}", schema_of(op, status), parse(answer)))
        declared = resolve(API, op.spec["responses"].get(str(status), op.spec["responses"]["default"]))
        for name, header in declared.get("headers", {}).items():
            header = resolve(API, header)
            if header.get("required") or name in headers:
                value = headers.get(name)
                value = int(value) if header["schema"].get("type") == "integer" else value
                cases.append((f"{id} {status} {name}", header["schema"], value))
        return status

    hello = {"model": "demo", "messages": [{"role": "user", "content": "Run this:\n```python\nprint(6*7)\n```"}],
             "tools": [{"type": "code_interpreter"}]}
    code = {"language": "python", "code": "print(1)\nimport sys\nprint(2, file=sys.stderr)\n"
                                          "import os\nos.makedirs('/tmp/out', exist_ok=True)\n"
                                          "open('/tmp/out/f', 'w').write('x')"}
    versions = {"anthropic-version": "2023-06-01"}
    status = push(service, manifest=MANIFEST, native=b"#!/bin/sh\ncat\n")[0]
    assert status == 201
    wanted = [
        (200, note("createChatCompletion", body=hello)),
        (200, note("createChatCompletion", body={**hello, "stream": True, "stream_options": {"include_usage": True}})),
        (404, note("createChatCompletion", body={**hello, "model": "none"})),
        (400, note("createResponse", body={"model": "demo", "input": "x"})),
        (400, note("createMessage", body={"model": "demo", "max_tokens": 5, "messages": hello["messages"]})),
        (400, note("createEmbeddings", body={"model": "demo", "input": "x"})),
        (200, note("listModels")),
        (200, note("listModels", headers=versions)),
        (200, note("getModel", "/v1/models/demo")),
        (404, note("getModel", "/v1/models/none")),
        (404, note("getModel", "/v1/models/none", headers=versions)),
        (200, note("execute", body=code)),
        (200, note("execute", body={**code, "stream": True})),
        (400, note("execute", body={"language": "cobol", "code": ""})),
        (401, note("execute", body=code, key="sp_no")),
        (401, note("createMessage", body={}, key="sp_no")),
        (201, note("pushTool", body=form(manifest=MANIFEST, native=b"#!/bin/sh\ncat\n# 2"),
                   headers={"Content-Type": "multipart/form-data; boundary=b"})),
        (400, note("pushTool", body=form(manifest=MANIFEST), headers={"Content-Type": "multipart/form-data; boundary=b"})),
        (200, note("listTools")),
        (200, note("getTool", "/v1/tools/echo")),
        (200, note("chooseToolVersion", "/v1/tools/echo/current", {"version": 1})),
        (200, note("callTool", "/v1/tools/echo/call", {"arguments": {"a": 1}})),
        (404, note("callTool", "/v1/tools/none/call", {"arguments": {}})),
        (200, note("removeTool", "/v1/tools/echo?version=2")),
        (200, note("removeTool", "/v1/tools/echo")),
        (200, note("getOpenapi")),
        (200, note("getLogin")),
        *administration(service, note),
    ]
    assert [w for w, _ in wanted] == [got for _, got in wanted]
    return cases


def test_answers_are_what_is_said_of_them(service):
    cases = answers(service)
    assert judge(API, cases) == ""
    # The judge judges: without a field, and with one more, it is none of ours.
    name, schema, value = next(c for c in cases if c[0] == "execute 200" and isinstance(c[2], dict))
    assert "'x' was unexpected" in judge(API, [(name, schema, {**value, "x": 1})])
    assert "'status' is a required" in judge(API, [(name, schema, {k: v for k, v in value.items() if k != "status"})])
