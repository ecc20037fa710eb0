# SPDX-License-Identifier: Apache-2.0
"""The escape corpus: one test a technique, tried inside a real sandbox.

With SALLYPORT_URL, SALLYPORT_API_KEY and SALLYPORT_CA_FILE set it goes through that service's
POST /v1/execute; else through executor and spawner alone (rig.c).
"""
import base64
import importlib.util
import json
import os
import pathlib
import re
import ssl
import sys
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
from rig import BUILD, Rig  # noqa: E402

LAUNCH = """import base64, os, subprocess
open('/tmp/probe', 'wb').write(base64.b64decode('{probe}'))
os.chmod('/tmp/probe', 0o755)
print(subprocess.run(['/tmp/probe'], capture_output=True, text=True).stdout)
"""


def techniques():
    """(technique, expected) of all parts, read from their sources."""
    rows = [(m[1], m[2]) for m in
            re.finditer(r'\{ "([a-z]+: [^"]+)", "([^"]+)"', (HERE / "probe.c").read_text())]
    spec = importlib.util.spec_from_file_location("inside", HERE / "inside.py")
    inside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inside)
    return rows + [(t, e) for t, e, _ in inside.TECHNIQUES]


def execute_http(code):
    context = ssl.create_default_context(cafile=os.environ["SALLYPORT_CA_FILE"])
    request = urllib.request.Request(
        os.environ["SALLYPORT_URL"] + "/v1/execute",
        json.dumps({"language": "python", "code": code}).encode(),
        {"Authorization": "Bearer " + os.environ["SALLYPORT_API_KEY"],
         "Content-Type": "application/json"})
    with urllib.request.urlopen(request, context=context, timeout=90) as answer:
        result = json.load(answer)
    return result["stdout"], result["stderr"], [f["name"] for f in result["files"]]


def execute_rig(rig, code):
    result = rig.run("python", code)
    assert result["event"] == "result", result
    names = re.findall(rb"(passwd|environ)", bytes.fromhex(result["files"]))
    return result["stdout"].decode(), result["stderr"].decode(), names


@pytest.fixture(scope="module")
def seen():
    """technique → (expected, seen)"""
    probe = base64.b64encode((BUILD / "tests/escape/probe").read_bytes()).decode()
    codes = [LAUNCH.format(probe=probe), (HERE / "inside.py").read_text()]
    out, rig = {}, None
    if "SALLYPORT_URL" not in os.environ:
        rig = Rig(pool=1, wall_s=60, cpu_s=30, memory_mb=512)
    for code in codes:
        stdout, stderr, files = execute_http(code) if rig is None else execute_rig(rig, code)
        assert not files, files      # links in /tmp/out are not followed
        for line in stdout.splitlines():
            if line.count("\t") == 2:
                technique, expected, what = line.split("\t")
                out[technique] = (expected, what)
        assert stdout, stderr
    if rig is not None:
        assert rig.close() is not None, "something is left on the host"
    return out


@pytest.mark.parametrize("technique, expected", techniques())
def test_technique(seen, technique, expected):
    assert technique in seen, "it was not tried, or its line did not come back"
    what = seen[technique][1]
    assert any(what.startswith(e) for e in expected.split("|")), what


def test_the_corpus_is_whole(seen):
    assert len(seen) == len(techniques()) >= 115
