# SPDX-License-Identifier: Apache-2.0
"""A disk that is full for what people put can be made emptier by them, and readiness says so."""

import json
import os
import subprocess
import time

import pytest

from instance import running
from test_tools import FORM

HEAD = (b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n')


@pytest.fixture
def small(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m,mode=0700", "tmpfs", str(disk)], check=True)
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    with running() as inst:
        yield inst
    subprocess.run(["umount", "-l", str(disk)], check=True)


def upload(inst, size=5_000_000, **kw):
    return inst.request("POST", "/v1/files", HEAD + os.urandom(size) + b"\r\n--b--\r\n", headers=FORM, **kw)


def degraded(inst, want):
    """The authority asks the store once a second."""
    deadline = time.monotonic() + 20
    while True:
        status, body = inst.management("GET", "/readyz")
        if (status, json.loads(body)["degraded"]) == (200, want):
            return
        assert time.monotonic() < deadline, body
        time.sleep(0.2)


def test_what_is_full_can_be_emptied(small):
    inst = small
    key = inst.operate("key", "create", "--tenant", "acme", "--user", "ann").stdout.strip()
    assert upload(inst, key=key)[0] == 200
    for _ in range(20):
        status, _, answer = upload(inst)
        if status != 200:
            break
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    assert upload(inst, 10 << 10)[0] in (200, 503)
    while upload(inst, 1_000_000)[0] == 200:
        pass
    while upload(inst, 100_000)[0] == 200:
        pass
    with open(inst.dir / "filler", "wb") as f:  # somebody else's: into the reserve
        f.write(bytes(1 << 20))
    degraded(inst, ["store_full"])
    assert inst.request("GET", "/v1/models")[0] == 200
    # An erasure, a deletion, a rotation go through; then there is room again.
    done = inst.operate("user", "erase", "acme/ann", check=False)
    assert done.returncode == 0, done.stderr
    for file in inst.request("GET", "/v1/files")[2]["data"]:
        assert inst.request("DELETE", "/v1/files/" + file["id"])[0] == 200
    assert inst.operate("kek", "rotate", check=False).returncode == 0
    degraded(inst, [])
    assert upload(inst)[0] == 200
    assert inst.verify().returncode == 0
