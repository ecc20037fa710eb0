# SPDX-License-Identifier: Apache-2.0
"""Keys of what is stored: rotation under load, backups, and older databases that are put back."""

import json
import shutil
import threading
import time

import pytest

from instance import Instance, running, wait_for


@pytest.fixture
def inst():
    with running() as i:
        yield i


def kek(inst, *args, **kw):
    return json.loads(inst.operate("kek", *args, "--json", **kw).stdout)


def wait_over(inst):
    deadline = time.monotonic() + 60
    while (s := kek(inst, "status"))["under_way"] != "none":
        assert time.monotonic() < deadline, s
        time.sleep(0.1)
    return s


def make_keys(inst, n):
    return [inst.operate("key", "create", "--tenant", f"t{i % 4}", "--user", f"user{i}").stdout.strip()
            for i in range(n)]


def test_rotation_is_not_noticed(inst):
    keys = make_keys(inst, 12)
    failed, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            for key in keys:
                status = inst.request("GET", "/v1/models", key=key)[0]
                if status != 200:
                    failed.append(status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for data in ([], ["--data"]):
            begun = kek(inst, "rotate", *data)
            assert begun["under_way"] == ("data" if data else "kek")
            s = wait_over(inst)
            assert s["kek_left"] == s["user_keys_left"] == s["tenant_keys_left"] == s["unopened"] == 0
            assert s["version"] == 2 and s["versions"] == 1
    finally:
        stop.set()
        thread.join()
    assert failed == []
    inst.stop()
    inst.start()
    for key in keys:
        assert inst.request("GET", "/v1/models", key=key)[0] == 200
    rows = [r for r in inst.records() if r["event"]["type"] == "KeysRotated"]
    assert [(r["phase"], r["event"]["what"]) for r in rows] == [
        ("intent", "kek"), ("outcome", "kek"), ("intent", "data"), ("outcome", "data")]
    assert inst.verify().returncode == 0


def test_two_rotations_at_once(inst):
    make_keys(inst, 30)
    kek(inst, "rotate", "--data")
    r = inst.operate("kek", "rotate", check=False)
    if r.returncode == 0:  # the first one was over already
        wait_over(inst)
        return
    assert "A rotation of keys is under way" in r.stderr
    wait_over(inst)


def test_backup_and_restore(inst, tmp_path):
    before, = make_keys(inst, 1)
    out = tmp_path / "backup"
    assert "generation" in inst.operate("backup", str(out)).stdout
    assert inst.operate("backup", str(out), check=False).returncode == 1  # it is there already
    assert b"user0" not in out.read_bytes()
    after = inst.operate("key", "create", "--tenant", "t0", "--user", "later").stdout.strip()
    r = inst.operate("restore", str(out), check=False)
    assert r.returncode == 1 and "the service runs" in r.stderr
    inst.stop()
    # Cut, changed, or none at all: nothing is replaced.
    whole = out.read_bytes()
    for bad in (whole[:-1], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b"x" * 300, b""):
        (tmp_path / "bad").write_bytes(bad)
        assert inst.operate("restore", str(tmp_path / "bad"), check=False).returncode == 1
    inst.start()
    assert inst.request("GET", "/v1/models", key=after)[0] == 200
    inst.stop()
    inst.operate("restore", str(out))
    inst.start()
    assert inst.request("GET", "/v1/models", key=before)[0] == 200
    assert inst.request("GET", "/v1/models", key=after)[0] == 401
    deadline = time.monotonic() + 20
    while not (rows := [r for r in inst.records() if r["event"]["type"] == "StoreRolledBack"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert len(rows) == 1 and rows[0]["event"]["generation"] < rows[0]["event"]["expected"]
    assert inst.verify().returncode == 0


def test_an_older_folder_is_noticed(inst, tmp_path):
    make_keys(inst, 1)
    inst.stop()
    shutil.copytree(inst.dir / "store", tmp_path / "store")
    inst.start()
    make_keys(inst, 1)
    inst.stop()
    for f in (inst.dir / "store").glob("store.db*"):
        f.unlink()
    for f in (tmp_path / "store").glob("store.db*"):
        shutil.copy(f, inst.dir / "store")
        shutil.chown(inst.dir / "store" / f.name, (inst.dir / "store").stat().st_uid)
    inst.start()
    deadline = time.monotonic() + 20
    while not [r for r in inst.records() if r["event"]["type"] == "StoreRolledBack"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "older one" in inst.text_log()
    inst.stop()
    inst.start()
    assert len([r for r in inst.records() if r["event"]["type"] == "StoreRolledBack"]) == 1


def crash(inst):
    inst.proc.kill()
    inst.proc.wait()


@pytest.mark.parametrize("end", [Instance.stop, crash])
def test_the_newest_backup_is_an_older_database(inst, tmp_path, end):
    """One backup, one erasure, one end: the person is back, and that is on record."""
    before = len(rollbacks(inst))
    name, out = f"acme/{end.__name__}", str(tmp_path / "backup")
    assert inst.operate("user", "create", name).returncode == 0
    key = inst.operate("key", "create", "--tenant", "acme", "--user", end.__name__).stdout.strip()
    assert inst.operate("backup", out).returncode == 0
    assert inst.operate("user", "erase", name).returncode == 0
    assert inst.request("GET", "/v1/models", key=key)[0] == 401
    end(inst)
    wait_for(lambda: inst.cli("restore", out, "-c", str(inst.conf), check=False).returncode == 0)
    inst.start()
    assert inst.request("GET", "/v1/models", key=key)[0] == 200
    event = rolled_back(inst, before + 1)
    assert event["generation"] < event["expected"]


def rollbacks(inst):
    return [r for r in inst.records() if r["event"]["type"] == "StoreRolledBack"]


def rolled_back(inst, n):
    deadline = time.monotonic() + 20
    while len(rows := [r for r in inst.records() if r["event"]["type"] == "StoreRolledBack"]) < n:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(0.5)
    assert len([r for r in inst.records() if r["event"]["type"] == "StoreRolledBack"]) == n
    return rows[-1]["event"]


def test_a_notice_is_not_lost(inst):
    """Of a number that is gone, and of a crash before it is on record; it stays in the status."""
    kept, notice = inst.dir / "store.generation", inst.dir / "store.rollback"
    assert not notice.exists() and inst.management("GET", "/status")[0] == 200
    assert json.loads(inst.management("GET", "/status")[1])["store_rolled_back"] is None
    inst.stop()
    assert int(kept.read_text()) > 1
    kept.unlink()
    inst.start()
    event = rolled_back(inst, 1)
    assert event["generation"] > 1 and "expected" not in event
    assert int(kept.read_text()) >= event["generation"]
    assert notice.read_text().split()[3] == "1"
    inst.stop()
    # Whoever died before it was on record says so at the next start, once more.
    notice.write_text(" ".join(notice.read_text().split()[:3]) + " 0\n")
    inst.start()
    rolled_back(inst, 2)
    assert notice.read_text().split()[3] == "1"
    shown = json.loads(inst.management("GET", "/status")[1])["store_rolled_back"]
    assert shown["generation"] == event["generation"] and shown["expected"] is None and shown["noticed_s"] > 0
    assert "rolled back" in inst.operate("status").stdout
    inst.stop()
    # What is no number is none.
    kept.write_text("x\n")
    inst.start()
    rolled_back(inst, 3)
    inst.stop()
    notice.unlink()
    inst.start()
    assert "rolled back" not in inst.operate("status").stdout
    rolled_back(inst, 3)
