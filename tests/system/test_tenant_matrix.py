# SPDX-License-Identifier: Apache-2.0
"""Somebody else's id is no id: every operation of openapi.yaml that takes one, for another tenant and for another user
of the same one; and no list shows what is not one's own.

The table below says for each path how one comes by an object; a path that is in neither table fails.
"""

import dataclasses
import json
import secrets
import string

import pytest

from instance import running
from openapi import load, operations
from test_tools import FORM, form

OPERATIONS = operations(load())
WORD = string.ascii_lowercase + string.digits
PEOPLE = {"owner": ("acme", "alice"), "user": ("acme", "bob"), "tenant": ("zeus", "alice")}

# Paths whose parameter is nobody's: names from the configuration.
NOBODYS = {"/v1/models/{id}": "models are the configuration's",
           "/v1/responses/{response_id}": "they need a model: test_conversations.py",
           "/v1/responses/{response_id}/input_items": "the same"}


def word():
    return "".join(secrets.choice(WORD) for _ in range(16))


class World:
    def __init__(self, inst):
        self.inst = inst
        self.keys = {who: inst.operate("key", "create", "--tenant", tenant, "--user", user).stdout.strip()
                     for who, (tenant, user) in PEOPLE.items()}
        self.words = {}

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


@dataclasses.dataclass
class Family:
    prefix: str
    make: object
    look: str  # how the owner sees that it is still there, as it was


FAMILIES = [
    Family("/v1/tools/{name}", a_tool, "/v1/tools/{name}"),
    Family("/v1/conversations/{conversation_id}", a_conversation, "/v1/conversations/{conversation_id}"),
    Family("/v1/files/{file_id}", a_file, "/v1/files/{file_id}"),
]


def family_of(path):
    return max((f for f in FAMILIES if path == f.prefix or path.startswith(f.prefix + "/")),
               key=lambda f: len(f.prefix), default=None)


WITH_IDS = [op for op in OPERATIONS if op.holes and op.path not in NOBODYS]
LISTS = [op for op in OPERATIONS if op.method == "GET" and not op.holes and op.path != "/openapi.json"]


@pytest.fixture(scope="module")
def world():
    with running() as inst:
        yield World(inst)


@pytest.fixture(scope="module")
def objects(world):
    return {f.prefix: f.make(world, "owner") for f in FAMILIES}


def test_every_path_with_an_id_is_in_a_table():
    assert [str(op) for op in WITH_IDS if family_of(op.path) is None] == []
    assert NOBODYS.keys() <= {op.path for op in OPERATIONS}


def none_like(id):
    """One of the same form that nobody has."""
    return id[:-6] + "".join(secrets.choice(string.digits + string.ascii_lowercase) for _ in range(6))


@pytest.mark.parametrize("op", WITH_IDS, ids=str)
@pytest.mark.parametrize("who", ["user", "tenant"])
def test_an_id_of_somebody_else_is_none(world, objects, op, who):
    family = family_of(op.path)
    ids = objects[family.prefix]
    before = world.ask("owner", "GET", family.look.format(**ids))
    assert before[0] == 200
    for last in range(len(op.holes)):
        # Each parameter by itself is somebody else's; those before it, too.
        unknown = {**ids, **{hole: none_like(ids[hole]) for hole in op.holes[last:]}}
        theirs = world.ask(who, op.method, op.at(**ids), op.example())
        nothing = world.ask(who, op.method, op.at(**unknown), op.example())
        assert theirs == nothing
        assert theirs[0] == 404, theirs
    assert world.ask("owner", "GET", family.look.format(**ids)) == before, "it was changed"


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


def test_the_owner_sees_all_of_it(world, objects):
    """The matrix is of objects that are there."""
    text = "".join(json.dumps(world.ask("owner", "GET", op.path)) for op in LISTS) + "".join(
        json.dumps(world.ask("owner", "GET", f.look.format(**objects[f.prefix]))) for f in FAMILIES)
    assert [w for w in world.words["owner"] if w not in text] == []


def test_two_of_one_name_are_two(world, objects):
    """What others have under the same name is theirs, and stays so."""
    name = objects["/v1/tools/{name}"]["name"]
    manifest = {"name": name, "description": "theirs", "input_schema": {"type": "object"}}
    world.made("tenant", "POST", "/v1/tools", form(manifest=manifest, native=b"#!/bin/sh\necho 1\n"), FORM)
    assert world.ask("owner", "GET", f"/v1/tools/{name}")[1]["manifest"]["description"] != "theirs"
    assert world.ask("tenant", "DELETE", f"/v1/tools/{name}")[0] == 200
    assert world.ask("owner", "GET", f"/v1/tools/{name}")[0] == 200
