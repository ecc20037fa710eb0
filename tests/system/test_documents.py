# SPDX-License-Identifier: Apache-2.0
"""Tables of documents that are about files, held against the files."""
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]


def test_comparisons_in_constant_time_are_listed():
    text = (ROOT / "SECURITY.md").read_text().split("## Comparisons in constant time")[1].split("\n## ")[0]
    listed = set()
    for row in re.findall(r"^\|[^|]+\|([^|]+)\|$", text, re.M):
        folder = ""
        for name in re.findall(r"`([\w/]+\.c)`", row):
            folder = name.rpartition("/")[0] or folder
            listed.add(f"{folder}/{name.rpartition('/')[2]}")
    used = {str(p.relative_to(ROOT)) for d in ("lib", "src") for p in (ROOT / d).rglob("*.c")
            if "crypto_eq(" in p.read_text()} - {"lib/crypto/init.c"}
    assert len(used) > 10 and listed == used
