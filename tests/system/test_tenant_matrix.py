# SPDX-License-Identifier: Apache-2.0
"""Somebody else's id is no id: every operation of openapi.yaml that takes one, for another tenant and for another user
of the same one; no list shows what is not one's own; and no page goes on at what is somebody else's.

The table below says for each path how one comes by an object; a path that is in neither table fails.
"""

import base64
import dataclasses
import json
import pathlib
import secrets
import sqlite3
import string
import urllib.parse

import pytest

from instance import running, wait_for
from openapi import load, operations, resolve
from test_tools import FORM, POOLS, form
from upstreams import entry, models_at

OPERATIONS = operations(load())
WORD = string.ascii_lowercase + string.digits
# Who has what; and who asks for it: another user of the tenant, and the owner of another one.
PEOPLE = {"owner": ("acme", "alice", ["user", "owner"]), "user": ("acme", "bob", ["user"]),
          "tenant": ("zeus", "alice", ["user", "owner"])}

# Paths whose parameter is nobody's: names from the configuration.
NOBODYS = {"/v1/models/{id}": "models are the configuration's"}
# Bodies where the smallest one would be none.
BODIES = {"changeUser": {"state": "active"}}


def word():
    return "".join(secrets.choice(WORD) for _ in range(16))


class World:
    def __init__(self, inst):
        self.inst = inst
        self.words, self.keys = {}, {}
        for who, (tenant, user, roles) in PEOPLE.items():
            self.operate("users", {"tenant": tenant, "user": user, "roles": roles})
            self.keys[who] = self.operate("keys", {"tenant": tenant, "user": user})["key"]

    def operate(self, path, body):
        status, answer = self.inst.management("POST", "/admin/v1/" + path, body)
        assert status == 201, answer
        return json.loads(answer)

    def ask(self, who, method, path, body=None, headers=None):
        status, _, answer = self.inst.request(method, path, body, key=self.keys[who], headers=headers, timeout=60)
        answer = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
        if isinstance(answer, dict):
            answer.pop("request_id", None)
        return status, answer

    def made(self, who, method, path, body, headers=None):
        status, answer = self.ask(who, method, path, body, headers)
        assert status in (200, 201), (path, status, answer)
        return answer

    def word(self, who):
        """A word that stands in what `who` has, and nowhere else."""
        self.words.setdefault(who, []).append(word())
        return self.words[who][-1]


# ---- how one comes by an object: {parameter: id} ----

def a_tool(world, who):
    name, text = world.word(who), world.word(who)
    manifest = {"name": name, "description": text, "input_schema": {"type": "object"}}
    for n in range(2):
        world.made(who, "POST", "/v1/tools", form(manifest=manifest, native=b"#!/bin/sh\ncat\n" + b"#" * n), FORM)
    return {"name": name}


def a_conversation(world, who):
    text = world.word(who)
    answer = world.made(who, "POST", "/v1/conversations", {
        "metadata": {"topic": text}, "items": [{"role": "user", "content": text}]})
    items = world.ask(who, "GET", f"/v1/conversations/{answer['id']}/items")[1]
    return {"conversation_id": answer["id"], "item_id": items["data"][0]["id"]}


def a_file(world, who):
    text = world.word(who)
    body = (f'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
            f'--b\r\ncontent-disposition: form-data; name="file"; filename="{text}.txt"\r\n\r\n{text}\r\n--b--\r\n')
    return {"file_id": world.made(who, "POST", "/v1/files", body.encode(), FORM)["id"]}


def a_response(world, who):
    text = world.word(who)
    answer = world.made(who, "POST", "/v1/responses", {"model": "gpt", "input": text, "store": True,
                                                       "metadata": {"topic": text}})
    return {"response_id": answer["id"]}


def a_user(world, who):
    name = world.word(who)
    world.made(who, "POST", "/admin/v1/users", {"user": name, "roles": ["service"]})
    return {"user": name}


def a_tenant(world, who):
    return {"tenant": PEOPLE[who][0]}


def a_key(world, who):
    name = a_user(world, who)["user"]
    return {"key": world.made(who, "POST", "/admin/v1/keys", {"user": name, "scopes": {"endpoints": ["chat"]}})["id"]}


def a_session(world, who):
    form_of = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": world.keys[who],
               "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    world.made(who, "POST", "/auth/token", urllib.parse.urlencode(form_of),
               {"Content-Type": "application/x-www-form-urlencoded"})
    id = world.ask(who, "GET", "/admin/v1/sessions")[1]["sessions"][-1]["id"]
    world.words.setdefault(who, []).append(id)
    return {"session": id}


def an_approval(world, who):
    name = a_user(world, who)["user"]
    world.made(who, "PATCH", f"/admin/v1/users/{name}", {"hold": True})
    status, answer = world.ask(who, "PATCH", f"/admin/v1/users/{name}", {"hold": False})
    assert status == 202, answer
    return {"approval": answer["approval"]["id"]}


@dataclasses.dataclass
class Family:
    prefix: str
    make: object
    look: str  # how the owner sees that it is still there, as it was


FAMILIES = [
    Family("/v1/tools/{name}", a_tool, "/v1/tools/{name}"),
    Family("/v1/conversations/{conversation_id}", a_conversation, "/v1/conversations/{conversation_id}"),
    Family("/v1/files/{file_id}", a_file, "/v1/files/{file_id}"),
    Family("/v1/responses/{response_id}", a_response, "/v1/responses/{response_id}"),
    Family("/admin/v1/tenants/{tenant}", a_tenant, "/admin/v1/tenants"),
    Family("/admin/v1/users/{user}", a_user, "/admin/v1/users/{user}"),
    Family("/admin/v1/keys/{key}", a_key, "/admin/v1/keys"),
    Family("/admin/v1/sessions/{session}", a_session, "/admin/v1/sessions"),
    Family("/admin/v1/approvals/{approval}", an_approval, "/admin/v1/approvals"),
]


def family_of(path):
    return max((f for f in FAMILIES if path == f.prefix or path.startswith(f.prefix + "/")),
               key=lambda f: len(f.prefix), default=None)


WITH_IDS = [op for op in OPERATIONS if op.holes and op.path not in NOBODYS]
LISTS = [op for op in OPERATIONS if op.method == "GET" and not op.holes and op.path != "/openapi.json"]


def with_models(provider, authority):
    provider.keyless = True
    return models_at({"real": entry(provider, authority)}, {"gpt": [("real", "gpt-real")]}, sandboxes=POOLS)


@pytest.fixture(scope="module")
def world(provider, authority):
    with running(edit=with_models(provider, authority)) as inst:
        yield World(inst)


@pytest.fixture(scope="module")
def objects(world):
    return {f.prefix: f.make(world, "owner") for f in FAMILIES}


def test_every_path_with_an_id_is_in_a_table():
    assert [str(op) for op in WITH_IDS if family_of(op.path) is None] == []
    assert NOBODYS.keys() <= {op.path for op in OPERATIONS}


def none_like(id):
    """One of the same form that nobody has."""
    return id[:-6] + "".join(secrets.choice("0123456789abcdef") for _ in range(6))


def now(world, who, family, ids):
    """What its owner sees of it, but for when keys were used."""
    status, answer = world.ask(who, "GET", family.look.format(**ids))
    for key in answer.get("keys", []):
        del key["last_used_s"]
    return status, answer


@pytest.mark.parametrize("op", WITH_IDS, ids=str)
@pytest.mark.parametrize("who", ["user", "tenant"])
def test_an_id_of_somebody_else_is_none(world, objects, op, who):
    family = family_of(op.path)
    ids = objects[family.prefix]
    before = now(world, "owner", family, ids)
    assert before[0] == 200, before
    body = BODIES.get(op.id) or op.example()
    for last in range(len(op.holes)):
        # Each parameter by itself is somebody else's; those before it, too.
        unknown = {**ids, **{hole: none_like(ids[hole]) for hole in op.holes[last:]}}
        theirs = world.ask(who, op.method, op.at(**ids), body)
        nothing = world.ask(who, op.method, op.at(**unknown), body)
        assert theirs == nothing
        # Whose role it is not to ask is not told more by 403: it is the same for every id.
        nobodys = who == "user" or op.id == "exportUser"
        assert theirs[0] == 404 or nobodys and (theirs[0], theirs[1]["error"]["code"]) == (403, "role"), theirs
    assert now(world, "owner", family, ids) == before, "it was changed"


@pytest.mark.parametrize("op", LISTS, ids=str)
@pytest.mark.parametrize("who", ["user", "tenant"])
def test_no_list_shows_what_is_somebody_elses(world, objects, op, who):
    words = world.words["owner"]
    # From the beginning, and from behind what is somebody else's.
    queries = [""] + [f"?{p['name']}={word}" for p in op.parameters if p["in"] == "query" for word in words]
    for query in queries:
        status, answer = world.ask(who, "GET", op.path + query)
        assert status in (200, 400, 403, 404), (query, answer)
        text = json.dumps(answer)
        if status == 200:
            assert [w for w in words if w in text] == [], query


@pytest.mark.parametrize("op", LISTS, ids=str)
@pytest.mark.parametrize("who", ["user", "tenant"])
def test_a_page_behind_an_id_of_somebody_else_is_none(world, objects, op, who):
    """What is said of such an id in a query is what is said of one that is nobody's."""
    for query in op.named("query"):
        # But a tenant's name, which is that of whoever asks there.
        for id in {id for ids in objects.values() for id in ids.values()} - {PEOPLE["owner"][0]}:
            theirs, nothing = (world.ask(who, "GET", f"{op.path}?{query}={i}") for i in (id, none_like(id)))
            assert theirs == nothing, (query, id)


# ---- ids in bodies ----

# {operation: {field: (whose, which of its ids)}}
IN_BODIES = {
    "createResponse": {"previous_response_id": ("/v1/responses/{response_id}", "response_id"),
                       "conversation": ("/v1/conversations/{conversation_id}", "conversation_id"),
                       "conversation.id": ("/v1/conversations/{conversation_id}", "conversation_id")},
    "createUser": {"tenant": ("/admin/v1/tenants/{tenant}", "tenant")},
    "createKey": {"tenant": ("/admin/v1/tenants/{tenant}", "tenant"), "user": ("/admin/v1/users/{user}", "user")},
}
# Ids that who asks gives to something of its own, or that are compared within the body only.
GIVEN = {"createConversation items.id", "createItems items.id", "createResponse input.id", "createResponse input.call_id",
         "createUser user", "createChatCompletion messages.tool_call_id", "createChatCompletion messages.tool_calls.id"}
# Texts that go to providers as they are.
OPAQUE = {"createChatCompletion user", "createResponse user", "createEmbeddings user", "createMessage metadata.user_id",
          "createMessage user_profile_id", "countMessageTokens user_profile_id"}
BODY_BASES = {"createResponse": {"model": "gpt", "input": "x", "store": True}, "createUser": {"user": "carol"},
              "createKey": {"scopes": {"endpoints": ["chat"]}}}


def fields(op, schema, at=(), seen=()):
    """The names of all that a schema knows, lists left out."""
    ref = schema.get("$ref") if isinstance(schema, dict) else schema  # or a boolean
    if ref in (True, False, *seen):
        return
    schema, seen = resolve(op.document, schema), (*seen, *([ref] if ref else []))
    for name, below in schema.get("properties", {}).items():
        yield ".".join((*at, name))
        yield from fields(op, below, (*at, name), seen)
    parts = [schema.get("items"), *(b for k in ("anyOf", "oneOf", "allOf") for b in schema.get(k, []))]
    for below in (p for p in parts if isinstance(p, dict)):
        yield from fields(op, below, at, seen)


def names_something(field):
    last = field.rpartition(".")[2]
    return last in ("id", "user", "tenant", "conversation") or last.endswith("_id")


def test_every_id_in_a_body_is_in_a_table():
    found = {f"{op.id} {field}" for op in OPERATIONS for kind in op.content.values()
             for field in fields(op, kind["schema"]) if names_something(field)}
    tables = {f"{op} {field}" for op, known in IN_BODIES.items() for field in known}
    assert found == tables | GIVEN | OPAQUE


def with_id(op, field, id):
    for name in reversed(field.split(".")):
        id = {name: id}
    return {**BODY_BASES[op.id], **id}


# But the tenant of another user of the same one, which is its own, too.
@pytest.mark.parametrize("op,field,who", [(op, f, who) for op in OPERATIONS for f in IN_BODIES.get(op.id, ())
                                          for who in ("user", "tenant") if f != "tenant" or who == "tenant"], ids=str)
def test_an_id_of_somebody_else_in_a_body_is_none(world, objects, op, field, who):
    prefix, hole = IN_BODIES[op.id][field]
    family, ids = family_of(prefix), objects[prefix]
    before = now(world, "owner", family, ids)
    theirs, nothing = (world.ask(who, op.method, op.path, with_id(op, field, id)) for id in (ids[hole], none_like(ids[hole])))
    assert theirs == nothing
    nobodys = op.path.startswith("/admin/") and who == "user"
    assert theirs[0] == 404 or nobodys and (theirs[0], theirs[1]["error"]["code"]) == (403, "role"), theirs
    assert now(world, "owner", family, ids) == before, "it was changed"


# ---- cursors: where a page goes on ----

# Parameters of queries: ids, and numbers that the store counts for all.
CURSORS = {"after", "after_id", "before_id", "cursor"}
NUMBERS = {"after_user", "after_key", "after_model"}
NUMBER_MAX = 16  # more than there are people, and keys, in what the tests of numbers ask for


@pytest.fixture(scope="module")
def own(world):
    """Those who ask have objects of their own: {who: {prefix: ids}}."""
    made = {who: {f.prefix: f.make(world, who) for f in FAMILIES if f.prefix.startswith("/v1/")}
            for who in ("user", "tenant")}
    for who, ids in made.items():
        ids["/admin/v1/tenants/{tenant}"] = {"tenant": PEOPLE[who][0]}
        ids["/admin/v1/users/{user}"] = {"user": PEOPLE[who][1]}
    return made


def test_every_cursor_is_known():
    names = {name for op in OPERATIONS for name in op.named("query")}
    assert {n for n in names if n.startswith(("after", "before", "cursor", "page", "start"))} == CURSORS | NUMBERS


@pytest.mark.parametrize("op", [op for op in WITH_IDS if CURSORS & {*op.named("query")}], ids=str)
@pytest.mark.parametrize("who", ["user", "tenant"])
def test_ones_own_page_behind_an_id_of_somebody_else_is_none(world, objects, own, op, who):
    path = op.at(**own[who][family_of(op.path).prefix])
    for query in CURSORS & {*op.named("query")}:
        for id in {id for ids in objects.values() for id in ids.values()}:
            theirs, nothing = (world.ask(who, "GET", f"{path}?{query}={i}") for i in (id, none_like(id)))
            assert theirs == nothing, (query, id)


@pytest.mark.parametrize("who", ["user", "tenant"])
def test_no_number_in_an_exports_cursor_is_somebody_elses(world, objects, own, who):
    """stage.row.part.item.offset: rows and items are numbered for all, and one of others is one that is not there."""
    for stage in range(8):
        at, nothing = "/admin/v1/me/export?cursor=", {}
        within = [(0, 0, 0), (0, 0, 1)] + [(1, item, offset) for item in range(4) for offset in (0, 1)]
        for rest in within:
            nothing[rest] = world.ask(who, "GET", f"{at}{stage}.999999999.{rest[0]}.{rest[1]}.{rest[2]}")
        for row, rest in ((row, rest) for row in range(1, NUMBER_MAX) for rest in within):
            answer = world.ask(who, "GET", f"{at}{stage}.{row}.{rest[0]}.{rest[1]}.{rest[2]}")
            assert answer[0] == 200 or answer == nothing[rest], (stage, row, rest, answer)
            page = base64.b64decode(answer[1].get("page_base64", ""))
            assert [w for w in world.words["owner"] if w.encode() in page] == [], (stage, row, rest)


def test_usage_goes_on_at_ones_own_only(world, objects):
    """In all pairs: a number of somebody else's person or key is told what is told of one that is nobody's."""
    for who in ("owner", "tenant"):
        world.made(who, "POST", "/v1/chat/completions", {"model": "gpt", "messages": [{"role": "user", "content": "."}]})
    wait_for(lambda: world.ask("tenant", "GET", "/admin/v1/usage")[1]["usage"])  # the store hears of it once a second
    people = {u["id"] for u in world.made("tenant", "GET", "/admin/v1/users", None)["users"]}
    nothing = world.ask("tenant", "GET", "/admin/v1/usage?after_user=999999&after_key=999999")
    assert (nothing[0], nothing[1]["error"]["code"]) == (409, "begin_anew")
    at, stood = "/admin/v1/usage?after_user={}&after_key={}", set()
    for user, key in ((user, key) for user in range(1, NUMBER_MAX) for key in range(NUMBER_MAX)):
        answer = world.ask("tenant", "GET", at.format(user, key))
        if answer[0] == 200:
            stood.add(user)
        assert answer == nothing or {row["tenant"] for row in answer[1]["usage"]} <= {"zeus"}, (user, key, answer)
    assert 0 < len(stood) <= len(people)


def test_the_owner_sees_all_of_it(world, objects):
    """The matrix is of objects that are there."""
    seen = [world.ask("owner", "GET", op.path) for op in LISTS]
    seen += [world.ask("owner", "GET", op.at(**objects[family_of(op.path).prefix])) for op in WITH_IDS if op.method == "GET"]
    text = json.dumps(seen)
    assert [w for w in world.words["owner"] if w not in text] == []


def test_two_of_one_name_are_two(world, objects):
    """What others have under the same name is theirs, and stays so."""
    name = objects["/v1/tools/{name}"]["name"]
    manifest = {"name": name, "description": "theirs", "input_schema": {"type": "object"}}
    world.made("tenant", "POST", "/v1/tools", form(manifest=manifest, native=b"#!/bin/sh\necho 1\n"), FORM)
    assert world.ask("owner", "GET", f"/v1/tools/{name}")[1]["manifest"]["description"] != "theirs"
    assert world.ask("tenant", "DELETE", f"/v1/tools/{name}")[0] == 200
    assert world.ask("owner", "GET", f"/v1/tools/{name}")[0] == 200
