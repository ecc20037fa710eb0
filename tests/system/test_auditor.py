# SPDX-License-Identifier: Apache-2.0
"""An auditor reads the log over the API: of its own tenant, all of it, as it stands there, and does nothing else."""

import json

import pytest

from instance import running

AUDIT = "/admin/v1/audit"


class Houses:
    """Two tenants, each with an owner, an auditor and a user; some acts in both."""

    def __init__(self, inst):
        self.inst = inst
        self.keys = {}
        for tenant in ("acme", "zeus"):
            for name, roles in (("owner", ["owner", "user"]), ("auditor", ["auditor"]), ("user", ["user"])):
                self.operate("users", {"tenant": tenant, "user": name, "roles": roles})
                self.keys[tenant, name] = self.operate("keys", {"tenant": tenant, "user": name})["key"]
            for _ in range(5):
                assert self.ask(tenant, "user", "GET", "/v1/models")[0] == 200
            assert self.ask(tenant, "owner", "PATCH", "/admin/v1/users/user", {"hold": True})[0] == 200
        self.inst.request("GET", "/v1/models", key="sp_none")

    def operate(self, path, body):
        status, answer = self.inst.management("POST", "/admin/v1/" + path, body)
        assert status == 201, answer
        return json.loads(answer)

    def ask(self, tenant, who, method, path, body=None):
        status, _, answer = self.inst.request(method, path, body, key=self.keys[tenant, who], timeout=60)
        return status, answer

    def page(self, tenant, query="", who="auditor"):
        status, answer = self.ask(tenant, who, "GET", AUDIT + query)
        assert status == 200, answer
        assert set(answer) == {"records", "next"}
        return answer

    def subjects(self, tenant):
        """As an operator's tool says them."""
        status, answer = self.inst.management("GET", f"{AUDIT}?tenant={tenant}&order=asc")
        assert status == 200, answer
        return {r["subject"] for r in json.loads(answer)["records"]}

    def lines(self):
        files = sorted((self.inst.dir / "audit").glob("*.jsonl"))
        return [line for file in files for line in file.read_text().rpartition("\n")[0].splitlines()]


@pytest.fixture(scope="module")
def houses():
    with running() as inst:
        yield Houses(inst)


def test_an_auditor_sees_all_of_its_tenant_and_nothing_else(houses):
    acme, zeus = (houses.page(t, "?order=asc")["records"] for t in ("acme", "zeus"))
    assert acme and zeus
    assert not {r["subject"] for r in acme} & {r["subject"] for r in zeus}
    lines = [json.loads(line) for line in houses.lines()]
    mine = {r["subject"] for r in acme}
    expected = [r["seq"] for r in lines if r.get("subject") in mine and r["seq"] <= acme[-1]["seq"]]
    assert [r["seq"] for r in acme] == expected
    types = {r["event"]["type"] for r in acme}
    assert {"Authentication", "IdentityChanged", "ResponseReturned", "Administration"} <= types
    # Nothing without a person, and nobody's name or address.
    assert not types & {"LogOpened", "ProcessStarted", "ConfigLoaded"}
    # But for what is sealed: four letters are in base64 by chance, now and then.
    text = json.dumps([{k: v for k, v in r.items() if k != "source_ip"} for r in acme])
    assert "127.0.0.1" not in json.dumps(acme) and all(name not in text for name in ("acme", "zeus"))


def test_records_are_as_they_stand_in_the_log(houses):
    connection = houses.inst.connection(60)
    connection.request("GET", AUDIT + "?limit=20", headers={"x-api-key": houses.keys["acme", "auditor"]})
    text = connection.getresponse().read().decode()
    connection.close()
    body = text[len('{"records":['):text.rindex('],"next"')]
    found = [line for line in houses.lines() if line in body]
    assert len(found) == 20 and ",".join(reversed(found)) == body


def test_pages_are_the_whole(houses):
    whole = houses.page("acme", "?order=asc&until_s=9999999999")["records"]
    for order in ("asc", "desc"):
        seen, after = [], ""
        for _ in range(200):
            page = houses.page("acme", f"?order={order}&limit=3{after}")
            assert len(page["records"]) <= 3
            seen += page["records"]
            if page["next"] is None or len(seen) > 3 * len(whole):
                break
            after = f"&after={page['next']}"
            if order == "asc" and page["next"] >= whole[-1]["seq"]:
                break  # each reading makes records of its own
        seqs = [r["seq"] for r in seen]
        assert seqs == sorted(seqs, reverse=order == "desc") and len(set(seqs)) == len(seqs)
        assert {r["seq"] for r in whole} <= set(seqs)


def test_filters(houses):
    changed = houses.page("acme", "?type=IdentityChanged")["records"]
    assert {r["event"]["type"] for r in changed} == {"IdentityChanged"} and len(changed) >= 2
    assert houses.page("acme", "?until_s=1000000000") == {"records": [], "next": None}
    assert houses.page("acme", "?since_s=9999999999") == {"records": [], "next": None}
    for query in ("?type=Nothing", "?order=up", "?limit=0", "?limit=501", "?after=x", "?after=-1", "?since_s=1e9", "?x=1",
                  "?type=IdentityChanged&type=Error", "?since_s=99999999999999999999", "?tenant=", "?limit"):
        assert houses.ask("acme", "auditor", "GET", AUDIT + query)[0] == 400, query
    assert houses.ask("acme", "auditor", "GET", AUDIT + "?tenant=zeus")[0] == 404
    assert houses.page("acme", "?tenant=acme&limit=1")["records"]


def test_reading_is_on_record(houses):
    before = len(houses.lines())
    houses.page("acme", "?limit=1")
    new = [json.loads(line) for line in houses.lines()[before:]]
    assert [(r["event"]["type"], r["event"].get("operation")) for r in new] == [
        ("Authentication", None), ("Administration", "audit.read")]
    assert len({r["subject"] for r in new}) == 1


def test_nobody_else_reads_it(houses):
    for who in ("owner", "user"):
        assert houses.ask("acme", who, "GET", AUDIT)[0] == 403
    for method, path in (("GET", "/v1/models"), ("GET", "/admin/v1/users"), ("GET", "/admin/v1/usage"),
                         ("POST", "/admin/v1/keys"), ("GET", "/admin/v1/approvals")):
        assert houses.ask("acme", "auditor", method, path)[0] == 403, path


def test_an_operator_sees_a_tenant_or_all(houses):
    status, answer = houses.inst.management("GET", AUDIT + "?order=asc&limit=500")
    records = json.loads(answer)["records"]
    assert status == 200 and records[0]["seq"] == 1 and "LogOpened" in {r["event"]["type"] for r in records}
    assert houses.subjects("acme") and not houses.subjects("acme") & houses.subjects("zeus")


def test_who_is_erased_is_nobody_any_more(houses):
    inst = houses.inst
    houses.operate("users", {"tenant": "acme", "user": "gone", "roles": ["user"]})
    key = houses.operate("keys", {"tenant": "acme", "user": "gone"})["key"]
    before = {r["subject"] for r in houses.page("acme")["records"]}
    assert inst.request("GET", "/v1/models", key=key)[0] == 200
    theirs = {r["subject"] for r in houses.page("acme")["records"]} - before
    assert inst.operate("user", "erase", "acme/gone").returncode == 0
    seen = {r["subject"] for r in houses.page("acme")["records"]}
    assert seen and not seen & theirs
    assert inst.verify().returncode == 0
