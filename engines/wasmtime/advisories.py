#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cargo.lock against RustSec's advisories for the names in it.

usage: advisories.py              compare with the snapshot beside this file; 1: a finding that no exception explains
       advisories.py refresh DIR  make the snapshot from a checkout of rustsec/advisory-db (its git log dates it)
"""

import datetime
import json
import pathlib
import re
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
SNAPSHOT = HERE / "advisories.json"
# {advisory: (last day on which it holds, why it does not concern us)}
EXCEPTIONS = {}


def locked():
    """{name: [version, …]} of Cargo.lock, without our own crate."""
    found = {}
    for package in tomllib.loads((HERE / "Cargo.lock").read_text())["package"]:
        if "source" in package:
            found.setdefault(package["name"], []).append(package["version"])
    return found


def order(version):
    """A key of a version; a pre-release comes before its release."""
    core, _, pre = version.partition("+")[0].partition("-")
    numbers = [int(n) for n in core.split(".")]
    return numbers + [0] * (3 - len(numbers)), pre == "", pre


def caret_end(numbers):
    for i, n in enumerate(numbers):
        if n or i == len(numbers) - 1:
            return numbers[:i] + [n + 1]
    return numbers


def matches(version, requirement):
    """Cargo's requirements, as far as advisories use them: comma-separated comparators."""
    for part in requirement.split(","):
        operator, text = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~|)\s*(\d[\w.+-]*)\s*", part).groups()
        have, want = order(version), order(text)
        numbers = [int(n) for n in text.partition("-")[0].split(".")]
        end = {"^": caret_end, "": caret_end, "~": lambda n: n[:1] + [n[1] + 1] if len(n) > 1 else [n[0] + 1]}
        good = {">=": have >= want, "<=": have <= want, ">": have > want, "<": have < want, "=": have == want}
        if operator in good:
            if not good[operator]:
                return False
        elif not want <= have < (order(".".join(map(str, end[operator](numbers))))[0], False, ""):
            return False
    return True


def hit(version, advisory):
    return not any(matches(version, r) for r in advisory["patched"] + advisory["unaffected"])


def refresh(checkout):
    rows = []
    for name in sorted(locked()):
        for path in sorted((checkout / "crates" / name).glob("RUSTSEC-*.md")):
            head = tomllib.loads(re.match(r"```toml\n(.*?)```", path.read_text(), re.S)[1])
            advisory, versions = head["advisory"], head["versions"]
            if "withdrawn" not in advisory:
                rows.append({"id": advisory["id"], "package": name, "informational": advisory.get("informational", ""),
                             "patched": versions.get("patched", []), "unaffected": versions.get("unaffected", [])})
    log = subprocess.run(["git", "-C", str(checkout), "log", "-1", "--format=%H %cs"], capture_output=True, text=True, check=True)
    commit, date = log.stdout.split()
    rest = ",\n".join("  " + json.dumps(row) for row in rows)
    SNAPSHOT.write_text(f'{{"commit": "{commit}",\n "date": "{date}",\n "names": {json.dumps(sorted(locked()))},\n'
                        f' "advisories": [\n{rest}\n]}}\n')


def check():
    snapshot = json.loads(SNAPSHOT.read_text())
    today = datetime.date.today().isoformat()
    faults = [f"{name}: not in the snapshot: refresh it" for name in locked() if name not in snapshot["names"]]
    for advisory in snapshot["advisories"]:
        for version in locked().get(advisory["package"], []):
            until, why = EXCEPTIONS.get(advisory["id"], ("", ""))
            if not hit(version, advisory):
                continue
            what = f'{advisory["package"]} {version}: {advisory["id"]} {advisory["informational"]}'.rstrip()
            if today <= until:
                print(f"{what}: excepted until {until}: {why}")
            else:
                faults.append(what)
    for fault in faults:
        print(fault)
    print(f'{len(snapshot["advisories"])} advisories of {snapshot["date"]} for {len(locked())} names: {len(faults)} findings')
    return 1 if faults else 0


def main(arguments):
    if arguments == []:
        return check()
    if arguments[:1] == ["refresh"] and len(arguments) == 2:
        return refresh(pathlib.Path(arguments[1]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
