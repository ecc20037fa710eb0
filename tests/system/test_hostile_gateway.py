# SPDX-License-Identifier: Apache-2.0
"""A gateway that lies, replays and omits gets nothing from authority, broker, executor and store."""

import os
import shutil
import signal
import socket
import time

import pytest

from instance import BUILD, Instance

# What each trick of tests/hostile/gateway.c must meet.
EXPECTED = {
    "invented-grant-broker": "grant_refused",
    "invented-grant-executor": "grant_refused",
    "no-key": "invalid_api_key",
    "bad-key": "invalid_api_key",
    "unknown-model": "model_not_found",
    "other-body": "grant_refused",
    "true-body-after-other": "grant_refused",
    "true-call": "ok",
    "replay": "grant_refused",
    "broker-grant-to-executor": "grant_refused",
    "tool-not-there": "tool_not_found",
    "tool-removed-not-there": "tool_not_found",
    "tool-named-as-code": "invalid_tool",
    "tool-other-upload": "grant_refused",
    "tool-grant-again": "grant_refused",
    "tool-grant-to-broker": "grant_refused",
    "tool-not-offered": "tool_not_found",
    "keep-a-text": "ok",
    "keep-a-credential": "credential_in_body",
    "keep-a-provider-key": "credential_in_body",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    build = tmp_path_factory.mktemp("build")
    (build / "libexec/sallyport").mkdir(parents=True)
    for name in ("sallyport", "engines.json"):
        shutil.copy(BUILD / name, build / name)
    for f in (BUILD / "libexec/sallyport").iterdir():
        shutil.copy(f, build / "libexec/sallyport" / f.name)
    os.unlink(build / "libexec/sallyport/gateway")
    shutil.copy(BUILD / "tests/hostile/hostile-gateway", build / "libexec/sallyport/gateway")
    inst = Instance(build=build, edit=lambda text: text + "\nworkers: 1\n")
    try:
        yield inst.start()
    finally:
        inst.remove()


def tricks(inst):
    with socket.create_connection(("127.0.0.1", inst.port), timeout=60) as s:
        s.sendall(inst.key.encode() + b"\n")
        text = b""
        while chunk := s.recv(4096):
            text += chunk
    return dict(line.split(" ", 1) for line in text.decode().splitlines())


def test_lies_are_refused_and_recorded(hostile):
    seen = tricks(hostile)
    for name, want in EXPECTED.items():
        assert seen.get(name) == want, (name, seen)
    # A turn that is not the gateway's own, or settled already, is no success.
    assert not [r for r in hostile.records() if r["event"]["type"] == "ToolStored" and r.get("outcome") == "success"]
    assert not [r for r in hostile.records() if r["event"]["type"] == "ToolExecuted"]
    assert seen["settle-twice"] != "ok", seen
    assert seen["foreign-turn"] != "ok", seen


def test_omitted_settlements_are_closed_when_the_gateway_dies(hostile):
    for pid in hostile.pids("gateway"):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 40
    while True:
        records = hostile.records()
        intents = {r["seq"] for r in records if r.get("phase") == "intent"}
        closed = [r["intent_seq"] for r in records if r.get("phase") == "outcome"]
        if intents and sorted(closed) == sorted(intents):
            break
        assert time.monotonic() < deadline, (intents, closed)
        time.sleep(0.1)
    unknown = [r for r in records if r.get("outcome") == "unknown"]
    assert unknown, "turns that were never settled end as unknown"
    assert hostile.verify().returncode == 0
