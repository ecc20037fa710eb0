# SPDX-License-Identifier: Apache-2.0
"""The store does late what it was asked, and nobody heard of it: it is `unknown` on record, and soon what the store has."""

import concurrent.futures
import contextlib
import os
import signal
import time

import pytest

from instance import running
from test_identity import admin, person


@pytest.fixture(scope="module")
def inst():
    with running() as i:
        yield i


@contextlib.contextmanager
def silent_store(inst):
    pid = inst.pids("store")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def until(true, seconds=15):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_nobody_knows_is_no_failure(inst):
    boss = person(inst, "acme", "boss", "owner", "user")
    bob, vic, key = (person(inst, "acme", name, "user") for name in ("bob", "vic", "ann"))
    id = admin(inst, key, "GET", "/keys")[1]["keys"][0]["id"]
    acts = [
        (boss, "PATCH", "/users/bob", {"roles": ["administrator", "user"]}),
        (boss, "PATCH", "/users/vic", {"hold": True}),
        (boss, "POST", "/users", {"user": "zed", "roles": ["administrator"]}),
        (key, "POST", f"/keys/{id}/rotate", {"overlap_s": 3600}),
    ]
    before = len(inst.records())
    with silent_store(inst), concurrent.futures.ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda act: admin(inst, *act), acts))
    assert [(status, body["error"]["code"]) for status, body in answers] == [(503, "unknown_outcome")] * len(acts)
    said = [r["outcome"] for r in inst.records()[before:] if r.get("phase") == "outcome" and r["event"]["type"]
            in ("IdentityChanged", "KeyCreated")]
    assert said == ["unknown"] * len(acts)

    # It was done: the authority has it without a restart, and writes nothing over it.
    until(lambda: admin(inst, bob, "GET", "/users")[0] == 200)
    assert admin(inst, boss, "GET", "/users/zed")[1]["roles"] == ["administrator"]
    until(lambda: admin(inst, boss, "PATCH", "/users/vic", {"roles": ["user", "auditor"]})[0] == 200)
    assert admin(inst, boss, "GET", "/users/vic")[1]["hold"] is True
    keys = admin(inst, key, "GET", "/keys")[1]["keys"]
    assert [k["id"] for k in keys if k.get("replaces") == id], keys
    assert all(k["expires_s"] for k in keys if k["id"] == id)
