# SPDX-License-Identifier: Apache-2.0
"""Instances whose providers' keys lie in Vault, for the tests of credentials."""
import contextlib
import json

from instance import Instance, wait_for
from upstreams import entry, models_at

CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "Hi."}]}


def ask(inst):
    return inst.request("POST", "/v1/chat/completions", CHAT)


def answered(inst):
    return ask(inst)[0] == 200


def pid_of(inst, name):
    status = json.loads(inst.management("GET", "/status")[1])
    return next(p["pid"] for p in status["processes"] if p["name"] == name and p["up"])


@contextlib.contextmanager
def key_in_vault(provider, vault, authority, settings=lambda conf: conf, more=lambda conf: conf):
    """A running instance whose provider's key lies in Vault; the key is `one`. `settings`: of Vault, `more`: all."""
    provider.forget()
    vault.put("providers/gpt", {"key": "sk-one-0123456789"})
    provider.keys = {"sk-one-0123456789"}
    inst = Instance()
    inst.edit(models_at({"real": entry(provider, authority, credential="vault:secret/providers/gpt#key")},
                        {"gpt": [("real", "gpt-real")]}, vault=settings(vault.approle(inst.dir))))
    inst.edit(more)
    try:
        inst.start()
        wait_for(lambda: answered(inst), 60)
        yield inst
        assert provider.refused() == []
    except BaseException:
        print(inst.text_log())
        raise
    finally:
        inst.remove()
        provider.keys = None
