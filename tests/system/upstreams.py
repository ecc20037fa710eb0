# SPDX-License-Identifier: Apache-2.0
"""A configuration with real providers, in place of the one that `init` wrote."""

import re

SMALL_POOLS = """sandboxes:
  python: { pool: 1, pool_data: 0 }
  javascript: { pool: 0 }
  sh: { pool: 0 }
"""


def entry(provider, authority, kind="openai", credential="none", **more):
    """The configuration's entry of a mock provider."""
    parts = {"kind": kind, "base_url": f"{provider.url}/v1", "credential": f'"{credential}"', **more}
    if provider.context:
        parts["ca_file"] = str(authority.ca)
    return "{ " + ", ".join(f"{k}: {v}" for k, v in parts.items()) + " }"


def models_at(providers, models, sandboxes=SMALL_POOLS, vault="", aws="", more=""):
    """providers: {name: entry()}; models: {alias: [(provider, model), …]} -> edit of the configuration"""
    def change(text):
        text = re.sub(r"\nsandboxes:\n(  .*\n)+", "\n" + sandboxes, text)
        named = "".join(f"  {name}: {what}\n" for name, what in providers.items())
        text = re.sub(r"\nproviders:\n", "\nproviders:\n" + named, text)
        named = "".join("  \"%s\": [ %s ]\n" % (alias, ", ".join(
            f"{{ provider: {p}, model: \"{m}\" }}" for p, m in places)) for alias, places in models.items())
        text = re.sub(r"\nmodels:\n", "\nmodels:\n" + named, text)
        for name, value in (("vault", vault), ("aws", aws)):
            if value:
                text += f"\n{name}: {value}\n"
        return text + more
    return change
