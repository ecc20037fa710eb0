# SPDX-License-Identifier: Apache-2.0
"""The official SDK, unchanged, against the real service."""

import openai
import pytest

RUN = "Run this:\n```python\nprint(6*7)\n```"
TWO = "First:\n```python\nx = 20\nopen('f.txt', 'w').write('kept')\n```\nthen:\n" \
      "```python\nprint(x + 1, open('f.txt').read())\n```"
TOOLS = [{"type": "code_interpreter"}]


def ask(prompt):
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}]}


def test_models(client):
    assert [m.id for m in client.models.list()] == ["demo"]


def test_plain_answer(client):
    a = client.chat.completions.create(**ask("hello"))
    assert a.choices[0].finish_reason == "stop"
    assert "no AI" in a.choices[0].message.content
    assert a.usage.total_tokens == a.usage.prompt_tokens + a.usage.completion_tokens
    assert "sallyport" not in a.model_dump()


def test_headers_that_the_sdk_reads(client):
    r = client.chat.completions.with_raw_response.create(**ask("hello"))
    h = r.headers
    assert len(h["x-request-id"]) == 36 and h["x-request-id"][14] == "7"
    assert int(h["openai-processing-ms"]) >= 0
    assert int(h["x-ratelimit-remaining-requests"]) < int(h["x-ratelimit-limit-requests"])
    assert h["x-ratelimit-reset-requests"].endswith("ms")


def test_plain_stream(client):
    parts, last = [], None
    for chunk in client.chat.completions.create(**ask("hello"), stream=True):
        if chunk.choices:
            parts.append(chunk.choices[0].delta.content or "")
            last = chunk.choices[0].finish_reason
        assert chunk.usage is None, "usage was not asked for"
    assert "no AI" in "".join(parts) and last == "stop"


def test_stream_with_usage(client):
    chunks = list(client.chat.completions.create(**ask("hello"), stream=True,
                                                 stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)


def test_code_interpreter(client):
    a = client.chat.completions.create(**ask(RUN), tools=TOOLS)
    assert "42" in a.choices[0].message.content
    assert not a.choices[0].message.tool_calls
    step, = a.sallyport["steps"]
    assert (step["language"], step["code"].strip()) == ("python", "print(6*7)")
    assert (step["status"], step["exit_code"], step["stdout"]) == ("exit", 0, "42\n")
    assert set(step) == {"id", "language", "code", "status", "exit_code", "stdout", "stderr",
                         "truncated", "files_dropped", "files", "duration_ms", "sandbox"}


def test_code_interpreter_stream(client):
    chunks = list(client.chat.completions.create(**ask(RUN), tools=TOOLS, stream=True))
    assert len({c.id for c in chunks}) == 1 and len({c.created for c in chunks}) == 1
    events = [c.sallyport["step"] for c in chunks if "step" in (getattr(c, "sallyport", None) or {})]
    assert [e["event"] for e in events] == ["started", "stdout", "result"]
    assert events[0]["code"].strip() == "print(6*7)" and events[1]["data"] == "42\n"
    assert all(not c.choices[0].delta.tool_calls for c in chunks if c.choices)
    ends = [c for c in chunks if c.choices and c.choices[0].finish_reason]
    assert len(ends) == 1 and ends[0].choices[0].finish_reason == "stop"
    assert ends[0].sallyport["steps"][0]["stdout"] == "42\n"
    assert "42" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_sdk_stream_helper(client):
    """The helper adds up deltas itself: roles and texts must come once."""
    with client.chat.completions.stream(**ask(RUN), tools=TOOLS) as stream:
        for _ in stream:
            pass
        a = stream.get_final_completion()
    assert a.choices[0].message.role == "assistant"
    assert "42" in a.choices[0].message.content
    assert not a.choices[0].message.tool_calls


def test_two_steps_share_a_lease(client):
    a = client.chat.completions.create(**ask(TWO), tools=TOOLS)
    steps = a.sallyport["steps"]
    assert len(steps) == 2
    assert steps[1]["stdout"] == "21 kept\n"


def test_own_functions_pass_through(client):
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}]
    a = client.chat.completions.create(**ask("call get_weather"), tools=tools)
    if not a.choices[0].message.tool_calls:
        # The stand-in calls a function only when it is told to; then it may not be another's.
        assert a.choices[0].finish_reason == "stop"
        return
    call, = a.choices[0].message.tool_calls
    assert call.function.name == "get_weather" and a.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("change, error, code", [
    ({"model": "none-such"}, openai.NotFoundError, "model_not_found"),
    ({"temperature": "hot"}, openai.BadRequestError, "invalid_field"),
    ({"extra_body": {"base_url": "http://127.0.0.1/"}}, openai.BadRequestError, "invalid_field"),
    ({"n": 2, "tools": TOOLS}, openai.BadRequestError, "invalid_field"),
])
def test_errors_have_classes(client, change, error, code):
    with pytest.raises(error) as e:
        client.chat.completions.create(**{**ask("x"), **change})
    assert e.value.code == code
    assert e.value.request_id


def test_bad_key(client):
    with pytest.raises(openai.AuthenticationError) as e:
        client.with_options(api_key="sp_wrong").models.list()
    assert e.value.code == "invalid_api_key"


def test_retry_is_told(client):
    """x-should-retry: false stops the SDK from trying a bad request again."""
    with pytest.raises(openai.BadRequestError) as e:
        client.with_options(max_retries=5).chat.completions.create(**{**ask("x"), "temperature": "hot"})
    assert e.value.response.headers["x-should-retry"] == "false"
