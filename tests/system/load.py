# SPDX-License-Identifier: Apache-2.0
"""Steady load by bench/load.c, beside what a test does meanwhile."""

import contextlib
import json
import pathlib
import subprocess
import sys

from instance import ROOT

sys.path.insert(0, str(ROOT / "bench"))


def load_client(build):
    """-> the client, compiled if it is not there"""
    out = pathlib.Path(build) / "bench"
    sources = [ROOT / "bench" / n for n in ("load.c", "load_http.c", "load_http.h")]
    tool = out / "load-for-tests"
    if not tool.exists() or any(s.stat().st_mtime > tool.stat().st_mtime for s in sources):
        out.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-std=gnu17", "-O2", "-D_GNU_SOURCE", *map(str, sources[:2]), "-o", str(tool),
                        "-lssl", "-lcrypto"], check=True, timeout=120)
    return tool


def request_file(inst, body, path="/v1/chat/completions", name="request.http"):
    data = json.dumps(body).encode()
    file = inst.top / name
    head = (f"POST {path} HTTP/1.1\r\nHost: localhost:{inst.port}\r\nAuthorization: Bearer {inst.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n")
    file.write_bytes(head.encode() + data)
    return file


class Load:
    report = None
    text = ""   # of the report: the first failure stands first


@contextlib.contextmanager
def steady(inst, body, rate, seconds, connections=16):
    """`rate` requests a second for as long as the block runs, at most `seconds`; then .report is there."""
    command = [load_client(inst.build), "--port", inst.port, "--ca", inst.ca, "--request",
               request_file(inst, body), "--connections", connections, "--rate", rate, "--seconds", seconds]
    proc = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    load = Load()
    try:
        yield load
        out, err = proc.communicate(timeout=seconds + 40)
        assert proc.returncode == 0, err
        load.text, load.report = out, json.loads(out)
    finally:
        if proc.poll() is None:
            proc.kill()
            proc.wait()
