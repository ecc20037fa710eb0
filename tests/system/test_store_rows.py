# SPDX-License-Identifier: Apache-2.0
"""Whole rows that are put back while the service is stopped: found out, refused, on record, and the ways out."""

import contextlib
import json
import sqlite3
import time

import pytest

from instance import running


@pytest.fixture(scope="module")
def inst():
    with running() as i:
        yield i


def database(inst):
    return contextlib.closing(sqlite3.connect(inst.dir / "store/store.db", isolation_level=None))


def row_of(inst, key):
    """Of its table, whole; with what it says beside its seal."""
    with database(inst) as db:
        return db.execute("SELECT * FROM keys WHERE id = ?", (key[3:15].encode(),)).fetchone()


def put(inst, row):
    with database(inst) as db:
        db.execute("DELETE FROM keys WHERE n = ?", row[:1])
        db.execute(f"INSERT INTO keys VALUES ({', '.join('?' * len(row))})", row)


def wait(what, seconds=30):
    deadline = time.monotonic() + seconds
    while not (got := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return got


def status(inst):
    with contextlib.suppress(OSError):
        return json.loads(inst.management("GET", "/status")[1])
    return {}


def records(inst, kind):
    return [r for r in inst.records() if r["event"]["type"] == kind]


def start_unfit(inst, n):
    """It runs, and serves nobody; that is on record, once for each start."""
    with pytest.raises(TimeoutError):
        inst.start(timeout=0)
    wait(lambda: status(inst).get("store_unfit") == ["people"])
    wait(lambda: len(records(inst, "StoreTampered")) == n)
    assert json.loads(inst.management("GET", "/readyz")[1])["missing"][0] == "store"


def models(inst, key):
    return inst.request("GET", "/v1/models", key=key)[0]


def test_a_revoked_key_is_put_back(inst):
    mine, gone, third = [inst.operate("key", "create", "--tenant", "t", "--user", u).stdout.strip() for u in "abc"]
    assert models(inst, mine) == models(inst, gone) == 200
    refused = inst.operate("store", "accept", check=False)
    assert refused.returncode == 1 and "the store's own" in refused.stderr
    inst.stop()
    was = row_of(inst, gone)
    inst.start()
    inst.operate("key", "revoke", gone[3:15])
    assert (models(inst, mine), models(inst, gone)) == (200, 401)
    inst.stop()
    now = row_of(inst, gone)
    assert was[:3] == now[:3] and was != now
    put(inst, was)

    start_unfit(inst, 1)
    status_code, _, body = inst.request("GET", "/v1/models", key=gone)
    assert (status_code, body["error"]["code"]) == (503, "store_tampered")
    assert models(inst, mine) == models(inst, "sp_nobody") == 503
    refused = inst.operate("key", "create", "--tenant", "t", "--user", "d", check=False)
    assert refused.returncode == 1 and "changed by others" in refused.stderr
    assert "people" in inst.operate("status").stdout
    assert "store accept" in inst.text_log()
    record, = records(inst, "StoreTampered")
    assert record["event"]["what"] == "people" and record["outcome"] == "failure" and record["resource"] == "process:store"
    assert models(inst, gone) == 503
    inst.stop()

    # The row that was there fits.
    put(inst, now)
    inst.start()
    assert (models(inst, mine), models(inst, gone)) == (200, 401)
    assert status(inst)["store_unfit"] == []
    inst.stop()

    # Rights are taken away all the same, and nothing fits for that.
    put(inst, was)
    start_unfit(inst, 2)
    assert gone[3:15] in inst.operate("key", "list").stdout
    inst.operate("key", "revoke", gone[3:15])
    assert "erased" in inst.operate("user", "erase", "t/c").stderr
    inst.stop()
    start_unfit(inst, 3)

    # Somebody takes what is there as true, and says so.
    assert inst.operate("store", "accept").stdout == "accepted: people\n"
    inst.wait_ready()
    assert (models(inst, mine), models(inst, gone), models(inst, third)) == (200, 401, 401)
    inst.stop()
    inst.start()
    assert (models(inst, mine), models(inst, gone)) == (200, 401)
    assert status(inst)["store_unfit"] == []
    assert [(r["phase"], r["event"]["what"], "by_uid" in r["event"]) for r in records(inst, "StoreAccepted")] == [
        ("intent", "people", True), ("outcome", "people", True)]
    assert len(records(inst, "StoreTampered")) == 3 and records(inst, "StoreRolledBack") == []
    assert inst.verify().returncode == 0
