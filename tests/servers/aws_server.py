# SPDX-License-Identifier: Apache-2.0
"""moto behind TLS, with what it leaves out: signatures are checked (by botocore's own code), so is the
clock. Runs in an environment of its own: aws_server.py CERT KEY FOLDER
A second port speaks plain HTTP: instance metadata (moto's, IMDSv2 only) and container credentials.

FOLDER/clock: {"ahead_s", "kind"}: AWS's clock is that far ahead of ours, and the error of that kind.
FOLDER/ready: the ports. FOLDER/keys: {id: [secret, session token or null]}. FOLDER/log: one JSON object a request. FOLDER/faults: JSON lines; each is
{"status", "body"} and is the answer to the next signed request.
"""

import datetime
import email.utils
import io
import json
import os
import pathlib
import re
import sys
import threading
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

SKEW_S = 300
CONTAINER_PATH = "/v2/credentials"
AUTH = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                  r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")


class Checked:
    """A WSGI application in front of moto."""

    def __init__(self, folder):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.folder = pathlib.Path(folder)
        self.lock = threading.Lock()

    def __call__(self, environ, start):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        entry = {"method": environ["REQUEST_METHOD"], "path": environ["RAW_URI"],
                 "target": environ.get("HTTP_X_AMZ_TARGET", ""), "body": body.decode("utf-8", "replace"),
                 "time": datetime.datetime.now(datetime.timezone.utc).timestamp(), "refused": "", "key": ""}
        answer = None
        if entry["path"] == CONTAINER_PATH:
            answer = self.container(environ, entry)
        elif entry["path"].startswith("/latest/") and entry["path"] != "/latest/api/token" and \
                "HTTP_X_AWS_EC2_METADATA_TOKEN" not in environ:
            entry["refused"] = "IMDSv1"
            answer = 401, b""
        elif entry["target"] or "HTTP_AUTHORIZATION" in environ:
            answer = self.fault() or self.check(environ, body, entry)
        with self.lock, open(self.folder / "log", "a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if answer:
            status, text = answer
            start(f"{status} X", [("Content-Type", "application/x-amz-json-1.1"),
                                  ("Content-Length", str(len(text)))])
            return [text]
        environ["wsgi.input"] = io.BytesIO(body)
        return self.app(environ, start)

    def container(self, environ, entry):
        if environ.get("HTTP_AUTHORIZATION") != (self.folder / "container-token").read_text():
            entry["refused"] = "another token"
            return 403, b"{}"
        key, (secret, token) = next((k, v) for k, v in self.keys().items() if v[1] and k.startswith("ASIAC"))
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=20)
        return 200, json.dumps({"AccessKeyId": key, "SecretAccessKey": secret, "Token": token,
                                "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()

    def clock(self):
        file = self.folder / "clock"
        return json.loads(file.read_text()) if file.exists() else {"ahead_s": 0, "kind": "InvalidSignatureException"}

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock()["ahead_s"])

    def keys(self):
        return json.loads((self.folder / "keys").read_text())

    def fault(self):
        with self.lock:
            file = self.folder / "faults"
            lines = file.read_text().splitlines() if file.exists() else []
            if not lines:
                return None
            file.write_text("".join(line + "\n" for line in lines[1:]))
        one = json.loads(lines[0])
        return one["status"], json.dumps(one["body"]).encode()

    def secret_of(self, key):
        """-> secret key, session token or None"""
        keys = self.keys()
        if key in keys:
            return keys[key]
        # A session of moto's STS.
        from moto.sts.models import sts_backends
        for account in sts_backends.values():
            for backend in account.values():
                for role in backend.assumed_roles:
                    if role.access_key_id == key:
                        return role.secret_access_key, role.session_token
        return None

    def check(self, environ, body, entry):
        def deny(kind, why, status=400):
            entry["refused"] = f"{kind}: {why}"
            return status, json.dumps({"__type": kind, "message": why}).encode()

        found = AUTH.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        if not found:
            return deny("IncompleteSignatureException", "no such Authorization")
        key, _, region, service, signed, signature = found.groups()
        entry["key"] = key
        if environ.get("HTTP_X_TEST_SETUP") == "1":  # the test's own hand
            entry["setup"] = True
            return None
        known = self.secret_of(key)
        if known is None:
            return deny("UnrecognizedClientException", "The security token is invalid.")
        date = environ.get("HTTP_X_AMZ_DATE", "")
        now = self.now()
        try:
            then = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        except ValueError:
            return deny("InvalidSignatureException", "no date")
        if abs((now - then).total_seconds()) > SKEW_S:
            return deny(self.clock()["kind"], f"Signature not yet current or expired: {date}")
        secret, token = known
        if token and environ.get("HTTP_X_AMZ_SECURITY_TOKEN") != token:
            return deny("UnrecognizedClientException", "another session token")
        if signature != expected(environ, body, Credentials(key, secret), date, region, service, signed):
            return deny("InvalidSignatureException", "The request signature we calculated does not match.")
        return None


def expected(environ, body, credentials, date, region, service, signed):
    """The signature that botocore makes for the same request."""
    path, _, query = environ["RAW_URI"].partition("?")
    names = signed.split(";")
    headers = {}
    for name in names:
        variable = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}.get(
            name, "HTTP_" + name.upper().replace("-", "_"))
        headers[name] = environ.get(variable, "")
    request = AWSRequest(environ["REQUEST_METHOD"], f"https://{environ['HTTP_HOST']}{path}", headers, body,
                         dict(urllib.parse.parse_qsl(query, keep_blank_values=True)))
    auth = SigV4Auth(credentials, service, region)
    request.context["timestamp"] = date
    auth.headers_to_sign = lambda _request: {n: headers[n] for n in names}
    canonical = "\n".join([request.method, path or "/", query,
                           "".join(f"{n}:{' '.join(headers[n].split())}\n" for n in names), signed,
                           auth.payload(request)])
    return auth.signature(auth.string_to_sign(request, canonical), request)


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    app = None

    def log(self, *_):
        pass

    def date_time_string(self, timestamp=None):     # of the field Date
        return email.utils.format_datetime(self.app.now(), usegmt=True)


def main():
    cert, key, folder = sys.argv[1:]
    app = Quiet.app = Checked(folder)
    secure, plain = (make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet, ssl_context=c)
                     for c in ((cert, key), None))
    new = pathlib.Path(folder) / "ready.new"
    new.write_text(f"{secure.server_port} {plain.server_port}")
    os.rename(new, pathlib.Path(folder) / "ready")
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    secure.serve_forever()


if __name__ == "__main__":
    main()
