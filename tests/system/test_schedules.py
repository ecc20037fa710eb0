# SPDX-License-Identifier: Apache-2.0
"""What is replaced on a schedule is so by the running service itself, without anybody who asks: keys that the state says
are old, a log that began long ago, a leaf that ends soon. The state is made old; the program and its clocks are as ever."""

import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import time

import pytest

from instance import UNSUMMED, Instance, wait_for
from pki import earlier_authority, openssl

DAY = 86400
OLD = int(time.time()) - 100 * DAY


def with_schedules(text):
    return text + "\ntls: { watch_s: 2 }\nkeys: { pepper_days: 90 }\n"


def age_database(inst):
    """Every key of the store is as old as that; sessions' keys, too."""
    path = next((inst.dir / "store").glob("*.db"))
    owner = path.stat()
    with sqlite3.connect(path) as db:
        assert db.execute("UPDATE rotations SET started_s = ?, ended_s = ?", (OLD, OLD)).rowcount == 2
        assert db.execute("UPDATE keysets SET created_s = ?", (OLD,)).rowcount == 2
        db.execute(UNSUMMED)
    db.close()
    for left in path.parent.glob(path.name + "*"):
        os.chown(left, owner.st_uid, owner.st_gid)


def age_log(inst):
    """The log as it would be if it had begun then: signed by the instance's own key."""
    folder = inst.dir / "audit"
    owner = folder.stat()
    for left in folder.iterdir():
        left.unlink()
    (inst.dir / "audit.head").unlink(missing_ok=True)
    subprocess.run([str(inst.build / "tests" / "old-log"), str(inst.dir), "100"], check=True, timeout=20)
    for made in folder.iterdir():
        os.chown(made, owner.st_uid, owner.st_gid)


def leaf_until(inst, tmp, ends):
    """A leaf of our own authority that ends then -> DER."""
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            tmp / "key", "-out", tmp / "csr", "-subj", "/CN=sallyport")
    for name in ("index", "index.attr"):
        (tmp / name).write_text("")
    (tmp / "conf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={tmp}/index\nnew_certs_dir={tmp}\nrand_serial=yes\ndefault_md=sha256\n"
        "policy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("ca", "-batch", "-notext", "-config", tmp / "conf", "-cert", inst.dir / "ca.pem", "-keyfile", inst.ca_key,
            "-in", tmp / "csr", "-out", tmp / "cert", "-enddate", time.strftime("%Y%m%d%H%M%SZ", time.gmtime(ends)))
    for name in ("key", "cert"):
        (inst.dir / "tls" / f"{name}.pem").write_bytes((tmp / name).read_bytes())
    (inst.dir / "tls/key.pem").chmod(0o600)
    return ssl.PEM_cert_to_DER_cert((tmp / "cert").read_text())


@pytest.fixture(scope="module")
def aged(tmp_path_factory):
    """An instance that has run once, of which all is old when it starts again."""
    inst = Instance(edit=with_schedules)
    try:
        inst.ca_key = earlier_authority(inst)
        inst.start()
        inst.stop()
        age_database(inst)
        age_log(inst)
        inst.start()
        yield inst
    finally:
        inst.remove()


def rows(inst, kind):
    return [r for r in inst.records() if r["event"]["type"] == kind]


def rotated(inst, what):
    """-> the two records of a rotation, once there are two."""
    return wait_for(lambda: len(found := [r for r in rows(inst, "KeysRotated") if r["event"]["what"] == what]) >= 2 and found)


@pytest.mark.parametrize("what", ["session", "pepper", "kek"])
def test_an_old_key_is_replaced(aged, what):
    intent, outcome, *more = rotated(aged, what)
    assert (intent["phase"], outcome["phase"], outcome["outcome"]) == ("intent", "outcome", "success")
    assert intent["event"]["why"] == outcome["event"]["why"] == "schedule" and not more
    status = {"session": ("session-keys", "status"), "pepper": ("pepper", "status"), "kek": ("kek", "status")}[what]
    now = json.loads(aged.operate(*status, "--json").stdout)
    assert now["version"] == 2
    assert aged.request("GET", "/v1/models")[0] == 200


def test_an_old_signing_key_is_replaced(aged):
    """From the log itself: it says since when its key is in force."""
    rotation = wait_for(lambda: rows(aged, "SigningKeyRotated"))
    assert [r["event"]["why"] for r in rotation] == ["schedule"]
    assert aged.records()[0]["event"]["message"] == "A record of long ago."
    wait_for(lambda: "by 2 keys" in aged.verify().stdout)
    assert aged.verify().returncode == 0


def test_data_keys_follow_the_key_over_them(aged):
    """One rotation at a time: the other is begun when it is looked again, as an authority does that has just come up."""
    assert rotated(aged, "kek")
    wait_for(lambda: json.loads(aged.operate("kek", "status", "--json").stdout).get("under_way") in (None, "none"))
    assert not [r for r in rows(aged, "KeysRotated") if r["event"]["what"] == "data"]
    os.kill(aged.pids("authority")[0], signal.SIGKILL)
    intent, outcome, *_ = rotated(aged, "data")
    assert intent["event"]["why"] == outcome["event"]["why"] == "schedule" and outcome["outcome"] == "success"


def shown(inst):
    """The certificate that a new handshake sees, DER; None: it is not there at the moment."""
    context = ssl.create_default_context(cafile=inst.ca)
    with socket.create_connection(("127.0.0.1", inst.port), 10) as s, context.wrap_socket(s, server_hostname="localhost") as t:
        return t.getpeercert(True)


def test_a_leaf_is_replaced_while_it_serves(aged, tmp_path):
    """It comes into use with a little more than a third of a leaf's life left, and then there is less."""
    def changes():
        return [r["event"]["why"] for r in rows(aged, "CertificateChanged")]

    aged.wait_ready()
    for margin_s in (4, 8, 16, 32):  # a slow machine reloads slowly
        ours = leaf_until(aged, tmp_path, time.time() + 30 * DAY + margin_s)
        aged.operate("reload")
        if wait_for(lambda: changes() and shown(aged)) == ours:
            break
    assert shown(aged) == ours and changes()[-1] == "reload"
    wait_for(lambda: changes()[-1] == "schedule", 60)
    wait_for(lambda: shown(aged) != ours)
    assert aged.request("GET", "/v1/models")[0] == 200
