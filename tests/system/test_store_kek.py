# SPDX-License-Identifier: Apache-2.0
"""The key over all that is stored, wrapped by a real Vault's transit engine or by KMS (moto): the disk alone is worth
nothing, Vault may be away once the database is open, and another `store.kek` carries the keys over."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess

import pytest

from credentials import pid_of
from instance import Instance, wait_for
from vault import POLICY

KEY = "vault:team/transit/sallyport"
DERIVED = "vault:team/transit/derived"
FORGOTTEN = "vault:team/transit/forgotten"
POOLS = "sandboxes:\n  python: { pool: 1, pool_data: 0 }\n  javascript: { pool: 0 }\n  sh: { pool: 0 }\n"
TRANSIT = "".join(f'path "team/transit/{act}/{key}" {{ capabilities = ["update"] }}\n'
                  for act in ("encrypt", "decrypt", "rewrap") for key in ("sallyport", "derived", "forgotten"))


@pytest.fixture(scope="module")
def transit(vault):
    vault.call("POST", "sys/mounts/team/transit", {"type": "transit"})
    vault.call("POST", "team/transit/keys/sallyport", {"type": "aes256-gcm96"})
    vault.call("POST", "team/transit/keys/derived", {"type": "chacha20-poly1305", "derived": True})
    vault.call("POST", "team/transit/keys/forgotten", {"type": "aes256-gcm96"})
    vault.call("PUT", "sys/policies/acl/broker", {"policy": POLICY + TRANSIT})
    return vault


@pytest.fixture(scope="module")
def kms(aws):
    return "aws-kms:" + aws.call("TrentService.CreateKey", {}, service="kms")["KeyMetadata"]["Arn"]


def settings(kek, before=None, vault=None, aws=None):
    """-> edit of the configuration: what wraps the key, and where that is"""
    def change(text):
        text = re.sub(r"\n# kek\n.*\n# end\n", "\n", text, flags=re.S)
        text = re.sub(r"\nsandboxes:\n(  .*\n)+", "\n" + POOLS, text)
        text += f"\n# kek\nstore:\n  kek: {kek}\n" + (f"  kek_before: {before}\n" if before else "")
        text += (f"vault: {vault}\n" if vault else "") + (f"aws: {aws}\n" if aws else "")
        return text + "# end\n"
    return change


def aws_at(aws, folder):
    return (f"{{ region: eu-central-1, endpoint: {aws.endpoint}, kms_endpoint: {aws.endpoint}, "
            f"ca_file: {aws.authority.ca}, shared_file: {aws.shared_file(folder)} }}")


def kek(inst, *args, **kw):
    return json.loads(inst.operate("kek", *args, "--json", **kw).stdout)


def carried_over(inst):
    wait_for(lambda: kek(inst, "status")["wrapped_by_others"] == 0, 60)
    return kek(inst, "status")


def rows(inst):
    """[(version, by what, wrapped)], of a service that is stopped"""
    with sqlite3.connect(f"file:{inst.dir}/store/store.db?mode=ro&immutable=1", uri=True) as db:
        return db.execute("SELECT version, wrapper, wrapped FROM keks ORDER BY version").fetchall()


def ready(inst):
    status, body = inst.management("GET", "/readyz")
    return status, json.loads(body)


def store_key(inst):
    """What keeps the store shut, of a service that is not ready; None: nothing, or it does not say so yet."""
    with contextlib.suppress(OSError):
        status, body = ready(inst)
        return body["store_key"] if status == 503 else None


def works(inst, key=None):
    return inst.request("GET", "/v1/models", key=key)[0] == 200


def accesses(inst, reference):
    return [r for r in inst.records() if r["event"]["type"] == "SecretAccessed" and r["event"]["secret"] == reference]


@pytest.fixture
def make():
    made = []

    def one(edit=None):
        made.append(Instance(edit=edit))
        return made[-1]
    yield one
    for inst in made:
        if inst.proc:
            print(inst.text_log()[-4000:])
        inst.remove()


def test_a_disk_with_its_master_key_does_not_open(transit, make, tmp_path):
    """… without Vault. It never held a wrapping that master.key opens."""
    inst = make()
    inst.edit(settings(KEY, vault=transit.approle(inst.dir, wrapped=False)))
    inst.start()
    mine = inst.operate("key", "create", "-T", "t", "-u", "u").stdout.strip()
    assert works(inst, mine) and kek(inst, "status")["wrapper"] == KEY
    assert inst.operate("kek", "status").stdout.splitlines()[1].split() == ["wrapped", "by", KEY]
    out = inst.operate("backup", str(tmp_path / "backup")).stdout
    assert f"to restore it takes this master.key, and {KEY}" in out
    assert inst.stop() == 0
    (version, by, wrapped), = rows(inst)
    assert (version, by) == (1, KEY) and wrapped.startswith(b"vault:v1:")
    begun = [(r["phase"], r["event"].get("why"), r["event"].get("version")) for r in accesses(inst, KEY)]
    assert begun[:4] == [("intent", "wrap", None), ("outcome", "wrap", "1"),
                         ("intent", "unwrap", None), ("outcome", "unwrap", "1")]
    assert inst.verify().returncode == 0

    thief = Instance.__new__(Instance)
    thief.__dict__.update(inst.__dict__, top=tmp_path, dir=tmp_path / "state", conf=tmp_path / "state/sallyport.yaml")
    subprocess.run(["cp", "-a", inst.dir, thief.dir], check=True)
    thief.edit(settings("local"))
    try:
        with pytest.raises(TimeoutError):
            thief.start(timeout=4)
        wait_for(lambda: store_key(thief) == "denied")
        assert "neither store.kek nor store.kek_before" in thief.text_log()
        thief.stop()
        # The row may say what it likes.
        with sqlite3.connect(thief.dir / "store/store.db") as db:
            db.execute("UPDATE keks SET wrapper = 'local'")
        with pytest.raises((RuntimeError, TimeoutError)):
            thief.start(timeout=4)
        wait_for(lambda: "cannot be opened" in thief.text_log())
    finally:
        thief.stop()

    # With Vault, a backup opens.
    out = inst.operate("restore", str(tmp_path / "backup")).stdout
    assert f"{KEY} (store.kek)" in out and "store.kek_before" in out
    inst.start()
    assert works(inst, mine)


def test_vault_away(transit, make):
    """While the service runs nobody notices; a start waits for it, and says so."""
    inst = make()
    inst.edit(settings(DERIVED, vault=transit.approle(inst.dir, "away", wrapped=False)))
    inst.start()
    mine = inst.operate("key", "create", "-T", "t", "-u", "u").stdout.strip()
    transit.seal()
    for i in range(5):
        other = inst.operate("key", "create", "-T", f"t{i}", "-u", "u").stdout.strip()
        assert works(inst, mine) and works(inst, other)
        assert inst.chat("hello", tools=False)[0] == 200
    refused = inst.operate("kek", "rotate", check=False)
    assert refused.returncode == 1 and "What wraps the new key did not do it" in refused.stderr
    status = kek(inst, "status")
    assert status["version"] == 1 and status["wrapper_fault"] in ("sealed", "unreachable")
    inst.stop()

    with pytest.raises(TimeoutError):
        inst.start(timeout=3)
    wait_for(lambda: store_key(inst))
    status, body = ready(inst)
    assert status == 503 and "store" in body["missing"] and body["store_key"] in ("sealed", "unreachable", "login")
    assert json.loads(inst.management("GET", "/status")[1])["store_key"] == body["store_key"]
    assert inst.request("GET", "/v1/models", key=mine)[0] == 503
    transit.unseal()
    inst.wait_ready(90)
    assert ready(inst)[1]["store_key"] is None and works(inst, mine) and works(inst, other)
    faults = [r["event"].get("fault") for r in accesses(inst, DERIVED) if r["phase"] == "outcome"]
    assert faults[-1] is None and any(faults)

    # A store that died opens it again, while those who are known go on.
    transit.seal()
    old = pid_of(inst, "store")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: ready(inst)[1]["store_key"] is not None, 40)
    assert works(inst, mine)
    transit.unseal()
    wait_for(lambda: ready(inst)[1]["store_key"] is None, 90)
    assert inst.operate("key", "create", "-T", "t9", "-u", "u").stdout.startswith("sp_")
    assert inst.verify().returncode == 0


def test_keys_are_carried_over(transit, aws, kms, make, tmp_path):
    """local -> Vault -> KMS -> local; rotated in each; what was before is nowhere on the disk."""
    def start(*args, **kw):
        inst.stop()
        was = rows(inst) if (inst.dir / "store/store.db").exists() else []
        inst.edit(settings(*args, **kw))
        inst.start()
        status = carried_over(inst)
        assert status["wrapper"] == args[0] and status["wrapper_fault"] is None and works(inst, mine)
        for file in (inst.dir / "store").glob("store.db*"):
            for version, by, wrapped in was:
                assert by == args[0] or wrapped not in file.read_bytes(), (file, version, by)
        return status

    def rotate():
        before = kek(inst, "status")["version"]
        assert kek(inst, "rotate")["version"] == before + 1
        wait_for(lambda: kek(inst, "status")["under_way"] == "none", 60)
        assert kek(inst, "status")["versions"] == 1 and works(inst, mine)

    inst = make(settings("local"))
    inst.start()
    mine = inst.operate("key", "create", "-T", "t", "-u", "u").stdout.strip()
    rotate()
    of_vault, of_aws = transit.approle(inst.dir, "over", wrapped=False), aws_at(aws, inst.dir)
    start(KEY, vault=of_vault)
    rotate()
    # Vault's own key rotates: what is stored follows, and the version before may go.
    transit.call("POST", "team/transit/keys/sallyport/rotate", {})
    rotate()
    inst.stop()
    assert [(by, wrapped[:9]) for _, by, wrapped in rows(inst)] == [(KEY, b"vault:v2:")]
    transit.call("POST", "team/transit/keys/sallyport/config", {"min_decryption_version": 2})
    inst.start()
    assert works(inst, mine)

    # Without `kek_before` it says what it lacks, and serves nothing.
    inst.stop()
    inst.edit(settings(kms, aws=of_aws))
    with pytest.raises(TimeoutError):
        inst.start(timeout=3)
    wait_for(lambda: store_key(inst) == "denied")
    assert f"is wrapped by {KEY}, which is neither store.kek nor store.kek_before" in inst.text_log()
    start(kms, before=KEY, vault=of_vault, aws=of_aws)
    rotate()
    start(kms, aws=of_aws)      # Vault is not needed any more
    asked = [json.loads(e["body"]) for e in aws.log() if e["target"].startswith("TrentService.")]
    contexts = {json.dumps(a.get("EncryptionContext") or a["SourceEncryptionContext"], sort_keys=True) for a in asked}
    stores = {json.loads(c)["sallyport:store"] for c in contexts}
    assert len(stores) == 1 and {json.loads(c)["sallyport:kek"] for c in contexts} >= {"4", "5"}
    start("local", before=kms, aws=of_aws)
    start("local")
    rotate()
    inst.stop()
    assert [by for _, by, _ in rows(inst)] == ["local"]
    whys = {r["event"]["why"] for ref in (KEY, kms) for r in accesses(inst, ref)}
    assert whys == {"wrap", "unwrap", "rewrap"}
    assert inst.verify().returncode == 0


def test_a_backup_from_before_an_erasure_is_shut(transit, make, tmp_path):
    """As docs/privacy.md says: a new version in Vault, a new key here, and no decryption with the version before."""
    def readable():
        return inst.request("GET", f"/v1/conversations/{said}/items", key=mine)[0] == 200

    inst = make()
    inst.edit(settings(FORGOTTEN, vault=transit.approle(inst.dir, "forgotten", wrapped=False)))
    inst.start()
    mine = inst.operate("key", "create", "-T", "t", "-u", "u").stdout.strip()
    said = inst.request("POST", "/v1/conversations", {"items": [{"role": "user", "content": "x"}]}, key=mine)[2]["id"]
    inst.operate("backup", str(tmp_path / "backup"))
    inst.operate("user", "erase", "t/u")
    inst.stop()
    inst.operate("restore", str(tmp_path / "backup"))
    inst.start()
    assert readable(), "until it is shut"
    inst.operate("user", "erase", "t/u")
    transit.call("POST", "team/transit/keys/forgotten/rotate", {})
    assert kek(inst, "rotate")["version"] == 2
    wait_for(lambda: kek(inst, "status")["under_way"] == "none", 60)
    transit.call("POST", "team/transit/keys/forgotten/config", {"min_decryption_version": 2})
    inst.stop()
    inst.start()
    assert works(inst) and not readable()
    inst.stop()
    inst.operate("restore", str(tmp_path / "backup"))
    with pytest.raises(TimeoutError):
        inst.start(timeout=4)
    wait_for(lambda: store_key(inst) in ("denied", "invalid"))
    assert inst.request("GET", "/v1/models", key=mine)[0] == 503


def test_a_new_store_under_kms(aws, kms, make):
    inst = make()
    inst.edit(settings(kms, aws=aws_at(aws, inst.dir)))
    inst.start()
    assert works(inst) and kek(inst, "status")["wrapper"] == kms
    inst.stop()
    assert [by for _, by, _ in rows(inst)] == [kms]
    inst.start()
    assert works(inst)


def test_what_is_no_wrapper_is_refused(make):
    inst = make()
    for bad in ("transit/x", "vault:x", "aws-kms:x", "vault:t/../x", '"vault:t/x#f"', "Local"):
        inst.edit(settings(bad))
        r = inst.cli("config", "check", str(inst.conf), check=False)
        assert r.returncode == 1 and "store.kek: expects" in r.stderr, r.stderr
    inst.edit(settings("vault:t/x"))
    r = inst.cli("serve", "-c", str(inst.conf), check=False)
    assert r.returncode == 1 and "vault: is missing, and store.kek is in Vault" in r.stderr, r.stderr
