# SPDX-License-Identifier: Apache-2.0
"""The shim judged by other people: wasi-testsuite's modules of preview 1 in our engine, for the calls that we offer."""

import json
import lzma
import pathlib
import tarfile

import pytest

from test_tools_hostile import run_once
from tools import compile_module, guest

SUITE = pathlib.Path(__file__).resolve().parents[1] / "vectors/wasi-testsuite/modules.tar.xz"

LINKS = "makes symbolic or hard links; the scratch directory has none (ENOSYS)"
SOCKETS = "sockets are not offered: ENOSYS, where it expects EBADF or ENOTSOCK"
LEFT_OUT = {
    "c/sock_shutdown-invalid_fd": SOCKETS,
    "c/sock_shutdown-not_sock": SOCKETS,
    "rust/poll_oneoff_stdio": "poll_oneoff is not offered: nothing sleeps or waits",
    "rust/dangling_symlink": LINKS,
    "rust/nofollow_errors": LINKS,
    "rust/path_exists": LINKS,
    "rust/path_link": LINKS,
    "rust/path_symlink_trailing_slashes": LINKS,
    "rust/readlink": LINKS,
    "rust/symlink_create": LINKS,
    "rust/symlink_filestat": LINKS,
    "rust/symlink_loop": LINKS,
}
# What the suite's directory fs-tests.dir holds for the modules in C.
C_FILES = ["-d", "fopendir.dir", "-p", "fopendir.dir/file-0=", "-p", "fopendir.dir/file-1=", "-d", "writeable",
           "-p", "file=hello world", "-p", "lseek.txt=01234567", "-p", "pread.txt=pread-test"]


def members():
    """name -> module, expectations."""
    with tarfile.open(fileobj=lzma.open(SUITE)) as tar:
        files = {m.name.removeprefix("./"): tar.extractfile(m).read() for m in tar if m.isfile()}
    return {name[:-5]: (data, json.loads(files.get(name[:-5] + ".json", b"{}")))
            for name, data in files.items() if name.endswith(".wasm")}


SUITE_MODULES = members()


def test_every_module_is_run_or_left_out_with_a_reason():
    assert len(SUITE_MODULES) == 72
    assert set(LEFT_OUT) <= set(SUITE_MODULES)


@pytest.mark.parametrize("name", sorted(set(SUITE_MODULES) - set(LEFT_OUT)))
def test_module(name):
    module, spec = SUITE_MODULES[name]
    options = []
    for arg in spec.get("args", []):
        options += ["-a", arg]
    for var, value in spec.get("env", {}).items():
        options += ["-e", f"{var}={value}"]
    # A module that names a directory gets the capability, and no other.
    if "root" in spec or "dirs" in spec:
        options += ["-f"]
    if name.startswith("c/") and "root" in spec:
        options += C_FILES
    end = guest(module, *options, stdin=spec.get("stdin", "").encode())
    assert (end.end, end.exit_code) == ("exit", spec.get("exit_code", 0)), end
    if "stdout" in spec:
        assert end.out.decode() == spec["stdout"]
    assert end.refused == 0, "it asks for what is not offered, and copes: name it among those left out"


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_left_out_asks_for_what_is_not_offered(name):
    module, spec = SUITE_MODULES[name]
    end = guest(module, *(["-f"] if "root" in spec else []))
    assert end.refused > 0, end


@pytest.mark.parametrize("name", ["rust/big_random_buf", "rust/clock_time_get", "rust/fd_readdir", "rust/file_allocate",
                                  "rust/path_rename", "rust/interesting_paths"])
def test_in_the_jail(name):
    """What takes memory, time and randomness also has them behind the worker's seccomp filter."""
    status, compiled, said = compile_module(SUITE_MODULES[name][0])
    assert status == 0, said
    p = run_once(compiled)
    assert p.returncode == 0, p
