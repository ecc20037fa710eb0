# SPDX-License-Identifier: Apache-2.0
"""What is kept for users: tests/content-speed works on a database of its own."""

import os
import tempfile

from service import NotMeasured

TURNS, ROUNDS = 2000, 3


def tool(b, *args, seconds=60):
    if not (b.build / "tests" / "content-speed").is_file():
        raise NotMeasured("the build has no tests")
    with tempfile.TemporaryDirectory(prefix="sp-") as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            return b.tool(b.build / "tests" / "content-speed", *args, seconds=seconds)
        finally:
            os.chdir(here)


def content(b):
    saves, loads, seals, opens = [], [], [], []
    for _ in range(ROUNDS):
        b.need(30)
        b.raw(tempfile.gettempdir())
        r = tool(b, "turns", TURNS)
        saves.append(r["save_p50_us"] / 1000)
        loads.append(r["load_p50_us"] / 1000)
        r = tool(b, "seal")
        seals.append(r["seal_gb_s"])
        opens.append(r["open_gb_s"])
    b.put("content_save", saves, f"{TURNS} turns of 4 KB in conversations of 10, durable")
    b.put("content_load", loads)
    b.put("content_seal", seals, "a key of its own for each chunk of 256 KiB")
    b.put("content_open", opens)
    r = tool(b, "many", b.turns, seconds=900)
    b.put("content_list", [r["list_p50_us"] / 1000], f"{b.turns:,} turns are stored, filled in {r['fill_s']:.0f} s")
    b.put("content_erase", [r["erase_ms"]], "until nothing can be read, durable")
    b.put("content_rewrap", [r["rewrap_per_s"]], "in durable steps of 20 ms")
