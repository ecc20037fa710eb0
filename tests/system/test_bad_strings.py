# SPDX-License-Identifier: Apache-2.0
"""Every string of every operation of openapi.yaml, and of the management socket, in every hostile form: nothing fails
inside, nothing of anybody else's is told or changed, nothing hangs, nothing is said by the database."""

import contextlib
import http.client
import json
import re
import urllib.parse

import pytest

from instance import UnixConnection, running
from openapi import admin_routes, example, load, operations, resolve
from test_tenant_matrix import FAMILIES, World, family_of, now, with_models
from test_tools import form

API = load()
OPERATIONS = operations(API)
SLOW_S = 20
DEPTH_MAX = 8

# As they stand in JSON, between the quotes; what cannot be written in a path is left out there.
HOSTILE = {
    "quote": b"'", "quotes": b"''';--", "or": b"' OR 1=1 --", "or double": b'\\" OR \\"\\"=\\"',
    "union": b"x' UNION SELECT value, value, value FROM secrets --", "drop": b"'; DROP TABLE users; --",
    "attach": b"'; ATTACH DATABASE '/tmp/x' AS x; --", "like": b"%", "likes": b"%_%%__", "glob": b"*?[a-z]*",
    "backslash": b"\\\\", "nul": b"a\\u0000b", "nul alone": b"\\u0000", "raw nul": b"a\x00b", "controls": b"\\u0001\\u001b[2J\\r\\n",
    "bad utf-8": b"\xff\xfe", "overlong": b"\xc0\xaf", "cut utf-8": b"ab\xe2\x82", "surrogate": b"\\ud800",
    "raw surrogate": b"\xed\xa0\x80", "beyond": b"\xf4\x90\x80\x80", "rtl": "\u202egnp.exe\u2066".encode(),
    "zero width": "ad\u200bmin\ufeff".encode(), "emoji": "👩‍👩‍👧‍👦🏳️‍🌈".encode(), "combining": ("e" + "\u0301" * 300).encode(),
    "homoglyph": "аdmin".encode(), "empty": b"", "blank": b" ", "dots": b"../../../etc/passwd", "template": b"{{7*7}}${7*7}%n%s",
    "long": b"x" * 10000, "long quotes": b"'" * 10000, "very long": "ü".encode() * 200000, "number": b"1e309",
    "null": b"null", "id of nobody": b"conv_'00000000000000000",
}
MARK = "@@hostile@@"
SAID = re.compile(rb"sqlite|near [^:]{0,80}: syntax error|no such (table|column)|SQL logic|unrecognized token|constraint failed", re.I)
LOGGED = re.compile(r"sqlite|\bsql\b|syntax error|constraint|assert|abort|panic|sanitizer|killed|signal", re.I)


# ---- where strings are ----

def string_places(schema, depth=0):
    """A function for each string of a schema: (example) -> example with MARK in its place."""
    schema = resolve(API, schema)
    if schema is True or schema is False or depth > DEPTH_MAX:
        return
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "string" in kinds or "enum" in schema and all(isinstance(x, str) for x in schema["enum"]):
        yield "", lambda _: MARK
    for part in [schema, *schema.get("oneOf", []), *schema.get("anyOf", []), *schema.get("allOf", [])]:
        part = resolve(API, part)
        if part is not schema:
            yield from string_places(part, depth + 1)
            continue
        for name, below in part.get("properties", {}).items():
            for at, put in string_places(below, depth + 1):
                yield f"/{name}{at}", inside(name, below, put)
        if isinstance(part.get("additionalProperties"), dict):
            below = part["additionalProperties"]
            for at, put in string_places(below, depth + 1):
                yield f"/x{at}", inside("x", below, put)
        if "object" in kinds and part.get("additionalProperties", True) is not False:
            yield "/<name>", lambda value: {**(value if isinstance(value, dict) else {}), MARK: MARK}
        if "items" in part:
            for at, put in string_places(part["items"], depth + 1):
                yield f"/0{at}", first(part["items"], put)


def inside(name, below, put):
    def change(value):
        value = dict(value) if isinstance(value, dict) else {}
        value[name] = put(value.get(name, example(API, below)))
        return value
    return change


def first(below, put):
    return lambda value: [put(value[0] if isinstance(value, list) and value else example(API, below))]


def body_places(op):
    seen = set()
    for at, put in string_places(op.body):
        if at not in seen:
            seen.add(at)
            yield at, put


# ---- asking ----

class Client:
    """Many requests over one connection, each with an end."""

    def __init__(self, inst, key):
        self.inst, self.key, self.conn = inst, key, None

    def ask(self, method, path, body=None, kind="application/json"):
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            headers["Content-Type"] = kind
        for fresh in (False, True):
            if fresh or self.conn is None:
                self.conn = self.inst.connection(timeout=SLOW_S)
            with contextlib.suppress(http.client.RemoteDisconnected, ConnectionError):
                # http.client looks at targets itself; what it refuses is sent all the same.
                self.conn._validate_path = lambda _: None
                self.conn._encode_request = lambda text: text.encode("latin-1")
                self.conn.request(method, path, body, headers)
                r = self.conn.getresponse()
                answer = r.read()
                if r.getheader("connection") == "close":
                    self.conn = None
                return r.status, answer
        raise AssertionError(f"no answer to {method} {path[:200]}")


@pytest.fixture(scope="module")
def world(provider, authority):
    def edit(text):
        text = with_models(provider, authority)(text)
        was = 'languages: "*" }'
        assert was in text and "\nlimits:" not in text
        text = text.replace(was, 'languages: "*", requests_per_min: 1000000 }', 1)
        return text + "\nlimits: { user_requests_per_min: 1000000 }\n"

    with running(edit=edit) as inst:
        made = World(inst)
        made.objects = {f.prefix: f.make(made, "tenant") for f in FAMILIES}
        made.mine = {f.prefix: f.make(made, "owner") for f in FAMILIES}
        made.before = state_of(made)
        made.pids = {name: inst.pids(name) for name in ("gateway", "authority", "store", "audit", "broker", "executor")}
        yield made


def state_of(world):
    return [now(world, "tenant", f, world.objects[f.prefix]) for f in FAMILIES]


def log_of(inst):
    return (inst.top / "log").read_text(errors="replace")


def hold(world, op, name, at, status, answer):
    what = f"{op} {at} {name}: {status} {answer[:300]}"
    assert status < 500 and status != 429, what
    assert not SAID.search(answer), what
    assert not any(word.encode() in answer for word in world.words["tenant"]), what


def after(world):
    """Nothing died, nothing was said, and what is another's is as it was."""
    lines = [line for line in log_of(world.inst).splitlines() if LOGGED.search(line)]
    assert lines == []
    assert {name: world.inst.pids(name) for name in world.pids} == world.pids
    assert state_of(world) == world.before


def ids_of(world, op):
    family = family_of(op.path)
    return world.mine[family.prefix] if family else {}


# What there is, where an example would be none.
KNOWN = {"model": "demo", "language": "sh"}
# Where a text of a body is taken as it is: the hostile ones do get beyond the schema.
TAKEN = {"createChatCompletion", "execute", "callTool"}


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.body and any(body_places(op))], ids=str)
def test_strings_of_bodies(world, op):
    client, taken = Client(world.inst, world.keys["owner"]), set()
    for at, put in body_places(op):
        body = op.example()
        body.update({name: value for name, value in KNOWN.items() if name in body})
        text = json.dumps(put(body)).encode()
        assert MARK.encode() in text
        for name, value in HOSTILE.items():
            status, answer = client.ask(op.method, op.at(**ids_of(world, op)), text.replace(MARK.encode(), value))
            hold(world, op, name, at, status, answer)
            if status < 300:
                taken.add(name)
    assert op.id not in TAKEN or {"or", "drop", "rtl", "emoji", "long quotes"} <= taken
    assert not taken & {"bad utf-8", "overlong", "surrogate", "raw surrogate", "raw nul"}
    after(world)


def in_target(value):
    """What stands for it in a path: its bytes, each escaped; None: there is no such path."""
    plain = re.sub(rb"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)).encode("utf-8", "surrogatepass"), value)
    return urllib.parse.quote_from_bytes(plain, safe="")


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.holes], ids=str)
def test_strings_of_paths(world, op):
    client = Client(world.inst, world.keys["owner"])
    body = None if op.body is None else json.dumps(op.example())
    for hole in op.holes:
        for name, value in HOSTILE.items():
            path = op.at(**{**ids_of(world, op), hole: MARK}).replace(MARK, in_target(value))
            status, answer = client.ask(op.method, path, body)
            hold(world, op, name, hole, status, answer)
            # Only the empty one leads elsewhere: to the list.
            # An item or a user may be called "null" or "1e309", and one is: a body above said so.
            assert (status >= 400 or value == b"" or "{id}" in op.path and "models" in op.path
                    or hole in ("item_id", "user") and name in ("null", "number")), (name, path[:100], answer)
    after(world)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.method == "GET"], ids=str)
def test_strings_of_queries(world, op):
    client = Client(world.inst, world.keys["owner"])
    names = list(op.named("query")) + ["x", "'", "%00", "limit", "after", "order"]
    for query in names:
        for name, value in HOSTILE.items():
            path = f"{op.at(**ids_of(world, op))}?{query}={in_target(value)}"
            status, answer = client.ask("GET", path)
            hold(world, op, name, query, status, answer)
    after(world)


def test_strings_of_keys(world):
    """Credentials are looked up, too."""
    for name, value in HOSTILE.items():
        value = re.sub(rb"[\x00-\x1f\x7f]", b"", value)[:200]
        for text in (value, b"sp_" + value, world.keys["tenant"].encode()[:60] + value):
            client = Client(world.inst, text.decode("latin-1"))
            status, answer = client.ask("GET", "/v1/models")
            hold(world, "GET /v1/models", name, "key", status, answer)
            assert status == 401 or status == 400, (name, status)
    after(world)


def test_strings_of_urlencoded_forms(world):
    client = Client(world.inst, world.keys["owner"])
    kind = "application/x-www-form-urlencoded"
    for op in OPERATIONS:
        if kind not in op.content:
            continue
        schema = op.content[kind]["schema"]
        fields = {**example(API, schema), "subject_token": client.key, "token": "x"}
        fields = {name: value for name, value in fields.items() if name in schema["properties"]}
        for name, value in HOSTILE.items():
            for field in [*schema["properties"], "x", in_target(value)]:
                text = "&".join(f"{k}={urllib.parse.quote(str(v), safe='')}" for k, v in fields.items() if k != field)
                for sent in (in_target(value), value.decode("latin-1").replace("&", "")):
                    status, answer = client.ask(op.method, op.path, f"{text}&{field}={sent}".encode("latin-1"), kind)
                    hold(world, op, name, field, status, answer)
    after(world)


def test_strings_of_forms(world):
    client = Client(world.inst, world.keys["owner"])
    manifest = {"name": "n", "description": "d", "input_schema": {"type": "object"}, "env": {"A": "b"}}
    for member in ("name", "description", "env", "input_schema", MARK):
        changed = {"env": {MARK: MARK}, "input_schema": {"type": "object", "properties": {MARK: {"type": "string"}},
                                                          "required": [MARK]}}.get(member, MARK)
        text = json.dumps({**manifest, member: changed}).encode()
        for name, value in HOSTILE.items():
            body = form(manifest=text.replace(MARK.encode(), value), native=b"#!/bin/sh\ncat\n")
            status, answer = client.ask("POST", "/v1/tools", body, "multipart/form-data; boundary=b")
            hold(world, "POST /v1/tools", name, member, status, answer)
            if status == 201:
                made = json.loads(answer)["name"]
                assert client.ask("DELETE", f"/v1/tools/{made}")[0] == 200
    after(world)


# ---- the management socket: it is root's, and no less strict ----

ACTS = [row for row in admin_routes() if row.door in ("operator", "both")]
# What there is, where an example would be none.
SAID_BY_OPERATORS = {"tenant": "acme", "user": "alice", "name": "n"}


@pytest.mark.parametrize("row", ACTS, ids=lambda row: f"{row.method} {row.path}")
def test_strings_of_operators(world, row):
    places = [("path", row.path.replace("{}", MARK), None)] if "{}" in row.path else []
    path = row.path.replace("{}", "alice") + ("?tenant=acme" if "tenant" in row.query else "")
    places += [(f"query {name}", f"{row.path.replace('{}', 'alice')}?{name}={MARK}", None) for name in row.query]
    if row.schema is not None:
        body = {name: value for name, value in SAID_BY_OPERATORS.items() if name in row.schema["properties"]}
        places += [(f"body {at}", path, put({**example(API, row.schema), **body}))
                   for at, put in string_places(row.schema)]
    for at, path, body in places:
        for name, value in HOSTILE.items():
            text = b"" if body is None else json.dumps(body).encode().replace(MARK.encode(), value)
            status, answer = manage(world.inst, row.method, path.replace(MARK, in_target(value)), text)
            assert status < 500 and not SAID.search(answer), (at, name, status, answer)
            assert row.method == "GET" or not any(w.encode() in answer for w in world.words["tenant"]), (at, answer)
    after(world)


def manage(inst, method, path, body):
    c = UnixConnection(str(inst.dir / "run" / "management.sock"))
    try:
        with contextlib.suppress(BrokenPipeError):  # too long: it is answered before all of it is sent
            c.request(method, path, body, {"Content-Type": "application/json"})
        if c._HTTPConnection__state != "Request-sent":
            c._HTTPConnection__state = "Request-sent"
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def test_the_log_is_whole(world):
    assert world.inst.verify().returncode == 0
    text = b"".join(f.read_bytes() for f in (world.inst.dir / "audit").glob("*.jsonl"))
    for line in text.splitlines():
        json.loads(line)
    assert b"DROP TABLE" not in text and "gnp.exe".encode() not in text
