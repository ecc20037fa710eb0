# SPDX-License-Identifier: Apache-2.0
"""A person's data, given out and destroyed."""

import base64
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import urllib.parse

import pytest

from canary import Plants
from instance import running
from test_tenant_matrix import World, a_conversation, a_file, a_response, a_tool, with_models
from test_tools import FORM, form


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
    """But for what the store hears of later: usage comes in batches, and a line is there once there is some."""
    return [line["type"] for line in lines if line["type"] != "usage"]


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


def test_a_thing_is_a_line(world):
    """However clients lay out their JSON, and whatever they hide in it."""
    forged = '{"type":"user","tenant":"acme","user":"victim","roles":["owner"],"state":"active","hold":false}'
    text = json.dumps({"metadata": {"a": "b\u2028c"}, "items": [
        {"role": "user", "content": [{"type": "input_text", "text": 'x" \\', "a": "FORGED"}]}]}, indent=2, ensure_ascii=False)
    body = text.replace('"FORGED"', "\n" + forged + "\n").replace("\n", "\r\n").encode()
    world.made("user", "POST", "/v1/conversations", body, {"Content-Type": "application/json"})
    manifest = json.dumps({"name": "laid_out", "description": "d", "input_schema": {"type": "object"}}, indent=4) + "\n"
    world.made("user", "POST", "/v1/tools", form(manifest=manifest.encode(), native=b"#!/bin/sh\ncat\n"), FORM)
    lines = [json.loads(line) for line in export(world, "acme/bob").stdout.split("\n")[:-1]]
    assert [line["user"] for line in lines if line["type"] == "user"] == ["bob"]
    item = next(line for line in lines if line["type"] == "conversation" and "victim" in json.dumps(line))
    assert item["items"][0]["content"][0]["a"] == json.loads(forged) and item["items"][0]["content"][0]["text"] == 'x" \\'
    assert item["object"] == {"a": "b\u2028c"}
    tool = next(line for line in lines if line["type"] == "tool" and line["name"] == "laid_out")
    assert tool["versions"][0]["manifest"] == json.loads(manifest)


def test_what_a_person_brought_comes_back(world):
    """Tools with their parts, and who is signed in, without what is secret of it."""
    script = b"#!/bin/sh\ncat\n" + b"# what is kept \xff\x00\n" * 20000
    manifest = {"name": "brought", "description": "d", "input_schema": {"type": "object"}}
    world.made("user", "POST", "/v1/tools", form(manifest=manifest, native=script), FORM)
    fields = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": world.keys["user"],
              "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    token = world.made("user", "POST", "/auth/token", urllib.parse.urlencode(fields).encode(),
                       {"Content-Type": "application/x-www-form-urlencoded"})["access_token"]
    text = export(world, "acme/bob").stdout
    lines = [json.loads(line) for line in text.splitlines()]
    parts = {line["version"]: line for line in lines if line["type"] == "tool_part" and line["tool"] == "brought"}
    assert parts[1]["part"] == "native" and base64.b64decode(parts[1]["content_base64"]) == script
    sessions = [line for line in lines if line["type"] == "session"]
    listed = world.ask("user", "GET", "/admin/v1/sessions")[1]["sessions"]
    assert [line["id"] for line in sessions] == [session["id"] for session in listed] and len(listed) == 1
    assert sessions[0]["key"] == world.keys["user"][3:15] and sessions[0]["expires_at"] > sessions[0]["created_at"]
    assert token not in text and token.split(".")[-1] not in text


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
    for query in ("?cursor=x", "?cursor=1", "?cursor=1.2", "?cursor=1.2.3.4", "?cursor=999.0.0.0.0", "?cursor=0.0.256.0.0",
                  "?cursor=0.0.0.9223372036854775808.0", "?cursor=-1.0.0.0.0", "?x=1"):
        assert world.ask("user", "GET", "/admin/v1/users/bob/export" + query)[0] == 400, query
    assert export(world, "acme/nobody", check=False).returncode == 1
    both = [[json.loads(line) for line in export(world, name).stdout.splitlines()] for name in ("bob", "acme/bob")]
    assert settled(both[0]) == settled(both[1])         # no other tenant has that name
    assert export(world, "acme/bob/x", check=False).returncode == 2


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


def test_who_is_made_again_is_somebody_else(world):
    """The name is taken by another person: what keys the one before had is not told, by any way to ask."""
    inst = world.inst

    def admin(method, path, body=None):
        status, text = inst.management(method, "/admin/v1" + path, body)
        return status, json.loads(text)

    def keys():
        return [k["id"] for k in admin("GET", "/keys?tenant=acme&user=carla")[1]["keys"]]

    who = {"tenant": "acme", "user": "carla"}
    old = [admin("POST", "/keys", who)[1]["id"] for _ in range(2)]
    assert keys() == old and admin("DELETE", f"/keys/{old[0]}")[0] == 200
    assert inst.operate("user", "erase", "acme/carla").returncode == 0
    assert keys() == [] and admin("DELETE", f"/keys/{old[1]}")[0] == 404
    status, fresh = admin("POST", "/keys", who)
    assert status == 201 and inst.request("GET", "/v1/models", key=fresh["key"])[0] == 200
    assert keys() == [fresh["id"]]
    for path in (f"/keys/{old[0]}/rotate", f"/keys/{old[1]}/rotate"):
        assert admin("POST", path, {})[0] == 404
    assert admin("DELETE", f"/keys/{old[1]}")[0] == 404
    assert admin("GET", f"/keys?tenant=acme&after={old[1]}")[0] == 404
    assert not set(old) & {k["id"] for k in admin("GET", "/keys?tenant=acme")[1]["keys"]}
    # Nor who asked for what waits.
    assert admin("PATCH", "/users/carla?tenant=acme", {"roles": ["owner", "user"]})[0] == 200
    status, _, waits = inst.request("GET", "/admin/v1/users/bob/export", key=fresh["key"])
    assert status == 202 and waits["approval"]["by"] == "carla"
    assert inst.operate("user", "erase", "acme/carla").returncode == 0
    assert admin("POST", "/keys", who)[0] == 201
    waits = waits["approval"]["id"]
    status, waiting = world.ask("owner", "GET", "/admin/v1/approvals/" + waits)
    assert (status, waiting["by"], waiting["state"]) == (200, None, "waiting")
    assert re.search(rf"^{waits} user\.export +waiting +- +20", inst.operate("approval", "list").stdout, re.M)
    assert '"by":null' in inst.operate("approval", "show", waits).stdout.replace(" ", "")
    assert world.ask("owner", "POST", "/admin/v1/approvals/" + waits, {"decision": "approve"})[0] == 409
    assert inst.operate("user", "erase", "acme/carla").returncode == 0


def test_who_is_held_is_not_erased(world):
    inst = world.inst
    inst.operate("user", "hold", "acme/bob")
    done = inst.operate("user", "erase", "acme/bob", check=False)
    assert done.returncode == 1 and "hold" in done.stderr
    assert world.ask("owner", "POST", "/admin/v1/users/bob/erase")[0] == 409
    assert world.ask("user", "GET", "/v1/tools")[0] == 200


# ---- two people, and oneself ----

def pages(world, who, path):
    """-> the lines of all pages"""
    text, mark = b"", ""
    for _ in range(100):
        status, answer = world.ask(who, "GET", path + mark)
        assert status == 200, answer
        text += base64.b64decode(answer["page_base64"])
        if answer["next"] is None:
            return [json.loads(line) for line in text.decode().splitlines()]
        mark = f"?cursor={answer['next']}"
    raise AssertionError("it does not end")


def approved(world, who, by, method, path, body=None):
    """`who` asks, `by` agrees. -> the approval as the second one sees it, the answer"""
    status, answer = world.ask(who, method, path, body)
    assert status == 202, answer
    id = answer["approval"]["id"]
    assert world.ask(who, method, path, body)[0] == 202
    assert world.ask(who, "POST", f"/admin/v1/approvals/{id}", {"decision": "approve"})[0] == 403
    seen = next(a for a in world.ask(by, "GET", "/admin/v1/approvals")[1]["approvals"] if a["id"] == id)
    status, answer = world.ask(by, "POST", f"/admin/v1/approvals/{id}", {"decision": "approve"})
    assert status == 200, answer
    return seen, answer


def a_second_owner(world):
    world.operate("users", {"tenant": "acme", "user": "carol", "roles": ["owner", "user"]})
    world.keys["second"] = world.operate("keys", {"tenant": "acme", "user": "carol"})["key"]


def settled(lines):
    """Without what the store is told of once in a while."""
    return [{k: v for k, v in line.items() if k != "last_used_at"} for line in lines if line["type"] != "usage"]


def test_an_approved_export_is_whole_and_for_who_asked(world):
    a_second_owner(world)
    # More than one page.
    big = "x" * (600 << 10)
    form = (f'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b\r\ncontent-disposition: form-data; '
            f'name="file"; filename="big"\r\n\r\n{big}\r\n--b--\r\n')
    world.made("user", "POST", "/v1/files", form.encode(), {"Content-Type": "multipart/form-data; boundary=b"})
    path = "/admin/v1/users/bob/export"
    seen, answer = approved(world, "owner", "second", "GET", path)
    assert (seen["operation"], seen["method"], seen["path"], seen["query"], seen["body"], seen["by"], seen["state"]) == (
        "user.export", "GET", path, "", None, "alice", "waiting")
    assert answer == {"id": seen["id"], "state": "approved"}
    lines = pages(world, "owner", path)
    assert big in text_of(lines) and [w for w in world.words["user"] if w not in text_of(lines)] == []
    again = [json.loads(line) for line in export(world, "acme/bob").stdout.splitlines()]
    assert settled(lines) == settled(again)
    # It is hers, and of this person only; whoever agreed has to ask as well.
    assert world.ask("second", "GET", path)[0] == 202
    assert world.ask("owner", "GET", "/admin/v1/users/carol/export")[0] == 202
    assert world.ask("owner", "GET", "/admin/v1/tenants/acme/export")[0] == 202


def test_a_tenant_is_exported_by_two(world):
    a_second_owner(world)
    path = "/admin/v1/tenants/acme/export"
    assert world.ask("user", "GET", path)[0] == 403
    assert world.ask("tenant", "GET", path)[0] == 404
    approved(world, "owner", "second", "GET", path)
    lines = pages(world, "owner", path)
    assert lines[0] == {"type": "tenant", "tenant": "acme"}
    people = {line["user"]: line for line in lines if line["type"] == "user"}
    assert {"alice", "bob", "carol"} <= people.keys() and {line["tenant"] for line in people.values()} == {"acme"}
    assert people["bob"]["roles"] == ["user"] and people["carol"]["roles"] == ["user", "owner"]
    assert people["bob"]["state"] == "active" and people["bob"]["hold"] is False
    text = text_of(lines)
    assert [w for who in ("owner", "user") for w in world.words[who] if w not in text] == []
    # An operator, too, has somebody else agree, whom it is not: an owner of that tenant.
    waits = world.inst.operate("tenant", "export", "acme", check=False)
    assert (waits.returncode, waits.stdout) == (1, "") and "An owner of the tenant approves" in waits.stderr
    approval = waits.stderr.split("/")[-1].strip()
    assert world.inst.operate("approval", "approve", approval, check=False).returncode == 1
    assert world.ask("tenant", "POST", f"/admin/v1/approvals/{approval}", {"decision": "approve"})[0] == 404
    assert world.inst.operate("tenant", "export", "acme", check=False).returncode == 1
    assert world.ask("second", "POST", f"/admin/v1/approvals/{approval}", {"decision": "approve"})[0] == 200
    operators = [json.loads(line) for line in world.inst.operate("tenant", "export", "acme").stdout.splitlines()]
    assert kinds_of(operators) == kinds_of(lines)
    assert world.inst.operate("tenant", "export", "default", check=False).returncode == 1
    record = of_type(world.inst.records(), "Exported")[-1]
    assert record["resource"].startswith("tenant:") and "acme" not in json.dumps(record)
    for cursor in ("1.2.3", "x", "1.0.0.0.0.0.0.0", "1..0.0.0.0.0", "99999999999.0.0.0.0.0.0"):
        assert world.ask("owner", "GET", f"{path}?cursor={cursor}")[0] == 400, cursor
    assert world.ask("owner", "GET", f"{path}?cursor=2.0.0.0.0.0.0")[0] == 409
    assert world.inst.operate("tenant", "export", "nobody", check=False).returncode == 1
    assert world.inst.operate("tenant", "export", "a/b", check=False).returncode == 2


def test_who_agrees_sees_what_it_is(world):
    a_second_owner(world)
    assert world.ask("owner", "PATCH", "/admin/v1/users/bob", {"hold": True})[0] == 200
    seen, answer = approved_lift(world, "owner", "second")
    assert (seen["method"], seen["path"], seen["query"], seen["body"]) == (
        "PATCH", "/admin/v1/users/bob", "tenant=acme", {"hold": False})
    assert answer["status"] == 200 and answer["result"]["hold"] is False
    assert world.ask("owner", "PATCH", "/admin/v1/users/bob", {"hold": True})[0] == 200
    long = '{"hold":' + " " * 1100 + "false}"
    status, answer = world.ask("owner", "PATCH", "/admin/v1/users/bob", long)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def approved_lift(world, who, by):
    status, answer = world.ask(who, "PATCH", "/admin/v1/users/bob?tenant=acme", {"hold": False})
    assert status == 202, answer
    id = answer["approval"]["id"]
    seen = next(a for a in world.ask(by, "GET", "/admin/v1/approvals")[1]["approvals"] if a["id"] == id)
    return seen, world.ask(by, "POST", f"/admin/v1/approvals/{id}", {"decision": "approve"})[1]


def test_a_person_exports_and_erases_itself(world):
    lines = pages(world, "user", "/admin/v1/me/export")
    again = [json.loads(line) for line in export(world, "acme/bob").stdout.splitlines()]
    assert settled(lines) == settled(again)
    status, answer = world.ask("owner", "DELETE", "/admin/v1/me")
    assert (status, answer["error"]["code"]) == (409, "has_roles")
    narrow = world.made("user", "POST", "/admin/v1/keys", {"scopes": {"endpoints": ["admin"]}})["key"]
    status, _, answer = world.inst.request("DELETE", "/admin/v1/me", key=narrow)
    assert (status, answer["error"]["code"]) == (403, "denied")
    world.inst.operate("user", "hold", "acme/bob")
    status, answer = world.ask("user", "DELETE", "/admin/v1/me", {})         # {} is no body
    assert (status, answer["error"]["code"]) == (409, "legal_hold")
    a_second_owner(world)
    assert approved_lift(world, "owner", "second")[1]["status"] == 200
    status, answer = world.ask("user", "DELETE", "/admin/v1/me")
    assert status == 200 and answer["erased"] is True
    assert world.ask("user", "GET", "/v1/models")[0] == 401
    intent, outcome = of_type(world.inst.records(), "Erased")[-2:]
    assert intent["phase"] == "intent" and outcome["outcome"] == "success"
    assert outcome["subject"] == outcome["event"]["target"] and "by_uid" not in outcome["event"]
    assert world.inst.verify().returncode == 0


# ---- a backup meanwhile ----

def test_an_erasure_during_a_backup_says_so(world, tmp_path):
    """In the answer, in the record, by the command; and the backup says who is in it, though erased."""
    inst = world.inst

    def operate(method, path, body=None):
        return json.loads(inst.management(method, "/admin/v1" + path, body)[1])

    def erasure():
        return of_type(inst.records(), "Erased")[-1]["event"]

    # Some MB, so that a backup takes longer than a few requests.
    big = base64.b64encode(os.urandom(3 << 20)).decode()
    for n in range(8):
        body = (f'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b\r\ncontent-disposition: form-data; '
                f'name="file"; filename="big{n}"\r\n\r\n{big}\r\n--b--\r\n')
        world.made("owner", "POST", "/v1/files", body.encode(), FORM)
    for name in ["before", "after", *(f"gone{n}" for n in range(10))]:
        operate("POST", "/users", {"tenant": "acme", "user": name})

    def erased(name):
        answer = operate("POST", f"/users/{name}/erase?tenant=acme")
        assert answer.get("waits_for") == erasure().get("waits_for")
        return answer.get("waits_for")

    assert erased("before") is None
    for n in range(10):  # it may be over before anybody is erased
        with subprocess.Popen([inst.build / "sallyport", "backup", tmp_path / f"b{n}", "-c", inst.conf], text=True,
                              stdout=subprocess.PIPE) as made:
            while operate("GET", "/backup")["state"] != "under_way" and made.poll() is None:
                pass
            waited = erased(f"gone{n}")
            told = made.communicate(timeout=60)[0]
        assert made.returncode == 0
        if waited is not None:
            break
    assert waited == "backup" and "1 person was erased meanwhile and is in it" in told
    assert erased("after") is None
