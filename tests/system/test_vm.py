# SPDX-License-Identifier: Apache-2.0
"""The main job in a virtual machine with stock Debian 12: its kernel, cgroup v2, AppArmor, Landlock ABI 2."""
import os
import shutil
import subprocess

import pytest

from guest_driver import ROOT, load_engines

BUILD = os.environ.get("SALLYPORT_BUILD", f"{ROOT}/build")
VM = f"{ROOT}/tests/vm"
PROCESSES = ("supervisor", "gateway", "authority", "broker", "executor", "spawner", "audit", "store", "demo",
             "wasm-run", "wasm-compile")


def payload(folder):
    """The built tree and the engines it uses, at the places where they lie here."""
    libexec = folder / "build/libexec/sallyport"
    libexec.mkdir(parents=True)
    for name in ("init.sh", "inside.py"):
        shutil.copy(f"{VM}/{name}", f"{folder}/{name}")
    shutil.copy(f"{ROOT}/tests/vectors/wasm/echo.wasm", f"{folder}/build/echo.wasm")
    (folder / "build-dir").write_text(os.path.realpath(BUILD) + "\n")
    for name in ("sallyport", "engines.json"):
        shutil.copy(f"{BUILD}/{name}", f"{folder}/build/{name}")
    for name in PROCESSES:
        shutil.copy(f"{BUILD}/libexec/sallyport/{name}", libexec / name)
    engines = load_engines()
    for key in ("runsc", "image", "manifest"):
        target = folder / "cache" / os.path.relpath(engines[key], "/var/cache/sallyport")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(engines[key], target)
        except OSError:
            shutil.copy(engines[key], target)
    for path, _, _ in os.walk(folder / "cache"):
        os.chmod(path, 0o755)


@pytest.mark.timeout(600)
def test_main_job_on_stock_debian(tmp_path):
    root = os.environ["SALLYPORT_VM_ROOT"]
    payload(tmp_path)
    done = subprocess.run([f"{VM}/boot.sh", root, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=580)
    said = [line for line in done.stdout.splitlines() if line.startswith("VM ") or "panic" in line]
    if "VM PASS" not in said:
        pytest.fail("\n".join(said or [done.stdout[-4000:]]), pytrace=False)
