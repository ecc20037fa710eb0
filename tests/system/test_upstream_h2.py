# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 towards providers: many calls on one connection, its limits and its ends, and who may choose it. What is
the same over both versions is in test_upstream.py."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import threading
import time

import anthropic
import httpx
import httpx2
import openai
import pytest

from instance import Instance, running, wait_for
from reply import Reply
from upstreams import entry, models_at

PLAIN = {"model": "gpt", "messages": [{"role": "user", "content": "Hi."}]}
MANY = 60
FRAMES = {"settings": b"\0\0\0\4\0\0\0\0\0", "ping": b"\0\0\x08\6\0\0\0\0\0" + bytes(8),
          "pong": b"\0\0\x08\6\1\0\0\0\0" + bytes(8), "priority": b"\0\0\5\2\0\0\0\0\x63" + bytes(5),
          "windows": b"\0\0\4\x08\0\0\0\0\0\0\0\0\1"}


@pytest.fixture
def placed(authority, make_provider):
    """placed(provider's options, entry's options) -> instance, provider"""
    made = []

    def make(kind="openai", keyless=True, more=None, **kw):
        p = make_provider(**{"http": "2", **kw})
        p.keyless = keyless
        inst = Instance()
        made.append(inst)
        inst.edit(models_at({"real": entry(p, authority, kind=kind, **(more or {}))}, {"gpt": [("real", "m")]}))
        return inst.start(), p

    yield make
    for inst in made:
        inst.remove()


@pytest.fixture(scope="module")
def service(authority, make_provider):
    p = make_provider(http="2")
    p.keyless = True
    with running(edit=models_at({"real": entry(p, authority)}, {"gpt": [("real", "m")]})) as inst:
        inst.provider = p
        yield inst


def post(inst, body=PLAIN, **kw):
    return inst.request("POST", "/v1/chat/completions", body, **kw)


def metric(inst, name):
    text = inst.management("GET", "/metrics")[1].decode()
    return sum(int(float(x)) for x in re.findall(rf"^sallyport_{name}(?:{{.*}})? (\S+)$", text, re.M))


def memory(inst, names=("gateway", "broker")):
    total = 0
    for name in names:
        for pid in inst.pids(name):
            total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
    return total / 1024


class Crowd:
    """Many streams at once, held open by the provider."""

    def __init__(self, inst, provider, count):
        self.inst, self.hold = inst, threading.Event()
        before = len([s for s in provider.seen if s.sent])
        provider.answer = lambda seen: Reply(text="one two three", hold=self.hold)
        self.pool = concurrent.futures.ThreadPoolExecutor(count)
        self.asked = [self.pool.submit(post, inst, {**PLAIN, "stream": True}, timeout=60) for _ in range(count)]
        provider.wait(lambda: len([s for s in provider.seen if s.sent]) >= before + count, seconds=30)

    def end(self):
        self.hold.set()
        answers = [f.result(60) for f in self.asked]
        self.pool.shutdown()
        return answers


def test_many_calls_share_a_connection(service):
    p = service.provider
    p.forget()
    post(service)
    before = p.connections
    crowd = Crowd(service, p, MANY)
    assert p.connections == before and p.most_streams >= MANY
    answers = crowd.end()
    assert all(s == 200 and b"[DONE]" in a for s, _, a in answers)
    assert {s.http for s in p.seen} == {"2"} and p.refused() == []
    assert metric(service, "upstream_http2_connections_total") >= 1


def test_the_providers_limit_is_kept(placed):
    inst, p = placed(streams=10)
    crowd = Crowd(inst, p, 35)
    assert p.most_streams == 10 and 4 <= p.connections <= 6
    assert all(s == 200 and b"[DONE]" in a for s, _, a in crowd.end())


def test_refused_streams_are_sent_once_more(service):
    p = service.provider
    p.forget()
    p.say(Reply(refuse=True))
    assert post(service)[0] == 200
    assert len(p.seen) == 2 and metric(service, "model_retries_total") == 0


def test_a_provider_that_wants_http_1_1_gets_it(placed):
    """The stream is reset with HTTP_1_1_REQUIRED: sent anew that way, and so is what comes after it."""
    inst, p = placed(http="auto")
    p.say(Reply(http1=True))
    assert post(inst)[0] == 200 and post(inst)[0] == 200
    assert [s.http for s in p.seen] == ["2", "1.1", "1.1"]
    assert p.refused() == [] and metric(inst, "model_retries_total") == 0


def test_what_has_begun_to_answer_is_not_sent_anew(placed):
    inst, p = placed(http="auto")
    p.say(Reply(text="one two three", cut=60, cut_code=0xd))
    status, _, answer = post(inst, {**PLAIN, "stream": True})
    assert status == 200 and b"[DONE]" not in answer and len(p.seen) == 1
    assert post(inst)[0] == 200
    assert [s.http for s in p.seen] == ["2", "1.1"]


def test_where_only_http_2_may_be_there_is_no_other(placed):
    inst, p = placed(http="auto", more={"http": "2"})
    p.answer = lambda seen: Reply(http1=True)
    assert post(inst, timeout=60)[0] in (502, 503)
    assert {s.http for s in p.seen} == {"2"} and len(p.seen) <= 4


def test_goaway_costs_nobody_a_call(service):
    """A provider that replaces its connections again and again, under load."""
    p = service.provider
    p.forget()
    p.answer = lambda seen: Reply(text="one two", close=p.number % 7 == 0, between_s=0.002)
    before = p.connections
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: post(service, {**PLAIN, "stream": i % 2 == 0}), range(300)))
    assert [s for s, _, _ in answers] == [200] * 300
    assert p.connections - before > 10


def test_one_slow_client_slows_one_stream(service, raw):
    """Of 300 MB it takes nothing: the others on its connection go on, and memory stays flat."""
    p = service.provider
    p.forget()
    post(service)
    chunk = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{' \
            b'"index":0,"delta":{"content":"' + b"x" * 16000 + b'"},"finish_reason":null}]}\n\n'
    before, connections = memory(service), p.connections
    slow = []
    for _ in range(5):
        p.say(Reply(body=(chunk for _ in range(20000)), content_type="text/event-stream"))
        r = raw(timeout=30)
        r.request("POST", "/v1/chat/completions", json.dumps({**PLAIN, "stream": True}))
        r.read_until(b"data: ")
        slow.append(p.seen[-1])

    def stand():
        before = [s.sent for s in slow]
        time.sleep(1)
        return [s.sent for s in slow] == before

    wait_for(stand, 60, "the provider goes on sending")
    sent = [s.sent for s in slow]
    for _ in range(30):
        assert post(service)[0] == 200
    assert [s.sent for s in slow] == sent and max(sent) < 16 << 20
    assert p.connections == connections
    assert memory(service) - before < 24


@pytest.mark.parametrize("what", sorted(FRAMES))
def test_floods(placed, what):
    inst, p = placed()
    frames = FRAMES[what] * 20000
    p.answer = lambda seen: Reply(raw=frames)
    before = memory(inst, ("broker",))
    status, _, a = post(inst, timeout=60)
    assert status in (502, 503) and a["error"]["code"].startswith("upstream"), a
    assert metric(inst, "upstream_http2_floods_total") >= 1
    assert memory(inst, ("broker",)) - before < 8
    p.answer = lambda seen: Reply()
    assert post(inst)[0] == 200


def test_a_push_ends_the_connection(placed):
    inst, p = placed()
    p.answer = lambda seen: Reply(raw=b"\0\0\7\5\4\0\0\0\1" + b"\0\0\0\2\x82\x87\x84")
    assert post(inst, timeout=60)[0] in (502, 503)


def test_who_speaks_what(placed):
    """What a provider offers and what its entry allows."""
    for offered, said, spoken in (("auto", None, "2"), ("auto", '"1.1"', "1.1"), ("1.1", None, "1.1"),
                                  ("auto", "2", "2"), ("1.1", "2", None), ("2", '"1.1"', "1.1")):
        inst, p = placed(http=offered, more={"http": said} if said else {})
        status, _, a = post(inst)
        assert (status == 200) == (spoken is not None), (offered, said, a)
        assert {s.http for s in p.seen} == ({spoken} if spoken else set())


def test_in_clear_only_when_told(placed):
    inst, p = placed(plain=True, more={"allow_plain_loopback": "true", "http": "2"})
    assert post(inst)[0] == 200 and p.seen[-1].http == "2"
    inst, p = placed(plain=True, http="1.1", more={"allow_plain_loopback": "true"})
    assert post(inst)[0] == 200 and p.seen[-1].http == "1.1"


def test_a_broker_that_dies_and_reloads(service):
    """A reload keeps the connection; calls under way go on."""
    p = service.provider
    p.forget()
    post(service)
    before = p.connections
    crowd = Crowd(service, p, 5)
    service.operate("reload")
    assert all(s == 200 and b"[DONE]" in a for s, _, a in crowd.end())
    p.answer = lambda seen: Reply()
    assert post(service)[0] == 200 and p.connections == before


@pytest.fixture
def noded(authority, tmp_path):
    """An instance with a provider that is Node's own server of HTTP/2."""
    cert, key = authority.issue(tmp_path, "node", ["localhost", "127.0.0.1"])
    p = subprocess.Popen(["node", str(pathlib.Path(__file__).parents[1] / "servers/provider_h2.mjs")], text=True,
                         env={**os.environ, "CERT": cert, "KEY": key}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        url = f"https://localhost:{p.stdout.readline().strip()}/v1"
        real = f'{{ kind: openai, base_url: "{url}", credential: "file:k", ca_file: {authority.ca}, http: 2 }}'
        with running(edit=models_at({"real": real}, {"gpt": [("real", "m")]})) as inst:
            inst.operate("secret", "set", "k", input="sk-0123456789abcdef0123456789")
            deadline = time.monotonic() + 60
            while post(inst)[0] != 200:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield inst
    finally:
        p.stdin.close()
        p.wait(10)


def test_another_server(noded):
    """Node's: answers before the request has come whole, trailers, sessions that end, under load; not one call is lost,
    though every fourth ends its session, and what that one had not begun with is refused."""
    words = ["stream", "whole", "last", "early " + "x" * 200000]

    def ask(i):
        word = words[i % len(words)]
        status, _, a = post(noded, {"model": "gpt", "messages": [{"role": "user", "content": word + " ."}],
                                    "stream": word == "stream"}, timeout=60)
        good = status == 200 and (b"[DONE]" in a if word == "stream" else
                                  a["choices"][0]["message"]["content"] == word.split(" ")[0])
        return None if good else (i, word[:6], status, a)

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        assert [b for b in pool.map(ask, range(400)) if b] == []
    assert metric(noded, "upstream_http2_connections_total") > 2
    assert metric(noded, "upstream_http2_floods_total") == 0


def test_the_sdks(placed):
    """OpenAI's and Anthropic's, in a stream and not, each to its own provider, with a key of theirs."""
    inst, p = placed()
    with openai.OpenAI(base_url=inst.url + "/v1", api_key=inst.key, max_retries=0,
                       http_client=httpx.Client(verify=inst.tls(), http2=True)) as c:
        assert c.chat.completions.create(**PLAIN).choices[0].message.content
        parts = list(c.chat.completions.create(**PLAIN, stream=True))
        assert parts[-1].choices[0].finish_reason == "stop"
        assert c.embeddings.create(model="gpt", input=["a", "b"]).data[1].embedding
    assert p.refused() == [] and {s.http for s in p.seen} == {"2"}
    inst, p = placed(kind="anthropic")
    with anthropic.Anthropic(base_url=inst.url, api_key=inst.key, max_retries=0,
                             http_client=httpx2.Client(verify=inst.tls())) as c:
        ask = {"model": "gpt", "max_tokens": 50, "messages": PLAIN["messages"]}
        assert c.messages.create(**ask).content[0].text
        with c.messages.stream(**ask) as s:
            assert s.get_final_message().content[0].text
    assert p.refused() == [] and {s.http for s in p.seen} == {"2"}
