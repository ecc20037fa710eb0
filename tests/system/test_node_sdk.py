# SPDX-License-Identifier: Apache-2.0
"""The official Node SDKs, unchanged, against the real service before mock providers."""

import json
import os
import subprocess

import pytest

from instance import running
from places import places
from reply import Reply
from upstreams import entry, models_at

PRELUDE = """
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
const url = process.env.SALLYPORT_URL, usual = { apiKey: process.env.SALLYPORT_API_KEY, maxRetries: 0 };
const gpt = new OpenAI({ baseURL: url + "/v1", ...usual });
const claude = new Anthropic({ baseURL: url, ...usual });
const messages = [{ role: "user", content: "Hi." }];
const say = (x) => console.log(JSON.stringify(x));
async function raised(what) {
  try { await what(); return null; }
  catch (e) {
    return { name: e.constructor.name, status: e.status ?? null, code: e.code ?? null, type: e.type ?? null };
  }
}
"""
WEATHER = '{ name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } }'
TWO = (("weather", {"city": "Ulm"}), ("weather", {"city": "Bonn"}))
RUN = (("code_interpreter", {"language": "python", "code": "print(6*7)"}),)


@pytest.fixture(scope="module")
def service(provider, authority):
    provider.keyless = True
    edit = models_at({"o": entry(provider, authority), "a": entry(provider, authority, kind="anthropic")},
                     {"gpt": [("o", "gpt-real")], "claude": [("a", "claude-real")]})
    with running(edit=edit) as inst:
        yield inst


@pytest.fixture
def node(service, provider, tmp_path):
    """node(code, replies…) -> what the code said"""
    provider.forget()

    def run(code, *replies):
        provider.say(*replies)
        (tmp_path / "node_modules").symlink_to(places()["node_modules"])
        (tmp_path / "t.mjs").write_text(PRELUDE + code)
        env = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": service.ca, "SALLYPORT_URL": service.url,
               "SALLYPORT_API_KEY": service.key}
        done = subprocess.run(["node", "t.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                              env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield run
    assert provider.refused() == []


# ---- OpenAI: chat completions ---------------------------------------------------------------------

def test_chat(node):
    assert node("""
const a = await gpt.chat.completions.create({ model: "gpt", messages });
say([a.choices[0].message.content, a.usage.total_tokens, a.choices[0].finish_reason]);
""", Reply(text="Whole.")) == ["Whole.", 18, "stop"]


def test_chat_stream(node):
    assert node("""
let text = "", usage = null;
for await (const c of await gpt.chat.completions.create({ model: "gpt", messages, stream: true,
    stream_options: { include_usage: true } })) {
  text += c.choices[0]?.delta?.content ?? "";
  usage = c.usage ?? usage;
}
say([text, usage.total_tokens]);
""", Reply(text="In some pieces, Ü.", split=1)) == ["In some pieces, Ü.", 18]


def test_chat_tools(node):
    """Parallel calls, whole and as the SDK's helper adds them up from a stream."""
    assert node("""
const tools = [{ type: "function", function: %s }];
const a = await gpt.chat.completions.create({ model: "gpt", messages, tools });
const b = await gpt.chat.completions.stream({ model: "gpt", messages, tools }).finalChatCompletion();
const cities = (x) => x.choices[0].message.tool_calls.map((c) => JSON.parse(c.function.arguments).city);
const calls = a.choices[0].message.tool_calls;
const history = [...messages, a.choices[0].message,
  ...calls.map((c) => ({ role: "tool", tool_call_id: c.id, content: "rain" }))];
const c = await gpt.chat.completions.create({ model: "gpt", messages: history, tools });
say([cities(a), cities(b), c.choices[0].message.content]);
""" % WEATHER, Reply(text="", calls=TWO), Reply(text="", calls=TWO, split=5), Reply(text="Rain.")) == [
        ["Ulm", "Bonn"], ["Ulm", "Bonn"], "Rain."]


def test_chat_code(node):
    assert node("""
const tools = [{ type: "code_interpreter" }];
const a = await gpt.chat.completions.create({ model: "gpt", messages, tools });
say([a.choices[0].message.content, a.sallyport.steps[0].stdout]);
""", Reply(text="", calls=RUN), Reply(text="It is 42.")) == ["It is 42.", "42\n"]


def test_chat_image(node, provider):
    assert node("""
const image = "data:image/png;base64," + "iVBORw0KGgo".repeat(100000);
const a = await gpt.chat.completions.create({ model: "gpt", messages: [{ role: "user", content: [
  { type: "image_url", image_url: { url: image } }] }] });
say(a.choices[0].message.content);
""") == "Hello from the model."
    assert len(provider.seen[-1].body) > 1_000_000


@pytest.mark.parametrize("reply, error", [
    (Reply(status=400, error="no"), {"name": "BadRequestError", "status": 400, "code": "upstream_rejected"}),
    (Reply(status=429, headers=(("retry-after", "30"),)), {"name": "RateLimitError", "status": 429}),
    (Reply(cut=20), {"name": "InternalServerError", "status": 502, "code": "upstream_error"}),
], ids=["400", "429", "reset"])
def test_chat_errors(node, provider, reply, error):
    provider.answer = lambda seen: reply
    found = node('say(await raised(() => gpt.chat.completions.create({ model: "gpt", messages })));')
    assert found.items() >= error.items()


def test_chat_error_in_mid_stream(node):
    found = node("""
say(await raised(async () => {
  for await (const c of await gpt.chat.completions.create({ model: "gpt", messages, stream: true })) ;
}));
""", Reply(text="one two three", cut=600))
    assert found["name"] == "APIError"


def test_retries_and_timeouts(node, provider):
    found = node("""
const again = gpt.withOptions({ maxRetries: 5 });
const a = await again.chat.completions.create({ model: "gpt", messages });
const hasty = gpt.withOptions({ timeout: 2000 });
const late = await raised(() => hasty.chat.completions.create({ model: "gpt", messages }));
say([a.choices[0].message.content, late.name]);
""", *[Reply(status=503)] * 3, Reply(text="At last."), Reply(before_s=30))
    assert found == ["At last.", "APIConnectionTimeoutError"]
    provider.wait(lambda: provider.seen[-1].left_at)


def test_cancellation(node, provider):
    assert node("""
const stream = await gpt.chat.completions.create({ model: "gpt", messages, stream: true });
let n = 0;
for await (const c of stream) { if (++n === 2) stream.controller.abort(); }
say(n);
""", Reply(text="one two three four", between_s=0.3)) == 2
    provider.wait(lambda: provider.seen[-1].left_at)


def test_wrong_key(node):
    found = node('say(await raised(() => gpt.withOptions({ apiKey: "sp_wrong" }).models.list()));')
    assert found["name"] == "AuthenticationError"


# ---- Anthropic: messages --------------------------------------------------------------------------

TOOL = '{ name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }'


def test_messages(node, provider):
    assert node("""
const ask = { model: "claude", max_tokens: 100, messages };
const a = await claude.messages.create(ask);
const b = await claude.messages.stream(ask).finalMessage();
const c = await claude.messages.countTokens({ model: "claude", messages });
say([a.content[0].text, b.content[0].text, b.usage.output_tokens, c.input_tokens]);
""", Reply(text="Whole."), Reply(text="In some pieces, Ü.", split=1)) == [
        "Whole.", "In some pieces, Ü.", 7, 11]
    assert provider.seen[0].json["model"] == "claude-real"


def test_messages_thinking_and_tools(node):
    """Parallel calls and signed thinking, from a stream and back again."""
    assert node("""
const ask = { model: "claude", max_tokens: 4000, thinking: { type: "enabled", budget_tokens: 2000 },
  tools: [%s] };
const a = await claude.messages.stream({ ...ask, messages }).finalMessage();
const calls = a.content.filter((x) => x.type === "tool_use");
const content = a.content.map(({ type, thinking, signature, text, id, name, input }) =>
  ({ type, thinking, signature, text, id, name, input }));
const history = [...messages, { role: "assistant", content },
  { role: "user", content: calls.map((c) => ({ type: "tool_result", tool_use_id: c.id, content: "rain" })) }];
const b = await claude.messages.create({ ...ask, messages: history });
say([a.content.map((x) => x.type), calls.map((c) => c.input.city), a.stop_reason, b.content[0].text]);
""" % TOOL, Reply(text="See.", thinking="Hm, hm.", calls=TWO, split=5), Reply(text="Rain.")) == [
        ["thinking", "text", "tool_use", "tool_use"], ["Ulm", "Bonn"], "tool_use", "Rain."]


def test_messages_errors(node, provider):
    provider.say(Reply(status=400, error="no"), Reply(status=429, headers=(("retry-after", "30"),)))
    found = node("""
const ask = { model: "claude", max_tokens: 100, messages };
const all = [await raised(() => claude.messages.create(ask)), await raised(() => claude.messages.create(ask)),
  await raised(() => claude.withOptions({ apiKey: "sp_wrong" }).messages.create(ask)),
  await raised(() => claude.messages.create({ ...ask, model: "none-such" }))];
say(all.map((e) => [e.name, e.status]));
""")
    assert found == [["BadRequestError", 400], ["RateLimitError", 429], ["AuthenticationError", 401],
                     ["NotFoundError", 404]]


def test_messages_broken_off(node, provider):
    """By the provider: an error is raised. By the client: the provider is left."""
    found = node("""
const ask = { model: "claude", max_tokens: 100, messages };
const cut = await raised(() => claude.messages.stream(ask).finalMessage());
const stream = claude.messages.stream(ask);
let n = 0;
const left = await raised(async () => { for await (const e of stream) if (++n === 3) stream.abort(); });
say([cut !== null, n, left === null || left.name]);
""", Reply(text="one two three four", cut=900), Reply(text="one two three four", between_s=0.2))
    assert found[:2] == [True, 3], found
    provider.wait(lambda: provider.seen[-1].left_at)
