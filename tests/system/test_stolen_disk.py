# SPDX-License-Identifier: Apache-2.0
"""The stolen disk: the whole state directory less the master key holds nothing of what people said, sent, made or
are called: in no encoding, not in free pages of the database, not in its log, not packed.

What may be there in clear:
- sallyport.yaml: the operator's own words (names of policies, models, providers, hosts);
- ca.pem, audit.pub: public;
- in the audit log: names of policies and models (from sallyport.yaml), ids of keys and requests (random), names of
  tools: the log must say what ran to who has nothing but the log.
"""

import base64
import gzip
import json
import secrets
import shutil
import signal
import string
import subprocess
import zlib

import pytest

from canary import Plants, unpacked
from instance import Instance
from test_tools import FORM, form

CLEAR = {"sallyport.yaml", "ca.pem", "audit.pub"}
WORD = string.ascii_lowercase + string.digits


def word():
    return "".join(secrets.choice(WORD) for _ in range(20))


class House:
    """A service, and everything that was planted in it: {what: text}."""

    def __init__(self, inst):
        self.inst, self.plants = inst, {}

    def plant(self, what, before="", after=""):
        text = f"{before}{word()}{after}"
        assert what not in self.plants
        self.plants[what] = text
        return text

    def key(self, what, text):
        """A key's secret part: whole, and its first half."""
        self.plants[f"key of {what}"] = text[16:]
        self.plants[f"key of {what}, half"] = text[16:38]
        return text

    def ok(self, method, path, body=None, wanted=(200, 201), **kw):
        status, _, answer = self.inst.request(method, path, body, **kw)
        assert status in wanted, (method, path, status, answer)
        return answer

    # ---- what people do ----

    def people(self):
        tenant, user = self.plant("tenant"), self.plant("user", after="@example")
        args = ("key", "create", "--tenant", tenant, "--user", user)
        self.mine = self.key("a user", self.inst.operate(*args).stdout.strip())
        gone = self.key("a revoked key", self.inst.operate(*args).stdout.strip())
        self.inst.operate("key", "revoke", gone[3:15])
        self.inst.operate("key", "create", "--tenant", self.plant("other tenant"), "--user", self.plant("other user"))
        self.key("init", self.inst.key)

    def secrets(self):
        self.inst.operate("secret", "set", "one", input=self.plant("secret"))
        self.inst.operate("secret", "rotate", "one", input=self.plant("secret, rotated"))
        self.inst.operate("secret", "set", "two", input=self.plant("secret, removed"))
        self.inst.operate("secret", "remove", "two")

    def prompts(self):
        prompt = f"{self.plant('prompt')} ü {self.plant('prompt, end')}\nRun this:\n```python\nprint('{word()}')\n```"
        for stream in (False, True):
            self.ok("POST", "/v1/chat/completions", {
                "model": "demo", "stream": stream, "user": self.plants.get("end user") or self.plant("end user"),
                "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": prompt}],
                "tools": [{"type": "code_interpreter"}]}, key=self.mine)
        self.ok("POST", "/v1/chat/completions", {"model": self.plant("model that is none"), "messages": [
            {"role": "user", "content": self.plant("refused prompt")}]}, (404,), key=self.mine)

    def code(self):
        content = base64.b64encode(self.plant("file").encode()).decode()
        answer = self.ok("POST", "/v1/execute", {
            "language": "python", "stdin": self.plant("stdin"),
            "files": [{"name": self.plant("file's name"), "content_base64": content}],
            "code": f"# {self.plant('code')}\nimport os, sys\nos.makedirs('/tmp/out', exist_ok=True)\n"
                    f"print('{self.plant('output')}')\nprint('{self.plant('error output')}', file=sys.stderr)\n"
                    f"open('/tmp/out/{self.plant('made file')}', 'w').write('{self.plant('made')}')\n"}, key=self.mine)
        assert answer["status"] == "exit" and self.plants["output"] in answer["stdout"]

    def tools(self):
        manifest = {"name": "plain", "description": self.plant("description"), "env": {"A": self.plant("variable")},
                    "input_schema": {"type": "object", "properties": {"a": {"type": "string"},
                                                                       self.plant("member"): True}}}
        script = f"#!/bin/sh\n# {self.plant('script')}\ncat\n" + "# filler that is easily packed\n" * 200
        for n in range(2):
            self.ok("POST", "/v1/tools", form(manifest=manifest, native=script.encode() + b"#" * n), headers=FORM,
                    key=self.mine, timeout=90)
        answer = self.ok("POST", "/v1/tools/plain/call", {"arguments": {"a": self.plant("argument")}}, key=self.mine)
        assert answer["output"]["a"] == self.plants["argument"]
        self.ok("DELETE", "/v1/tools/plain?version=1", key=self.mine)

    def kept(self):
        message = {"type": "message", "role": "user", "content": self.plant("what was said")}
        conv = self.ok("POST", "/v1/conversations", {
            "metadata": {self.plant("metadata's key"): self.plant("metadata")}, "items": [message]}, key=self.mine)["id"]
        self.ok("POST", f"/v1/conversations/{conv}/items", {"items": [
            {**message, "content": self.plant("what was said next")}]}, key=self.mine)
        gone = self.ok("POST", "/v1/conversations", {"items": [
            {**message, "content": self.plant("what was deleted")}]}, key=self.mine)["id"]
        self.ok("DELETE", f"/v1/conversations/{gone}", key=self.mine)
        parts = {'purpose"': b"user_data", f'file"; filename="{self.plant("name of a file")}"': (
            self.plant("in a file") + " and much that is easily packed" * 10000).encode()}
        body = b"".join(b'--b\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % (n.encode(), v)
                        for n, v in parts.items()) + b"--b--\r\n"
        self.ok("POST", "/v1/files", body, headers=FORM, key=self.mine)

    def bad_requests(self):
        """What is refused leaves no more behind."""
        self.ok("GET", f"/v1/tools/{self.plant('tool that is none')}", wanted=(404,), key=self.mine)
        self.ok("GET", f"/v1/models/{self.plant('model in a path')}", wanted=(404,), key=self.mine)
        self.ok("GET", f"/{self.plant('path')}", wanted=(404,), key=self.mine)
        self.ok("POST", "/v1/execute", {self.plant("field"): 1}, (400,), key=self.mine)
        self.ok("GET", "/v1/models", wanted=(401,), key=self.plant("bad key"))
        self.ok("GET", "/v1/models", wanted=(401,), key="sp_" + self.plant("bad key, in form", after="A" * 48))


def planted(house):
    for act in (house.people, house.secrets, house.prompts, house.code, house.tools, house.kept, house.bad_requests):
        act()


@pytest.fixture(scope="module")
def inst():
    made = Instance()
    yield made.start()
    made.remove()


@pytest.fixture(scope="module")
def house(inst):
    made = House(inst)
    planted(made)
    return made


def stolen(inst, to):
    """The state directory as a thief has it: without the master key, without sockets."""
    shutil.copytree(inst.dir, to, ignore=lambda folder, names: {"master.key"} | {
        name for name in names if name.endswith(".sock")})
    return to


def found(house, top):
    plants = Plants(house.plants)
    assert len(plants.needles) > 10 * len(house.plants)
    return [line for line in plants.in_tree(top)]


def test_it_finds_what_is_there(house, tmp_path):
    """The search sees each form, also in what is packed, and across what it reads at once."""
    plants = Plants(house.plants)
    text = house.plants["prompt"].encode()
    forms = [text, base64.b64encode(b"x" + text), text.hex().encode(), text.decode().encode("utf-16"), text[::-1],
             gzip.compress(b"some text " + text), zlib.compress(text),
             subprocess.run(["zstd", "-cq"], input=b"some text " + text, capture_output=True, check=True).stdout]
    for i, form_ in enumerate(forms):
        (tmp_path / "f").write_bytes(secrets.token_bytes(5000) + form_ + secrets.token_bytes(5000))
        assert plants.in_tree(tmp_path), f"form {i}"
    assert list(unpacked(secrets.token_bytes(1000) + forms[5])) != []
    (tmp_path / "f").write_bytes(secrets.token_bytes(20000))
    assert plants.in_tree(tmp_path) == []


def test_a_disk_that_is_stolen_while_the_service_runs(house, tmp_path):
    """With the write-ahead log as it is."""
    assert found(house, stolen(house.inst, tmp_path / "disk")) == []


def test_a_disk_that_is_stolen_after_a_crash(house, tmp_path):
    inst = house.inst
    inst.proc.send_signal(signal.SIGKILL)
    inst.proc.wait()
    disk = stolen(inst, tmp_path / "disk")
    inst.start()
    assert found(house, disk) == []


def test_a_disk_that_is_stolen_when_the_service_is_stopped(house, tmp_path):
    inst = house.inst
    assert inst.stop() == 0
    disk = stolen(inst, tmp_path / "disk")
    inst.start()
    assert found(house, disk) == []
    files = {str(f.relative_to(disk)) for f in disk.rglob("*") if f.is_file()}
    assert any(f.startswith("store/") for f in files) and any(f.startswith("audit/") for f in files), files
    assert not any("master" in f for f in files)
    # What lies there in clear is what is named above.
    for name in CLEAR:
        assert (disk / name).exists(), name


def test_without_the_key_it_does_not_start(house, tmp_path):
    inst = house.inst
    assert inst.stop() == 0
    (inst.dir / "master.key").rename(tmp_path / "kept")
    try:
        with pytest.raises((RuntimeError, TimeoutError)):
            inst.start(timeout=10)
    finally:
        inst.proc.kill()
        inst.proc.wait()
        (tmp_path / "kept").rename(inst.dir / "master.key")
        inst.start()
    assert inst.request("GET", "/v1/tools", key=house.mine)[2]["data"][0]["name"] == "plain"


def test_the_log_names_nobody(house):
    """No tenant, no person: not even in the words of operators' acts."""
    plants = Plants({k: v for k, v in house.plants.items() if "tenant" in k or "user" in k})
    assert plants.in_tree(house.inst.dir / "audit") == []
    lines = subprocess.run([house.inst.build / "sallyport", "audit", "tail", "-c", house.inst.conf], text=True,
                           capture_output=True, timeout=60, check=True).stdout
    assert plants.forms_in(lines.encode()) == []


def test_an_operator_learns_who_it_was(house):
    """From the running service, on record; the records stay what they are."""
    house.ok("GET", "/v1/tools", key=house.mine)
    house.ok("GET", "/v1/models", wanted=(401,), key="nobody")
    lines = house.inst.operate("audit", "tail", "--names").stdout.splitlines()
    who = f"{house.plants['tenant']}/{house.plants['user']}"
    named = [json.loads(line) for line in lines]
    assert who in [r.get("who") for r in named]
    assert any("subject" not in r and "who" not in r for r in named)
    plain = {json.dumps(r) for r in house.inst.records()}
    for r in named:
        r.pop("who", None)
        assert json.dumps(r) in plain
    assert house.inst.records()[-1]["event"]["operation"] == "users.list"
