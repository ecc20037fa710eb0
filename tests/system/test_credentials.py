# SPDX-License-Identifier: Apache-2.0
"""Providers' keys out of a real Vault, with its database engine on a real PostgreSQL, and out of AWS Secrets
Manager (moto, with signatures checked): rotation under load, a sealed Vault, revoked tokens, deleted secrets.

Shortened for the test: how often a new version is looked for (vault.poll_s, aws.poll_s: 2 s instead of 20),
the time for which Vault is sealed (15 s), and the leases of the database (6 s, at most 20 s). test_credentials_long.py has the first two in full."""

import os
import signal
import time

import pytest

from credentials import CHAT, answered, ask, key_in_vault, pid_of
from instance import Instance, wait_for
from load import steady
from upstreams import entry, models_at

POLL = ", poll_s: 2 }"


def shorter(conf):
    return conf.rstrip().removesuffix("}") + POLL


@pytest.fixture
def fresh(provider, vault, authority):
    """A running instance whose provider's key lies in Vault; the key is `one`."""
    with key_in_vault(provider, vault, authority, shorter) as inst:
        yield inst


def test_rotation_with_overlap(fresh, provider, vault):
    """0 of 200 requests/s fail, and the old key is not used any more long before 60 s are over."""
    with steady(fresh, CHAT, 200, 15) as load:
        time.sleep(3)
        provider.keys = {"sk-one-0123456789", "sk-two-0123456789"}
        vault.put("providers/gpt", {"key": "sk-two-0123456789"})
        changed = time.monotonic()
        wait_for(lambda: provider.seen and provider.seen[-1].key == "sk-two-0123456789", 10)
        time.sleep(1)
        provider.keys = {"sk-two-0123456789"}
    assert load.report["failures"] == 0 and load.report["issued"] == 3000, load.text
    old = [s.at for s in provider.seen if s.key == "sk-one-0123456789"]
    assert old and max(old) - changed < 10


def test_rotation_without_overlap(provider, vault, authority):
    """The old key ends at the moment when the new one is there: a 401 fetches it, long before the next look would."""
    with key_in_vault(provider, vault, authority) as inst, steady(inst, CHAT, 200, 8) as load:
        time.sleep(2)
        vault.put("providers/gpt", {"key": "sk-two-0123456789"})
        provider.keys = {"sk-two-0123456789"}
    assert load.report["failures"] == 0, load.text
    refused = [s for s in provider.seen if s.status == 401]
    assert refused, "the old key was tried"
    assert max(s.at for s in refused) - min(s.at for s in refused) < 2


def test_vault_sealed(fresh, provider, vault):
    with steady(fresh, CHAT, 50, 18) as load:
        time.sleep(1)
        vault.seal()
        try:
            time.sleep(15)
        finally:
            vault.unseal()
    assert load.report["failures"] == 0, load.text
    # … and afterwards versions are looked for again.
    vault.put("providers/gpt", {"key": "sk-two-0123456789"})
    provider.keys = {"sk-one-0123456789", "sk-two-0123456789"}
    wait_for(lambda: answered(fresh) and provider.seen[-1].key == "sk-two-0123456789", 40)


def test_token_revoked(fresh, provider, vault):
    """One new login; no request notices."""
    logins = [p for _, p, _ in vault.audit() if p == "auth/approle/login"]
    with steady(fresh, CHAT, 50, 8) as load:
        time.sleep(1)
        vault.revoke_all_tokens()
        vault.put("providers/gpt", {"key": "sk-two-0123456789"})
        provider.keys = {"sk-one-0123456789", "sk-two-0123456789"}
    assert load.report["failures"] == 0, load.text
    wait_for(lambda: answered(fresh) and provider.seen[-1].key == "sk-two-0123456789", 40)
    again = [p for _, p, _ in vault.audit() if p == "auth/approle/login"]
    assert len(logins) < len(again) <= len(logins) + 2


def test_secret_deleted(fresh, provider, vault):
    """Deleted means deleted: requests are refused, clearly; a new version serves again."""
    vault.delete("providers/gpt")
    wait_for(lambda: not answered(fresh), 40)
    status, _, answer = ask(fresh)
    assert status == 503 and "error" in answer, answer
    assert "sk-one" not in str(answer) and "secret/" not in str(answer)
    vault.put("providers/gpt", {"key": "sk-one-0123456789"})
    wait_for(lambda: answered(fresh), 60)


def of_type(inst, kind):
    return [r for r in inst.records() if r["event"]["type"] == kind]


def assert_balanced(inst):
    records = inst.records()
    intents = sorted(r["seq"] for r in records if r.get("phase") == "intent")
    assert intents == sorted(r["intent_seq"] for r in records if r.get("phase") == "outcome")
    assert inst.verify().returncode == 0


def test_every_access_is_recorded(fresh, vault):
    vault.put("providers/gpt", {"key": "sk-two-0123456789"})
    wait_for(lambda: len(of_type(fresh, "SecretAccessed")) == 4, 40)
    intent, outcome = of_type(fresh, "SecretAccessed")[:2]
    assert (intent["phase"], outcome["phase"], outcome["intent_seq"]) == ("intent", "outcome", intent["seq"])
    assert intent["event"] == {"type": "SecretAccessed", "secret": "vault:secret/providers/gpt#key", "why": "start"}
    assert outcome["outcome"] == "success" and outcome["event"]["version"]
    begun, login = of_type(fresh, "SecretLogin")
    assert begun["event"] == {"type": "SecretLogin", "source": "vault", "operation": "login", "method": "approle"}
    assert login["outcome"] == "success" and 0 < login["event"]["lease_s"] <= 600
    assert intent["seq"] < begun["seq"] < login["seq"] < outcome["seq"]
    fresh.stop()
    out = of_type(fresh, "SecretLogin")[-1]
    assert out["event"]["operation"] == "logout" and out["outcome"] == "success"
    assert_balanced(fresh)
    assert "sk-one" not in str(fresh.records()) and "sk-two" not in str(fresh.records())


def test_without_a_record_no_secret_is_read(fresh, provider, vault):
    """Audit hangs: neither the new version is read, nor a lost token replaced; then both are."""
    def asked():
        return [p for _, p, _ in vault.audit()
                if p.startswith(("secret/data/", "auth/approle/login", "sys/wrapping/unwrap"))]

    audit = pid_of(fresh, "audit")
    before = len(asked())
    os.kill(audit, signal.SIGSTOP)
    try:
        provider.keys = {"sk-one-0123456789", "sk-two-0123456789"}
        vault.put("providers/gpt", {"key": "sk-two-0123456789"})
        time.sleep(3)               # the version is looked for: that reads no secret
        vault.revoke_all_tokens()
        time.sleep(4)               # a process that says nothing for ten seconds is killed
        assert len(asked()) == before
    finally:
        os.kill(audit, signal.SIGCONT)
    fresh.wait_ready()
    time.sleep(1.1)
    wait_for(lambda: answered(fresh) and provider.seen[-1].key == "sk-two-0123456789", 40)
    assert len(asked()) > before
    fresh.stop()
    assert_balanced(fresh)


def test_a_broker_that_dies_leaves_no_intent_open(fresh, vault):
    for _ in range(4):
        vault.put("providers/gpt", {"key": "sk-one-0123456789"})
        os.kill(pid_of(fresh, "broker"), signal.SIGKILL)
        wait_for(lambda: answered(fresh), 30)
    fresh.stop()
    assert_balanced(fresh)


def test_dynamic_credentials(provider, vault, postgres, authority):
    """A database's password as the provider's key: leased, renewed, replaced in time, revoked at the end."""
    provider.forget()
    provider.keys = None
    vault.database(postgres, ttl="6s", max_ttl="20s")
    inst = Instance()
    try:
        inst.edit(models_at({"real": entry(provider, authority,
                                           credential="vault:database/creds/app#password")},
                            {"gpt": [("real", "gpt-real")]}, vault=shorter(vault.approle(inst.dir))))
        inst.start()
        wait_for(lambda: answered(inst), 60)
        first = provider.seen[-1].key
        end = time.monotonic() + 26
        while time.monotonic() < end:
            assert answered(inst)
            # Whatever is used is alive in the database at that moment.
            assert any(postgres.login(role, provider.seen[-1].key) == "" for role in postgres.roles())
            time.sleep(0.5)
        assert provider.seen[-1].key != first
        assert any(p == "sys/leases/renew" for _, p, _ in vault.audit())
        inst.stop()
        wait_for(lambda: postgres.roles() == [], 30)
    finally:
        print(inst.text_log())
        inst.remove()


def test_a_lease_that_was_replaced_is_revoked(provider, vault, postgres, authority):
    """… soon, not at its end in ten minutes, and not before the last request with it is over."""
    provider.forget()
    provider.keys = None
    vault.database(postgres, role="long", ttl="10m", max_ttl="30m")
    inst = Instance()
    try:
        inst.edit(models_at({"real": entry(provider, authority,
                                           credential="vault:database/creds/long#password")},
                            {"gpt": [("real", "gpt-real")]}, vault=shorter(vault.approle(inst.dir))))
        inst.start()
        wait_for(lambda: answered(inst), 60)
        old = postgres.roles()
        assert len(old) == 1
        provider.keys = set()           # refuses it: it is read anew
        ask(inst)
        provider.keys = None
        wait_for(lambda: len(postgres.roles()) == 2 or postgres.roles() != old, 60)
        wait_for(lambda: len(postgres.roles()) == 1, 90)
        assert postgres.roles() != old and answered(inst)
        assert any(p == "sys/leases/revoke" for _, p, _ in vault.audit())
        done = [r for r in of_type(inst, "SecretLease") if r["event"]["operation"] == "revoke"]
        assert done and {r["outcome"] for r in done if r["phase"] == "outcome"} == {"success"}
        inst.stop()
        wait_for(lambda: postgres.roles() == [], 30)
        assert_balanced(inst)
    finally:
        print(inst.text_log())
        inst.remove()


ROLE = "arn:aws:iam::123456789012:role/broker"
AWS_KEYS = {
    "shared_file": lambda aws, folder: f"shared_file: {aws.shared_file(folder)}",
    "imds": lambda aws, folder: f"imds_endpoint: \"{aws.plain}\", allow_plain_loopback: true",
    "container": lambda aws, folder: f"container: {{ uri: \"{aws.container}\", token_file: "
                 f"{written(folder, aws.container_token)} }}, allow_plain_loopback: true",
    "web_identity": lambda aws, folder: f"sts_endpoint: {aws.endpoint}, web_identity: {{ role_arn: \"{ROLE}\", "
                    f"token_file: {written(folder, 'x.y.z')} }}",
}


def written(folder, text):
    file = folder / "token"
    file.touch(0o600)
    file.write_text(text)
    return file


def aws_conf(aws, authority, kind, folder):
    return (f"{{ region: eu-central-1, endpoint: {aws.endpoint}, ca_file: {authority.ca}, credentials: {kind}, "
            f"{AWS_KEYS[kind](aws, folder)}{POLL}")


@pytest.fixture
def in_aws(provider, aws, authority, request):
    provider.forget()
    name = f"gpt/{time.monotonic_ns()}"
    aws.create(name, {"key": "sk-one-0123456789"})
    provider.keys = {"sk-one-0123456789"}
    inst = Instance()
    inst.edit(models_at(
        {"real": entry(provider, authority, credential=f"aws-sm:{name}#key")},
        {"gpt": [("real", "gpt-real")]},
        aws=aws_conf(aws, authority, getattr(request, "param", "shared_file"), inst.dir)))
    inst.secret = name
    try:
        inst.start()
        wait_for(lambda: answered(inst), 60)
        yield inst
        assert [e["refused"] for e in aws.log() if e["refused"]] == []
    except BaseException:
        print(inst.text_log())
        raise
    finally:
        inst.remove()
        provider.keys = None


def test_aws_rotation(in_aws, provider, aws):
    with steady(in_aws, CHAT, 100, 6) as load:
        time.sleep(1)
        aws.rotate(in_aws.secret, {"key": "sk-two-0123456789"})
        provider.keys = {"sk-two-0123456789"}
    assert load.report["failures"] == 0, load.text
    assert provider.seen[-1].key == "sk-two-0123456789"


@pytest.mark.parametrize("in_aws", AWS_KEYS, indirect=True)
def test_aws_keys(in_aws, provider, aws):
    """From wherever AWS hands them out."""
    assert answered(in_aws) and provider.seen[-1].key == "sk-one-0123456789"
    assert any(e["target"].startswith("secretsmanager.Get") and not e["refused"] for e in aws.log())


def test_aws_previous(in_aws, provider, aws):
    """AWSCURRENT is ahead of the provider: AWSPREVIOUS is tried."""
    aws.rotate(in_aws.secret, {"key": "sk-two-0123456789"})
    provider.keys = {"sk-one-0123456789"}
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert answered(in_aws)
        time.sleep(0.2)
    provider.keys = {"sk-two-0123456789"}
    wait_for(lambda: answered(in_aws), 60)


def test_aws_throttling(in_aws, provider, aws):
    """Told to slow down and failing for a moment: what is cached serves."""
    aws.fail_next((400, "ThrottlingException"), (500, "InternalServiceError"))
    with steady(in_aws, CHAT, 50, 8) as load:
        pass
    assert load.report["failures"] == 0, load.text


@pytest.mark.parametrize("ahead_s, kind", [(3000, "RequestTimeTooSkewed"), (-3000, "InvalidSignatureException"),
                                           (900, "RequestExpired")])
def test_aws_clock(provider, aws, authority, tmp_path, ahead_s, kind):
    """Our clock is wrong: AWS's own Date, in its refusal, sets it right, once; a new version is found, too."""
    provider.forget()
    name = f"gpt/{time.monotonic_ns()}"
    aws.create(name, {"key": "sk-one-0123456789"})
    provider.keys = {"sk-one-0123456789"}
    inst = Instance()
    inst.edit(models_at({"real": entry(provider, authority, credential=f"aws-sm:{name}#key")},
                        {"gpt": [("real", "gpt-real")]}, aws=aws_conf(aws, authority, "shared_file", inst.dir)))
    before = len(aws.log())
    aws.set_clock(ahead_s, kind)
    try:
        inst.start()
        wait_for(lambda: answered(inst), 60)
        mine = aws.log()[before:]
        assert [e["refused"].split(":")[0] for e in mine if e["refused"]] == [kind], "once"
        assert "our clock is off by" in inst.text_log()
        aws.rotate(name, {"key": "sk-two-0123456789"})
        provider.keys = {"sk-one-0123456789", "sk-two-0123456789"}
        wait_for(lambda: answered(inst) and provider.seen[-1].key == "sk-two-0123456789", 60)
        assert len([e for e in aws.log()[before:] if e["refused"]]) == 1
        # AWS's clock is set back to ours: the same again.
        aws.set_clock(0)
        aws.rotate(name, {"key": "sk-three-0123456789"})
        provider.keys = {"sk-two-0123456789", "sk-three-0123456789"}
        wait_for(lambda: answered(inst) and provider.seen[-1].key == "sk-three-0123456789", 60)
    except BaseException:
        print(inst.text_log())
        raise
    finally:
        aws.set_clock(0)
        inst.remove()
        provider.keys = None


def test_aws_refuses_without_a_date(provider, aws, authority):
    """A refusal that blames the clock, but whose Date is ours: it is not the clock, and is not tried for ever."""
    provider.forget()
    name = f"gpt/{time.monotonic_ns()}"
    aws.create(name, {"key": "sk-one-0123456789"})
    inst = Instance()
    inst.edit(models_at({"real": entry(provider, authority, credential=f"aws-sm:{name}#key")},
                        {"gpt": [("real", "gpt-real")]}, aws=aws_conf(aws, authority, "shared_file", inst.dir)))
    before = len(aws.log())
    aws.fail_next(*[(403, "RequestTimeTooSkewed")] * 20)
    begun = time.monotonic()
    try:
        inst.start()
        time.sleep(3)
        assert len(aws.log()) - before <= 2 + (time.monotonic() - begun) // 15  # who said no is asked again after fifteen seconds
        assert "our clock is off by" not in inst.text_log()
        assert ask(inst)[0] == 503
    finally:
        inst.remove()
        with open(aws.dir / "faults", "w", encoding="utf-8"):
            pass
