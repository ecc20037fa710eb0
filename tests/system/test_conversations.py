# SPDX-License-Identifier: Apache-2.0
"""Conversations, responses and files that are kept, by the official Python SDK, before a mock provider."""

import concurrent.futures
import json
import os
import signal
import time

import openai
import pytest

from instance import running
from reply import Reply
from upstreams import entry, models_at

RUN = ("code_interpreter", {"language": "python", "code": "print(6*7)"})
TOOLS = [{"type": "code_interpreter", "container": {"type": "auto"}}]
WEATHER = {"type": "function", "name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}
GITHUB = "gh" "p_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"
POLICIES = """policies:
  forgets: { endpoints: [responses, models], models: "*", tools: "*", languages: "*" }
  strict: { endpoints: "*", models: "*", credentials: refuse }
  open: { endpoints: "*", models: "*", credentials: keep }
"""


@pytest.fixture(scope="module")
def service(provider, authority):
    provider.keyless = True
    models = models_at({"real": entry(provider, authority)}, {"gpt": [("real", "gpt-real")]})
    with running(edit=lambda text: models(text).replace("policies:\n", POLICIES, 1)) as inst:
        yield inst


@pytest.fixture(autouse=True)
def judged(provider):
    provider.forget()
    yield
    assert provider.refused() == []


@pytest.fixture(scope="module")
def people(service):
    """Clients of others, each with a key of its own."""
    def key(tenant, user, policy="default"):
        done = service.operate("key", "create", "--tenant", tenant, "--user", user, "--policy", policy)
        return done.stdout.strip()
    return {"user": key("acme", "bob"), "tenant": key("zeus", "alice"), "forgets": key("acme", "carol", "forgets"),
            "strict": key("acme", "dora", "strict"), "open": key("acme", "erna", "open")}


def other(client, people, who):
    return client.with_options(api_key=people[who])


def respond(client, text="Hi.", **more):
    return client.responses.create(model="gpt", input=text, **more)


def sent(provider, n=-1):
    return provider.seen[n].json["input"]


# ---- conversations ----

def test_a_conversation(client):
    c = client.conversations.create(metadata={"topic": "x"}, items=[
        {"type": "message", "role": "user", "content": "one"},
        {"type": "message", "role": "assistant", "content": "two"}])
    assert c.id.startswith("conv_") and c.object == "conversation" and c.metadata == {"topic": "x"}
    assert abs(c.created_at - time.time()) < 60
    assert client.conversations.retrieve(c.id) == c
    assert client.conversations.update(c.id, metadata={"topic": "y"}).metadata == {"topic": "y"}
    assert client.conversations.retrieve(c.id).metadata == {"topic": "y"}
    gone = client.conversations.delete(c.id)
    assert (gone.id, gone.object, gone.deleted) == (c.id, "conversation.deleted", True)
    for look in (client.conversations.retrieve, client.conversations.items.list, client.conversations.delete):
        with pytest.raises(openai.NotFoundError):
            look(c.id)


def test_items(client):
    c = client.conversations.create()
    made = client.conversations.items.create(c.id, items=[
        {"type": "message", "role": "user", "content": f"{n}"} for n in range(7)])
    ids = [i.id for i in made.data]
    assert len(set(ids)) == 7 and made.first_id == ids[0] and made.last_id == ids[-1]
    assert [i.id for i in client.conversations.items.list(c.id, order="asc", limit=3)] == ids
    assert [i.id for i in client.conversations.items.list(c.id, limit=2)] == ids[::-1]
    page = client.conversations.items.list(c.id, order="asc", limit=3, after=ids[2])
    assert [i.id for i in page.data] == ids[3:6] and page.has_more
    one = client.conversations.items.retrieve(ids[4], conversation_id=c.id,
                                              include=["message.output_text.logprobs"])
    assert one.content[0].text == "4" and one.content[0].type == "input_text" and one.status == "completed"
    assert client.conversations.items.delete(ids[4], conversation_id=c.id).id == c.id
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(ids[4], conversation_id=c.id)
    assert len(list(client.conversations.items.list(c.id))) == 6
    elsewhere = client.conversations.create()
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(ids[3], conversation_id=elsewhere.id)


def test_what_is_no_item(client):
    c = client.conversations.create()
    for items in ([], [{}], ["x"], [{"type": "message", "role": "nobody"}], [{"a": "b"}] * 2):
        with pytest.raises(openai.BadRequestError):
            client.conversations.items.create(c.id, items=items)
    twice = {"type": "message", "id": "msg_mine", "role": "user", "content": "x"}
    assert client.conversations.items.create(c.id, items=[twice]).data[0].id == "msg_mine"
    for items in ([twice], [dict(twice, id="msg_2"), dict(twice, id="msg_2")]):
        with pytest.raises(openai.ConflictError):
            client.conversations.items.create(c.id, items=items)
    big = client.conversations.items.create(c.id, items=[
        {"type": "message", "role": "user", "content": "x" * 3_000_000}])
    assert len(client.conversations.items.retrieve(big.data[0].id, conversation_id=c.id).content[0].text) == 3_000_000
    for items in ([twice | {"id": "msg_2", "content": "x" * 5_000_000}], [dict(twice, id=f"m{n}") for n in range(1025)]):
        with pytest.raises(openai.APIStatusError) as e:
            client.conversations.items.create(c.id, items=items)
        assert e.value.status_code in (400, 413)
    with pytest.raises(openai.BadRequestError) as e:           # in what is kept it could not be beside "id"
        client.conversations.items.create(c.id, items=[{"role": "user", "content": "x", "ID": "q"}])
    assert e.value.param == "/items/0/ID"
    with pytest.raises(openai.BadRequestError) as e:
        respond(client, [{"role": "user", "content": "x", "Status": "q"}], conversation=c.id)
    assert e.value.param == "/input/0/Status"
    assert len(client.conversations.items.list(c.id).data) == 2, "all or none"


def test_references(provider, client):
    """What is named would be looked up in an account that all tenants share."""
    c = client.conversations.create(items=[{"role": "user", "content": "a"}])
    ref = {"type": "item_reference", "id": "msg_of_another_tenant"}
    for go, param in (
            (lambda: client.conversations.create(items=[ref]), "/items/0"),
            (lambda: client.conversations.items.create(c.id, items=[{"role": "user", "content": "b"}, ref]), "/items/1"),
            (lambda: respond(client, [ref], conversation=c.id), "/input/0"),
            (lambda: respond(client, [{"id": ref["id"]}]), "/input/0")):
        with pytest.raises(openai.BadRequestError) as e:
            go()
        assert (e.value.code, e.value.param) == ("invalid_field", param)
    assert provider.seen == []
    assert len(client.conversations.items.list(c.id).data) == 1


def test_ids_of_files(provider, client):
    """Not even those of files that are kept here: a provider would look them up in its own account."""
    def says(part):
        return [{"role": "user", "content": [{"type": "input_text", "text": "a"}, part]}]

    mine = client.files.create(file=("a.txt", b"x"), purpose="user_data").id
    chat = {"type": "file", "file": {"file_id": mine}}
    for go, param in (
            (lambda: respond(client, says({"type": "input_file", "file_id": mine})), "/input/0/content/1/file_id"),
            (lambda: respond(client, says({"type": "input_image", "file_id": "file-x", "detail": "auto"})),
             "/input/0/content/1/file_id"),
            (lambda: client.conversations.create(items=says({"type": "input_file", "file_id": mine})),
             "/items/0/content/1/file_id"),
            (lambda: client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": [chat]}]),
             "/messages/0/content/0/file/file_id")):
        with pytest.raises(openai.BadRequestError) as e:
            go()
        assert (e.value.code, e.value.param) == ("invalid_field", param)
        assert "file_data" in str(e.value)
    assert provider.seen == []
    client.files.delete(mine)
    whole = {"type": "input_file", "filename": "a.txt", "file_id": None, "file_data": "data:text/plain;base64,eA=="}
    c = client.conversations.create(items=says(whole))
    respond(client, says(whole), conversation=c.id)
    assert [i["content"][1]["file_data"] for i in sent(provider)] == [whole["file_data"]] * 2


# ---- responses ----

@pytest.mark.parametrize("stream", [False, True])
def test_a_chain(provider, client, stream):
    def say(text, **more):
        if not stream:
            return respond(client, text, **more)
        events = list(respond(client, text, stream=True, **more))
        assert events[0].response.id == events[-1].response.id and events[-1].type == "response.completed"
        return events[-1].response

    provider.say(Reply(text="Hello."), Reply(text="Ada."), Reply(text="Nothing."))
    first = say("My name is Ada.", instructions="Be brief.")
    assert first.id.startswith("resp_") and first.store is True and len(first.id) == 53
    second = say("What is my name?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    texts = json.dumps(sent(provider))
    assert all(t in texts for t in ("My name is Ada.", "Hello.", "What is my name?"))
    body = provider.seen[-1].json
    assert body["store"] is False and "previous_response_id" not in body and "instructions" not in body
    third = say("And now?", previous_response_id=second.id)
    assert [t in json.dumps(sent(provider)) for t in ("My name", "Ada.", "And now?")] == [True] * 3
    # As they were told, and what they were asked with.
    again = client.responses.retrieve(second.id)
    assert again.output_text == "Ada." and again.previous_response_id == first.id and again.usage == second.usage
    asked = client.responses.input_items.list(second.id)
    assert [i.content[0].text for i in asked.data] == ["What is my name?"]
    assert client.responses.delete(third.id) is None
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(third.id)
    with pytest.raises(openai.NotFoundError):
        respond(client, previous_response_id=third.id)


@pytest.mark.parametrize("stream", [False, True])
def test_runs_in_history(provider, client, stream):
    provider.say(Reply(text="", thinking="Let me see.", calls=(RUN,)), Reply(text="It is 42."), Reply(text="Yes."))
    if stream:
        first = list(respond(client, tools=TOOLS, stream=True))[-1].response
    else:
        first = respond(client, tools=TOOLS)
    kept = client.responses.retrieve(first.id)
    assert [i.type for i in kept.output] == [i.type for i in first.output]
    call, = [i for i in kept.output if i.type == "code_interpreter_call"]
    assert call.code == "print(6*7)" and "42" in call.outputs[0].logs
    respond(client, "Sure?", previous_response_id=first.id)
    kinds = [i.get("type") for i in sent(provider)]
    assert "function_call" in kinds and "function_call_output" in kinds and "code_interpreter_call" not in kinds


def test_functions_in_history(provider, client):
    provider.say(Reply(text="", calls=(("weather", {"city": "Ulm"}),)), Reply(text="Rain."))
    first = respond(client, tools=[WEATHER])
    call, = [i for i in first.output if i.type == "function_call"]
    second = client.responses.create(model="gpt", tools=[WEATHER], previous_response_id=first.id, input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}])
    assert second.output_text == "Rain."


@pytest.mark.parametrize("stream", [False, True])
def test_turns_of_a_conversation(provider, client, stream):
    c = client.conversations.create(items=[{"type": "message", "role": "user", "content": "Before."}])
    provider.say(Reply(text="First."), Reply(text="Second."))
    for text in ("One?", "Two?"):
        a = respond(client, text, conversation=c.id, stream=stream)
        a = list(a)[-1].response if stream else a
        assert a.conversation.id == c.id
    texts = json.dumps(sent(provider))
    assert all(t in texts for t in ("Before.", "One?", "First.", "Two?"))
    items = list(client.conversations.items.list(c.id, order="asc"))
    said = [i.content[0].text for i in items if i.type == "message"]
    assert said == ["Before.", "One?", "First.", "Two?", "Second."]
    assert len({i.id for i in items}) == len(items)
    # Without its conversation the response is still there, with what it said.
    client.conversations.delete(c.id)
    assert client.responses.retrieve(a.id).output_text == "Second."
    with pytest.raises(openai.NotFoundError):
        respond(client, conversation=c.id)


def test_two_turns_at_once(provider, client):
    c = client.conversations.create()
    provider.answer = lambda seen: Reply(text="Well.")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: respond(client, f"turn {n}", conversation=c.id), range(8)))
    assert len({a.id for a in done}) == 8
    said = [i.content[0].text for i in client.conversations.items.list(c.id, order="asc") if i.type == "message"]
    assert len(said) == 16 and {f"turn {n}" for n in range(8)} < set(said)
    # Each turn is whole: its answer follows its question.
    assert all(said[n].startswith("turn") and said[n + 1] == "Well." for n in range(0, 16, 2))


def test_chat_is_kept_nowhere(provider, client):
    for store in (True, False, None, openai.omit):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "a"}], store=store)
    assert [seen.json.get("store", "absent") for seen in provider.seen] == [False, False, None, "absent"]


def test_what_is_not_kept(provider, client, people):
    provider.answer = lambda seen: Reply(text="Well.")
    a = respond(client, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(a.id)
    # Where the key may not see it again, nothing is kept, unless that is asked for: then it is refused.
    mine = other(client, people, "forgets")
    a = respond(mine)
    assert a.store is not True
    with pytest.raises(openai.PermissionDeniedError):
        respond(mine, store=True)
    with pytest.raises(openai.PermissionDeniedError):
        mine.responses.retrieve(a.id)
    for more in ({"store": False, "conversation": "conv_1"}, {"previous_response_id": "resp_1", "conversation": "conv_1"}):
        with pytest.raises(openai.BadRequestError):
            respond(client, **more)


@pytest.mark.parametrize("who", ["user", "tenant"])
def test_whose_it_is(provider, client, people, who):
    provider.say(Reply(text="Secret."))
    a = respond(client, "A secret.")
    c = client.conversations.create()
    stranger = other(client, people, who)
    looks = [lambda: stranger.responses.retrieve(a.id), lambda: stranger.responses.delete(a.id),
             lambda: stranger.responses.input_items.list(a.id), lambda: respond(stranger, previous_response_id=a.id),
             lambda: respond(stranger, conversation=c.id), lambda: stranger.conversations.retrieve(c.id)]
    for look in looks:
        with pytest.raises(openai.NotFoundError) as e:
            look()
        assert e.value.body["message"] == "There is no such object."
    assert client.responses.retrieve(a.id).output_text == "Secret."


# ---- files ----

def test_files(client):
    body = bytes(range(256)) * 4
    f = client.files.create(file=("../dir/näme.bin", body), purpose="user_data",
                            expires_after={"anchor": "created_at", "seconds": 3600})
    assert f.id.startswith("file-") and f.bytes == 1024 and f.filename == "näme.bin" and f.status == "processed"
    assert f.expires_at - f.created_at == 3600 and f.purpose == "user_data"
    g = client.files.create(file=("empty", b""), purpose="batch")
    assert g.bytes == 0 and g.expires_at is None
    assert client.files.retrieve(f.id) == f
    assert client.files.content(f.id).read() == body and client.files.content(g.id).read() == b""
    assert [x.id for x in client.files.list()] == [g.id, f.id]
    assert [x.id for x in client.files.list(order="asc", limit=1)] == [f.id, g.id]
    assert [x.id for x in client.files.list(purpose="batch")] == [g.id]
    gone = client.files.delete(f.id)
    assert gone.deleted and gone.object == "file"
    for look in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            look(f.id)
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("x", b"x"), purpose="nonsense")
    big = client.files.create(file=("big", b"x" * 8_000_000), purpose="user_data")
    assert client.files.content(big.id).read() == b"x" * 8_000_000
    with pytest.raises(openai.APIStatusError) as e:
        client.files.create(file=("big", b"x" * 9_000_000), purpose="user_data")
    assert e.value.status_code == 413


# ---- credentials ----

def test_credentials_are_masked(provider, client, service):
    provider.say(Reply(text=f"Use {GITHUB}."))
    a = respond(client, f"My token is {GITHUB}")
    assert GITHUB in a.output_text and GITHUB in json.dumps(sent(provider)), "what passes through stays"
    kept = client.responses.retrieve(a.id)
    assert kept.output_text == "Use [removed: github token]."
    assert client.responses.input_items.list(a.id).data[0].content[0].text == "My token is [removed: github token]"
    c = client.conversations.create(metadata={"a": GITHUB}, items=[
        {"type": "message", "role": "user", "content": f"line\n{GITHUB}"}])
    assert c.metadata == {"a": "[removed: github token]"}
    item, = client.conversations.items.list(c.id).data
    assert item.content[0].text == "line\n[removed: github token]"
    # However it is spelled: JSON lets everybody write a letter as an escape.
    spelled = "".join(f"\\u{ord(x):04x}" for x in GITHUB)
    status, _, c = service.request("POST", "/v1/conversations", f'{{"metadata": {{"a": "{spelled}"}}}}')
    assert status == 200 and c["metadata"] == {"a": "[removed: github token]"}
    with pytest.raises(openai.BadRequestError) as e:
        client.files.create(file=("x", f"token: {GITHUB}".encode()), purpose="user_data")
    assert e.value.code == "credential_in_body" and "policy of this key masks" in str(e.value)


def test_credentials_by_policy(provider, client, people):
    provider.answer = lambda seen: Reply(text="Well.")
    strict, kept = other(client, people, "strict"), other(client, people, "open")
    for ask in (lambda: respond(strict, GITHUB), lambda: strict.conversations.create(metadata={"a": GITHUB}),
                lambda: strict.chat.completions.create(model="gpt", messages=[{"role": "user", "content": GITHUB}])):
        with pytest.raises(openai.BadRequestError) as e:
            ask()
        assert e.value.code == "credential_in_body" and "policy of this key refuses" in str(e.value)
    assert provider.seen == []
    assert kept.conversations.create(metadata={"a": GITHUB}).metadata == {"a": GITHUB}
    # As an item's id it would stand beside the item, in clear: nowhere.
    item = {"type": "message", "role": "user", "content": "a", "id": GITHUB}
    has = kept.conversations.create()
    for ask in (lambda: kept.conversations.create(items=[item]), lambda: respond(kept, [item]),
                lambda: kept.conversations.items.create(has.id, items=[item])):
        with pytest.raises(openai.BadRequestError) as e:
            ask()
        assert e.value.code == "credential_in_body" and "id of an item" in str(e.value) and "policy" not in str(e.value)
    # A key of a provider of models is in no history, whatever the policy says.
    for model_key in ("sk-" + "ant-api03-" + "0aA1bB2cC3" * 6, "sk-" + "proj-" + "abcdefghij0123456789T3BlbkFJ" + "abcdefghij" * 2):
        with pytest.raises(openai.BadRequestError) as e:
            kept.conversations.create(metadata={"a": model_key})
        assert e.value.code == "credential_in_body" and "of a provider" in str(e.value) and "policy" not in str(e.value)
        provider.answer = lambda seen: Reply(text=f"You said {model_key}.")
        turn = respond(kept, f"mine is {model_key}")
        assert model_key in turn.output_text                                       # what passes through stays
        seen = str(kept.responses.input_items.list(turn.id).data) + str(kept.responses.retrieve(turn.id))
        assert model_key not in seen and "[removed: " in seen


def test_a_key_of_ours(client, service, people, provider):
    key = people["open"]
    for body in (f"my key {key}", f"{key[:1]}{key[1:]}"):
        with pytest.raises(openai.BadRequestError) as e:
            respond(client, body)
        assert e.value.code == "key_in_body" and key not in str(e.value.body)
    status, _, answer = service.request("POST", "/v1/conversations", json.dumps(
        {"metadata": {"a": "@"}}).replace("@", "\\u0073" + key[1:]).encode(), headers={"Content-Type": "application/json"})
    assert status == 400 and answer["error"]["code"] == "key_in_body"
    leaks = [r for r in service.records() if r["event"]["type"] == "KeyLeaked"]
    assert len(leaks) == 3 and all(r["event"]["key_id"] == key[3:15] for r in leaks)
    assert key not in service.text_log() and provider.seen == []


# ---- the record, and a store that dies ----

def test_it_is_on_record(client, service, provider):
    provider.say(Reply(text="Well."))
    before = len(service.records())
    a = respond(client, "A text of which nothing is in the log.")
    client.responses.retrieve(a.id)
    records = service.records()[before:]
    done = [(r["event"]["operation"], r["event"]["kind"], r["outcome"]) for r in records
            if r["event"]["type"] == "ContentAccessed" and r["phase"] == "outcome"]
    assert done == [("save", "response", "success"), ("read", "response", "success")]
    assert "of which nothing" not in json.dumps(records)


def test_the_store_dies(client, service, provider):
    """In the middle of a turn: the answer does not end well, and the next ones do again."""
    pid, = service.pids("store")

    def answer(seen):
        os.kill(pid, signal.SIGKILL)
        return Reply(text="Too late.")

    provider.answer = answer
    with pytest.raises(openai.APIError):
        respond(client.with_options(max_retries=0))
    provider.answer = lambda seen: Reply(text="Well.")
    end = time.monotonic() + 30
    while True:
        try:
            a = respond(client.with_options(max_retries=0))
            break
        except openai.APIError:
            assert time.monotonic() < end
            time.sleep(0.2)
    assert client.responses.retrieve(a.id).output_text == "Well."
    assert service.verify().returncode == 0
