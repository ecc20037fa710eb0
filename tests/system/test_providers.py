# SPDX-License-Identifier: Apache-2.0
"""Providers over TLS behind the whole service: what reaches them, and what their faults become."""

import base64
import json
import threading
import time

import pytest
from reply import Reply

from instance import best_of

CREDENTIAL = "none"
MODEL = "gpt-4.1"


def block(providers, models):
    return "".join(["providers:\n", *(f"  {k}: {v}\n" for k, v in providers.items()),
                    "models:\n", *(f"  {k}: {v}\n" for k, v in models.items())])


def configured(providers, models):
    """An edit of the initial file: its demo goes, these come."""
    def edit(text):
        lines = [line for line in text.splitlines()]
        out, skip = [], False
        for line in lines:
            if line and not line.startswith((" ", "#")):
                skip = line.split(":")[0] in ("providers", "models")
            if not skip:
                out.append(line)
        return "\n".join(out) + "\n" + block(providers, models)
    return edit


def entry(kind, url, ca, more=""):
    return f"{{ kind: {kind}, base_url: '{url}', credential: {CREDENTIAL}, ca_file: '{ca}'{more} }}"


@pytest.fixture(scope="module")
def second(make_provider):
    return make_provider()


@pytest.fixture(scope="module")
def gate(authority, provider, second):
    from instance import Instance
    inst = Instance(edit=configured(
        {"one": entry("openai", provider.url, authority.ca),
         "two": entry("openai", second.url, authority.ca),
         "claude": entry("anthropic", provider.url, authority.ca),
         "picky": entry("openai", second.url, authority.ca, ", unknown_fields: refuse")},
        {MODEL: "[ { provider: one, model: gpt-real } ]",
         "both": "[ { provider: one, model: gpt-real }, { provider: two, model: gpt-other } ]",
         "claude": "[ { provider: claude, model: claude-real } ]",
         "picky": "[ { provider: picky, model: gpt-other } ]",
         "mixed": "[ { provider: one, model: gpt-real }, { provider: picky, model: gpt-other } ]"}))
    try:
        inst.start()
        yield inst
    finally:
        inst.remove()


@pytest.fixture(autouse=True)
def forget(provider, second):
    provider.forget()
    second.forget()
    provider.keyless = second.keyless = True
    provider.keys = None


def chat(inst, model=MODEL, **more):
    return inst.request("POST", "/v1/chat/completions",
                        {"model": model, "messages": [{"role": "user", "content": "hi"}], **more})


def metric(inst, name):
    text = inst.management("GET", "/metrics")[1].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith(f"sallyport_{name}"))


def test_what_reaches_the_provider(gate, provider):
    status, _, body = chat(gate, temperature=0.5)
    assert status == 200, body
    assert body["choices"][0]["message"]["content"] == "Hello from the model."
    seen = provider.seen[0]
    assert seen.tls == "TLSv1.3"
    assert seen.target == "/v1/chat/completions"
    assert {name.lower() for name, _ in seen.fields} == {
        "host", "user-agent", "accept", "content-type", "content-length"}
    assert json.loads(seen.body)["model"] == "gpt-real"
    assert json.loads(seen.body)["temperature"] == 0.5
    assert b"gpt-4.1" not in seen.body
    assert gate.key.encode() not in seen.head + seen.body


def test_fields_that_are_new(gate, provider, second):
    """Passed on as they are, or refused with their pointer before anything is asked."""
    new = {"brand_new": {"deep": [1, "x"]}}
    chat(gate, **new)
    assert provider.seen[-1].json["brand_new"] == new["brand_new"] and "brand_new" in provider.seen[-1].refused
    for model in ("picky", "mixed"):
        before = len(provider.seen) + len(second.seen)
        status, _, answer = chat(gate, model, **new)
        error = answer["error"]
        assert (status, error["param"]) == (400, "/brand_new"), (model, answer)
        assert len(provider.seen) + len(second.seen) == before
        assert chat(gate, model)[0] == 200
    assert chat(gate, "picky", metadata={"brand_new": "1"})[0] == 200     # deeper is not looked at


def test_connections_are_kept(gate, provider):
    before = provider.connections
    for _ in range(10):
        assert chat(gate)[0] == 200
    assert provider.connections <= before + 1


def test_anthropic_is_reached(gate, provider):
    status, _, body = gate.request(
        "POST", "/v1/messages", {"model": "claude", "max_tokens": 10,
                                 "messages": [{"role": "user", "content": "hi"}]},
        headers={"anthropic-version": "2023-06-01", "anthropic-beta": "x-2025-01-01"})
    if status == 404:
        pytest.skip("the endpoint is not served yet")
    assert status == 200, body
    seen = provider.seen[0]
    assert seen.target == "/v1/messages"
    assert seen.field("anthropic-version") == "2023-06-01"
    assert seen.field("anthropic-beta") == "x-2025-01-01"
    assert json.loads(seen.body)["model"] == "claude-real"


def test_a_bad_moment_is_not_seen(gate, provider):
    provider.say(Reply(status=503, error="later"), Reply())
    assert chat(gate)[0] == 200
    assert len(provider.seen) == 2
    kinds = [r["event"]["type"] for r in gate.records()[-8:]]
    assert "ModelAttempted" in kinds


def test_the_next_entry_is_asked(gate, provider, second):
    provider.say(Reply(status=500, error="no"))
    assert chat(gate, "both")[0] == 200
    assert json.loads(second.seen[0].body)["model"] == "gpt-other"


def test_a_stream_that_is_cut(gate, provider):
    provider.say(Reply(text="word " * 50, cut=600))
    status, _, body = chat(gate, stream=True)
    assert status == 200
    assert b"error" in body and b"[DONE]" not in body
    assert len(provider.seen) == 1


def test_a_client_that_leaves(gate, provider):
    best_of(5, lambda: left_s(gate, provider), 0.5)


def left_s(gate, provider):
    """Seconds from the moment that a client left in mid-stream until the provider is left, too."""
    provider.forget()
    hold = threading.Event()
    provider.say(Reply(text="word " * 50, hold=hold))
    c = gate.connection()
    c.request("POST", "/v1/chat/completions", json.dumps(
        {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}),
        {"Authorization": f"Bearer {gate.key}", "Content-Type": "application/json"})
    assert c.getresponse().status == 200
    left = time.monotonic()
    c.close()
    c.sock and c.sock.close()
    provider.wait(lambda: provider.seen and provider.seen[0].left_at)
    hold.set()
    return provider.seen[0].left_at - left


def test_a_redirect_is_not_followed(gate, provider):
    provider.say(Reply(status=307, headers=(("location", "http://169.254.169.254/"),), body=b""))
    status, _, body = chat(gate)
    assert status == 502 and body["error"]["code"] == "upstream_error"
    assert len(provider.seen) == 1


def test_reload_takes_other_authorities(gate, provider, authority, tmp_path, make_instance):
    """The broker is jailed and opens nothing: what a reload names comes as descriptors."""
    ca = tmp_path / "ca.pem"
    ca.write_text(open(gate.ca).read())  # not the one that vouches for the provider
    inst = make_instance(edit=configured({"one": entry("openai", provider.url, ca)},
                                         {MODEL: "[ { provider: one, model: gpt-real } ]"}))
    status, _, body = chat(inst)
    assert status == 502, body
    assert "certificate" in inst.text_log()
    assert provider.seen == []
    good = tmp_path / "good.pem"
    good.write_text(open(authority.ca).read())
    inst.edit(lambda text: text.replace(str(ca), str(good)))
    inst.operate("reload")
    assert chat(inst)[0] == 200
    inst.edit(lambda text: text.replace(str(good), str(tmp_path / "none.pem")))
    failed = inst.operate("reload", check=False)
    assert failed.returncode == 1 and "none.pem" in failed.stderr
    assert chat(inst)[0] == 200


KEY = "sk-provider-Ab3x9Kq27-canary"


@pytest.fixture(scope="module")
def keyed(authority, provider):
    """With a credential of the store."""
    from instance import Instance
    inst = Instance(edit=configured(
        {"one": entry("openai", provider.url, authority.ca).replace("none", "'file:one'")},
        {MODEL: "[ { provider: one, model: gpt-real } ]"}))
    try:
        inst.start()
        inst.operate("secret", "set", "one", input=KEY)
        yield inst
    finally:
        inst.remove()


def test_the_credential_is_sent(keyed, provider):
    provider.keys = {KEY}
    status, _, body = chat(keyed)
    assert status == 200, body
    assert provider.seen[0].field("authorization") == f"Bearer {KEY}"
    assert KEY not in json.dumps(keyed.records()) + keyed.text_log()


def percent(key):
    return "".join(f"%{ord(c):02{'Xx'[i % 2]}}" if i % 4 else c for i, c in enumerate(key))


def mixed(key):
    return "".join(c.upper() if i % 3 else c for i, c in enumerate(key.encode().hex()))


@pytest.mark.parametrize("form", [str, mixed, percent, lambda k: base64.b64encode(k.encode()).decode()])
@pytest.mark.parametrize("split", [None, 1, 7])
def test_an_echoed_credential(keyed, provider, form, split):
    provider.keys = {KEY}
    echo = form(KEY)
    for stream in (False, True):
        provider.say(Reply(text=f"your key is {echo}, yours", split=split))
        status, _, body = chat(keyed, stream=stream)
        text = body.decode() if stream else json.dumps(body)
        assert status == 200 and "*****" in text
        assert echo[3:-4] not in text
    provider.say(Reply(status=400, error=f"{echo} is no good"))
    status, _, body = chat(keyed)
    assert status == 400 and echo[3:-4] not in json.dumps(body)
    assert metric(keyed, "secrets_redacted_total") > 0


def test_a_rotated_credential(keyed, provider):
    """The provider takes another key from now on: the request that finds out is not lost."""
    provider.keys = {KEY}
    assert chat(keyed)[0] == 200
    provider.forget()
    provider.keys = {KEY + "-2"}
    keyed.operate("secret", "rotate", "one", input=KEY + "-2")
    assert chat(keyed)[0] == 200
    provider.keys = {KEY}  # and back: the one before is tried once
    assert chat(keyed)[0] == 200
    provider.keys = {"sk-another-altogether"}
    status, headers, body = chat(keyed)
    assert status == 502 and body["error"]["code"] == "upstream_error"
    assert "key" not in body["error"]["message"].lower()


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "127.0.0.1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_inside(keyed, provider, authority, tmp_path, address):
    """Whoever controls a name cannot make the broker speak to what lies inside."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{address} models.example\n")
    before = keyed.conf.read_text()
    keyed.edit(lambda text: text.replace(provider.url, f"https://models.example:{provider.port}")
               + f"network: {{ hosts: '{hosts}' }}\n")
    try:
        keyed.operate("reload")
        connections = provider.connections
        status, _, body = chat(keyed)
        assert status == 502, body
        assert provider.connections == connections
        assert "not allowed" in keyed.text_log()
    finally:
        keyed.edit(lambda _: before)
        keyed.operate("reload")


def test_metrics_tell(gate):
    assert metric(gate, "model_retries_total") >= 2
    assert metric(gate, "breakers_open") == 0
