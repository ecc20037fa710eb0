# SPDX-License-Identifier: Apache-2.0
"""Where ./dev put the servers of the tests (build/servers.json)."""

import json
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", ROOT / "build"))


def places():
    file = BUILD / "servers.json"
    if not file.exists():
        raise RuntimeError(f"{file} is missing: ./dev servers makes it")
    return json.loads(file.read_text())
