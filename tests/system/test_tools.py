# SPDX-License-Identifier: Apache-2.0
"""Users' own tools through the real service: uploads, versions, calls, ends, tenants, turns."""

import json
import pathlib
import socket
import subprocess
import time
import uuid

import anthropic
import httpx2
import pytest

from instance import ROOT, running
from reply import Reply
from upstreams import entry, models_at

WATS = ROOT / "tests" / "wasm"
POOLS = """sandboxes:
  python: { pool: 0 }
  javascript: { pool: 0 }
  sh: { pool: 1 }
"""
TOOLS = """
tools:
  add_g: { sandbox: gvisor }
"""
# One source for both sandboxes.
SOURCE = r"""
#include <stdio.h>
int main(void)
{
	double a, b;
	if (scanf(" { \"a\" : %lf , \"b\" : %lf }", &a, &b) != 2)
		return 2;
	fprintf(stderr, "adding");
	printf("{\"sum\": %.10g}\n", a + b);
	return 0;
}
"""
NUMBER = {"type": "number"}
ADD = {"name": "add", "description": "Adds two numbers.", "input_schema": {
    "type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"],
    "additionalProperties": False}, "output_schema": {"type": "object", "required": ["sum"]},
    "limits": {"time_ms": 10000}, "examples": [
        {"arguments": {"a": 2, "b": 3}, "output": {"sum": 5}}, {"arguments": {"a": -1, "b": 0.5}}]}
ASKED = {"a": 2, "b": 3}
SUM = {"sum": 5}


@pytest.fixture(scope="module")
def service(provider, authority):
    provider.keyless = True
    edit = models_at({"real": entry(provider, authority), "a": entry(provider, authority, kind="anthropic")},
                     {"gpt": [("real", "gpt-real")], "claude": [("a", "real")]}, sandboxes=POOLS, more=TOOLS)
    with running(edit=edit) as inst:
        yield inst


@pytest.fixture(scope="module")
def add(tmp_path_factory):
    """A tool in C, built for both sandboxes: a folder as `tool push` takes it."""
    folder = tmp_path_factory.mktemp("add")
    (folder / "add.c").write_text(SOURCE)
    (folder / "tool.json").write_text(json.dumps(ADD))
    subprocess.run(["clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-o", str(folder / "add.wasm"),
                    str(folder / "add.c")], check=True)
    subprocess.run(["gcc", "-static", "-O2", "-o", str(folder / "native"), str(folder / "add.c")], check=True)
    return folder


def manifest(name, **more):
    return {"name": name, "description": "A tool of the tests.", "input_schema": {"type": "object"}, **more}


def wat(name):
    out = pathlib.Path("/tmp") / f"{uuid.uuid4().hex}.wasm"
    try:
        subprocess.run(["wat2wasm", str(WATS / f"{name}.wat"), "-o", str(out)], check=True)
        return out.read_bytes()
    finally:
        out.unlink(missing_ok=True)


def form(boundary="b", **parts):
    body = b""
    for name, part in parts.items():
        for one in part if isinstance(part, list) else [part]:
            one = json.dumps(one).encode() if isinstance(one, dict) else one
            body += b"--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" % (
                boundary.encode(), name.encode(), one)
    return body + b"--%s--\r\n" % boundary.encode()


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def push(service, key=None, **parts):
    return service.request("POST", "/v1/tools", form(**parts), key=key, headers=FORM, timeout=90)


def call(service, name, arguments=None, key=None, **more):
    return service.request("POST", f"/v1/tools/{name}/call", {"arguments": arguments or {}, **more}, key=key)


def new_key(service, tenant, user):
    return service.operate("key", "create", "--tenant", tenant, "--user", user).stdout.strip()


def records(service, kind):
    return [r for r in service.records() if r["event"]["type"] == kind]


# ---- by the command line ---------------------------------------------------------------------------

def test_from_the_shell(service, add):
    def tool(*args, **kw):
        return service.cli("tool", *args, env=service.env, **kw)

    first = tool("push", str(add)).stdout
    assert first.startswith("add version 1 sha256:")
    assert "add" in tool("list").stdout and json.loads(tool("list", "--json").stdout)["tools"][0]["version"] == 1
    assert json.loads(tool("call", "add", json.dumps(ASKED)).stdout) == SUM
    assert json.loads(tool("call", "add", "-", input=json.dumps(ASKED)).stdout) == SUM
    assert tool("test", str(add)).stdout.count(": ok") == 3
    bad = tool("call", "add", '{"a": "2", "b": 3}', check=False)
    assert bad.returncode == 1 and bad.stdout == "" and "not of the required type" in bad.stderr
    assert tool("call", "add", "[1]", check=False).returncode == 1
    assert tool("call", "a dd", check=False).returncode == 2
    assert tool("push", str(add)).stdout.startswith("add version 2 ")
    tool("current", "add", "1")
    shown = json.loads(tool("show", "add", "--json").stdout)
    assert [(v["version"], v["current"]) for v in shown["versions"]] == [(2, False), (1, True)]
    assert shown["manifest"]["name"] == "add"
    tool("remove", "add", "--version", "2")
    assert len(json.loads(tool("show", "add", "--json").stdout)["versions"]) == 1
    tool("remove", "add")
    gone = tool("call", "add", check=False)
    assert gone.returncode == 1 and "tool_not_found" in gone.stderr


def test_what_is_wrong_is_said_before_it_is_sent(service, tmp_path):
    def tool(*args):
        return service.cli("tool", *args, env={}, check=False)

    assert "tool.json" in tool("push", str(tmp_path)).stderr
    (tmp_path / "tool.json").write_text(json.dumps(manifest("a b")))
    assert "/name" in tool("test", str(tmp_path)).stderr
    (tmp_path / "tool.json").write_text(json.dumps(manifest("a", examples=[{"arguments": {}}])))
    assert "neither" in tool("test", str(tmp_path)).stderr
    (tmp_path / "a.wasm").write_bytes(b"x")
    assert tool("test", str(tmp_path)).returncode == 0
    (tmp_path / "b.wasm").write_bytes(b"x")
    assert "several" in tool("test", str(tmp_path)).stderr


# ---- both sandboxes --------------------------------------------------------------------------------

def test_the_same_answers_in_both_sandboxes(service, add):
    both = {"module": (add / "add.wasm").read_bytes(), "native": (add / "native").read_bytes()}
    seen = {}
    for name in ("add_w", "add_g"):
        status, _, answer = push(service, manifest={**ADD, "name": name}, **both)
        assert status == 201, answer
        for arguments, wanted in ((ASKED, SUM), ({"a": -1, "b": 0.5}, {"sum": -0.5})):
            status, _, answer = call(service, name, arguments)
            assert (status, answer["status"], answer["output"]) == (200, "exit", wanted), answer
            assert answer["stderr"] == "adding"
            seen.setdefault(name, set()).add(answer["sandbox"].split(":")[0])
    assert seen == {"add_w": {"wasm"}, "add_g": {"gvisor"}}


def test_a_part_that_is_missing(service):
    status, _, answer = push(service, manifest=manifest("add_g"), module=wat("says_ok"))
    if status == 201:
        status, _, answer = call(service, "add_g", version=answer["version"])
    assert (status, answer["error"]["code"]) == (400, "tool_part_missing")


# ---- calls -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, status, more", [
    ("trap_bounds", "trap", "out of bounds memory access"),
    ("trap_unreachable", "trap", "unreachable"),
    ("loop", "timeout", None),
    ("stdout_flood", "output", None),
    ("bad_json", "invalid_output", None),
    ("bad_utf8", "invalid_output", None),
    ("two_values", "invalid_output", None),
    ("silent", "invalid_output", None),
])
def test_ends(service, name, status, more):
    tool = name + "_end"
    got, _, answer = push(service, manifest=manifest(tool, limits={"time_ms": 300 if status == "timeout" else 20000}), module=wat(name))
    assert got == 201, answer
    began = time.monotonic()
    got, _, answer = call(service, tool)
    assert (got, answer["status"], answer["output"]) == (200, status, None), answer
    assert time.monotonic() - began < 10
    assert more is None or more in answer["trap"]


def test_exit_status(service):
    assert push(service, manifest=manifest("exit3"), module=wat("exit_3"))[0] == 201
    _, _, answer = call(service, "exit3")
    assert (answer["status"], answer["exit_code"]) == ("exit", 3)


def test_arguments_are_checked_before_anything_starts(service):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert push(service, manifest=manifest("strict", input_schema=schema), module=wat("says_ok"))[0] == 201
    before = len(records(service, "ToolExecuted"))
    for arguments, param in (({}, "/arguments"), ({"n": "1"}, "/arguments/n")):
        status, _, answer = call(service, "strict", arguments)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_field", param)
    assert len(records(service, "ToolExecuted")) == before
    assert call(service, "strict", {"n": 1})[0] == 200


def test_nothing_of_one_call_is_there_in_the_next(service):
    for name in ("secret_writer", "secret_scanner"):
        assert push(service, manifest=manifest(name), module=wat(name))[0] == 201
    for _ in range(3):
        assert call(service, "secret_writer")[2]["status"] == "exit"
        answer = call(service, "secret_scanner")[2]
        assert answer["status"] == "exit" and answer["exit_code"] == 0, answer


# ---- uploads ---------------------------------------------------------------------------------------

def names(service, key=None):
    return {t["name"] for t in service.request("GET", "/v1/tools", key=key)[2]["data"]}


def test_bad_uploads(service):
    ok = wat("says_ok")
    cases = [
        (dict(manifest=manifest("bad")), 400),
        (dict(module=ok), 400),
        (dict(manifest=manifest("bad"), module=b""), 400),
        (dict(manifest=[manifest("bad"), manifest("bad")], module=ok), 400),
        (dict(manifest=manifest("bad"), module=[ok, ok]), 400),
        (dict(manifest=manifest("bad"), module=ok, other=b"x"), 400),
        (dict(manifest=manifest("b d"), module=ok), 400),
        (dict(manifest=manifest("bad", more=1), module=ok), 400),
        (dict(manifest=manifest("bad", description="x\u202ey"), module=ok), 400),
        (dict(manifest=manifest("bad", input_schema={"type": "object", "if": {}}), module=ok), 400),
        (dict(manifest=b"{", module=ok), 400),
        (dict(manifest=manifest("bad"), module=b"\0asm\1\0\0\0garbage"), 400),
        (dict(manifest=manifest("bad"), module=ok[:-3]), 400),
        (dict(manifest=manifest("bad"), module=wat("refused_import")), 400),
        (dict(manifest=manifest("bad"), native=b"x" * (4 * 1024 * 1024 + 1)), 413),
    ]
    for parts, wanted in cases:
        status, _, answer = push(service, **parts)
        assert status == wanted and "error" in answer, (list(parts), answer)
    assert "bad" not in names(service)


def test_no_credential_is_told_to_models(service):
    """Name and tool.json reach every model, and the name stands in clear on record; the module is as it is."""
    token, ok = "gh" "p_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17", wat("says_ok")
    for bad in (manifest(token), manifest("bad", description="with " + token), manifest("bad", env={"T": token})):
        status, _, answer = push(service, manifest=bad, module=ok)
        assert (status, answer["error"]["code"]) == (400, "credential_in_body")
        assert "told to every model" in answer["error"]["message"]
    assert token not in json.dumps(service.records()) and not {"bad", token} & names(service)
    native = b"#!/bin/sh\n# " + token.encode() + b"\necho 1\n"
    assert push(service, manifest=manifest("with_a_comment"), native=native)[0] == 201
    assert service.request("DELETE", "/v1/tools/with_a_comment")[0] == 200


def test_a_hundred_megabytes_are_refused_unread(service, raw):
    r = raw()
    r.send(f"POST /v1/tools HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.key}\r\n"
           f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: 104857600\r\n\r\n")
    assert r.answer()[0] == 413


def test_a_client_that_leaves(service, raw):
    body = form(manifest=manifest("left"), module=wat("says_ok"))
    r = raw()
    r.send(f"POST /v1/tools HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.key}\r\n"
           f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-9])
    r.sock.shutdown(socket.SHUT_RDWR)
    time.sleep(0.5)
    assert "left" not in names(service)


def test_in_pieces(service, raw):
    body = form(manifest=manifest("pieces"), module=wat("says_ok"))
    r = raw()
    r.send(f"POST /v1/tools HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.key}\r\n"
           f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n")
    for i in range(0, len(body), 97):
        r.send(body[i:i + 97])
        time.sleep(0.002)
    assert r.answer()[0] == 201
    assert "pieces" in names(service)


# ---- tenants, restarts -----------------------------------------------------------------------------

def test_tenants_do_not_meet(service):
    one, two = new_key(service, "north", "ann"), new_key(service, "south", "ann")
    assert push(service, key=one, manifest=manifest("mine"), module=wat("says_ok"))[0] == 201
    assert names(service, two) == set()
    for method, path, body in (("GET", "/v1/tools/mine", None), ("DELETE", "/v1/tools/mine", None),
                               ("POST", "/v1/tools/mine/current", {"version": 1}),
                               ("POST", "/v1/tools/mine/call", {"arguments": {}})):
        status, _, answer = service.request(method, path, body, key=two)
        assert (status, answer["error"]["code"]) == (404, "tool_not_found"), path
    assert push(service, key=two, manifest=manifest("mine"), module=wat("exit_3"))[0] == 201
    assert call(service, "mine", key=one)[2]["exit_code"] == 0
    assert call(service, "mine", key=two)[2]["exit_code"] == 3
    status, _, answer = service.request("DELETE", "/v1/tools/mine", key=two)
    assert status == 200 and call(service, "mine", key=one)[0] == 200


def test_versions(service):
    assert push(service, manifest=manifest("twice"), module=wat("says_ok"))[2]["version"] == 1
    assert push(service, manifest=manifest("twice"), module=wat("exit_3"))[2]["version"] == 2
    assert call(service, "twice")[2]["version"] == 2
    assert call(service, "twice", version=1)[2]["exit_code"] == 0
    assert call(service, "twice", version=3)[0] == 404
    assert service.request("POST", "/v1/tools/twice/current", {"version": 1})[0] == 200
    assert call(service, "twice")[2]["version"] == 1
    assert service.request("POST", "/v1/tools/twice/current", {"version": 9})[0] == 404
    assert service.request("DELETE", "/v1/tools/twice?version=2")[0] == 200
    assert call(service, "twice", version=2)[0] == 404


def test_restart_and_reload(make_instance):
    inst = make_instance()
    assert push(inst, manifest=manifest("kept"), module=wat("says_ok"))[0] == 201
    inst.operate("reload")
    assert call(inst, "kept")[2]["status"] == "exit"
    inst.stop()
    inst.start()
    assert call(inst, "kept")[2]["status"] == "exit"
    inst.stop()
    assert inst.operate("audit", "verify").returncode == 0


# ---- turns -----------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("stream", [False, True])
CALL = ("add_t", ASKED)


@pytest.fixture(scope="module")
def turn_tool(service, add):
    status, _, answer = push(service, manifest={**ADD, "name": "add_t"}, module=(add / "add.wasm").read_bytes())
    assert status == 201, answer


@pytest.fixture
def judged(provider):
    provider.forget()
    yield
    assert provider.refused() == []


def offered(seen):
    return {t.get("name") or t["function"]["name"] for t in seen.json.get("tools", [])}


@BOTH
def test_chat(provider, client, turn_tool, judged, stream):
    provider.say(Reply(text="", calls=(CALL, CALL)), Reply(text="Five."))
    a = client.chat.completions.create(model="gpt", stream=stream,
                                       messages=[{"role": "user", "content": "2 and 3?"}])
    if stream:
        chunks = list(a)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert not any(c.choices and c.choices[0].delta.tool_calls for c in chunks)
        steps = [c.sallyport["steps"] for c in chunks if "steps" in (getattr(c, "sallyport", None) or {})][-1]
    else:
        text, steps = a.choices[0].message.content, a.sallyport["steps"]
        assert not a.choices[0].message.tool_calls
    assert text == "Five."
    assert [(s["tool"], s["status"], s["output"]) for s in steps] == [("add_t", "exit", SUM)] * 2
    assert "add_t" in offered(provider.seen[0])
    results = [m for m in provider.seen[-1].json["messages"] if m["role"] == "tool"]
    assert [json.loads(json.loads(m["content"])["output"]) for m in results] == [SUM, SUM]
    assert all("untrusted" in m["content"] for m in results)


@pytest.mark.parametrize("n", (1, 2))
def test_chat_with_arguments_that_do_not_fit(provider, service, client, turn_tool, judged, n):
    misfits = len(misfits_of(service))
    provider.say(Reply(text="", calls=(("add_t", {"a": "3"}),) * n), Reply(text="Sorry."))
    a = client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "2 and 3?"}])
    assert a.choices[0].message.content == "Sorry."
    assert [s["status"] for s in a.sallyport["steps"]] == ["not_run"] * n
    assert misfits_of(service)[misfits:] == [("tool:add_t", "denied")] * n


def misfits_of(service):
    return [(r["resource"], r["outcome"]) for r in records(service, "Error")
            if r["event"]["error_type"] == "invalid_arguments"]


def test_a_function_of_the_client_wins(provider, client, turn_tool, judged):
    own = {"type": "function", "function": {"name": "add_t", "parameters": {"type": "object"}}}
    provider.say(Reply(text="", calls=(CALL,)))
    a = client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "3?"}], tools=[own])
    assert a.choices[0].message.tool_calls[0].function.name == "add_t"
    assert len([t for t in provider.seen[0].json["tools"] if t["function"]["name"] == "add_t"]) == 1


@BOTH
def test_responses(provider, client, turn_tool, judged, stream):
    provider.say(Reply(text="", calls=(CALL,)), Reply(text="Five."), Reply(text="Yes."))
    if stream:
        with client.responses.stream(model="gpt", input="2 and 3?", store=False) as s:
            kinds = [e.type for e in s]
            a = s.get_final_response()
        assert "response.mcp_call.completed" in kinds and kinds[-1] == "response.completed"
    else:
        a = client.responses.create(model="gpt", input="2 and 3?", store=False)
    assert a.output_text == "Five."
    item, = [i for i in a.output if i.type == "mcp_call"]
    assert (item.name, item.server_label, json.loads(item.output), item.error) == ("add_t", "sallyport", SUM, None)
    again = [{"role": "user", "content": "2 and 3?"}]
    again += [i.model_dump(exclude_none=True) for i in a.output] + [{"role": "user", "content": "Sure?"}]
    assert client.responses.create(model="gpt", input=again, store=False).output_text == "Yes."
    kinds = [i.get("type") for i in provider.seen[-1].json["input"]]
    assert "function_call" in kinds and "function_call_output" in kinds and "mcp_call" not in kinds


@BOTH
def test_messages(provider, service, turn_tool, judged, stream):
    with httpx2.Client(verify=service.tls()) as http:
        claude = anthropic.Anthropic(base_url=service.url, api_key=service.key, max_retries=0, http_client=http)
        asked = {"model": "claude", "max_tokens": 100}
        first = [{"role": "user", "content": "2 and 3?"}]
        provider.say(Reply(text="", calls=(CALL,)), Reply(text="Five."), Reply(text="Yes."))
        if stream:
            with claude.messages.stream(messages=first, **asked) as s:
                a = s.get_final_message()
        else:
            a = claude.messages.create(messages=first, **asked)
        blocks = [b.model_dump() for b in a.content]
        assert [b["type"] for b in blocks] == ["mcp_tool_use", "mcp_tool_result", "text"]
        assert blocks[0]["name"] == "add_t" and blocks[0]["input"] == ASKED
        assert json.loads(blocks[1]["content"][0]["text"]) == SUM and blocks[2]["text"] == "Five."
        more = first + [{"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in a.content]},
                        {"role": "user", "content": "Sure?"}]
        assert claude.messages.create(messages=more, **asked).content[0].text == "Yes."
    assert "mcp_tool" not in json.dumps(provider.seen[-1].json)


# ---- the record ------------------------------------------------------------------------------------

def test_everything_is_on_record(service):
    assert {r["phase"] for r in records(service, "ToolStored") if "phase" in r} >= {"intent", "outcome"}
    assert any(r.get("phase") == "outcome" for r in records(service, "ToolExecuted"))
    assert service.operate("audit", "verify").returncode == 0
