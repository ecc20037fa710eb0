# SPDX-License-Identifier: Apache-2.0
"""The sandbox image: built twice from one package set it is the same, and its manifest tells what is in it."""
import hashlib
import json
import os
import subprocess

from guest_driver import ROOT, load_engines

ENGINES = load_engines()


def test_the_same_package_set_gives_the_same_bytes():
    done = subprocess.run([f"{ROOT}/guest/test-reproducible", ENGINES["package_set"], ENGINES["image"]],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_manifest_names_what_is_in_the_image():
    with open(ENGINES["manifest"]) as f:
        manifest = json.load(f)
    with open(ENGINES["image"], "rb") as f:
        assert hashlib.file_digest(f, "sha256").hexdigest() == manifest["image"]["sha256"]
    debian = {package["name"]: package for package in manifest["debian"]}
    pypi = {package["name"] for package in manifest["pypi"]}
    assert {"libc6", "python3.11-minimal", "nodejs", "dash"} <= set(debian)
    assert {"numpy", "pandas", "matplotlib"} <= pypi
    for package in [*manifest["debian"], *manifest["pypi"]]:
        assert len(package["sha256"]) == 64 and package["version"]


def test_engines_lie_where_any_uid_can_read_them():
    for key in ("runsc", "image", "manifest"):
        path = ENGINES[key]
        assert path.startswith("/var/cache/sallyport/")
        while path != "/":
            info = os.stat(path)
            assert info.st_uid == 0 and info.st_mode & 0o005 and not info.st_mode & 0o022, path
            path = os.path.dirname(path)
