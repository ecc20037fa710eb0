# SPDX-License-Identifier: Apache-2.0
"""A credential of `file:`, from the operator's standard input to the provider and nowhere else: what
the audit log, status and usage say of it."""

import base64
import contextlib
import json
import os
import re
import signal
import time

import pytest
from reply import Reply

from upstreams import entry, models_at

VALUE = "sk-file-canary-1f0e9d8c7b6a5948"
SECOND = VALUE + "-second"
HELLO = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def inst(authority, provider):
    from instance import Instance
    it = Instance(edit=models_at(
        {"openai": entry(provider, authority, credential="file:openai"),
         "claude": entry(provider, authority, kind="anthropic", credential="file:openai")},
        {"gpt": [("openai", "gpt-real")], "claude": [("claude", "claude-real")]}))
    try:
        it.start()
        yield it
    finally:
        it.remove()


def chat(inst, **more):
    return inst.request("POST", "/v1/chat/completions", {"model": "gpt", **HELLO, **more})


def status(inst):
    return json.loads(inst.operate("status", "--json").stdout)


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def of_type(inst, *kinds):
    return [r for r in inst.records() if r["event"]["type"] in kinds]


def outcomes(inst, *kinds):
    return [r for r in of_type(inst, *kinds) if r.get("phase") != "intent"]


def test_without_its_credential_one_provider_is_out_of_service(inst, provider):
    provider.keys = {VALUE}
    code, headers, body = chat(inst)
    assert code == 503 and body["error"]["code"] == "credential_unavailable", body
    assert provider.seen == []
    until(lambda: status(inst)["credentials_unavailable"] == ["claude", "openai"])
    assert inst.management("GET", "/readyz")[0] == 200, "the service itself is ready"
    assert re.search(r"^unavailable +claude openai$", inst.operate("status").stdout, re.M)
    until(lambda: any(r["outcome"] == "failure" and r["event"]["secret"] == "file:openai"
                      and r["event"]["fault"] == "not_found" for r in outcomes(inst, "SecretAccessed")), 30)
    ended = [r for r in of_type(inst, "ModelCalled") if r["request_id"] == headers["x-request-id"]][1]
    assert ended["outcome"] == "failure" and ended["event"]["error_type"] == "credential_unavailable"
    assert "http_status" not in ended["event"] and "secret_version" not in ended["event"]


def test_it_serves_as_soon_as_it_is_set(inst, provider):
    inst.operate("secret", "set", "openai", input=VALUE)
    until(lambda: chat(inst)[0] == 200)
    assert status(inst)["credentials_unavailable"] == []
    assert {c["state"] for c in status(inst)["credentials"]} == {"held"}
    code, headers, _ = chat(inst)
    assert code == 200 and provider.seen[-1].field("authorization") == f"Bearer {VALUE}"
    records = inst.records()
    read = next(r for r in records if r["event"]["type"] == "SecretAccessed" and r.get("outcome") == "success")
    assert read["event"]["version"] == "1"
    asked, ended = [r for r in records if r["event"]["type"] == "ModelCalled"
                    and r["request_id"] == headers["x-request-id"]]
    assert (asked["phase"], ended["phase"], ended["intent_seq"]) == ("intent", "outcome", asked["seq"])
    assert ended["event"].pop("provider_request_id").startswith("req_upstream_")
    assert "upstream" not in headers["x-request-id"], "the client's is our own"
    assert ended["event"] == {"type": "ModelCalled", "model": "gpt", "step": 1, "provider": "openai",
                              "host": provider.host, "secret_version": "1", "http_status": 200, "attempts": 1}
    first = min(r["seq"] for r in records if r["event"].get("secret_version") == "1")
    assert read["seq"] < first, "on record before it is used"


def test_a_rotation_is_taken_up_and_the_one_before_serves_meanwhile(inst, provider):
    provider.keys = {VALUE, SECOND}
    inst.operate("secret", "rotate", "openai", input=SECOND)
    until(lambda: chat(inst)[0] == 200 and provider.seen[-1].field("authorization") == f"Bearer {SECOND}")
    assert outcomes(inst, "SecretAccessed")[-1]["event"]["version"] == "2"
    assert of_type(inst, "ModelCalled")[-1]["event"]["secret_version"] == "2"
    provider.keys = {VALUE}     # the provider does not know the new one yet
    assert chat(inst)[0] == 200
    assert provider.seen[-1].field("authorization") == f"Bearer {VALUE}"
    whys = [r["event"]["why"] for r in outcomes(inst, "SecretAccessed")]
    assert "previous" in whys or "rejected" in whys
    tried = of_type(inst, "ModelAttempted")[-1]["event"]
    assert tried["http_status"] == 401 and tried["secret_version"] == "2"
    assert of_type(inst, "ModelCalled")[-1]["event"]["secret_version"] == "1"
    provider.keys = {VALUE, SECOND}


@pytest.mark.parametrize("value", [VALUE, SECOND])
def test_what_is_in_use_enters_no_history(inst, value):
    """It has the form of nobody's keys: the store knows it by a mark of it."""
    code, _, body = inst.request("POST", "/v1/conversations", {"items": [{"role": "user", "content": "a"}]})
    assert code == 200
    mine = body["id"]
    escaped = "".join(f"\\u{ord(c):04x}" for c in value)
    for path, text in (("/v1/conversations", f'{{"metadata": {{"a": "it is {value}."}}}}'),
                       (f"/v1/conversations/{mine}", f'{{"metadata": {{"a": "{value}"}}}}'),
                       (f"/v1/conversations/{mine}/items",
                        f'{{"items": [{{"role": "user", "content": "it is {escaped}."}}]}}'),
                       (f"/v1/conversations/{mine}/items",
                        f'{{"items": [{{"role": "user", "content": "x", "id": "{value}"}}]}}')):
        code, _, body = inst.request("POST", path, text.encode())
        assert code == 400 and body["error"]["code"] == "credential_in_body", (path, body)
    code, _, body = inst.request("POST", "/v1/responses", {"model": "gpt", "input": f"is it {value}?"})
    assert code == 400 and body["error"]["code"] == "credential_in_body", "nobody keeps that turn"
    assert inst.request("POST", "/v1/responses", {"model": "gpt", "input": value, "store": False})[0] == 200
    listed = inst.request("GET", f"/v1/conversations/{mine}/items")[2]
    assert len(listed["data"]) == 1


def usage(inst):
    """{model: row}, once the store has heard of all of it: once a second it does."""
    seen = None
    while True:
        time.sleep(1.2)
        before, seen = seen, {r["model"]: r for r in json.loads(inst.operate("usage", "--json").stdout)["usage"]}
        if seen == before:
            return seen


def test_usage_is_the_providers_count_on_every_endpoint(inst, provider):
    before = usage(inst)
    sums = {"gpt": [0, 0], "claude": [0, 0]}
    for _ in range(3):
        code, _, body = chat(inst)
        assert code == 200
        sums["gpt"][0] += body["usage"]["prompt_tokens"]
        sums["gpt"][1] += body["usage"]["completion_tokens"]
    code, _, body = inst.request("POST", "/v1/messages", {"model": "claude", "max_tokens": 16, **HELLO},
                                 headers={"anthropic-version": "2023-06-01"})
    assert code == 200, body
    sums["claude"][0] += body["usage"]["input_tokens"]
    sums["claude"][1] += body["usage"]["output_tokens"]
    code, _, body = inst.request("POST", "/v1/embeddings", {"model": "gpt", "input": "hi"})
    assert code == 200, body
    sums["gpt"][0] += body["usage"]["prompt_tokens"]
    code, _, body = inst.request("POST", "/v1/responses", {"model": "gpt", "input": "hi", "store": False})
    assert code == 200, body
    sums["gpt"][0] += body["usage"]["input_tokens"]
    sums["gpt"][1] += body["usage"]["output_tokens"]
    assert chat(inst, stream=True)[0] == 200
    after = usage(inst)
    none = dict.fromkeys(after["gpt"], 0)
    for model, (tokens_in, tokens_out) in sums.items():
        was, now = before.get(model, none), after[model]
        assert now["tokens_in"] - was["tokens_in"] >= tokens_in > 0, model
        assert now["tokens_out"] - was["tokens_out"] >= tokens_out > 0, model
        assert now["estimated_requests"] == was["estimated_requests"], model
    assert after["gpt"]["requests"] - before["gpt"]["requests"] == 6


def test_usage_tells_what_tokens_were(inst, provider):
    """Parts of them came from a cache, went to one, were reasoning: as each vendor says it."""
    before = usage(inst)
    details = Reply(text="Hi.", usage=(100, 50), details=(40, 8, 20))
    provider.say(*[details] * 2)
    assert chat(inst)[0] == 200 and chat(inst, stream=True)[0] == 200
    provider.say(details)
    assert inst.request("POST", "/v1/messages", {"model": "claude", "max_tokens": 16, **HELLO},
                        headers={"anthropic-version": "2023-06-01"})[0] == 200
    after = usage(inst)
    for model, want in {"gpt": (200, 80, 0, 100, 40), "claude": (100, 40, 8, 50, 0)}.items():
        names = ("tokens_in", "tokens_in_cached", "tokens_in_cache_written", "tokens_out", "tokens_out_reasoning")
        assert tuple(after[model][n] - before[model][n] for n in names) == want, model
    returned = of_type(inst, "ResponseReturned")[-1]["event"]
    assert (returned["tokens_in_cached"], returned["tokens_in_cache_written"]) == (40, 8)
    assert "tokens_out_reasoning" not in returned
    table = inst.operate("usage").stdout.splitlines()
    assert "of cache" in table[0] and len({len(line) for line in table}) == 1


def test_it_is_read_anew_after_a_crash_of_the_broker(inst):
    n = len(of_type(inst, "SecretAccessed"))
    os.kill(inst.pids("broker")[0], signal.SIGKILL)
    until(lambda: chat(inst)[0] == 200)
    assert len(of_type(inst, "SecretAccessed")) > n


def test_the_value_is_nowhere_else(inst, provider):
    provider.say(Reply(status=500, error=f"echo {SECOND}"), Reply(status=400, error=f"bad key {SECOND}"))
    for _ in range(3):
        _, _, body = chat(inst)
        assert "canary" not in json.dumps(body)
    inst.operate("secret", "remove", "openai")
    forms = [f for v in (VALUE, SECOND) for f in (v.encode(), base64.b64encode(v.encode()).rstrip(b"="),
                                                   v.encode().hex().encode())]
    for path in inst.top.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # what is replaced each second is gone now and then
            data = path.read_bytes() if path.is_file() else b""
            assert all(f not in data for f in forms), path
    assert inst.verify().returncode == 0
    def balanced():
        records = inst.records()
        return sorted(r["seq"] for r in records if r.get("phase") == "intent") == \
            sorted(r["intent_seq"] for r in records if r.get("phase") == "outcome")

    until(balanced)         # the removed one is being read once more
