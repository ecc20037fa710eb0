#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure a built service: a table on standard output, and bench/RESULTS.md.

usage: run.py [--build DIR] [--only GROUP[,GROUP]] [--results FILE] [--seconds N] [--turns N]
"""

import argparse
import datetime
import math
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

import rows
import wasm_tools
from service import Bench, NotMeasured, ROOT, compile_tools, median

SECONDS = 900


def machine():
    """Cores, kernel, file system: nothing that names the machine."""
    model = "unknown CPU"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    fs = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", tempfile.gettempdir()],
                        capture_output=True, text=True).stdout.strip() or "an unknown file system"
    return (f"{os.cpu_count()} cores ({model}), Linux {platform.release().split('-')[0]}, "
            f"state on {fs}")


def number(value):
    if math.isnan(value):
        return "–"
    if value == int(value):
        return f"{value:,.0f}"
    for limit, digits in ((1000, 0), (100, 1), (10, 2)):
        if abs(value) >= limit:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}"


def target(row):
    if row.most is not None:
        return f"≤ {number(row.most)}"
    if row.least is not None:
        return f"≥ 1/{1 / row.least:.0f}" if row.least < 1 else f"≥ {row.least:,.0f}"
    return ""


def met(row, value):
    if row.most is None and row.least is None:
        return ""
    good = value <= row.most if row.most is not None else value >= row.least
    return "met" if good else "**not met**"


def cells(row, result, why):
    """-> figure, range, target, verdict, raw fdatasync, note"""
    if result is None:
        verdict = "not measured" if target(row) else ""
        return "–", "", target(row), verdict, "", f"not measured: {why}"
    values = result["values"]
    value = median(values)
    spread = f"{number(min(values))} – {number(max(values))}" if len(values) > 1 else ""
    raw = f"{median(result['raw']) / 1000:.3f}" if result["raw"] else ""
    unit = f" {row.unit}" if row.unit else ""
    return number(value) + unit, spread, target(row), met(row, value), raw, result["note"]


NOTES = """## Notes

100 KB prompts: the body is hashed by the gateway, for the durable record and the grant, and again by the broker, which sends
nothing that was not granted; each SHA-256 takes 47 µs here, beside TLS on both sides (nginx, which hashes nothing, needs more than
the aim by itself). Neither can go: a gateway may be hijacked, so neither its word nor a sum under a key that it holds proves
anything to the broker, and the broker's hash alone would come after the record that must name the bytes before they leave.
"""

HEADINGS = ("What", "Figure", "Lowest – highest", "Target", "", "Raw fdatasync p50, ms", "Note")


def results_md(table, about, command):
    lines = ["# Results", "",
             "Written by `./dev bench`: medians of interleaved rounds, everything on (TLS 1.3, "
             "authentication, limits, schema, durable audit). A raw fdatasync is an append of 400 bytes "
             "by `bench/fsync.c` to the disk of the audit log, between the rounds of the row it stands "
             "beside.", "",
             f"- Command: `{command}`",
             f"- Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
             f"- Machine: {about}", "",
             "| " + " | ".join(HEADINGS) + " |",
             "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in table]
    return "\n".join([*lines, "", NOTES])


def print_table(table):
    shown = [HEADINGS[:6], *[r[:6] for r in table]]
    widths = [max(len(r[i]) for r in shown) for i in range(6)]
    for r in shown:
        print("  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip())


def run_group(bench, group):
    """-> why rows of the group are missing, if any are"""
    begun = time.monotonic()
    bench.raws = []
    why = "its group did not report it"
    try:
        bench.need(10)
        rows.GROUPS[group](bench)
    except NotMeasured as e:
        why = str(e)
    except subprocess.TimeoutExpired as e:
        why = f"{pathlib.Path(e.cmd[0]).name} took longer than {e.timeout:.0f} s"
    except Exception as e:  # one broken row must not hide the others
        why = f"{type(e).__name__}: {e}"
    print(f"{group:<10} {time.monotonic() - begun:6.1f} s", file=sys.stderr)
    return re.sub(r"(/[^/\s'\":]+)+/", "", why)  # places of this machine are nobody's business


def arguments():
    p = argparse.ArgumentParser(description="measure a built service")
    p.add_argument("--build", type=pathlib.Path, default=os.environ.get("SALLYPORT_BUILD", ROOT / "build"))
    p.add_argument("--only", default=",".join(rows.GROUPS), help="groups: " + " ".join(rows.GROUPS))
    p.add_argument("--results", type=pathlib.Path, help="default: bench/RESULTS.md if all groups run")
    p.add_argument("--seconds", type=int, default=SECONDS, help="for all of it")
    p.add_argument("--turns", type=int, default=20000, help="stored, for the group content; a million takes minutes")
    args = p.parse_args()
    unknown = set(args.only.split(",")) - set(rows.GROUPS)
    if unknown:
        p.error(f"no such group: {' '.join(sorted(unknown))}")
    return args


def main():
    args = arguments()
    groups = [g for g in rows.GROUPS if g in args.only.split(",")]
    if len(groups) == len(rows.GROUPS) and args.results is None:
        args.results = ROOT / "bench" / "RESULTS.md"
    tempfile.tempdir = "/var/tmp"  # on a disk even where /tmp is memory
    about, load_before = machine(), os.getloadavg()[0]
    build = pathlib.Path(args.build).resolve()
    compile_tools(build, build / "bench")
    wasm_tools.compile_worker(build, build / "bench")
    bench = Bench(build / "bench", build, time.monotonic() + args.seconds)
    bench.turns = args.turns
    why = {g: run_group(bench, g) for g in groups}
    about += f"; load average {load_before:.1f} before"
    table = [(row.name, *cells(row, bench.results.get(row.key), why[row.group]))
             for row in rows.ROWS if row.group in groups]
    print_table(table)
    for name, *_, note in table:
        if note.startswith("not measured"):
            print(f"{name}: {note}")
    if args.results:
        command = "./dev bench" if len(groups) == len(rows.GROUPS) else f"./dev bench --only {args.only}"
        args.results.write_text(results_md(table, about, command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
