# SPDX-License-Identifier: Apache-2.0
"""What test_credentials.py shows in short, in full and with the settings that are the default.

Too long for every run: SALLYPORT_LONG=1 ./dev test has them, too (9 minutes)."""
import os
import time

import pytest

from credentials import CHAT, answered, key_in_vault
from instance import wait_for
from load import steady

pytestmark = [pytest.mark.skipif(os.environ.get("SALLYPORT_LONG") != "1", reason="long: SALLYPORT_LONG=1 runs it"),
              pytest.mark.timeout(900)]
SEALED_S = 300
UNUSED_WITHIN_S = 60


def unlimited(conf):
    """What one key and one user may ask for in a minute is less than what these tests ask for."""
    assert "  default: {" in conf
    return conf.replace("  default: {", "  default: { requests_per_min: 1000000,") + \
        "\nlimits: { user_requests_per_min: 1000000 }\n"


def test_vault_sealed_for_five_minutes(provider, vault, authority):
    with key_in_vault(provider, vault, authority, more=unlimited) as inst:
        with steady(inst, CHAT, 100, SEALED_S + 20) as load:
            time.sleep(5)
            vault.seal()
            try:
                time.sleep(SEALED_S)
            finally:
                vault.unseal()
        print("sealed:", load.report)
        assert load.report["failures"] == 0 and load.report["issued"] == 100 * (SEALED_S + 20), load.text
        vault.put("providers/gpt", {"key": "sk-two-0123456789"})
        provider.keys = {"sk-one-0123456789", "sk-two-0123456789"}
        wait_for(lambda: answered(inst) and provider.seen[-1].key == "sk-two-0123456789", 60)


@pytest.mark.parametrize("overlap_s", [UNUSED_WITHIN_S, 0])
def test_rotation_at_200_a_second(provider, vault, authority, overlap_s):
    with key_in_vault(provider, vault, authority, more=unlimited) as inst:
        with steady(inst, CHAT, 200, UNUSED_WITHIN_S + 20) as load:
            time.sleep(5)
            vault.put("providers/gpt", {"key": "sk-two-0123456789"})
            changed = time.monotonic()
            if overlap_s > 0:
                provider.keys = {"sk-one-0123456789", "sk-two-0123456789"}
                time.sleep(overlap_s)
            provider.keys = {"sk-two-0123456789"}
        old = [s.at for s in provider.seen if s.key == "sk-one-0123456789"]
        print("rotated:", load.report, "the old key's last use, seconds after:", max(old) - changed)
        assert load.report["failures"] == 0 and load.report["issued"] == 200 * (UNUSED_WITHIN_S + 20), load.text
        assert max(old) - changed < UNUSED_WITHIN_S
