# SPDX-License-Identifier: Apache-2.0
"""A person's data, given out and destroyed."""

import base64
import contextlib
import json
import sqlite3

import pytest

from canary import Plants
from instance import running
from test_tenant_matrix import World, a_conversation, a_file, a_response, a_tool, with_models


@pytest.fixture
def world(provider, authority):
    with running(edit=with_models(provider, authority)) as inst:
        made = World(inst)
        for make in (a_tool, a_conversation, a_response, a_file):
            for who in ("owner", "user"):
                make(made, who)
        yield made


def export(world, who, *more, check=True):
    return world.inst.operate("user", "export", who, *more, check=check)


def of_type(records, kind):
    return [r for r in records if r["event"]["type"] == kind]


def kinds_of(lines):
    return [line["type"] for line in lines]


def text_of(lines):
    """With the bytes of files, as they are."""
    return json.dumps(lines) + "".join(base64.b64decode(line.get("content_base64", "")).decode() for line in lines)


def test_an_export_is_all_of_a_person_and_nothing_of_others(world):
    lines = [json.loads(line) for line in export(world, "acme/bob").stdout.splitlines()]
    assert (lines[0]["type"], lines[0]["tenant"], lines[0]["user"]) == ("user", "acme", "bob")
    assert {"user", "api_key", "conversation", "response", "file", "tool"} <= set(kinds_of(lines))
    text = text_of(lines)
    assert [w for w in world.words["user"] if w not in text] == []
    assert [w for w in world.words["owner"] if w in text] == []
    assert not any(key[16:] in text for key in world.keys.values())
    intent, outcome = of_type(world.inst.records(), "Exported")[-2:]
    assert intent["phase"] == "intent" and outcome["outcome"] == "success"
    assert outcome["event"]["size_bytes"] > 0 and len(outcome["event"]["target"]) == 32 and "bob" not in json.dumps(outcome)


def test_people_export_themselves_and_nobody_else(world):
    status, answer = world.ask("user", "GET", "/admin/v1/users/bob/export")
    assert status == 200 and answer["next"] is None
    lines = [json.loads(line) for line in base64.b64decode(answer["page_base64"]).decode().splitlines()]
    assert lines[0]["user"] == "bob"
    # An owner asks, and somebody else would have to agree; of another tenant there is no such person.
    status, answer = world.ask("owner", "GET", "/admin/v1/users/bob/export")
    assert status == 202 and "page_base64" not in answer
    assert world.ask("tenant", "GET", "/admin/v1/users/bob/export")[0] == 404
    assert world.ask("user", "GET", "/admin/v1/users/alice/export")[0] == 403
    for query in ("?cursor=x", "?cursor=1", "?cursor=1.2", "?cursor=1.2.3.4", "?cursor=999.0.0", "?cursor=-1.0.0", "?x=1"):
        assert world.ask("user", "GET", "/admin/v1/users/bob/export" + query)[0] == 400, query
    assert export(world, "acme/nobody", check=False).returncode == 1
    assert export(world, "bob", check=False).returncode == 2


def test_who_is_erased_is_gone(world):
    inst = world.inst
    before = world.ask("owner", "GET", "/v1/tools")
    assert world.ask("user", "POST", "/admin/v1/users/alice/erase")[:1] == (403,)
    assert inst.operate("user", "erase", "acme/bob").returncode == 0
    assert world.ask("user", "GET", "/v1/models")[0] == 401
    assert inst.operate("user", "erase", "acme/bob", check=False).returncode == 1
    assert export(world, "acme/bob", check=False).returncode == 1
    outcome = of_type(inst.records(), "Erased")[-1]
    assert outcome["outcome"] == "success" and len(outcome["event"]["target"]) == 32
    assert world.ask("owner", "GET", "/v1/tools") == before
    # After a restart it is the same, and nothing of bob's is there in any encoding.
    assert inst.stop() == 0
    # But for the name of the tool, which the log says where it was made.
    plants = Plants({f"word {i}": w for i, w in enumerate(world.words["user"]) if i > 0})
    assert plants.in_tree(inst.dir) == []
    file = next((inst.dir / "store").glob("*.db"))
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        erased = [id for id, in db.execute("SELECT id FROM users WHERE state = 2")]
        assert len(erased) == 1
        assert db.execute("SELECT count(*) FROM user_keys WHERE user = ?", erased).fetchone() == (0,)
    inst.start()
    assert world.ask("user", "GET", "/v1/models")[0] == 401
    assert world.ask("owner", "GET", "/v1/tools") == before
    assert inst.verify().returncode == 0


def test_who_is_held_is_not_erased(world):
    inst = world.inst
    inst.operate("user", "hold", "acme/bob")
    done = inst.operate("user", "erase", "acme/bob", check=False)
    assert done.returncode == 1 and "hold" in done.stderr
    assert world.ask("owner", "POST", "/admin/v1/users/bob/erase")[0] == 409
    assert world.ask("user", "GET", "/v1/tools")[0] == 200
