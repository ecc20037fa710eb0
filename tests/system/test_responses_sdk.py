# SPDX-License-Identifier: Apache-2.0
"""OpenAI's responses, embeddings and models by the official Python SDK, before a mock provider."""

import json

import openai
import pytest

from instance import running
from reply import Reply
from upstreams import entry, models_at

WEATHER = {"type": "function", "name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}
TWO = (("weather", {"city": "Ulm"}), ("weather", {"city": "Bonn"}))
RUN = ("code_interpreter", {"language": "python", "code": "print(6*7)"})
TOOLS = [{"type": "code_interpreter", "container": {"type": "auto"}}]


@pytest.fixture(scope="module")
def service(provider, authority):
    provider.keyless = True
    edit = models_at({"real": entry(provider, authority)}, {"gpt": [("real", "gpt-real")]})
    with running(edit=edit) as inst:
        yield inst


@pytest.fixture(autouse=True)
def judged(provider):
    provider.forget()
    yield
    assert provider.refused() == []


def ask(client, **more):
    return client.responses.create(model="gpt", input="Hi.", store=False, **more)


def test_whole(provider, client):
    provider.say(Reply(text="Whole."))
    a = ask(client)
    assert a.output_text == "Whole." and a.status == "completed" and a.usage.total_tokens == 18


@pytest.mark.parametrize("split", [None, 1, 7])
def test_stream(provider, client, split):
    provider.say(Reply(text="In pieces, Ü.", thinking="Hm, hm.", split=split))
    with client.responses.stream(model="gpt", input="Hi.", store=False) as s:
        kinds = [e.type for e in s]
        a = s.get_final_response()
    assert a.output_text == "In pieces, Ü." and kinds[0] == "response.created"
    assert kinds[-1] == "response.completed" and "response.reasoning_summary_text.delta" in kinds
    assert kinds.count("response.created") == 1


def test_functions_of_the_client(provider, client):
    """Parallel, with reasoning items that come back as they were."""
    provider.say(Reply(text="", thinking="Where?", calls=TWO), Reply(text="Rain."))
    a = ask(client, tools=[WEATHER], include=["reasoning.encrypted_content"])
    calls = [i for i in a.output if i.type == "function_call"]
    assert [json.loads(c.arguments)["city"] for c in calls] == ["Ulm", "Bonn"]
    again = [{"role": "user", "content": "Hi."}]
    again += [i.model_dump(exclude_none=True, exclude={"status", "parsed_arguments"}) for i in a.output]
    again += [{"type": "function_call_output", "call_id": c.call_id, "output": "rain"} for c in calls]
    a = client.responses.create(model="gpt", input=again, tools=[WEATHER], store=False)
    assert a.output_text == "Rain."


@pytest.mark.parametrize("store", [None, False])
def test_the_loop_of_the_sdk(provider, client, store):
    """`input += response.output`, with reasoning that nobody sealed: the provider would look it up, and has nothing."""
    more = {} if store is None else {"store": store}
    provider.say(Reply(text="", thinking="Where?", sealed=False, calls=TWO), Reply(text="Rain."), Reply(text="Bye."))
    talk = [{"role": "user", "content": "Hi."}]
    first = client.responses.create(model="gpt", input=talk, tools=[WEATHER], **more)
    assert [i.type for i in first.output] == ["reasoning", "function_call", "function_call"]
    talk += first.output
    talk += [{"type": "function_call_output", "call_id": c.call_id, "output": "rain"} for c in first.output[1:]]
    second = client.responses.create(model="gpt", input=talk, tools=[WEATHER], **more)
    sent = provider.seen[-1].json["input"]
    assert [i.get("type") for i in sent] == [None] + ["function_call"] * 2 + ["function_call_output"] * 2
    assert [i["call_id"] for i in sent[1:3]] == [i["call_id"] for i in sent[3:]]
    assert not any("id" in i for i in sent), "they were tied to the reasoning"
    assert second.output_text == "Rain."
    talk += second.output + [{"role": "user", "content": "Thanks."}]
    assert client.responses.create(model="gpt", input=talk, **more).output_text == "Bye."


def test_items_that_grow_beyond_a_request(provider, service):
    """What runs become is longer than they are: it is the body that is too large, and no fault of ours."""
    runs = [{"type": "code_interpreter_call", "code": "1"}] * 1000
    item = {"role": "user", "content": "x" * (8 * 1024 * 1024 - 100000)}
    status, _, answer = service.request("POST", "/v1/responses", {"model": "gpt", "input": runs + [item], "store": False})
    assert (status, answer["error"]["code"]) == (413, "body_too_large"), answer
    assert "earlier answers" in answer["error"]["message"] and provider.seen == []


def test_what_only_a_provider_has(provider, client):
    """A picture or a spoken answer by its id, which would be looked up for whoever names it."""
    spoken = [{"role": "user", "content": "Hi."}, {"role": "assistant", "audio": {"id": "audio_of_another"}}]
    for go, param in (
            (lambda: client.responses.create(model="gpt", input=[{"type": "image_generation_call", "id": "ig_1"}]),
             "/input/0"),
            (lambda: client.conversations.create(items=[{"type": "image_generation_call", "id": "ig_1"}]), "/items/0"),
            (lambda: client.chat.completions.create(model="gpt", messages=spoken), "/messages/1/audio/id")):
        with pytest.raises(openai.BadRequestError) as e:
            go()
        assert (e.value.code, e.value.param) == ("invalid_field", param)
    assert provider.seen == []


@pytest.mark.parametrize("stream", [False, True])
def test_code_runs(provider, client, stream):
    provider.say(Reply(text="", thinking="Let me see.", calls=(RUN,)), Reply(text="It is 42."))
    if stream:
        with client.responses.stream(model="gpt", input="Hi.", store=False, tools=TOOLS) as s:
            kinds = [e.type for e in s]
            a = s.get_final_response()
        assert kinds[-1] == "response.completed" and kinds.count("response.completed") == 1
        assert any(k.startswith("response.code_interpreter_call") for k in kinds)
    else:
        a = ask(client, tools=TOOLS, include=["code_interpreter_call.outputs"])
    assert a.output_text == "It is 42."
    call, = [i for i in a.output if i.type == "code_interpreter_call"]
    assert call.code == "print(6*7)" and call.status == "completed"
    assert call.outputs is None or "42" in call.outputs[0].logs


def test_embeddings(provider, client):
    a = client.embeddings.create(model="gpt", input=["one", "two"])
    assert len(a.data) == 2 and len(a.data[1].embedding) == 8 and a.usage.total_tokens == 11
    assert provider.seen[-1].json["model"] == "gpt-real"


def test_models(client):
    assert "gpt" in [m.id for m in client.models.list()]
    assert client.models.retrieve("gpt").id == "gpt"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none-such")


@pytest.mark.parametrize("status, error", [(400, openai.BadRequestError), (429, openai.RateLimitError),
                                           (500, openai.InternalServerError)])
def test_errors(provider, client, status, error):
    provider.answer = lambda seen: Reply(status=status)
    with pytest.raises(error) as e:
        ask(client)
    assert e.value.request_id


def test_error_in_mid_stream(provider, client):
    provider.say(Reply(text="one two three four", cut=2500))
    with pytest.raises(openai.APIError):
        for _ in client.responses.create(model="gpt", input="Hi.", store=False, stream=True):
            pass


def test_what_is_not_there(client):
    """What goes on from something that nobody has; test_conversations.py has the rest."""
    for more in ({"previous_response_id": "resp_1"}, {"previous_response_id": "../x"}):
        with pytest.raises(openai.NotFoundError):
            ask(client, **more)
    for more in ({"conversation": "conv_1"}, {"background": True}):
        with pytest.raises(openai.BadRequestError):
            ask(client, **more)
