# SPDX-License-Identifier: Apache-2.0
"""Anthropic's messages by the official Python SDK, unchanged, before a mock provider of that dialect."""

import anthropic
import httpx2
import pytest

from instance import running
from reply import Reply
from upstreams import entry, models_at
from wire_anthropic import signature

ASK = [{"role": "user", "content": "Hi."}]
# Each test has a model of its own in them: what fails too often is kept away from.
TESTS = 50
ASKED = {"model": "", "max_tokens": 100, "messages": ASK}
DEEP = {"model": "", "max_tokens": 4000, "messages": ASK,
        "thinking": {"type": "enabled", "budget_tokens": 2000}}
WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
TWO = (("weather", {"city": "Ulm"}), ("weather", {"city": "Bonn"}))
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
BETA = {"anthropic-beta": "code-execution-2025-08-25"}


@pytest.fixture(scope="module")
def service(provider, authority):
    provider.keyless = True
    names = [f"c{i}" for i in range(TESTS)]
    there = {n: entry(provider, authority, kind="anthropic") for n in names}
    edit = models_at({**there, "o": entry(provider, authority)},
                     {**{n: [(n, "claude-real")] for n in names}, "gpt": [("o", "gpt-real")]})
    with running(edit=edit) as inst:
        inst.names = iter(names)
        yield inst


@pytest.fixture(autouse=True)
def judged(service, provider):
    provider.forget()
    ASKED["model"] = DEEP["model"] = next(service.names)
    yield
    assert provider.refused() == []


@pytest.fixture
def claude(service):
    with httpx2.Client(verify=service.tls()) as http:
        yield anthropic.Anthropic(base_url=service.url, api_key=service.key, max_retries=0, http_client=http)


def test_whole(provider, claude):
    provider.say(Reply(text="Whole."))
    a = claude.messages.create(**ASKED)
    assert a.content[0].text == "Whole." and a.stop_reason == "end_turn" and a.usage.output_tokens == 7
    seen = provider.seen[-1]
    assert seen.json["model"] == "claude-real" and seen.target == "/v1/messages"


def test_both_headers_for_the_key(service):
    for more in ({"api_key": service.key}, {"auth_token": service.key}):
        with httpx2.Client(verify=service.tls()) as http:
            client = anthropic.Anthropic(base_url=service.url, max_retries=0, http_client=http, **more)
            assert client.messages.create(**ASKED).content


def test_version_and_beta_are_forwarded(provider, claude):
    claude.messages.create(**ASKED, extra_headers={"anthropic-beta": "one-2025-01-01,two-2025-01-01",
                                                   "anthropic-version": "2023-06-01"})
    seen = provider.seen[-1]
    assert seen.field("anthropic-version") == "2023-06-01"
    assert seen.field("anthropic-beta") == "one-2025-01-01,two-2025-01-01"


@pytest.mark.parametrize("split", [None, 1, 7, 50])
def test_stream(provider, claude, split):
    provider.say(Reply(text="In pieces, Ü.", split=split))
    with claude.messages.stream(**ASKED) as s:
        text = "".join(s.text_stream)
        a = s.get_final_message()
    assert text == "In pieces, Ü." and a.usage.output_tokens == 7 and a.usage.input_tokens == 11


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_and_parallel_tools(provider, claude, stream):
    """Thinking blocks with their signatures, and the calls of the client, come and go unharmed."""
    provider.say(Reply(text="See.", thinking="Hm, hm.", calls=TWO, split=3 if stream else None),
                 Reply(text="Rain."))
    if stream:
        with claude.messages.stream(**DEEP, tools=[WEATHER]) as s:
            a = s.get_final_message()
    else:
        a = claude.messages.create(**DEEP, tools=[WEATHER])
    assert [b.type for b in a.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert a.content[0].signature == signature("Hm, hm.") and a.stop_reason == "tool_use"
    assert [b.input["city"] for b in a.content[2:]] == ["Ulm", "Bonn"]
    content = [b.model_dump(exclude_none=True, exclude={"parsed_output", "caller"}) for b in a.content]
    history = [*ASK, {"role": "assistant", "content": content}, {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": b.id, "content": "rain"} for b in a.content[2:]]}]
    a = claude.messages.create(**{**DEEP, "messages": history}, tools=[WEATHER])
    assert a.content[0].text == "Rain."


@pytest.mark.parametrize("stream", [False, True])
def test_code_runs(provider, claude, stream):
    """On the server, with thinking intact in the second step."""
    def call(seen):
        tools = seen.json.get("tools") or ()
        name, = [t["name"] for t in tools if "input_schema" in t]
        schema = next(t["input_schema"] for t in tools if t["name"] == name)
        words = {"language": "python", "code": "print(6*7)", "command": "echo 42"}
        return (name, {k: v for k, v in words.items() if k in schema["properties"]})

    def answer(seen):
        if "tool_result" in str(seen.json["messages"]):
            return Reply(text="It is 42.")
        return Reply(text="See.", thinking="Hm.", calls=(call(seen),), split=4 if stream else None)

    provider.answer = answer
    more = {"tools": [CODE], "extra_headers": BETA}
    if stream:
        with claude.messages.stream(**DEEP, **more) as s:
            kinds = [e.type for e in s]
            a = s.get_final_message()
        assert kinds.count("message_start") == 1 and kinds.count("message_stop") == 1
    else:
        a = claude.messages.create(**DEEP, **more)
    kinds = [b.type for b in a.content]
    assert "server_tool_use" in kinds and kinds[-1] == "text" and a.content[-1].text == "It is 42."
    result, = [b for b in a.content if b.type.endswith("_tool_result")]
    assert "42" in str(result.content)
    assert a.stop_reason == "end_turn"
    assert len(provider.seen) == 2


def test_images(provider, claude):
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAA" * 200000}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    assert claude.messages.create(**{**ASKED, "messages": [{"role": "user", "content": content}]}).content
    assert provider.seen[-1].json["messages"][0]["content"] == content


def test_count_tokens(provider, claude):
    assert claude.messages.count_tokens(model=ASKED["model"], messages=ASK).input_tokens == 11
    assert provider.seen[-1].target == "/v1/messages/count_tokens"


@pytest.mark.parametrize("status, error", [
    (400, anthropic.BadRequestError), (413, anthropic.APIStatusError), (429, anthropic.RateLimitError),
    (500, anthropic.InternalServerError), (529, anthropic.APIStatusError),
])
def test_errors(provider, claude, status, error):
    provider.answer = lambda seen: Reply(status=status, headers=(("retry-after", "30"),))
    with pytest.raises(error) as e:
        claude.messages.create(**ASKED)
    body = e.value.body
    assert body["type"] == "error" and body["error"]["type"] and body["error"]["message"]
    assert e.value.response.headers["request-id"]


def test_wrong_key_and_unknown_model(claude):
    with pytest.raises(anthropic.AuthenticationError) as e:
        claude.with_options(api_key="sp_wrong").messages.create(**ASKED)
    assert e.value.status_code == 401
    with pytest.raises(anthropic.NotFoundError) as e:
        claude.messages.create(**{**ASKED, "model": "none-such"})
    assert e.value.body["error"]["type"] == "not_found_error"


def test_ids_of_files(claude):
    block = {"type": "document", "source": {"type": "file", "file_id": "file_of_another_tenant"}}
    for ask in (claude.messages.create, claude.messages.count_tokens):
        asked = {k: v for k, v in ASKED.items() if ask == claude.messages.create or k != "max_tokens"}
        with pytest.raises(anthropic.BadRequestError) as e:
            ask(**{**asked, "messages": [{"role": "user", "content": [block]}]})
        assert e.value.body["error"]["details"]["param"] == "/messages/0/content/0/source/file_id"


def test_another_dialect(claude, client):
    """A model whose provider does not speak it: a clear 400."""
    with pytest.raises(anthropic.BadRequestError) as e:
        claude.messages.create(**{**ASKED, "model": "gpt"})
    assert e.value.body["type"] == "error"


def test_error_in_mid_stream(provider, claude):
    told = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n'
    for what in ({"cut": 900}, {"end": 900}, {"edit": lambda pieces: [*pieces[:3], told]}):
        provider.say(Reply(text="one two three four", **what))
        with pytest.raises(anthropic.APIError):
            with claude.messages.stream(**ASKED) as s:
                s.get_final_message()


def test_cancellation(provider, claude):
    provider.say(Reply(text="one two three", hang=800), Reply(before_s=30))
    with claude.messages.stream(**ASKED) as s:
        next(iter(s))
    provider.wait(lambda: provider.seen[-1].left_at)
    with pytest.raises(anthropic.APITimeoutError):
        claude.with_options(timeout=2).messages.create(**ASKED)
    provider.wait(lambda: provider.seen[-1].left_at)
