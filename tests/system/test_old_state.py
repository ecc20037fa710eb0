# SPDX-License-Identifier: Apache-2.0
"""A state directory of the version before, with what is too old in it: the running service carries the database over,
keeps what it was, goes on with its keys and content, and deletes what `retention` says, on record."""

import json
import os
import sqlite3

import pytest

from instance import UNSUMMED, Instance, wait_for

DAY = 86400
BACK_TO_6 = """
    DROP TABLE sessions; DROP TABLE keysets; DROP INDEX keys_of_pepper;
    ALTER TABLE rotations DROP COLUMN unopened; ALTER TABLE keks DROP COLUMN wrapper;
    UPDATE schema_version SET version = 6;
"""


def with_retention(text):
    return text + "\nretention: { conversations_days: 2 }\n"


def made(inst, word):
    status, _, answer = inst.request("POST", "/v1/conversations", {"items": [{"role": "user", "content": word}]})
    assert status == 200, answer
    return answer["id"]


def shown(inst, conversation):
    status, _, answer = inst.request("GET", f"/v1/conversations/{conversation}/items")
    return status, json.dumps(answer)


def rows(inst, kind):
    return [r["event"] for r in inst.records() if r["event"]["type"] == kind]


def make_old(inst):
    """The database as version 6 would have it, and its first object three days old."""
    path = inst.dir / "store/store.db"
    owner = path.stat()
    with sqlite3.connect(path) as db:
        assert db.execute("UPDATE objects SET updated_s = updated_s - ? WHERE id = (SELECT min(id) FROM objects)",
                          (3 * DAY,)).rowcount == 1
        db.executescript(BACK_TO_6 + UNSUMMED)
    db.close()
    for left in path.parent.glob("store.db*"):
        os.chown(left, owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
def old():
    inst = Instance(edit=with_retention)
    try:
        inst.start()
        inst.aged, inst.young = made(inst, "three days ago"), made(inst, "just now")
        inst.operate("user", "create", "acme/nobody")
        inst.stop()
        assert not list((inst.dir / "store").glob("before-*"))
        make_old(inst)
        inst.start()
        yield inst
    finally:
        inst.remove()


def test_a_database_of_before_is_carried_over(old):
    kept = list((old.dir / "store").glob("before-*.sealed"))
    assert len(kept) == 1 and b"SQLite" not in kept[0].read_bytes()
    status, text = shown(old, old.young)
    assert status == 200 and "just now" in text
    assert json.loads(old.operate("session-keys", "status", "--json").stdout)["version"] == 1
    assert old.verify().returncode == 0


def test_what_is_too_old_is_deleted_and_on_record(old):
    """Looked for each minute, and when somebody was erased."""
    old.operate("user", "erase", "acme/nobody")
    applied, = wait_for(lambda: rows(old, "RetentionApplied"), 150)
    assert (applied["kind"], applied["rows"], applied["days"]) == ("conversations", 1, 2)
    assert shown(old, old.aged)[0] == 404 and shown(old, old.young)[0] == 200
    assert old.verify().returncode == 0
