# SPDX-License-Identifier: Apache-2.0
"""AWS Secrets Manager, STS, IMDSv2 and container credentials for a test: moto behind tests/servers/aws_server.py."""

import contextlib
import http.client
import json
import pathlib
import secrets
import shutil
import ssl
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
REGION = "eu-central-1"


class Aws:
    """`keys`: {access key id: (secret key, session token or None)} that its signatures are made with."""

    def __init__(self, authority, python):
        self.authority, self.python = authority, python
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sp-aws-"))
        self.key_id, self.secret_key = "AKIATEST000000000001", secrets.token_urlsafe(30)
        self.keys = {self.key_id: (self.secret_key, None),
                     "test-key": ("test-secret-key", "test-session-token"),  # of moto's instance metadata
                     "ASIACONTAINER0000001": (secrets.token_urlsafe(30), secrets.token_urlsafe(200))}
        self.container_token = secrets.token_urlsafe(30)
        self.proc = None

    def __enter__(self):
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def _start(self):
        (self.dir / "keys").write_text(json.dumps(self.keys))
        (self.dir / "container-token").write_text(self.container_token)
        cert, key = self.authority.issue(self.dir, "aws", ["localhost", "127.0.0.1"])
        with open(self.dir / "stderr", "wb") as log:
            self.proc = subprocess.Popen(
                [str(self.python), "-B", str(HERE / "aws_server.py"), cert, key, str(self.dir)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                env={"AWS_DEFAULT_REGION": REGION, "HOME": str(self.dir), "PATH": "/usr/bin:/bin",
                     "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"})
        deadline = time.monotonic() + 120
        while not (self.dir / "ready").exists():
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("moto does not start: " + (self.dir / "stderr").read_text()[-2000:])
            time.sleep(0.05)
        self.port, self.plain_port = map(int, (self.dir / "ready").read_text().split())
        self.endpoint = f"https://localhost:{self.port}"
        self.plain = f"http://127.0.0.1:{self.plain_port}"      # instance metadata
        self.container = f"{self.plain}/v2/credentials"         # with container_token
        return self

    def __exit__(self, *_):
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.proc.wait(5)
            self.proc.kill()
            self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def call(self, target, body, service="secretsmanager"):
        """The test's own hand: not signed, as moto takes it."""
        c = http.client.HTTPSConnection("localhost", self.port, timeout=30,
                                        context=ssl.create_default_context(cafile=self.authority.ca))
        c.request("POST", "/", json.dumps(body), {
            "X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1", "X-Test-Setup": "1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.key_id}/20250101/{REGION}/{service}/"
                             f"aws4_request, SignedHeaders=host, Signature={'0' * 64}"})
        r = c.getresponse()
        data = r.read()
        c.close()
        if r.status >= 300:
            raise RuntimeError(f"{target}: {r.status} {data[:500]!r}")
        return json.loads(data)

    def create(self, name, value):
        return self.call("secretsmanager.CreateSecret", {"Name": name, "SecretString": json.dumps(value)})

    def rotate(self, name, value):
        """A new version becomes AWSCURRENT, the one before it AWSPREVIOUS."""
        return self.call("secretsmanager.PutSecretValue",
                         {"SecretId": name, "SecretString": json.dumps(value)})

    def shared_file(self, folder):
        """A credentials file as `aws configure` writes it -> its path"""
        file = pathlib.Path(folder) / "credentials"
        file.touch(0o600)
        file.write_text(f"[default]\naws_access_key_id = {self.key_id}\n"
                        f"aws_secret_access_key = {self.secret_key}\n")
        return str(file)

    def set_clock(self, ahead_s, kind="InvalidSignatureException"):
        """AWS's clock is that far ahead of ours; a request of another time is refused with that error."""
        new = self.dir / "clock.new"
        new.write_text(json.dumps({"ahead_s": ahead_s, "kind": kind}))
        new.rename(self.dir / "clock")

    def fail_next(self, *faults):
        """Each (status, type): the answers to the next signed requests."""
        with open(self.dir / "faults", "a", encoding="utf-8") as f:
            for status, kind in faults:
                f.write(json.dumps({"status": status, "body": {"__type": kind, "message": "test"}}) + "\n")

    def log(self):
        """Requests of others than the test, in order."""
        file = self.dir / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [e for e in map(json.loads, lines) if not e.get("setup")]
