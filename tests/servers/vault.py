# SPDX-License-Identifier: Apache-2.0
"""A real HashiCorp Vault (tests/servers/vaultd) for a test: started, unsealed, KV v2 at `secret`, AppRole,
an audit device; its root token stays here.

    with Vault(authority, binary) as v:
        v.put("providers/openai", {"key": "sk-…"})
        conf = v.approle(folder)        # the text of `vault: …` for sallyport.yaml
"""

import http.client
import json
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import time

POLICY = """
path "secret/data/*" { capabilities = ["read"] }
path "secret/metadata/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] allowed_parameters = { "lease_id" = ["database/creds/*"] "increment" = [] } }
path "sys/leases/revoke" { capabilities = ["update"] allowed_parameters = { "lease_id" = ["database/creds/*"] } }
"""


class VaultError(Exception):
    def __init__(self, status, answer):
        super().__init__(f"{status}: {answer}")
        self.status, self.answer = status, answer


class Vault:
    def __init__(self, authority, binary):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sp-vault-"))
        self.authority, self.binary = authority, binary
        self.ca_file = str(authority.ca)
        self.keys, self.root, self.proc = [], "", None

    # ---- the process
    def __enter__(self):
        try:
            self._start()
            self._init()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _start(self):
        cert, key = self.authority.issue(self.dir, "vault", ["localhost", "127.0.0.1"])
        ready = self.dir / "ready"
        with open(self.dir / "log", "wb") as log:
            self.proc = subprocess.Popen(
                [str(self.binary), "-addr", "127.0.0.1:0", "-tls-cert", cert, "-tls-key", key,
                 "-ready-file", str(ready), "-max-lease-ttl", "1h"], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.dir, env={})
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("vault does not start: " + (self.dir / "log").read_text()[-2000:])
            time.sleep(0.01)
        self.port = int(json.loads(ready.read_text())["addr"].rpartition(":")[2])
        self.address = f"https://localhost:{self.port}"

    def _init(self):
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.keys, self.root = made["keys_base64"], made["root_token"]
        self.unseal()
        self.call("PUT", "sys/audit/file", {"type": "file", "options": {
            "file_path": str(self.dir / "audit.log"), "hmac_accessor": "false"}})
        self.call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        for kind in ("approle", "cert", "jwt"):
            self.call("POST", f"sys/auth/{kind}", {"type": kind})
        self.call("PUT", "sys/policies/acl/broker", {"policy": POLICY})
        self._wait(lambda: self.put("ready", {"x": "y"}))  # the engine upgrades itself for a moment

    def _wait(self, what, seconds=40):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return what()
            except VaultError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    # ---- requests
    def request(self, method, path, body=None, token=None, headers=None, timeout=60):
        """-> status, answer"""
        c = http.client.HTTPSConnection("localhost", self.port, timeout=timeout,
                                        context=ssl.create_default_context(cafile=self.ca_file))
        token = self.root if token is None else token
        try:
            c.request(method, f"/v1/{path}", body=json.dumps(body) if body is not None else None,
                      headers={**({"X-Vault-Token": token} if token else {}), **(headers or {})})
            r = c.getresponse()
            data = r.read()
        finally:
            c.close()
        return r.status, json.loads(data) if data else None

    def call(self, method, path, body=None, **kw):
        status, answer = self.request(method, path, body, **kw)
        if status >= 300:
            raise VaultError(status, answer)
        return answer

    # ---- what tests do
    def seal(self):
        self.call("PUT", "sys/seal")

    def unseal(self):
        for key in self.keys:
            self.call("PUT", "sys/unseal", {"key": key}, token="")

        def active():
            status, answer = self.request("GET", "sys/health", token="")
            if status != 200:
                raise VaultError(status, answer)
        self._wait(active)

    def put(self, path, data):
        """-> version"""
        return self.call("POST", f"secret/data/{path}", {"data": data})["data"]["version"]

    def delete(self, path):
        """The newest version only, as `vault kv delete` does."""
        self.call("DELETE", f"secret/data/{path}")

    def approle(self, folder, name="broker", wrapped=True, ttl="10m", uses=0, wrap_ttl="300s"):
        """A role, its secret id in a file of `folder` -> the value of `vault:` for the configuration."""
        self.call("POST", f"auth/approle/role/{name}", {
            "token_policies": "broker", "token_ttl": ttl, "token_max_ttl": "1h",
            "secret_id_num_uses": uses})
        role = self.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        file = pathlib.Path(folder) / f"{name}.secret-id"
        self.secret_id(file, name, wrapped, wrap_ttl)
        return (f"{{ address: {self.address}, ca_file: {self.ca_file}, auth: {{ approle: {{ role_id: {role}, "
                f"secret_id_file: {file}, wrapped: {'true' if wrapped else 'false'} }} }} }}")

    def secret_id(self, file, name="broker", wrapped=True, wrap_ttl="300s"):
        """A fresh secret id in the file, wrapped or plain."""
        a = self.call("POST", f"auth/approle/role/{name}/secret-id", {},
                      headers={"X-Vault-Wrap-TTL": wrap_ttl} if wrapped else {})
        text = a["wrap_info"]["token"] if wrapped else a["data"]["secret_id"]
        new = file.with_suffix(".new")
        new.touch(0o600)
        new.write_text(text)
        new.rename(file)

    def revoke_all_tokens(self):
        """Of every AppRole login: what an operator does after a theft."""
        self.call("PUT", "sys/leases/revoke-prefix/auth/approle", {})

    def audit(self):
        """[(method, path, token accessor)] of the requests of others than root, in order."""
        out = []
        for line in (self.dir / "audit.log").read_text().splitlines():
            entry = json.loads(line)
            if entry["type"] == "response" and "root" not in (entry["auth"].get("policies") or ()):
                out.append((entry["request"]["operation"], entry["request"]["path"],
                            entry["auth"].get("accessor")))
        return out

    def database(self, postgres, role="app", ttl="5m", max_ttl="10m"):
        """The database engine on a real PostgreSQL: `vault:database/creds/ROLE#password`."""
        if "database/" not in self.call("GET", "sys/mounts")["data"]:
            self.call("POST", "sys/mounts/database", {"type": "database"})
        self.call("POST", "database/config/pg", {
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}"
                              "/postgres?sslmode=disable",
            "username": postgres.admin, "password": postgres.password,
            "password_authentication": "scram-sha-256"})
        self.database_role(role, ttl, max_ttl)

    def database_role(self, role, ttl, max_ttl):
        self.call("POST", f"database/roles/{role}", {
            "db_name": "pg", "default_ttl": ttl, "max_ttl": max_ttl, "creation_statements": [
                "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"]})
