# SPDX-License-Identifier: Apache-2.0
"""The world around the service in tests is what it claims to be: the official SDKs and clients, straight
at the mock provider, Vault, PostgreSQL and AWS, without the service in between."""

import json
import os
import ssl
import subprocess

import anthropic
import httpx
import httpx2
import openai
import pytest

from places import places
from reply import Reply
from vault import VaultError
from wire_anthropic import signature
from wire_openai import sealed

ASK = [{"role": "user", "content": "Hi."}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TWO = (("weather", {"city": "Ulm"}), ("weather", {"city": "Bonn"}))


@pytest.fixture
def http(provider, authority):
    provider.forget()
    with httpx.Client(verify=ssl.create_default_context(cafile=authority.ca)) as c:
        yield c
    assert provider.refused() == []


@pytest.fixture
def gpt(provider, http):
    return openai.OpenAI(base_url=provider.url + "/v1", api_key="sk-x", max_retries=0, http_client=http)


@pytest.fixture
def claude(provider, http, authority):
    context = ssl.create_default_context(cafile=authority.ca)
    with httpx2.Client(verify=context) as c:
        yield anthropic.Anthropic(base_url=provider.url, api_key="sk-ant-x", max_retries=0, http_client=c)


def test_chat(provider, gpt):
    provider.say(Reply(text="Whole."), Reply(text="In some pieces.", split=1), Reply(text="", calls=TWO))
    tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    a = gpt.chat.completions.create(model="m", messages=ASK)
    assert a.choices[0].message.content == "Whole." and a.usage.total_tokens == 18
    with gpt.chat.completions.stream(model="m", messages=ASK, stream_options={"include_usage": True}) as s:
        a = s.get_final_completion()
    assert a.choices[0].message.content == "In some pieces." and a.usage.completion_tokens == 7
    with gpt.chat.completions.stream(model="m", messages=ASK, tools=tools) as s:
        calls = s.get_final_completion().choices[0].message.tool_calls
    assert [json.loads(c.function.arguments)["city"] for c in calls] == ["Ulm", "Bonn"]
    history = [*ASK, {"role": "assistant", "tool_calls": [c.model_dump(include={
        "id": True, "type": True, "function": {"name", "arguments"}}) for c in calls]}]
    history += [{"role": "tool", "tool_call_id": c.id, "content": "rain"} for c in calls]
    assert gpt.chat.completions.create(model="m", messages=history, tools=tools).choices
    assert provider.seen[-1].key == "sk-x" and provider.seen[-1].tls == "TLSv1.3"


def test_responses(provider, gpt):
    tools = [{"type": "function", "name": "weather", "parameters": WEATHER}]
    provider.say(Reply(text="Whole."), Reply(text="Let us see.", thinking="Where?", calls=TWO, split=7))
    assert gpt.responses.create(model="m", input="Hi.").output_text == "Whole."
    with gpt.responses.stream(model="m", input="Hi.", tools=tools, store=False) as s:
        events = [e.type for e in s]
        a = s.get_final_response()
    assert events[:2] == ["response.created", "response.in_progress"]
    assert events[-1] == "response.completed" and "response.reasoning_summary_text.delta" in events
    assert [i.type for i in a.output] == ["reasoning", "message", "function_call", "function_call"]
    again = [{"role": "user", "content": "Hi."}]
    again += [i.model_dump(exclude_none=True, exclude={"parsed_arguments", "status"}) for i in a.output]
    for part in again:
        for c in part.get("content", ()) if isinstance(part.get("content"), list) else ():
            c.pop("parsed", None)
    again += [{"type": "function_call_output", "call_id": i.call_id, "output": "rain"} for i in a.output[2:]]
    assert gpt.responses.create(model="m", input=again, tools=tools, store=False).output_text


def test_embeddings_and_models(gpt):
    assert len(gpt.embeddings.create(model="e", input=["a", "b"]).data[1].embedding) == 8
    assert [m.id for m in gpt.models.list()] == ["gpt-test"]


def test_messages(provider, claude):
    tools = [{"name": "weather", "input_schema": WEATHER}]
    deep = {"type": "enabled", "budget_tokens": 1024}
    provider.say(Reply(text="Whole."), Reply(text="See.", thinking="Hm, hm.", calls=TWO, split=3))
    a = claude.messages.create(model="m", max_tokens=9, messages=ASK)
    assert a.content[0].text == "Whole." and a.usage.output_tokens == 7
    with claude.messages.stream(model="m", max_tokens=2000, messages=ASK, tools=tools, thinking=deep) as s:
        a = s.get_final_message()
    assert [b.type for b in a.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert a.content[0].signature == signature("Hm, hm.") and a.stop_reason == "tool_use"
    history = [*ASK, {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in a.content]}]
    history[1]["content"][2].pop("caller", None)
    history.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": b.id,
                                                 "content": "rain"} for b in a.content[2:]]})
    for block in history[1]["content"]:
        block.pop("parsed_output", None)
    assert claude.messages.create(model="m", max_tokens=2000, messages=history, tools=tools, thinking=deep)
    assert claude.messages.count_tokens(model="m", messages=ASK).input_tokens == 11


def test_errors(provider, gpt, claude):
    provider.say(Reply(status=429, headers=(("retry-after", "3"),)), Reply(status=529))
    with pytest.raises(openai.RateLimitError):
        gpt.chat.completions.create(model="m", messages=ASK)
    with pytest.raises(anthropic.APIStatusError) as e:
        claude.messages.create(model="m", max_tokens=9, messages=ASK)
    assert e.value.status_code == 529 and e.value.body["error"]["type"] == "overloaded_error"
    provider.keys = {"other"}
    try:
        with pytest.raises(openai.AuthenticationError):
            gpt.chat.completions.create(model="m", messages=ASK)
    finally:
        provider.keys = None


CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
TOOL_USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}


@pytest.mark.parametrize("path, body, why", [
    ("chat/completions", {"messages": ASK, "sallyport": 1}, "Unrecognized request argument"),
    ("chat/completions", {"messages": [*ASK, CALL, *ASK]}, "did not have response messages: c1"),
    ("chat/completions", {"messages": [*ASK, {"role": "tool", "tool_call_id": "c9", "content": "x"}]},
     "must be a response to"),
    ("chat/completions", {"messages": ASK, "tools": [{"type": "code_interpreter"}]}, "Supported values"),
    ("chat/completions", {"messages": ASK, "stream_options": {"include_usage": True}}, "only allowed when"),
    ("responses", {"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]},
     "No tool call found"),
    ("responses", {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed("rs_1")}]},
     "required following item"),
    ("responses", {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "'rs_1' not found"),
    ("messages", {"messages": ASK}, "max_tokens: Field required"),
    ("messages", {"messages": [TOOL_USE, *ASK], "max_tokens": 1}, "first message"),
    ("messages", {"messages": [*ASK, TOOL_USE, *ASK], "max_tokens": 1}, "without `tool_result`"),
    ("messages", {"messages": [*ASK, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "x", "signature": "forged"}]}], "max_tokens": 1}, "Invalid `signature`"),
])
def test_what_a_provider_refuses(provider, authority, path, body, why):
    provider.forget()
    r = httpx.post(f"{provider.url}/v1/{path}", json={"model": "m", **body},
                   headers={"x-api-key": "k", "anthropic-version": "2023-06-01"} if path == "messages"
                   else {"authorization": "Bearer k"}, verify=ssl.create_default_context(cafile=authority.ca))
    assert r.status_code == (404 if "not found" in why else 400) and why in r.json()["error"]["message"], r.text
    assert len(provider.refused()) == 1


@pytest.mark.parametrize("reply, error", [
    (Reply(cut=40), httpx.TransportError),  # Python's ssl takes a reset for an end
    (Reply(end=40), httpx.RemoteProtocolError),
    (Reply(hang=40), httpx.ReadTimeout),
    (Reply(length=9999, close=True), httpx.RemoteProtocolError),
    (Reply(before_s=5), httpx.ReadTimeout),
])
def test_faults(provider, http, reply, error):
    provider.say(reply)
    with pytest.raises(error):
        http.post(f"{provider.url}/v1/chat/completions", json={"model": "m", "messages": ASK},
                  timeout=httpx.Timeout(30, read=2),
                  headers={"authorization": "Bearer k"})


NODE = """
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
const gpt = new OpenAI({ baseURL: process.env.URL + "/v1", apiKey: "k" });
const claude = new Anthropic({ baseURL: process.env.URL, apiKey: "k" });
const messages = [{ role: "user", content: "Hi." }];
const a = await gpt.chat.completions.create({ model: "m", messages });
const b = await claude.messages.stream({ model: "m", max_tokens: 9, messages }).finalMessage();
console.log(a.choices[0].message.content, b.content[0].text);
"""


def test_node(provider, authority, tmp_path):
    provider.forget()
    (tmp_path / "node_modules").symlink_to(places()["node_modules"])
    (tmp_path / "t.mjs").write_text(NODE)
    provider.say(Reply(text="one"), Reply(text="two"))
    done = subprocess.run(["node", "t.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, env={
        "PATH": os.environ["PATH"], "URL": provider.url, "NODE_EXTRA_CA_CERTS": str(authority.ca)})
    assert done.stdout == "one two\n", done.stderr
    assert provider.refused() == []


def test_vault(vault, postgres, tmp_path):
    assert vault.put("app", {"key": "one"}) == 1 and vault.put("app", {"key": "two"}) == 2
    conf = vault.approle(tmp_path)
    assert "wrapped: true" in conf
    unwrapped = vault.call("POST", "sys/wrapping/unwrap", token=(tmp_path / "broker.secret-id").read_text())
    role = vault.call("GET", "auth/approle/role/broker/role-id")["data"]["role_id"]
    login = vault.call("POST", "auth/approle/login", {"role_id": role, **{
        "secret_id": unwrapped["data"]["secret_id"]}}, token="")
    token = login["auth"]["client_token"]
    assert vault.call("GET", "secret/data/app", token=token)["data"]["data"]["key"] == "two"
    vault.database(postgres)
    made = vault.call("GET", "database/creds/app", token=token)
    assert postgres.login(made["data"]["username"], made["data"]["password"]) == ""
    assert postgres.roles() == [made["data"]["username"]]
    vault.revoke_all_tokens()
    with pytest.raises(VaultError) as e:
        vault.call("GET", "secret/data/app", token=token)
    assert e.value.status == 403
    assert ("read", "secret/data/app", login["auth"]["accessor"]) in vault.audit()
    vault.seal()
    assert vault.request("GET", "sys/health", token="")[0] == 503
    vault.unseal()
    assert vault.call("GET", "secret/data/app")["data"]["metadata"]["version"] == 2


SIGNED = """
import boto3, sys
c = boto3.client("secretsmanager", endpoint_url=sys.argv[1], region_name=sys.argv[2],
                 aws_access_key_id=sys.argv[3], aws_secret_access_key=sys.argv[4], verify=sys.argv[5])
try:
    print(c.get_secret_value(SecretId="app/key", VersionStage=sys.argv[6])["SecretString"])
except c.exceptions.ClientError as e:
    print(e.response["Error"]["Code"])
"""


def test_aws(aws):
    aws.create("app/key", {"key": "one"})
    aws.rotate("app/key", {"key": "two"})

    def get(secret_key, stage="AWSCURRENT"):
        return subprocess.run([places()["aws_python"], "-c", SIGNED, aws.endpoint, "eu-central-1", aws.key_id,
                               secret_key, str(aws.authority.ca), stage], capture_output=True, text=True,
                              timeout=60, check=True).stdout.strip()

    assert json.loads(get(aws.secret_key)) == {"key": "two"}
    assert json.loads(get(aws.secret_key, "AWSPREVIOUS")) == {"key": "one"}
    assert get("wrong") == "InvalidSignatureException"
    aws.fail_next((400, "AccessDeniedException"))
    assert get(aws.secret_key) == "AccessDeniedException"
    assert [e["refused"] != "" for e in aws.log()] == [False, False, True, False]
    # Where a machine, a container and a workload get their keys.
    token = httpx.put(f"{aws.plain}/latest/api/token", headers={"x-aws-ec2-metadata-token-ttl-seconds": "60"})
    place = f"{aws.plain}/latest/meta-data/iam/security-credentials/"
    assert httpx.get(place).status_code == 401
    role = httpx.get(place, headers={"x-aws-ec2-metadata-token": token.text}).text
    found = httpx.get(place + role, headers={"x-aws-ec2-metadata-token": token.text}).json()
    assert found["AccessKeyId"] in aws.keys and found["Token"]
    found = httpx.get(aws.container, headers={"authorization": aws.container_token}).json()
    assert aws.keys[found["AccessKeyId"]] == (found["SecretAccessKey"], found["Token"])
    found = httpx.post(aws.endpoint, data={
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "s",
        "RoleArn": "arn:aws:iam::123456789012:role/broker", "WebIdentityToken": "x.y.z"},
        verify=ssl.create_default_context(cafile=aws.authority.ca))
    assert found.status_code == 200 and "<SessionToken>" in found.text
