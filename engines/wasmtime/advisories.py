#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cargo.lock against RustSec's advisories for the names in it.

usage: advisories.py              compare with the snapshot beside this file; 1: a finding that no exception explains
       advisories.py audit        the same by `cargo audit` and the database of today, as far as they can be had; what was
                                  used is said, and that there is no network is no failure
       advisories.py refresh DIR  make the snapshot from a checkout of rustsec/advisory-db (its git log dates it)
"""

import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
SNAPSHOT = HERE / "advisories.json"
DATABASE = os.environ.get("ADVISORY_DB", "https://github.com/RustSec/advisory-db.git")
AUDIT = "cargo-audit@0.22"
CLONE_S, INSTALL_S, AUDIT_S = 120, 900, 120
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


def read_checkout(checkout):
    """-> a snapshot of a checkout of the database"""
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
    return {"commit": commit, "date": date, "names": sorted(locked()), "advisories": rows}


def refresh(checkout):
    s = read_checkout(checkout)
    rest = ",\n".join("  " + json.dumps(row) for row in s["advisories"])
    SNAPSHOT.write_text(f'{{"commit": "{s["commit"]}",\n "date": "{s["date"]}",\n "names": {json.dumps(s["names"])},\n'
                        f' "advisories": [\n{rest}\n]}}\n')


def verdict(found, faults, summary):
    """found: [(advisory, what)]; faults: what fails in any case"""
    today = datetime.date.today().isoformat()
    for advisory, what in found:
        until, why = EXCEPTIONS.get(advisory, ("", ""))
        if today <= until:
            print(f"{what}: excepted until {until}: {why}")
        else:
            faults.append(what)
    for fault in faults:
        print(fault)
    print(f"{summary}: {len(faults)} findings")
    return 1 if faults else 0


def check(snapshot=None, what="the snapshot"):
    snapshot = snapshot or json.loads(SNAPSHOT.read_text())
    faults = [f"{name}: not in the snapshot: refresh it" for name in locked() if name not in snapshot["names"]]
    found = [(a["id"], f'{a["package"]} {version}: {a["id"]} {a["informational"]}'.rstrip())
             for a in snapshot["advisories"] for version in locked().get(a["package"], []) if hit(version, a)]
    return verdict(found, faults, f'{what} of {snapshot["date"]}, {len(snapshot["advisories"])} advisories for {len(locked())} names')


# ---- of today ----

def run(*command, seconds):
    """-> its output, or None and why it is to be done without"""
    try:
        p = subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
                           env={**os.environ, "GIT_TERMINAL_PROMPT": "0"})
    except (OSError, subprocess.TimeoutExpired) as e:
        print(f"{' '.join(command[:2])}: {e}")
        return None, 1
    if p.returncode:
        print(f"{' '.join(command[:2])}: {(p.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return p.stdout, p.returncode


def cargo_audit():
    """-> the program, installed where it is not there and can be had; None: not"""
    root = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    found = shutil.which("cargo-audit") or shutil.which("cargo-audit", path=root / "bin")
    if found or not shutil.which("cargo"):
        return found
    run("cargo", "install", "--locked", "--quiet", AUDIT, seconds=INSTALL_S)
    return shutil.which("cargo-audit", path=root / "bin")


def findings_of(report):
    """-> [(advisory, what)] of `cargo audit --json`; a version that was withdrawn from the registry is no advisory"""
    rows = report["vulnerabilities"]["list"] + [w for kind in report["warnings"].values() for w in kind if w.get("advisory")]
    return [(r["advisory"]["id"], f'{r["package"]["name"]} {r["package"]["version"]}: {r["advisory"]["id"]}') for r in rows]


def audit():
    with tempfile.TemporaryDirectory(prefix="sp-advisories-") as folder:
        checkout = pathlib.Path(folder) / "db"
        if run("git", "clone", "--quiet", "--depth", "1", DATABASE, str(checkout), seconds=CLONE_S)[1]:
            print("the database cannot be had")
            return check()
        fresh = read_checkout(checkout)
        program = cargo_audit()
        if program is None:
            print("cargo-audit cannot be had")
            return check(fresh, "the database")
        said, _ = run(program, "audit", "--json", "--no-fetch", "--db", str(checkout), "--file", str(HERE / "Cargo.lock"),
                      seconds=AUDIT_S)
        try:
            found = findings_of(json.loads(said))
        except (TypeError, ValueError, KeyError) as e:
            print(f"cargo audit says nothing that can be read: {e!r}")
            return check(fresh, "the database")
        return verdict(found, [], f'cargo audit, the database of {fresh["date"]}')


def main(arguments):
    if arguments == []:
        return check()
    if arguments == ["audit"]:
        return audit()
    if arguments[:1] == ["refresh"] and len(arguments) == 2:
        return refresh(pathlib.Path(arguments[1]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
