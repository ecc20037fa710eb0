# SPDX-License-Identifier: Apache-2.0
"""The stand-in for a model, and the broker before it, inside the real service."""

import contextlib
import json
import os
import pathlib
import signal
import time

import pytest

from instance import best_of

FUNCTION = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


def chat(inst, prompt, **more):
    return inst.request("POST", "/v1/chat/completions",
                        {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more})


@pytest.mark.parametrize("prompt, answer", [
    ("What is the sum of 1, 2 and 3.5?", "6.5"),
    ("What is the 100th prime?", "541"),
    ("Word count: the quick brown fox", "4"),
    ("days between 2024-02-28 and 2024-03-01", "2"),
    ("Run\n```js\nconsole.log(6 * 7)\n```", "42"),
    ("Run\n```sh\necho $((6 * 7))\n```", "42"),
])
def test_known_tasks_run_as_code(service, prompt, answer):
    status, _, body = service.chat(prompt)
    assert status == 200
    step, = body["sallyport"]["steps"]
    assert step["status"] == "exit" and step["stdout"].strip() == answer
    text = body["choices"][0]["message"]["content"]
    assert answer in text and "no AI" in text


def test_a_plot_is_a_picture(service):
    _, _, body = service.chat("Plot the sine")
    step, = body["sallyport"]["steps"]
    assert [f["name"] for f in step["files"]] == ["plot.png"]


def test_anything_else_says_what_this_is(service):
    _, _, body = service.chat("What is the meaning of life?")
    assert "sallyport" not in body or body["sallyport"]["steps"] == []
    assert "stand-in that is no AI" in body["choices"][0]["message"]["content"]


def test_a_clients_own_function_passes_through(service):
    status, _, body = chat(service, 'call lookup {"q": ["x"]}', tools=[FUNCTION])
    assert status == 200
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"q": ["x"]}
    messages = [{"role": "user", "content": 'call lookup {"q": ["x"]}'}, choice["message"],
                {"role": "tool", "tool_call_id": choice["message"]["tool_calls"][0]["id"], "content": "found 4711"}]
    status, _, body = service.request("POST", "/v1/chat/completions",
                                      {"model": "demo", "messages": messages, "tools": [FUNCTION]})
    assert status == 200 and "found 4711" in body["choices"][0]["message"]["content"]


def test_large_prompts_arrive_whole(service):
    words = "word " * 200000
    status, _, body = service.chat(f"Word count: {words}")
    assert status == 200, body
    assert body["sallyport"]["steps"][0]["stdout"].strip() == "200000"


def sockets_of(pid):
    n = 0
    for f in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            n += os.readlink(f).startswith("socket:")
    return n


def test_a_client_that_leaves_ends_the_models_answer(service):
    """The broker hangs up within 100 ms of the gateway's cancel."""
    best_of(5, lambda: hung_up_s(service), 0.3)


def hung_up_s(service):
    """Seconds from the moment that a client left."""
    demo, = service.pids("demo")
    service.chat("hello", tools=False)
    idle = sockets_of(demo)
    c = service.connection()
    c.request("POST", "/v1/chat/completions", headers={"Authorization": f"Bearer {service.key}",
                                                       "Content-Type": "application/json"},
              body=json.dumps({"model": "demo", "stream": True,
                               "messages": [{"role": "user", "content": "count slowly to 900"}]}))
    r = c.getresponse()
    assert r.status == 200 and b"data:" in r.read1(4096)
    left = time.monotonic()
    r.close()
    c.close()
    while sockets_of(demo) >= max(idle, 2) and time.monotonic() - left < 10:
        time.sleep(0.005)
    return time.monotonic() - left


def killed_and_back(service, victim):
    """Seconds until an answer; until then it is said that there is none."""
    pid, = service.pids(victim)
    os.kill(pid, signal.SIGKILL)
    died = time.monotonic()
    while time.monotonic() - died < 20:
        status, _, body = service.chat("hello", tools=False)
        if status == 200:
            return time.monotonic() - died
        assert status == 503, body
        time.sleep(0.01)
    assert False, f"{victim} is not back"


@pytest.mark.parametrize("victim", ["demo", "broker"])
def test_it_is_back_within_two_seconds(service, victim):
    best_of(4, lambda: killed_and_back(service, victim), 2)
    assert service.verify().returncode == 0


def test_both_are_jailed(service):
    for name in ("demo", "broker"):
        pid, = service.pids(name)
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert fields["NoNewPrivs"].strip() == "1" and fields["Seccomp"].strip() == "2"
        assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
        assert int(fields["Uid"].split()[0]) >= 700000


@pytest.mark.parametrize("prompt, answer", [
    ("What is the sum of the numbers 1 to 100?", "5050"), ("sum of 1 to 10", "55"),
    ("sum from 1 to 10", "55"), ("sum 1 and 10", "11"), ("add 1, 2 and 39", "42")])
def test_ranges_and_lists_are_told_apart(service, prompt, answer):
    assert answer in service.chat(prompt)[2]["choices"][0]["message"]["content"]
