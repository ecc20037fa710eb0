# SPDX-License-Identifier: Apache-2.0
"""The lock file against advisories (engines/wasmtime/advisories.py): what is used where what can be had."""

import json
import os
import pathlib
import re
import stat
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parents[2] / "engines/wasmtime"
NAME, VERSION = re.search(r'name = "(wasmtime)"\nversion = "(.*?)"', (HERE / "Cargo.lock").read_text()).groups()
ADVISORY = f"""```toml
[advisory]
id = "RUSTSEC-2099-0001"
package = "{NAME}"

[versions]
patched = [">= 999.0.0"]
```
"""


def program(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def place(tmp_path):
    """A database and a PATH: place.audit() -> status, lines"""
    class Place:
        database, bin = tmp_path / "db", tmp_path / "bin"

        def add(self, text=ADVISORY):
            (self.database / "crates" / NAME).mkdir(parents=True)
            (self.database / "crates" / NAME / "RUSTSEC-2099-0001.md").write_text(text)
            for command in (("init", "-q"), ("add", "-A"), ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t")):
                subprocess.run(["git", "-C", str(self.database), *command], check=True)

        def audit(self):
            p = subprocess.run([HERE / "advisories.py", "audit"], capture_output=True, text=True, timeout=60, env={
                "PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(tmp_path), "CARGO_HOME": str(tmp_path / "none"),
                "ADVISORY_DB": f"file://{self.database}", "PYTHONDONTWRITEBYTECODE": "1"})
            assert p.stderr == "", p.stderr
            return p.returncode, p.stdout.splitlines()

    made = Place()
    made.bin.mkdir()
    program(made.bin / "cargo", "exit 1\n")     # nothing can be installed
    return made


def test_without_a_database(place):
    status, said = place.audit()
    assert status == 0 and "the database cannot be had" in said and said[-1].startswith("the snapshot of "), said


def test_without_the_program(place):
    place.add()
    status, said = place.audit()
    assert status == 1 and f"{NAME} {VERSION}: RUSTSEC-2099-0001" in said and said[-1].startswith("the database of "), said


def report(*found, **warnings):
    row = [{"advisory": {"id": i}, "package": {"name": NAME, "version": VERSION}} for i in found]
    return json.dumps({"vulnerabilities": {"list": row}, "warnings": warnings})


@pytest.mark.parametrize("what, says, findings, used", [
    ("nothing", report(), 0, "cargo audit"),
    ("one", report("RUSTSEC-2099-0002"), 1, "cargo audit"),
    ("a warning", report(unmaintained=[{"advisory": {"id": "RUSTSEC-1"}, "package": {"name": "n", "version": "1"}}]), 1, "cargo audit"),
    ("withdrawn", report(yanked=[{"advisory": None, "package": {"name": "n", "version": "1"}}]), 0, "cargo audit"),
    ("no report", "error: a fault", 1, "the database"),
])
def test_with_the_program(place, what, says, findings, used):
    place.add()
    (place.bin / "report").write_text(says)
    program(place.bin / "cargo-audit", f'[ "$1" = audit ] || exit 3\ncat {place.bin}/report\nexit {findings}\n')
    status, said = place.audit()
    assert (status, said[-1].startswith(used), said[-1].endswith(f": {findings} findings")) == (findings > 0, True, True), said


def test_the_snapshot_is_clean():
    assert os.access(HERE / "advisories.py", os.X_OK)
    assert subprocess.run([HERE / "advisories.py"], capture_output=True, timeout=60).returncode == 0
