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
import contextlib
import gzip
import json
import secrets
import shutil
import signal
import string
import subprocess
import urllib.parse
import zlib

import pytest

from canary import Plants, unpacked
from instance import Instance
from pki import earlier_authority
from test_tenant_matrix import with_models
from test_tools import FORM, form

CLEAR = {"sallyport.yaml", "ca.pem", "audit.pub"}
SEALED = {"ca.key", "tls/key.pem", "keys/audit/key"}
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
        """Conversations, responses, files: made, changed, gone on from, and some of each deleted again."""
        def conversation(n):
            made = self.ok("POST", "/v1/conversations", {
                "metadata": {self.plant(f"name in metadata{n}"): self.plant(f"metadata{n}")},
                "items": [{"role": "user", "content": self.plant(f"item{n}"), "id": self.plant(f"id of an item{n}")}]},
                key=self.mine)["id"]
            self.ok("GET", f"/v1/conversations/{made}/items/{self.plants[f'id of an item{n}']}", key=self.mine)
            self.ok("GET", f"/v1/conversations/{self.plant(f'id that there is not{n}', before='conv_')}", wanted=(404,),
                    key=self.mine)
            self.ok("POST", f"/v1/conversations/{made}/items", {"items": [
                {"role": "assistant", "content": [{"type": "output_text", "text": self.plant(f"later item{n}")}]}]},
                key=self.mine)
            self.ok("POST", f"/v1/conversations/{made}", {"metadata": {"a": self.plant(f"other metadata{n}")}},
                    key=self.mine)
            return made

        def response(n, **more):
            return self.ok("POST", "/v1/responses", {
                "model": "gpt", "store": True, "instructions": self.plant(f"instructions{n}"),
                "metadata": {"a": self.plant(f"metadata of a response{n}")}, "input": self.plant(f"input{n}"), **more},
                key=self.mine)["id"]

        def file(n):
            text = (f'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
                    f'--b\r\ncontent-disposition: form-data; name="file"; filename="{self.plant(f"kept file name{n}")}.txt"\r\n'
                    f'\r\n{self.plant(f"kept file{n}")}{"x" * 200000}{self.plant(f"end of a kept file{n}")}\r\n--b--\r\n')
            return self.ok("POST", "/v1/files", text.encode(), headers=FORM, key=self.mine)["id"]

        first = conversation("")
        self.ok("DELETE", f"/v1/conversations/{conversation(', deleted')}", key=self.mine)
        said = response("")
        response(", next", previous_response_id=said)
        response(", of a conversation", conversation=first)
        self.ok("DELETE", f"/v1/responses/{response(', deleted')}", key=self.mine)
        file("")
        self.ok("DELETE", f"/v1/files/{file(', deleted')}", key=self.mine)
        items = json.dumps(self.ok("GET", f"/v1/conversations/{first}/items", key=self.mine))
        assert self.plants["later item"] in items and self.plants["input, of a conversation"] in items

    def administration(self):
        """What an owner does, and what is only asked for."""
        tenant, owner = self.plants["tenant"], self.plant("owner", after="_o")
        self.inst.operate("user", "create", f"{tenant}/{owner}", "--roles", "owner,user")
        key = self.key("an owner", self.inst.operate("key", "create", "-T", tenant, "-u", owner).stdout.strip())
        other = self.plant("person")
        self.ok("POST", "/admin/v1/users", {"user": other}, key=key)
        self.ok("PATCH", f"/admin/v1/users/{other}", {"hold": True}, key=key)
        self.ok("PATCH", f"/admin/v1/users/{other}", {"hold": False}, (202,), key=key)
        self.key("a scoped key", self.ok("POST", "/admin/v1/keys", {"scopes": {"models": [self.plant("model of a scope")]}},
                                         key=key)["key"])
        self.ok("GET", f"/admin/v1/users/{self.plant('person who is none')}", wanted=(404,), key=key)
        token = self.ok("POST", "/auth/token", urllib.parse.urlencode({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": key,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}), key=key,
            headers={"Content-Type": "application/x-www-form-urlencoded"})["access_token"]
        self.plants["session token"], self.plants["session token, end"] = token, token[-43:]
        self.ok("GET", "/v1/models", key=token)

    def bad_requests(self):
        """What is refused leaves no more behind."""
        self.ok("GET", f"/v1/tools/{self.plant('tool that is none')}", wanted=(404,), key=self.mine)
        self.ok("GET", f"/v1/models/{self.plant('model in a path')}", wanted=(404,), key=self.mine)
        self.ok("GET", f"/{self.plant('path')}", wanted=(404,), key=self.mine)
        self.ok("POST", "/v1/execute", {self.plant("field"): 1}, (400,), key=self.mine)
        self.ok("GET", "/v1/models", wanted=(401,), key=self.plant("bad key"))
        self.ok("GET", "/v1/models", wanted=(401,), key="sp_" + self.plant("bad key, in form", after="A" * 48))


def planted(house):
    for act in (house.people, house.secrets, house.prompts, house.code, house.tools, house.kept, house.administration,
                house.bad_requests):
        act()


@pytest.fixture(scope="module")
def inst(provider, authority):
    made = Instance(edit=with_models(provider, authority))
    made.clear_key = earlier_authority(made).read_text().splitlines()[2]
    yield made.start()
    made.remove()


@pytest.fixture(scope="module")
def house(inst):
    made = House(inst)
    made.plants["private key of the CA"] = inst.clear_key
    planted(made)
    return made


def stolen(inst, to):
    """The state directory as a thief has it: without the master key, without sockets."""
    def copy(source, target):
        with contextlib.suppress(FileNotFoundError):  # what is replaced each second is gone now and then
            shutil.copy2(source, target)

    shutil.copytree(inst.dir, to, copy_function=copy, ignore=lambda folder, names: {"master.key"} | {
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
    for name in SEALED:
        assert (disk / name).read_text().startswith("sallyport sealed key 1\n"), name
    assert [f for f in files if b"PRIVATE KEY" in (disk / f).read_bytes()] == []
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
