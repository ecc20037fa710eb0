# SPDX-License-Identifier: Apache-2.0
"""The official SDK through the whole service to a strict provider over TLS: chat completions,
responses, embeddings, models; steps in a real sandbox; what the provider was sent."""

import json

import openai
import pytest

from reply import Reply

from instance import running

CODE = "print('from the sandbox')"
OURS = (("code_interpreter", {"code": CODE}),)
CI = {"type": "code_interpreter", "container": {"type": "auto"}}
WEATHER = {"type": "function", "name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}
CHAT_WEATHER = {"type": "function", "function": {k: v for k, v in WEATHER.items() if k != "type"}}
ASK = [{"role": "user", "content": "hi"}]
MODEL = "org/gpt-5.5"


@pytest.fixture(scope="module")
def keyless(provider):
    """The provider, but content with no key: `credential: none` sends none."""
    judge = provider._judge

    def open_judge(seen, dialect):
        seen.fields.append(("Authorization", "Bearer none"))
        judge(seen, dialect)

    provider._judge = open_judge
    return provider


@pytest.fixture(scope="module")
def service(keyless, authority):
    def edit(text):
        return text.replace("providers:\n", f"""providers:
  mock: {{ kind: openai, base_url: "{keyless.url}/v1", credential: none, ca_file: "{authority.ca}" }}
""").replace("models:\n", f"""models:
  {MODEL}: [ {{ provider: mock, model: gpt-real }} ]
""")
    with running(edit=edit) as inst:
        yield inst


@pytest.fixture
def model(keyless):
    keyless.forget()
    yield keyless
    assert keyless.refused() == []


def bodies(model):
    return [s.json for s in model.seen]


# ---- models ----------------------------------------------------------------------------------------

def test_models(client):
    assert sorted(m.id for m in client.models.list()) == ["demo", MODEL]
    assert client.models.retrieve("demo").id == "demo"
    assert client.models.retrieve(MODEL).id == MODEL, "the SDK writes the slash in it as %2F"
    with pytest.raises(openai.NotFoundError) as e:
        client.models.retrieve("none-such")
    assert e.value.code == "model_not_found"


def test_one_model_with_a_slash(service):
    status, _, body = service.request("GET", f"/v1/models/{MODEL}")
    assert status == 200 and body["id"] == MODEL


# ---- responses -------------------------------------------------------------------------------------

def test_response(client, model):
    model.say(Reply(text="Hello."))
    r = client.responses.create(model=MODEL, input="hi", instructions="be kind")
    assert r.output_text == "Hello." and r.status == "completed" and r.usage.total_tokens == 18
    sent, = bodies(model)
    assert sent == {"store": False, "model": "gpt-real", "input": "hi", "instructions": "be kind"}


def test_response_stream(client, model):
    model.say(Reply(text="Hello from afar.", thinking="let me think", split=3))
    events = list(client.responses.create(model=MODEL, input="hi", stream=True))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "Hello from afar."
    assert [o.type for o in events[-1].response.output] == ["reasoning", "message"]


def test_steps_in_a_response(client, model):
    model.say(Reply(text="", thinking="run it", calls=OURS, usage=(10, 20)),
              Reply(text="Done.", usage=(1, 2)))
    r = client.responses.create(model=MODEL, input="run", tools=[CI],
                                include=["code_interpreter_call.outputs", "reasoning.encrypted_content"])
    assert [o.type for o in r.output] == ["reasoning", "code_interpreter_call", "message"]
    run = r.output[1]
    assert run.code == CODE and run.outputs[0].logs == "from the sandbox\n" and run.status == "completed"
    assert run.container_id.startswith("cntr_")
    assert (r.usage.input_tokens, r.usage.output_tokens) == (11, 22)
    assert r.tools[0].type == "code_interpreter"
    first, second = bodies(model)
    assert first["include"] == ["reasoning.encrypted_content"]
    assert [t["type"] for t in first["tools"]] == ["function"]
    assert [i["type"] for i in second["input"][1:]] == ["reasoning", "function_call", "function_call_output"]
    assert second["input"][1]["encrypted_content"] == r.output[0].encrypted_content
    told = json.loads(second["input"][3]["output"])
    assert told["stdout"] == "from the sandbox\n" and "untrusted" in told


@pytest.mark.parametrize("split", [None, 1, 17])
def test_steps_in_a_stream(client, model, split):
    """The SDK's own accumulation must agree with the last event."""
    model.say(Reply(text="I run it.", thinking="hm", calls=OURS * 2, split=split),
              Reply(text="Done.", split=split))
    with client.responses.stream(model=MODEL, input="run", tools=[CI]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [o.type for o in final.output]
    assert kinds == ["reasoning", "message", "code_interpreter_call", "code_interpreter_call", "message"]
    assert [o.outputs[0].logs for o in final.output if o.type == "code_interpreter_call"] == \
        ["from the sandbox\n"] * 2
    assert [e.sequence_number for e in events] == list(range(len(events)))
    added = [e for e in events if e.type == "response.output_item.added"]
    done = {e.output_index: e.item for e in events if e.type == "response.output_item.done"}
    assert [e.output_index for e in added] == list(range(len(kinds)))
    assert [e.item.type for e in added] == kinds
    assert [done[i].id for i in range(len(kinds))] == [o.id for o in final.output]
    assert len([e for e in events if e.type == "response.created"]) == 1
    assert "response.code_interpreter_call.interpreting" in [e.type for e in events]
    assert not [e for e in events if "function_call" in e.type]


def test_a_conversation_goes_on(client, model):
    """What the client got can be sent again: the model knows its calls and their results."""
    model.say(Reply(text="", calls=OURS), Reply(text="Done."), Reply(text="Still here."))
    r = client.responses.create(model=MODEL, input=ASK, tools=[CI])
    history = [*ASK, *[o.model_dump(exclude_none=True) for o in r.output],
               {"role": "user", "content": "and now?"}]
    again = client.responses.create(model=MODEL, input=history, tools=[CI])
    assert again.output_text == "Still here."
    items = bodies(model)[-1]["input"]
    assert [i.get("type", "message") for i in items] == \
        ["message", "function_call", "function_call_output", "message", "message"]
    assert json.loads(items[1]["arguments"]) == {"code": CODE}
    assert json.loads(items[2]["output"])["stdout"] == "from the sandbox\n"


@pytest.mark.parametrize("stream", [False, True])
def test_own_functions_pass(client, model, stream):
    two = (("weather", {"city": "Ulm"}), ("weather", {"city": "Bonn"}))
    model.say(Reply(text="", calls=two))
    if stream:
        with client.responses.stream(model=MODEL, input="x", tools=[CI, WEATHER]) as s:
            r = s.get_final_response()
    else:
        r = client.responses.create(model=MODEL, input="x", tools=[CI, WEATHER])
    assert [json.loads(o.arguments)["city"] for o in r.output] == ["Ulm", "Bonn"]
    assert len(model.seen) == 1


@pytest.mark.parametrize("change, param", [
    ({"store": False, "conversation": "conv_1"}, "/store"),
    ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "/conversation"),
    ({"background": True}, "/background"),
    ({"tools": [{"type": "web_search"}]}, "/tools/0/type"),
    ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "/tools/0/container"),
    ({"extra_body": {"Model": "x"}}, "/Model"),
    ({"extra_body": {"api_base": "http://127.0.0.1"}}, "/api_base"),
    ({"tools": [{**WEATHER, "name": f"f{i}"} for i in range(1000)]}, "/tools"),
])
def test_refusals(client, model, change, param):
    with pytest.raises(openai.BadRequestError) as e:
        client.responses.create(**{"model": MODEL, "input": "x", **change})
    assert e.value.param == param and e.value.code == "invalid_field"
    assert model.seen == []


def test_failure_in_mid_stream(client, model):
    model.say(Reply(text="Some words that will be cut off.", cut=900))
    with pytest.raises(openai.APIError) as e:
        for _ in client.responses.create(model=MODEL, input="x", stream=True):
            pass
    assert e.value.code in ("upstream_error", "unavailable")


def test_provider_error_is_told(client, model):
    model.say(Reply(status=400, error="The image is too small.", error_code="image_too_small"),
              Reply(status=429, error="slow down", headers=(("retry-after", "7"),)))
    model.answer = lambda seen: Reply(status=500, error="stack trace")
    with pytest.raises(openai.BadRequestError, match="too small") as e:
        client.responses.create(model=MODEL, input="x")
    assert e.value.code == "upstream_rejected"
    with pytest.raises(openai.RateLimitError) as e:
        client.responses.create(model=MODEL, input="x")
    assert float(e.value.response.headers["retry-after"]) >= 4
    with pytest.raises(openai.APIStatusError) as e:
        client.responses.create(model=MODEL, input="x")
    assert e.value.status_code == 502 and "stack" not in str(e.value)


# ---- chat completions ------------------------------------------------------------------------------

@pytest.mark.parametrize("stream", [False, True])
def test_chat_steps_and_reasoning(client, model, stream):
    model.say(Reply(text="", thinking="I should run it", calls=OURS * 2, usage=(10, 20)),
              Reply(text="Done.", thinking="that was it", usage=(1, 2)))
    ask = {"model": MODEL, "messages": ASK, "tools": [{"type": "code_interpreter"}]}
    if stream:
        chunks = list(client.chat.completions.create(**ask, stream=True,
                                                     stream_options={"include_usage": True}))
        steps = [c.sallyport["steps"] for c in chunks if "steps" in (getattr(c, "sallyport", None) or {})][0]
        thought = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or ""
                          for c in chunks if c.choices)
        assert thought == "I should run itthat was it"
        usage = chunks[-1].usage
    else:
        a = client.chat.completions.create(**ask)
        steps, usage = a.sallyport["steps"], a.usage
        assert a.choices[0].message.reasoning_content == "that was it"
    assert [s["stdout"] for s in steps] == ["from the sandbox\n"] * 2
    assert (usage.prompt_tokens, usage.completion_tokens) == (11, 22)
    last = bodies(model)[-1]["messages"]
    assert [m["role"] for m in last] == ["user", "assistant", "tool", "tool"]
    assert last[1]["reasoning_content"] == "I should run it"


def test_chat_choices_and_parallel_calls(client, model):
    two = (("weather", {"city": "Ulm"}), ("weather", {"city": "Bonn"}))
    model.say(Reply(text="one"), Reply(text="", calls=two))
    assert len(client.chat.completions.create(model=MODEL, messages=ASK, n=3).choices) == 3
    with client.chat.completions.stream(model=MODEL, messages=ASK, tools=[CHAT_WEATHER]) as s:
        calls = s.get_final_completion().choices[0].message.tool_calls
    assert [json.loads(c.function.arguments)["city"] for c in calls] == ["Ulm", "Bonn"]


def test_chat_usage_is_kept_from_those_who_did_not_ask(client, model):
    model.say(Reply(text="a b c"), Reply(text="a b c"), Reply(text="a b c", usage=None))
    for chunk in client.chat.completions.create(model=MODEL, messages=ASK, stream=True):
        assert not chunk.usage and chunk.choices
    chunks = list(client.chat.completions.create(model=MODEL, messages=ASK, stream=True,
                                                 stream_options={"include_usage": True}))
    assert chunks[-1].usage.total_tokens == 18
    assert client.chat.completions.create(model=MODEL, messages=ASK).usage is None
    assert [b.get("stream_options") for b in bodies(model)] == [{"include_usage": True}] * 2 + [None]


def test_chat_1000_tools_and_a_20_mb_image(client, model):
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model=MODEL, messages=ASK, tools=[
            {"type": "function", "function": {"name": f"f{i}"}} for i in range(1000)])
    assert e.value.param == "/tools" and e.value.code == "invalid_field"
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model=MODEL, messages=ASK, extra_body={"Model": "x"})
    assert e.value.param == "/Model"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (20 << 20)}}
    with pytest.raises(openai.APIStatusError) as e:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [image]}])
    assert e.value.status_code == 413 and e.value.code == "body_too_large"
    assert model.seen == []


def test_chat_image_passes_as_it_is(client, model):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 40000}}
    model.say(Reply(text="A picture."))
    a = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [image]}])
    assert a.choices[0].message.content == "A picture."
    assert bodies(model)[0]["messages"][0]["content"] == [image]


# ---- embeddings ------------------------------------------------------------------------------------

def test_embeddings(client, model):
    r = client.embeddings.create(model=MODEL, input=["a", "b"], dimensions=8)
    assert len(r.data) == 2 and r.usage.prompt_tokens > 0
    assert bodies(model)[0]["model"] == "gpt-real"


def test_dialects_that_a_provider_does_not_speak(client):
    for ask in (lambda: client.embeddings.create(model="demo", input="a"),
                lambda: client.responses.create(model="demo", input="a")):
        with pytest.raises(openai.BadRequestError) as e:
            ask()
        assert e.value.code == "unsupported_endpoint"
