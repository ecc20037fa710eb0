# SPDX-License-Identifier: Apache-2.0
"""Providers over TLS that are slow, silent, broken, lying or hostile: the exact error in the caller's
dialect, a record of it, nothing leaked, no growth. The official SDK where it has a say."""

import json
import os
import pathlib
import re
import ssl
import threading
import time

import httpx
import openai
import pytest

from dns import Dns
from instance import Instance, best_of, running, wait_for
from reply import Reply
from provider import somehow
from upstreams import entry, models_at

ASK = [{"role": "user", "content": "Hi."}]
PLAIN = {"model": "gpt", "messages": ASK}
CHAT = dict(PLAIN)  # each test has a model of its own in it: what fails too often is kept away from
TESTS = 150
RETRIES = 6     # of one request, at most
CANCEL_S = 0.1
SLACK_S = 0.4   # of a machine that has other things to do
TRIES = 6


def keyless(make_provider, **kw):
    made = make_provider(**kw)
    made.keyless = True
    return made


@pytest.fixture(scope="module", params=["1.1", "2"], ids=["to-1.1", "to-2"])
def provider(request, make_provider):
    """All that follows is the same for both versions of HTTP towards the provider."""
    return make_provider(http=request.param)


@pytest.fixture(scope="module")
def service(provider, authority):
    provider.keyless = True
    names = [f"m{i}" for i in range(TESTS)]
    edit = models_at({n: entry(provider, authority) for n in names}, {n: [(n, "gpt-real")] for n in names})
    with running(edit=edit) as inst:
        inst.names = iter(names)
        yield inst


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(service, request):
    with openai.OpenAI(base_url=service.url + "/v1", api_key=service.key, max_retries=0,
                       http_client=httpx.Client(verify=service.tls(), http2=request.param)) as c:
        yield c


@pytest.fixture(autouse=True)
def judged(service, provider):
    provider.forget()
    CHAT["model"] = next(service.names)
    yield
    assert provider.refused() == []
    assert {s.http for s in provider.seen} <= {provider.http}


def post(inst, body, **kw):
    return inst.request("POST", "/v1/chat/completions", body, **kw)


def always(provider, **what):
    provider.answer = lambda seen: Reply(**what)


def records_of(inst, request_id):
    return [r for r in inst.records() if r.get("request_id") == request_id]


def events(text):
    return [json.loads(x[6:]) for x in text.split("\n") if x.startswith("data: {")]


# ---- what goes through ----------------------------------------------------------------------------

def test_bytes_go_out_as_they_came(service, provider):
    """Verbatim but for the alias: blanks, order, escapes, large numbers, unknown fields."""
    body = ('{ "messages" : [ {"role":"user","content":"\\u00fc \\/ \U0001f600"} ],\n\t"seed": '
            '12345678901234567,"temperature":1.0e0, "model":"%s","metadata":{"b":"1","a":"2"}}' % CHAT["model"])
    status, _, a = post(service, body.encode())
    assert status == 200, a
    seen = provider.seen[-1]
    assert seen.body == body.replace(CHAT["model"], "gpt-real").encode()
    assert seen.field("accept") and seen.field("cookie") is None
    assert service.key.encode() not in seen.head + seen.body


def test_answer_is_the_providers(service, provider):
    provider.say(Reply(text="Ü \U0001f600 \\ \" end"))
    status, headers, a = post(service, CHAT)
    assert status == 200 and a["choices"][0]["message"]["content"] == "Ü \U0001f600 \\ \" end"
    assert a["usage"]["total_tokens"] == 18
    assert "req_upstream" not in str(headers)


@pytest.mark.parametrize("split", [1, 2, 3, 7, 1000, somehow(1), somehow(2)], ids=lambda s: str(s)[:4])
@pytest.mark.parametrize("where", ["split", "wire"])
def test_streams_split_anywhere(service, provider, client, split, where):
    text = "Ein Satz mit Ü, \U0001f600 und \r\n Zeilen."
    provider.say(Reply(text=text, **{where: split}))
    parts = [c.choices[0].delta.content or "" for c in client.chat.completions.create(**CHAT, stream=True)
             if c.choices]
    assert "".join(parts) == text


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
@pytest.mark.parametrize("split", [None, 1, somehow(3)], ids=lambda s: str(s)[:4])
def test_every_end_of_line(service, provider, client, end, split):
    """SSE allows three; comments and fields that nobody knows are ignored."""
    def edit(pieces):
        return [p.replace(b"\n", end) for p in [b": hello\n\n", *pieces, b"id: 7\nretry: 5\n\n"]]
    provider.say(Reply(text="one two", edit=edit, split=split))
    parts = [c.choices[0].delta.content or "" for c in client.chat.completions.create(**CHAT, stream=True)
             if c.choices]
    assert "".join(parts) == "one two"


def test_tool_calls_of_the_client(service, provider, client):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    calls = (("weather", {"city": "Ulm"}), ("weather", {"city": "Bonn"}))
    provider.say(Reply(text="", calls=calls), Reply(text="", calls=calls, split=5), Reply(text="Rain."))
    a = client.chat.completions.create(**CHAT, tools=tools)
    found = a.choices[0].message.tool_calls
    assert [json.loads(c.function.arguments)["city"] for c in found] == ["Ulm", "Bonn"]
    with client.chat.completions.stream(**CHAT, tools=tools) as s:
        message = s.get_final_completion().choices[0].message
    assert [json.loads(c.function.arguments)["city"] for c in message.tool_calls] == ["Ulm", "Bonn"]
    history = [*ASK, {"role": "assistant", "tool_calls": [
        {"id": c.id, "type": "function", "function": {
            "name": c.function.name, "arguments": c.function.arguments}} for c in found]}]
    history += [{"role": "tool", "tool_call_id": c.id, "content": "rain"} for c in found]
    a = client.chat.completions.create(model=CHAT["model"], messages=history, tools=tools)
    assert a.choices[0].message.content == "Rain."


def test_code_runs_in_parallel_calls(service, provider, client):
    """Two calls in one answer; the model gets both results, in order, as the API wants them."""
    two = (("code_interpreter", {"language": "python", "code": "x = 6*7\nprint(x)"}),
           ("code_interpreter", {"language": "python", "code": "print(x + 1)"}))
    provider.say(Reply(text="", calls=two), Reply(text="Done."))
    a = client.chat.completions.create(**CHAT, tools=[{"type": "code_interpreter"}])
    assert a.choices[0].message.content == "Done." and a.usage.total_tokens == 36
    assert [s["stdout"] for s in a.sallyport["steps"]] == ["42\n", "43\n"]
    results = [m for m in provider.seen[-1].json["messages"] if m["role"] == "tool"]
    assert ["42" in r["content"] for r in results] == [True, False] and "43" in results[1]["content"]


def test_code_runs_in_a_stream(service, provider, client):
    call = ("code_interpreter", {"language": "python", "code": "print(6*7)"})
    provider.say(Reply(text="I try.", thinking="Hm.", split=3, calls=(call,)),
                 Reply(text="It is 42.", split=2))
    chunks = list(client.chat.completions.create(**CHAT, tools=[{"type": "code_interpreter"}], stream=True))
    assert "It is 42." in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].sallyport["steps"][0]["stdout"] == "42\n"


def test_images(service, provider, client):
    """Some MB of one, byte for byte."""
    url = "data:image/png;base64," + "iVBORw0KGgo" * 300000
    message = {"role": "user", "content": [{"type": "text", "text": "What is it?"},
                                           {"type": "image_url", "image_url": {"url": url}}]}
    assert client.chat.completions.create(model=CHAT["model"], messages=[message]).choices
    assert provider.seen[-1].json["messages"] == [message]


def test_connections_are_kept(service, provider):
    post(service, CHAT)
    before = provider.connections
    for _ in range(20):
        assert post(service, CHAT)[0] == 200
    assert provider.connections == before


# ---- errors, as the SDK raises them ---------------------------------------------------------------

@pytest.mark.parametrize("status, error, code", [
    (400, openai.BadRequestError, "upstream_rejected"),
    (413, openai.APIStatusError, "upstream_rejected"),
    (422, openai.UnprocessableEntityError, "upstream_rejected"),
    (401, openai.InternalServerError, "upstream_error"),
    (403, openai.InternalServerError, "upstream_error"),
    (404, openai.InternalServerError, "upstream_error"),
    (500, openai.InternalServerError, "upstream_error"),
    (503, openai.InternalServerError, None),
    (529, openai.InternalServerError, None),
])
def test_errors(service, provider, client, status, error, code):
    always(provider, status=status, error="because of the reason")
    with pytest.raises(error) as e:
        client.chat.completions.create(**CHAT)
    assert code in (None, e.value.code), e.value
    assert e.value.request_id
    # What the caller did wrong is told, what the house did wrong with its provider is not.
    assert ("because of the reason" in str(e.value)) == (code == "upstream_rejected")
    assert any(r.get("outcome") == "failure" for r in records_of(service, e.value.request_id))
    assert len(provider.seen) <= RETRIES


def test_rate_limit(service, provider, client):
    always(provider, status=429, headers=(("retry-after", "7"),))
    with pytest.raises(openai.RateLimitError) as e:
        client.chat.completions.create(**CHAT)
    assert 4 <= float(e.value.response.headers["retry-after"]) <= 7
    assert len(provider.seen) <= 2, "who says when is not asked before"


def test_the_sdk_retries(service, provider, client):
    provider.say(*[Reply(status=503)] * 4)
    a = client.with_options(max_retries=6).chat.completions.create(**CHAT)
    assert a.choices[0].message.content


def test_html_is_no_answer(service, provider):
    always(provider, status=500, body=b"<html><h1>Internal</h1> at /srv/secret/place</html>",
           content_type="text/html")
    status, headers, a = post(service, CHAT)
    assert status == 502 and a["error"]["code"] == "upstream_error"
    assert headers["content-type"].startswith("application/json") and "place" not in str(a)


@pytest.mark.parametrize("what", [
    {"body": b'{"id": "x", "choices": [', "close": False},
    {"body": b"\xff\xfe\x00"},
    {"body": b"[]"},
    {"body": b""},
    {"body": b'{"choices": 5}'},
    {"body": b"<html>", "content_type": "text/html"},
    {"length": 9999, "close": True},
    {"length": 10},
    {"cut": 30},
    {"end": 30},
    {"framing": "chunked", "cut": 30},
    {"head": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"},
    {"head": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n"},
    {"head": b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n"},
    {"head": b"\x16\x03\x01 not http at all\r\n\r\n"},
    {"headers": tuple((f"x-{i}", "y" * 20) for i in range(10000))},
    {"headers": (("x", "y" * 100000),)},
    {"headers": (("content-encoding", "gzip"),)},
], ids=lambda w: re.sub(r"\W+", "-", str(w))[:40])
def test_broken_answers(service, provider, what):
    always(provider, **what)
    status, _, a = post(service, CHAT, timeout=60)
    assert status == 502 and a["error"]["code"] == "upstream_error", a
    assert len(provider.seen) <= RETRIES
    provider.forget()
    assert post(service, CHAT)[0] == 200, "the next one is served"


@pytest.mark.parametrize("what", [
    {"edit": lambda p: [p[0], b"data: {not json\n\n", *p[1:]]},
    {"edit": lambda p: [p[0], b"data: \xff\xfe\n\n", *p[1:]]},
    {"edit": lambda p: [p[0], b"data: " + b"x" * 3_000_000 + b"\n\n", *p[1:]]},
    {"edit": lambda p: p[:2]},
    {"edit": lambda p: [p[0], b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n']},
    {"cut": 700},
    {"end": 700},
], ids=["json", "utf-8", "huge", "no-finish", "error", "reset", "ended"])
def test_broken_streams(service, provider, client, what):
    """In mid-stream: an event with an error, which the SDK raises, and no [DONE]."""
    provider.say(Reply(text="one two three four", **what))
    with pytest.raises((openai.APIError, openai.APIConnectionError)) as e:
        for _ in client.chat.completions.create(**CHAT, stream=True):
            pass
    assert not isinstance(e.value, openai.APIStatusError) or what, e.value
    assert "req_upstream" not in str(e.value)
    assert post(service, CHAT)[0] == 200


def test_redirects_are_not_followed(service, provider, make_provider):
    other = keyless(make_provider)
    for place in ("http://169.254.169.254/latest/meta-data/", f"{other.url}/v1/chat/completions"):
        always(provider, status=307, headers=(("location", place),))
        status, headers, a = post(service, CHAT)
        assert status == 502 and a["error"]["code"] == "upstream_error"
        assert "location" not in headers and "169.254" not in str(a)
    assert other.seen == [] and other.connections == 0


def memory(inst):
    total = 0
    for name in ("gateway", "broker"):
        for pid in inst.pids(name):
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(r"VmRSS:\s+(\d+)", text)[1])
    return total / 1024


def test_200_mb(service, provider):
    """Whole: refused at a limit. In either case memory stays flat."""
    assert post(service, CHAT)[0] == 200
    before = memory(service)
    piece = b" " * (1 << 20)
    always(provider, body=(piece for _ in range(200)), framing="chunked")
    status, _, a = post(service, CHAT, timeout=60)
    assert status == 422 and a["error"]["code"] == "turn_limit"
    assert memory(service) - before < 24
    assert provider.seen[-1].sent < 64 << 20


def test_a_slow_client_slows_the_provider(service, provider, raw):
    chunk = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{' \
            b'"index":0,"delta":{"content":"' + b"x" * 16000 + b'"},"finish_reason":null}]}\n\n'
    provider.say(Reply(body=(chunk for _ in range(12000)), content_type="text/event-stream"))
    before = memory(service)
    r = raw(timeout=30)
    r.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": True}))
    r.read_until(b"data: ")
    def stands():
        sent = provider.seen[-1].sent
        time.sleep(1)
        return provider.seen[-1].sent == sent

    wait_for(stands, 60, "the provider goes on sending")
    assert provider.seen[-1].sent < 32 << 20
    assert memory(service) - before < 24
    r.sock.close()
    provider.wait(lambda: provider.seen[-1].left_at)


# ---- time -----------------------------------------------------------------------------------------

def test_cancellation(service, provider):
    """The client leaves: the provider is left within 100 ms, before the head and in mid-stream."""
    def left_s(reply, stream):
        provider.forget()
        provider.say(reply)
        with httpx.Client(verify=service.tls(), headers={"Authorization": f"Bearer {service.key}"}) as c:
            with pytest.raises(httpx.ReadTimeout):
                c.post(service.url + "/v1/chat/completions", json={**CHAT, "stream": stream},
                       timeout=httpx.Timeout(30, read=1))
            gone = time.monotonic()
        provider.wait(lambda: provider.seen and provider.seen[-1].left_at)
        return provider.seen[-1].left_at - gone

    late = Reply(before_s=30)
    for reply, stream in ((late, False), (late, True), (Reply(text="a b c", hang=500), True)):
        best_of(TRIES, lambda: left_s(reply, stream), CANCEL_S + SLACK_S)
    assert any(r.get("outcome") == "failure" or r.get("cause") == "cancelled" for r in service.records()[-8:])


def test_the_sdk_times_out(service, provider, client):
    provider.say(Reply(before_s=30))
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=2).chat.completions.create(**CHAT)
    client.close()  # over HTTP/2 nothing else tells that nobody waits
    provider.wait(lambda: provider.seen[-1].left_at)


def test_slow_is_not_broken(service, provider, client):
    provider.say(Reply(text="one two three", before_s=1, between_s=0.2))
    parts = [c.choices[0].delta.content or "" for c in client.chat.completions.create(**CHAT, stream=True)
             if c.choices]
    assert "".join(parts) == "one two three"


def test_the_first_piece_does_not_wait(service, provider):
    hold = threading.Event()
    provider.say(Reply(text="one two", hold=hold))
    with httpx.Client(verify=service.tls(), timeout=10) as c:
        with c.stream("POST", service.url + "/v1/chat/completions", json={**CHAT, "stream": True},
                      headers={"Authorization": f"Bearer {service.key}"}) as r:
            pieces = r.iter_raw()
            assert b"assistant" in next(pieces)
            hold.set()
            assert b"[DONE]" in b"".join(pieces)


@pytest.fixture(scope="module")
def hasty(authority, make_provider):
    """An instance that does not wait long, and its provider."""
    p = keyless(make_provider)
    edit = models_at({"real": entry(p, authority, first_byte_s=1, idle_s=1)}, {"gpt": [("real", "m")]})
    with running(edit=edit) as inst:
        yield inst, p


def works(inst, p):
    """So that the breaker counts the failures of one test only."""
    p.forget()
    wait_for(lambda: post(inst, PLAIN)[0] == 200)
    p.forget()


@pytest.mark.parametrize("stream", [False, True])
def test_silence(hasty, stream):
    inst, p = hasty
    works(inst, p)
    p.answer = lambda seen: Reply(before_s=30)
    began = time.monotonic()
    status, _, a = post(inst, {**PLAIN, "stream": stream})
    assert status == 504 and a["error"]["code"] == "upstream_timeout", a
    assert time.monotonic() - began < 20  # the provider is silent for thirty
    p.wait(lambda: all(s.left_at for s in p.seen))


def test_silence_in_mid_stream(hasty):
    inst, p = hasty
    works(inst, p)
    p.say(Reply(text="one two three", hang=600))
    status, _, a = post(inst, {**PLAIN, "stream": True})
    assert status == 200 and events(a.decode())[-1]["error"]["code"] == "upstream_timeout"
    p.wait(lambda: p.seen[-1].left_at)
    p.say(Reply(text="one two three", hang=60))
    status, _, a = post(inst, PLAIN)
    assert status == 504 and a["error"]["code"] == "upstream_timeout"


# ---- clients --------------------------------------------------------------------------------------

def test_a_thousand_tools(service, provider):
    tools = [{"type": "function", "function": {"name": f"f{i}", "parameters": {"type": "object"}}}
             for i in range(1000)]
    status, _, a = post(service, {**CHAT, "tools": tools})
    assert status == 400 and a["error"]["type"] == "invalid_request_error", a
    provider.forget()  # it may well have been the provider who refused


def test_an_image_of_20_mb(service, provider):
    url = "data:image/png;base64," + "A" * (20 << 20)
    body = {"model": CHAT["model"], "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}}]}]}
    before = memory(service)
    with pytest.raises((httpx.HTTPStatusError, httpx.TransportError)) as e:
        httpx.post(service.url + "/v1/chat/completions", json=body, verify=service.tls(), timeout=60, headers={
            "Authorization": f"Bearer {service.key}"}).raise_for_status()
    assert not isinstance(e.value, httpx.TimeoutException)
    assert not isinstance(e.value, httpx.HTTPStatusError) or e.value.response.status_code == 413
    assert provider.seen == [] and memory(service) - before < 8


@pytest.mark.parametrize("name", ["Model", "MESSAGES", "Stream"])
def test_case_variants(service, provider, name):
    status, _, a = post(service, {**CHAT, name: "x"})
    assert (status, a["error"]["param"]) == (400, f"/{name}")
    assert provider.seen == []


def test_a_client_that_reads_a_byte_at_a_time(service, provider, raw):
    """… for a while, and then leaves in mid-stream."""
    provider.say(Reply(body=(b"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" +
                             b"x" * 9000 + b"\"}}]}\n\n" for _ in range(2000)), content_type="text/event-stream"))
    r = raw(timeout=30)
    r.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": True}))
    before = memory(service)
    for _ in range(12):
        assert r.sock.recv(1)
        time.sleep(0.1)
    assert post(service, CHAT)[0] == 200, "others do not notice"
    assert memory(service) - before < 16
    r.sock.close()
    provider.wait(lambda: provider.seen[0].left_at)


# ---- who is there ---------------------------------------------------------------------------------

@pytest.fixture
def alone(authority):
    """An instance with one provider: alone(provider, **entry)."""
    made = []

    def make(provider, trust=None, **more):
        inst = Instance()
        made.append(inst)
        inst.edit(models_at({"real": entry(provider, trust or authority, **more)}, {"gpt": [("real", "m")]}))
        return inst.start()

    yield make
    for inst in made:
        inst.remove()


def fails_closed(inst, provider):
    status, _, a = post(inst, PLAIN)
    assert status in (502, 503) and a["error"]["code"].startswith("upstream"), a
    assert provider.seen == [], "not a byte of the request went there"
    assert "certificate" not in str(a).lower() or "localhost" not in str(a)


def test_certificate_for_another_name(alone, make_provider):
    p = keyless(make_provider, names=["other.example", "127.0.0.1"])
    fails_closed(alone(p), p)


def test_certificate_of_another_authority(alone, make_provider, tmp_path):
    from pki import Authority
    p = keyless(make_provider)
    fails_closed(alone(p, trust=Authority(tmp_path)), p)


def test_tls_1_2_only_where_allowed(alone, make_provider):
    p = keyless(make_provider, tls="1.2")
    fails_closed(alone(p), p)
    assert post(alone(p, tls_min='"1.2"'), PLAIN)[0] == 200
    assert p.seen[-1].tls == "TLSv1.2"


def test_plain_loopback_only_where_allowed(alone, make_provider):
    p = keyless(make_provider, plain=True)
    with pytest.raises(RuntimeError, match="allow_plain_loopback"):
        alone(p)
    assert post(alone(p, allow_plain_loopback="true"), PLAIN)[0] == 200


def test_nobody_is_there(alone, make_provider):
    p = keyless(make_provider)
    inst = alone(p)
    p.__exit__()
    status, _, a = post(inst, PLAIN)
    assert status in (502, 503) and a["error"]["code"].startswith("upstream"), a


LYING = ("127.0.0.1", "127.0.0.53", "169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1", "0.0.0.0",
         "100.64.0.1", "::1", "fd00::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
         "64:ff9b::7f00:1", "255.255.255.255", "224.0.0.1")


def test_names_that_lie(authority, make_provider, tmp_path):
    """Public names that lead to loopback, private or link-local addresses: at once, or at the next look."""
    names = {f"a{i}.provider.test": [address] for i, address in enumerate(LYING)}
    p = keyless(make_provider, names=list(names))
    with Dns(names) as dns:
        resolv, hosts = dns.files(tmp_path)
        there = {f"a{i}": entry(p, authority, credential="file:k").replace("//localhost:", f"//{name}:")
                 for i, name in enumerate(names)}
        edit = models_at(there, {n: [(n, "m")] for n in there},
                         more=f"\nnetwork: {{ resolv_conf: {resolv}, hosts: {hosts} }}\n")
        with running(edit=edit) as inst:
            inst.operate("secret", "set", "k", input="sk-0123456789abcdef")

            def refused(model, address):
                status, _, a = post(inst, {**PLAIN, "model": model})
                if a["error"]["code"] == "credential_unavailable":
                    time.sleep(0.2)
                    return refused(model, address)
                assert status == 502 and a["error"]["code"] == "upstream_error", (address, a)
                assert address not in str(a)

            for i, address in enumerate(LYING):
                refused(f"a{i}", address)
            dns.names["a1.provider.test"] = ["198.18.0.1", "127.0.0.1"]
            time.sleep(1.1)  # what was told is good for a second
            refused("a1", "127.0.0.1")
            assert set(dns.asked) == set(names)
            assert p.connections == 0


def test_fallback_in_order(authority, provider, make_provider):
    """The first fails before anything was streamed: the second answers."""
    second = keyless(make_provider)
    with running(edit=models_at({"one": entry(provider, authority), "two": entry(second, authority)},
                                {"gpt": [("one", "first"), ("two", "second")]})) as inst:
        always(provider, status=503)
        for stream in (False, True):
            status, _, a = post(inst, {**PLAIN, "stream": stream})
            assert status == 200, a
        assert {s.json["model"] for s in second.seen} == {"second"}
        assert second.refused() == []
        # Once something was streamed there is no second try.
        provider.forget()
        asked = len(second.seen)
        always(provider, text="one two three", cut=500)
        status, _, a = post(inst, {**PLAIN, "stream": True})
        assert status == 200 and b"error" in a and len(second.seen) == asked
