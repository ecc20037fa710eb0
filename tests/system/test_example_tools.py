# SPDX-License-Identifier: Apache-2.0
"""The tools of examples/tools, one a language: what their tool.json says they answer, they answer."""

import json
import subprocess

import pytest

from tools import EXAMPLES, Example, guest


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_webassembly(name):
    tool = Example(name)
    assert tool.manifest["name"] == name
    assert tool.manifest["examples"]
    for example in tool.manifest["examples"]:
        end = guest(tool.module, "-m", str(tool.manifest["limits"]["memory_mb"]),
                    stdin=json.dumps(example["arguments"]).encode())
        assert (end.end, end.exit_code) == ("exit", 0), end
        assert json.loads(end.out) == example["output"]


def test_native_part_answers_the_same():
    tool = Example("units")
    for example in tool.manifest["examples"]:
        out = subprocess.run([tool.top / "native"], input=json.dumps(example["arguments"]).encode(),
                             capture_output=True, check=True).stdout
        assert json.loads(out) == example["output"]
    headers = subprocess.run(["readelf", "-l", tool.top / "native"], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in headers, "a sandbox has no libraries for it"


BAD = [b"", b"{", b"[]", b"null", b'{"text": 1}', b"\xff\xfe", b'{"value": 1e999, "from": "m", "to": "m"}',
       b"[" * 100000, b'{"a":' * 5000, b'"' + b"\\u0000" * 1000 + b'"', b'{"value":1,"from":"' + b"m" * 5000 + b'"}']


@pytest.mark.parametrize("name", EXAMPLES)
def test_bad_input_gets_no_answer(name):
    """The schema keeps this away; a tool copes all the same: never a wrong answer, never the deadline."""
    tool = Example(name)
    for text in BAD:
        end = guest(tool.module, "-m", "64", stdin=text)
        assert end.end in ("exit", "trap"), (text[:40], end)
        assert end.end == "trap" or end.exit_code != 0 or "error" in json.loads(end.out), (text[:40], end)
