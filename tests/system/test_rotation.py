# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates are replaced while the service serves."""

import contextlib
import json
import os
import signal
import threading
import time

import pytest

from instance import running


@pytest.fixture(scope="module")
def service():
    with running() as inst:
        yield inst


@contextlib.contextmanager
def light_load(inst, threads=3):
    """Requests on living connections for as long as the block runs; yields the statuses that were not 200."""
    failed, counts, stop = [], [], threading.Event()

    def ask():
        c, n = inst.connection(), 0
        try:
            while not stop.is_set():
                c.request("POST", "/v1/chat/completions", headers={
                    "Authorization": f"Bearer {inst.key}", "Content-Type": "application/json"},
                    body=json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hello"}]}))
                r = c.getresponse()
                r.read()
                n += 1
                if r.status != 200:
                    failed.append(r.status)
        except OSError as e:
            failed.append(e)
        finally:
            counts.append(n)
            c.close()

    pool = [threading.Thread(target=ask) for _ in range(threads)]
    for t in pool:
        t.start()
    try:
        yield failed
    finally:
        stop.set()
        for t in pool:
            t.join()
    assert min(counts) > 3, counts


def of_type(inst, kind):
    return [r for r in inst.records() if r["event"]["type"] == kind]


def wait_for(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not (got := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return got


def signing_key(inst):
    return json.loads(inst.operate("audit", "rotate-key", "--json").stdout)


# ---- the audit log's signing key -------------------------------------------------------------------

def test_the_signing_key_rotates_under_load(service, tmp_path):
    first = (service.dir / "audit.pub").read_text()
    keys = []
    with light_load(service) as failed:
        for version in (2, 3, 4):
            answer = signing_key(service)
            assert answer["version"] == version
            keys.append(answer["key"])
            assert service.verify().returncode == 0
            time.sleep(0.3)
    assert failed == []
    assert (service.dir / "audit.pub").read_text() == first
    rows = of_type(service, "SigningKeyRotated")
    assert [r["event"]["signing_key"] for r in rows] == keys
    assert [r["event"]["previous_key"] for r in rows] == [first.strip(), *keys[:2]]
    assert [(r["phase"], r["event"]["what"], r["event"].get("version")) for r in of_type(service, "KeysRotated")] == [
        (phase, "audit", version if phase == "outcome" else None)
        for version in (2, 3, 4) for phase in ("intent", "outcome")]
    # From the first key, and from any that somebody kept.
    wait_for(lambda: "by 4 keys" in service.verify().stdout)
    for key in keys:
        (tmp_path / "pub").write_text(key + "\n")
        r = service.operate("audit", "verify", "--pub", str(tmp_path / "pub"))
        assert r.stdout.startswith("intact") and "by 4 keys" in r.stdout
    (tmp_path / "pub").write_text(first.replace(first[-10:-5], "AAAAA"))
    assert service.operate("audit", "verify", "--pub", str(tmp_path / "pub"), check=False).returncode == 1
    # One private key, the audit process's own.
    folder = service.dir / "keys" / "audit"
    assert os.listdir(folder) == ["key"]
    assert folder.stat().st_uid == (folder / "key").stat().st_uid == (service.dir / "audit").stat().st_uid
    assert (folder / "key").stat().st_mode & 0o077 == 0


def test_the_signing_key_over_kills(service):
    """Killed at moments of chance while it rotates: what was told holds, and it goes on."""
    before = signing_key(service)["version"]
    for i in range(4):
        answers = []

        def rotate():
            r = service.operate("audit", "rotate-key", "--json", check=False)
            answers.append(json.loads(r.stdout)["version"] if r.returncode == 0 else None)

        thread = threading.Thread(target=rotate)
        pid = service.pids("audit")[0]
        thread.start()
        time.sleep(0.004 * i)
        os.kill(pid, signal.SIGKILL)
        thread.join()
        wait_for(lambda: service.pids("audit") not in ([], [pid]))
        service.wait_ready()
        assert answers[0] is None or answers[0] > before
        after = signing_key(service)["version"]
        assert after > (answers[0] or before)
        before = after
        assert os.listdir(service.dir / "keys" / "audit") == ["key"]
    assert service.verify().returncode == 0
    assert len(of_type(service, "SigningKeyRotated")) == before - 1


def test_a_key_that_lies_where_it_used_to(service):
    """An instance of an earlier version: the key is moved, and the log goes on."""
    service.stop()
    keys = service.dir / "keys"
    (keys / "audit" / "key").rename(keys / "audit.key")
    (keys / "audit").rmdir()
    service.start()
    assert sorted(os.listdir(keys)) == ["audit"]
    signing_key(service)
    assert service.verify().returncode == 0
