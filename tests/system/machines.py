# SPDX-License-Identifier: Apache-2.0
"""A house whose clients come with certificates: what its tests share."""

import contextlib
import http.client
import json
import ssl
import urllib.parse

import pytest

from instance import running
from pki import Authority

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi."}]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EXCHANGE = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}
APP = "spiffe://house.example/app"
CLIENTS = [
    f'{{ match: "{APP}", tenant: acme, user: app }}',
    '{ match: "spiffe://house.example/ci/*/build", tenant: acme, user: ci, roles: [user] }',
    '{ match: "spiffe://house.example/zeus", tenant: zeus, user: app }',
    '{ match: "spiffe://house.example/admin", tenant: acme, user: robot, roles: [administrator] }',
]


def table(ca, clients, crl=None):
    rows = "".join(f"  - {c}\n" for c in clients)
    lists = f"  crl_file: {crl}\n" if crl else ""
    return f"\nclient_certificates:\n  ca_file: {ca}\n{lists}  clients:\n{rows}"


class House:
    def __init__(self, inst, folder):
        self.inst, self.folder = inst, folder
        self.authority, self.other = folder.authority, folder.other

    def issue(self, name, names, by=None, usage="clientAuth", days=1):
        return (by or self.authority).issue(self.folder.path, name, names, usage=usage, days=days)

    def tls(self, pair=None):
        context = self.inst.tls()
        if pair:
            context.load_cert_chain(*pair)
        return context

    def connection(self, pair=None):
        return http.client.HTTPSConnection("127.0.0.1", self.inst.port, context=self.tls(pair), timeout=30)

    def ask(self, pair, method="POST", path="/v1/chat/completions", body=CHAT, headers=None):
        c = self.connection(pair)
        with contextlib.closing(c):
            return self.ask_on(c, method, path, body, headers)

    @staticmethod
    def ask_on(c, method="POST", path="/v1/chat/completions", body=CHAT, headers=None):
        text = json.dumps(body) if isinstance(body, dict) else body
        c.request(method, path, body=text, headers={"Content-Type": "application/json", **(headers or {})})
        r = c.getresponse()
        data = r.read()
        with contextlib.suppress(ValueError):
            data = json.loads(data)
        return r.status, data

    def is_refused(self, pair):
        """True: the handshake ends; with TLS 1.3 the client hears of it by its first read."""
        try:
            self.ask(pair)
        except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
            return True
        return False

    def configure(self, clients, crl=None, reload=True, ca=None):
        before = self.inst.conf.read_text()
        self.inst.conf.write_text(before[:before.index("\nclient_certificates:")] +
                                  table(ca or self.authority.ca, clients, crl))
        if reload:
            self.inst.operate("reload")

    def records(self, event):
        return [r for r in self.inst.records() if r["event"]["type"] == event]


class Folder:
    def __init__(self, path):
        self.path = path
        self.authority = Authority(self.sub("ca"), "Clients")
        self.other = Authority(self.sub("other"), "Clients")

    def sub(self, name):
        (self.path / name).mkdir()
        return self.path / name


def exchange(house, pair, **more):
    return house.ask(pair, path="/auth/token", body=urllib.parse.urlencode({**EXCHANGE, **more}), headers=FORM)


def ask_token(c):
    c.request("POST", "/auth/token", urllib.parse.urlencode(EXCHANGE), FORM)
    return c.getresponse().read()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("certificates"))
    with running(edit=lambda text: text + "\ntls: { watch_s: 1 }\n" + table(folder.authority.ca, CLIENTS)) as inst:
        yield House(inst, folder)


@pytest.fixture(scope="module")
def app(house):
    return house.issue("app", [APP])
