# SPDX-License-Identifier: Apache-2.0
"""Code execution in Anthropic's dialect by the official SDK: real sandboxes, a provider that refuses
what the real one refuses, and conversations that go on with what the SDK gave back."""

import json

import anthropic
import httpx2
import pytest

from instance import running
from reply import Reply
from upstreams import entry, models_at

CODE = {"type": "code_execution_20250825", "name": "code_execution"}
OLD = {"type": "code_execution_20250522", "name": "code_execution"}
WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
ASK = [{"role": "user", "content": "Hi."}]
ASKED = {"model": "claude", "max_tokens": 100, "messages": ASK}
POOLS = """sandboxes:
  python: { pool: 1, pool_data: 0, wall_s: 5 }
  javascript: { pool: 0 }
  sh: { pool: 1 }
"""
BOTH = pytest.mark.parametrize("stream", [False, True])


def python(code):
    return ("code_execution", {"code": code})


def shell(code):
    return ("code_execution", {"language": "sh", "code": code})


@pytest.fixture(scope="module")
def service(provider, authority):
    provider.keyless = True
    edit = models_at({"a": entry(provider, authority, kind="anthropic")}, {"claude": [("a", "real")]},
                     sandboxes=POOLS)
    with running(edit=edit) as inst:
        yield inst


@pytest.fixture(autouse=True)
def judged(provider):
    provider.forget()
    yield
    assert provider.refused() == []


@pytest.fixture
def claude(service):
    with httpx2.Client(verify=service.tls()) as http:
        yield anthropic.Anthropic(base_url=service.url, api_key=service.key, max_retries=0, http_client=http)


def ask(claude, stream, **more):
    """-> the message, and sallyport.steps"""
    if not stream:
        a = claude.messages.create(**{**ASKED, **more})
        return a, (a.model_extra or {}).get("sallyport", {}).get("steps")
    steps, started = None, []
    with claude.messages.stream(**{**ASKED, **more}) as s:
        for e in s:
            if e.type == "content_block_start":
                started.append(e.index)
            if e.type == "message_delta":
                steps = (e.model_extra or {}).get("sallyport", {}).get("steps")
        a = s.get_final_message()
    assert started == list(range(len(a.content))), "blocks are numbered through"
    return a, steps


def kinds(message):
    return [b.type for b in message.content]


@BOTH
def test_blocks_of_two_calls(provider, claude, stream):
    """Shown before the first result; variables stay; sums of usage; a container that is gone."""
    provider.say(Reply(text="See.", calls=(python("x = 6"), shell("echo yes; echo no >&2; exit 3"))),
                 Reply(text="", calls=(python("print(x * 7)"),)), Reply(text="Done."))
    a, steps = ask(claude, stream, tools=[CODE])
    assert kinds(a) == ["text", "server_tool_use", "server_tool_use", "code_execution_tool_result",
                        "bash_code_execution_tool_result", "server_tool_use", "code_execution_tool_result",
                        "text"]
    _, use, bash, _, result, _, last, _ = a.content
    assert use.name == "code_execution" and use.input == {"code": "x = 6"}
    assert bash.name == "bash_code_execution" and bash.input == {"command": "echo yes; echo no >&2; exit 3"}
    assert bash.id == result.tool_use_id and bash.id.startswith("srvtoolu_")
    assert last.content.stdout == "42\n" and last.content.return_code == 0
    assert result.content.stdout == "yes\n" and result.content.stderr == "no\n" and result.content.return_code == 3
    assert a.usage.input_tokens == 33 and a.usage.output_tokens == 21
    assert a.stop_reason == "end_turn" and a.container.id.startswith("container_")
    assert [s["language"] for s in steps] == ["python", "sh", "python"] and steps[1]["exit_code"] == 3
    told = provider.seen[1].json["messages"][2]
    assert told["role"] == "user" and [b["type"] for b in told["content"]] == ["tool_result"] * 2
    assert json.loads(told["content"][1]["content"])["exit_code"] == 3


@BOTH
def test_the_conversation_goes_on(provider, claude, stream):
    """What the SDK gave back, as it gave it: the provider reads calls and results."""
    provider.say(Reply(text="See.", calls=(python("print('a\\x1b[2Jb')"), python("print(2)"))),
                 Reply(text="Two."), Reply(text="Yes."))
    a, _ = ask(claude, stream, tools=[CODE])
    history = [*ASK, {"role": "assistant", "content": a.content}, {"role": "user", "content": "Sure?"}]
    b, steps = ask(claude, stream, tools=[CODE], messages=history)
    assert b.content[0].text == "Yes." and steps == [] and b.container is None
    first, asked, told, said, last = provider.seen[2].json["messages"]
    assert [x["type"] for x in asked["content"]] == ["text", "tool_use", "tool_use"]
    assert asked["content"] == provider.seen[1].json["messages"][1]["content"], "the same bytes of a prefix"
    assert [x["tool_use_id"] for x in told["content"]] == [x["id"] for x in asked["content"][1:]]
    assert "ab" in told["content"][0]["content"] and "untrusted" in told["content"][0]["content"]
    assert said == {"role": "assistant", "content": said["content"]} and said["content"][0]["text"] == "Two."
    # Counting reads the same history.
    assert claude.messages.count_tokens(model="claude", messages=history, tools=[CODE]).input_tokens == 11


@BOTH
def test_own_tools_end_the_turn(provider, claude, stream):
    """Beside a call of code execution, which then is neither run nor shown."""
    provider.say(Reply(text="", calls=(python("print(1)"), ("weather", {"city": "Ulm"}))))
    a, steps = ask(claude, stream, tools=[CODE, WEATHER])
    assert kinds(a) == ["tool_use"] and a.content[0].input == {"city": "Ulm"}
    assert a.stop_reason == "tool_use" and steps == [] and len(provider.seen) == 1


@BOTH
def test_runs_that_fail(provider, claude, stream):
    provider.say(Reply(text="", calls=(python("while True: pass"),)),
                 Reply(text="", calls=(("code_execution", {"language": "cobol", "code": "x"}),)),
                 Reply(text="", calls=(("code_execution", {"wrong": 1}),)),
                 Reply(text="", calls=(python("import os; os.kill(os.getpid(), 9)"),)), Reply(text="Oh."))
    a, steps = ask(claude, stream, tools=[OLD])
    results = [b.content for b in a.content if b.type == "code_execution_tool_result"]
    assert [getattr(r, "error_code", None) for r in results] == [
        "execution_time_exceeded", "unavailable", "invalid_tool_input", None]
    assert results[3].return_code != 0 and [s["status"] for s in steps][1:3] == ["cancelled"] * 2
    told = [seen.json["messages"][-1]["content"][0] for seen in provider.seen[1:]]
    assert [t.get("is_error", False) for t in told] == [True, True, True, False]


def test_forced_once(provider, claude):
    provider.say(Reply(text="", calls=(python("print(1)"),)), Reply(text="One."))
    choice = {"type": "tool", "name": "code_execution", "disable_parallel_tool_use": True}
    a = claude.messages.create(**ASKED, tools=[CODE], tool_choice=choice)
    assert kinds(a) == ["server_tool_use", "code_execution_tool_result", "text"]
    assert [s.json["tool_choice"] for s in provider.seen] == [
        choice, {"type": "auto", "disable_parallel_tool_use": True}]


def test_what_is_refused(claude):
    for more, where in ((dict(tools=[CODE], container="container_1"), "/container"),
                        (dict(tools=[{"type": "web_search_20250305", "name": "web_search"}]), "/tools/0/type"),
                        (dict(tools=[CODE, CODE]), "/tools/1"),
                        (dict(extra_body={"mcp_servers": []}), "/mcp_servers")):
        with pytest.raises(anthropic.BadRequestError) as e:
            claude.messages.create(**ASKED, **more)
        assert e.value.error_code == "invalid_field" and e.value.body["error"]["details"]["param"] == where


def test_models(claude, client):
    model, = claude.models.list(limit=10)
    assert (model.id, model.type, model.lifecycle) == ("claude", "model", "active")
    assert claude.models.retrieve("claude").id == "claude"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("demo")
    assert "claude" in [m.id for m in client.models.list()]



# ---- bad input, bad upstreams ----

def test_too_much(provider, claude):
    image = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAA" * 1250000}
    with pytest.raises(anthropic.APIStatusError) as e:
        claude.messages.create(**{**ASKED, "messages": [{"role": "user", "content": [
            {"type": "image", "source": image}]}]})
    assert e.value.status_code == 413 and e.value.body["type"] == "error" and e.value.request_id
    tools = [{"name": f"t{n}", "input_schema": {"type": "object"}} for n in range(1000)]
    for more, where in ((dict(tools=tools), "/tools"), (dict(extra_body={"Model": "x"}), "/Model")):
        with pytest.raises(anthropic.BadRequestError) as e:
            claude.messages.create(**ASKED, **more)
        assert e.value.body["error"]["details"]["param"] == where
    assert provider.seen == []


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_lines_end_as_they_may(provider, claude, end):
    """Split at every byte, within characters too."""
    provider.say(Reply(text="Ü, \U0001f600.", thinking="Ä.", split=1,
                       edit=lambda pieces: [p.replace(b"\n", end) for p in pieces]))
    with claude.messages.stream(**ASKED) as s:
        assert "".join(s.text_stream) == "Ü, \U0001f600."
        assert s.get_final_message().content[0].thinking == "Ä."


@pytest.mark.parametrize("what", [
    b"event: message_start\ndata: {\n\n", b"event: content_block_stop\ndata: [1]\n\n", b"data: \xff\xfe\n\n",
    b'event: ping\ndata: {"type":"ping","type":"ping"}\n\n', b"event: a\ndata: x\n\n" * 3])
def test_nonsense_in_a_stream(provider, claude, what):
    provider.say(Reply(text="one two three", edit=lambda pieces: [*pieces[:3], what, *pieces[3:]]))
    with pytest.raises(anthropic.APIStatusError) as e:
        with claude.messages.stream(**ASKED) as s:
            s.get_final_message()
    assert e.value.body["error"]["type"] == "api_error" and e.value.body["request_id"]


@pytest.mark.parametrize("what", [b"", b"{", b"<html>", b'{"type":"message"}', b"[]",
                                  b'{"type":"error","error":{"type":"x"}}'])
def test_nonsense_whole(provider, claude, what):
    provider.say(Reply(edit=lambda _: [what]))
    with pytest.raises(anthropic.InternalServerError) as e:
        claude.messages.create(**ASKED)
    assert e.value.status_code == 502 and e.value.error_code == "upstream_error"


def test_no_run_that_was_none(provider, claude):
    """A provider that shows runs of its own."""
    block = (b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
             b'{"type":"server_tool_use","id":"srvtoolu_1","name":"bash_code_execution","input":{}}}\n\n')
    provider.say(Reply(edit=lambda pieces: [*pieces[:2], block, *pieces[2:]]))
    with pytest.raises(anthropic.APIStatusError):
        with claude.messages.stream(**ASKED, tools=[CODE]) as s:
            s.get_final_message()


def test_policy_attaches_the_tool(provider, authority, make_instance):
    """Unasked, and in the newest version of its blocks."""
    models = models_at({"a": entry(provider, authority, kind="anthropic")}, {"claude": [("a", "real")]},
                       sandboxes=POOLS)

    def edit(text):
        return models(text).replace('languages: "*" }', 'languages: "*", attach: [code_interpreter] }')

    inst = make_instance(edit=edit)
    with httpx2.Client(verify=inst.tls()) as http:
        claude = anthropic.Anthropic(base_url=inst.url, api_key=inst.key, max_retries=0, http_client=http)
        provider.say(Reply(text="", calls=(shell("echo 42"),)), Reply(text="42."))
        a, _ = ask(claude, True)
        assert kinds(a) == ["server_tool_use", "bash_code_execution_tool_result", "text"]
        assert a.content[1].content.stdout == "42\n"
        with pytest.raises(anthropic.BadRequestError):
            ask(claude, False, tools=[{"name": "code_execution", "input_schema": {"type": "object"}}])
        assert claude.messages.count_tokens(model="claude", messages=ASK).input_tokens == 11
