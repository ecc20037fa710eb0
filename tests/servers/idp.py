# SPDX-License-Identifier: Apache-2.0
"""A real identity provider (oidc-provider) for a test, behind tests/servers/idp.mjs.

    with Idp(authority, node_modules) as idp:
        idp.token("ann")               # as the provider issues it
        idp.sign({"iss": idp.issuer, …})   # whatever it says
"""

import base64
import http.client
import json
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
AUDIENCE = "sallyport"


class Idp:
    def __init__(self, authority, node_modules):
        self.authority, self.modules = authority, node_modules
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sp-idp-"))
        self.lock = threading.Lock()
        self.proc = None

    def __enter__(self):
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def _start(self):
        cert, key = self.authority.issue(self.dir, "idp", ["localhost", "127.0.0.1"])
        with open(self.dir / "stderr", "wb") as log:
            self.proc = subprocess.Popen(
                ["node", str(HERE / "idp.mjs"), cert, key, str(self.modules), str(self.dir)], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self.dir,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.dir), "NODE_NO_WARNINGS": "1"})
        deadline = time.monotonic() + 30
        while not (self.dir / "ready").exists():
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the identity provider does not start: " + (self.dir / "stderr").read_text()[-2000:])
            time.sleep(0.02)
        self.port = int((self.dir / "ready").read_text())
        self.issuer = f"https://localhost:{self.port}"
        self.ca_file = str(self.authority.ca)
        return self

    def __exit__(self, *_):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        if self.proc:
            self.proc.stdin.close()
            self.proc.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def do(self, what, **more):
        with self.lock:
            self.proc.stdin.write(json.dumps({"do": what, **more}) + "\n")
            self.proc.stdin.flush()
            line = self.proc.stdout.readline()
        if not line:
            raise RuntimeError("the identity provider is gone: " + (self.dir / "stderr").read_text()[-2000:])
        return json.loads(line)

    def roll(self, keep=False, alg="ES256"):
        return self.do("roll", keep=keep, alg=alg)["kid"]

    def mode(self, mode):
        self.do("mode", mode=mode)

    def counts(self):
        return self.do("counts")

    def sign(self, claims, **header):
        return self.do("sign", claims=claims, header=header)["token"]

    def approve(self, uri, person, decide="yes"):
        """As a browser would: the page of the code, the person's name, consent. -> the text of the last page"""
        jar = urllib.request.HTTPCookieProcessor()
        browser = urllib.request.build_opener(jar, urllib.request.HTTPSHandler(
            context=ssl.create_default_context(cafile=self.ca_file)))
        page = browser.open(uri, timeout=20)
        for _ in range(6):
            text = page.read().decode()
            form = re.search(r"<form[^>]*>.*?</form>", text, re.S)
            if form is None:
                return text
            fields = dict(re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', form[0]))
            fields |= {"login": person, "password": "x"} if 'name="login"' in form[0] else {}
            if decide == "no" and 'name="confirm"' in text:
                fields = {"xsrf": fields["xsrf"], "user_code": fields.get("user_code", ""), "abort": "yes"}
            action = re.search(r'action="([^"]*)"', form[0])
            url = urllib.parse.urljoin(page.geturl(), action[1] if action else "")
            page = browser.open(url, urllib.parse.urlencode(fields).encode(), timeout=20)
            if "abort" in fields:
                return page.read().decode()
        raise RuntimeError("the provider's pages do not come to an end: " + text[:2000])

    def token(self, person):
        """-> an access token, by the client credentials grant."""
        c = http.client.HTTPSConnection("localhost", self.port, timeout=20,
                                        context=ssl.create_default_context(cafile=self.ca_file))
        basic = base64.b64encode(f"{person}:secret-of-{person}-0123456789".encode()).decode()
        try:
            c.request("POST", "/token", urllib.parse.urlencode({"grant_type": "client_credentials"}),
                      {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {basic}"})
            r = c.getresponse()
            answer = json.loads(r.read())
        finally:
            c.close()
        assert r.status == 200, answer
        return answer["access_token"]


def parts(token):
    """-> header, claims of a token, not verified"""
    return tuple(json.loads(base64.urlsafe_b64decode(p + "=" * (-len(p) % 4))) for p in token.split(".")[:2])
