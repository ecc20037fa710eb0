# SPDX-License-Identifier: Apache-2.0
"""The command `sallyport`, as people use it."""

import json
import os
import pathlib
import re
import signal
import socket
import ssl
import stat
import subprocess
import time

import pytest

from instance import BUILD, ROOT, free_port

CLI = str(BUILD / "sallyport")
CLEAN = {"PATH": os.environ["PATH"]}


def run(*args, env=None, **kw):
    return subprocess.run([CLI, *args], capture_output=True, text=True, timeout=60, check=False,
                          env={**CLEAN, **(env or {})}, **kw)


def fails(result, status, *words):
    assert result.returncode == status, result
    assert result.stdout == ""
    line = result.stderr.splitlines()[0]
    assert line.startswith("sallyport: "), line
    for w in words:
        assert w in result.stderr, result.stderr


# ---- ./dev run ----

def test_client_env_can_be_sourced(tmp_path):
    """init prints its three lines plain; the file for a shell quotes what a shell would split, and nothing else."""
    lines = ["SALLYPORT_URL=https://[::1]:8443", "SALLYPORT_API_KEY=sp_x", "SALLYPORT_CA_FILE=/a b/it's $x/`y`/ca.pem"]
    made = subprocess.run(["bash", "-euc", 'build=x; . "$0"; client_env', str(ROOT / "tools" / "run.sh")],
                          input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60, check=True).stdout
    assert made.splitlines()[:2] == lines[:2]
    (tmp_path / "client.env").write_text(made)
    r = subprocess.run(["sh", "-euc", '. ./client.env; printf "%s\\n" "$SALLYPORT_URL" "$SALLYPORT_API_KEY" "$SALLYPORT_CA_FILE"'],
                       cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert r.stdout.splitlines() == [line.partition("=")[2] for line in lines]


# ---- usage ----

def test_help_and_version():
    r = run("--help")
    assert r.returncode == 0 and "audit verify" in r.stdout and r.stderr == ""
    assert re.fullmatch(r"sallyport \d+\.\d+\.\d+\n", run("--version").stdout)
    names = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", r.stdout, re.M)
    assert len(names) >= 12
    for name in names:
        h = run(*name.split(), "--help")
        assert h.returncode == 0 and h.stdout.startswith(f"usage: sallyport {name}"), name


def test_a_group_lists_its_commands():
    for args in (["key"], ["key", "nope"]):
        r = run(*args)
        assert r.returncode == 2 and r.stdout == "" and "key revoke" in r.stderr and "audit" not in r.stderr
    r = run("audit", "--help")
    assert r.returncode == 0 and "audit verify" in r.stdout and "key revoke" not in r.stdout and r.stderr == ""


def test_what_is_wrong_is_said_in_one_line():
    r = run("nope")
    assert r.stderr == "sallyport: nope: no such command; sallyport --help shows all\n"
    for args, line in ((["key", "nope"], "key: has no command nope"),
                       (["key", "list", "--frob"], "key list: --frob: unknown option, or the beginning of several"),
                       (["key", "list", "-jq"], "key list: -q: unknown option"),
                       (["key", "list", "--json=x"], "key list: --json: takes no value"),
                       (["key", "create", "--user"], "key create: --user: lacks its value"),
                       (["key", "create", "--user", "a", "-u", "b"], "key create: --user: was given twice"),
                       (["key", "create", "--user", "a"], "key create: --tenant: is missing"),
                       (["key", "list", "x"], "key list: x: too many arguments")):
        r = run(*args)
        assert r.returncode == 2 and r.stderr.splitlines()[0] == "sallyport: " + line, r.stderr


@pytest.mark.parametrize("args, line", [
    (["--scope-endpoints", "chat,nope"], "nope: is no endpoint: chat, responses, "),
    (["--scope-endpoints", "chat,,admin"], ": is no endpoint: "),
    (["--scope-endpoints", "openapi"], "openapi: is no endpoint: "),
    (["--scope-endpoints", ""], "endpoints: the list is empty: the key could do nothing"),
    (["--scope-languages", "ruby"], "ruby: is no language: python, javascript, sh"),
    (["--network", "10.0.0.0/33"], "10.0.0.0/33: is no address or network"),
    (["--network", "::1,10.0.0.1/24"], "10.0.0.1/24: is no address or network"),
    (["--network", "::/129"], "::/129: is no address or network"),
    (["--scope-models", "gpt*"], "gpt*: is no name of a model"),
    (["--scope-tools", "acme/x"], "acme/x: is no name of a tool"),
    (["--network", "0.0.0.0"], "0.0.0.0: is no address or network"),
    (["--network", "nowhere"], "nowhere: is no address or network"),
    (["--network", ""], "networks: the list is empty"),
    (["--roles", "user,king"], "king: is no role: user, service, auditor, administrator, owner"),
    (["--roles", ""], "roles: the list is empty: who has no role may nothing")])
def test_a_word_that_there_is_not_is_named(args, line):
    """A key whose scope names what never is could do nothing, and nobody would be told."""
    words = [["user", "create", "a/b"], ["user", "set", "a/b"]] if args[0] == "--roles" else [
        ["key", "create", "-T", "a", "-u", "b"]]
    for command in words:
        r = run(*command, *args)
        assert r.returncode == 2 and r.stdout == "" and r.stderr.startswith(f"sallyport: {line}"), r.stderr


def test_help_keeps_its_columns():
    """What an option is for begins in one column, whatever is before it."""
    for words in ([], ["key", "create"], ["passphrase", "set"], ["audit", "tail"]):
        lines = [line for line in run(*words, "--help").stdout.splitlines() if re.match(r"  (-\w, --|[a-z])", line)]
        columns = {}
        for line in lines:
            columns[line.rindex("  ") + 2] = line
        assert len(columns) == 1, columns


@pytest.mark.parametrize("words", [["--help"], ["key", "list"]])
def test_a_reader_that_leaves_is_no_news(words, request):
    args = words if words == ["--help"] else [*words, "-c", str(request.getfixturevalue("service").dir / "sallyport.yaml")]
    read, write = os.pipe()
    os.close(read)
    r = subprocess.run([CLI, *args], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert r.returncode == 1 and r.stderr == ""
    with open("/dev/full", "w") as full:
        r = subprocess.run([CLI, *args], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert r.returncode == 1 and r.stderr == "sallyport: standard output: cannot be written\n"


@pytest.mark.parametrize("args", [[], ["nope"], ["key"], ["init"], ["init", "a", "b"], ["serve"],
                                  ["serve", "--nope"], ["exec"], ["ask"], ["key", "create", "-T", "x"],
                                  ["init", "x", "--listen", "example.org:1"],
                                  ["init", "x", "--listen", "127.0.0.1"],
                                  ["key", "revoke", "short"]])
def test_wrong_usage_is_2(args, tmp_path):
    r = run(*args, cwd=tmp_path)
    assert r.returncode == 2 and r.stdout == "" and r.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_man_page_names_every_command():
    page = (ROOT / "docs" / "sallyport.1").read_text()
    for name in re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", run("--help").stdout, re.M):
        assert f".Cm {name}" in page, name


def test_the_man_page_names_every_option():
    page = (ROOT / "docs" / "sallyport.1").read_text()
    listed = set(re.findall(r"^\.It Fl (\w) , Fl Fl ([a-z-]+)", page, re.M))
    said = set()
    for name in re.findall(r"^  ([a-z-]+(?: [a-z-]+)?)  ", run("--help").stdout, re.M):
        said |= set(re.findall(r"^  -(\w), --([a-z-]+)", run(*name.split(), "--help").stdout, re.M))
    assert len(said) > 30 and listed == said


# ---- init ----

@pytest.fixture
def private(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


def test_init_prints_three_lines_and_makes_the_directory(private):
    d = private / "state"
    r = run("init", str(d))
    assert r.returncode == 0
    lines = r.stdout.splitlines()
    assert lines[0] == "SALLYPORT_URL=https://127.0.0.1:8443"
    assert re.fullmatch(r"SALLYPORT_API_KEY=sp_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", lines[1])
    assert lines[2:] == [f"SALLYPORT_CA_FILE={d}/ca.pem"]
    modes = {p: stat.S_IMODE((d / p).stat().st_mode) for p in
             ("ca.key", "master.key", "tls/key.pem", "keys/audit/key", "store/first-key", "audit", "store",
              "run", "keys")}
    assert all(m & 0o077 == 0 for m in modes.values()), modes
    conf = (d / "sallyport.yaml").read_text()
    base = int(re.search(r"uid_base: (\d+)", conf).group(1))
    assert base >= 700000 and (base - 700000) % 4096 == 0
    owners = {(d / p).stat().st_uid for p in ("audit", "keys/audit/key")}
    assert len(owners) == 1 and base < owners.pop() < base + 4096
    assert (d / "store").stat().st_uid != (d / "audit").stat().st_uid
    assert (d / "audit.pub").read_text().count("+") >= 2
    r = run("config", "check", str(d / "sallyport.yaml"))
    assert r.returncode == 0 and r.stderr == f"sallyport: {d}/sallyport.yaml: no fault\n"
    assert not (d / ".init").exists()


def test_init_refuses_what_is_not_empty_and_leaves_it(private):
    d = private / "state"
    d.mkdir()
    (d / "mine").write_text("x")
    fails(run("init", str(d)), 1, "is not empty")
    assert [p.name for p in d.iterdir()] == ["mine"]


def test_init_begins_anew_after_a_crash(private):
    d = private / "state"
    first = run("init", str(d)).stdout
    (d / ".init").write_text("unfinished\n")
    (d / "sallyport.yaml").unlink()
    again = run("init", str(d))
    assert again.returncode == 0 and again.stdout != first
    assert (d / "store" / "first-key").read_text().split()[3] in again.stdout


def test_init_can_be_killed_anywhere(private):
    d = private / "state"
    for i in range(12):
        p = subprocess.Popen([CLI, "init", str(d)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=CLEAN)
        time.sleep(i * 0.002)
        p.kill()
        out = p.communicate()[0].decode()
        if (d / "sallyport.yaml").exists() and not (d / ".init").exists():
            assert out == "" or out.count("\n") == 3
            subprocess.run(["rm", "-rf", str(d)], check=True)
    r = run("init", str(d))
    assert r.returncode == 0 and r.stdout.count("\n") == 3, r


def test_instances_have_ranges_of_their_own(private):
    bases = set()
    for i in range(3):
        d = private / f"s{i}"
        assert run("init", str(d)).returncode == 0
        bases.add(re.search(r"uid_base: (\d+)", (d / "sallyport.yaml").read_text()).group(1))
    assert len(bases) == 3


def test_the_leaf_passes_strict_verification(private):
    d = private / "state"
    assert run("init", str(d), "--listen", "127.0.0.9:8443").returncode == 0
    assert subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", d / "ca.pem", d / "tls/cert.pem"],
                          capture_output=True, check=False).returncode == 0
    for name, kind in (("localhost", "-checkhost"), ("127.0.0.1", "-checkip"), ("::1", "-checkip"),
                       ("127.0.0.9", "-checkip")):
        said = subprocess.run(["openssl", "x509", "-noout", "-in", d / "tls/cert.pem", kind, name], text=True,
                              capture_output=True, check=True).stdout
        assert "does match" in said, said


def test_clients_take_the_leaf_strictly(make_instance):
    inst = make_instance()
    client = ssl.create_default_context(cafile=inst.ca)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("localhost", "127.0.0.1", "::1"):
        with socket.create_connection(("127.0.0.1", inst.port)) as s, client.wrap_socket(s, server_hostname=name) as t:
            assert t.version() == "TLSv1.3"


# ---- config check, serve ----

def test_config_check_names_line_key_and_reason(private):
    f = private / "x.yaml"
    f.write_text("policies:\n  p: { endpoints: chat }\nsaml: {}\n")
    fails(run("config", "check", str(f)), 1, "line 3: saml: unknown key")
    fails(run("config", "check", str(private / "none")), 1, "No such file")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY",
                                  "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "VAULT_TOKEN"])
def test_serve_refuses_credentials_in_its_environment(private, name):
    r = run("serve", "-c", str(private / "x.yaml"), env={name: "canary-4711"})
    fails(r, 1, name)
    assert "canary" not in r.stderr


def test_serve_clears_its_environment(service):
    pid = service.proc.pid
    assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b""
    argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert argv[0].endswith(b"/libexec/sallyport/supervisor")


def test_only_places_of_aws_credentials_pass(make_instance):
    inst = make_instance()
    inst.stop()
    env = {"AWS_REGION": "eu-central-1", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_ACCESS_KEY_ID": "AKIAX",
           "SECRET_CANARY": "canary", "LD_PRELOAD": "", "PATH": os.environ["PATH"]}
    with open(inst.top / "log", "ab") as log:
        inst.proc = subprocess.Popen([CLI, "serve", "-c", str(inst.conf)], env=env, stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log)
    inst.wait_ready()
    assert sorted(pathlib.Path(f"/proc/{inst.proc.pid}/environ").read_bytes().split(b"\0")) == [
        b"", b"AWS_REGION=eu-central-1", b"AWS_ROLE_ARN=arn:aws:iam::1:role/x"]
    for name in ("gateway", "broker", "authority", "store", "executor", "audit"):
        for pid in inst.pids(name):
            assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_a_due_certificate_is_renewed(make_instance):
    inst = make_instance()
    before = (inst.dir / "tls/cert.pem").read_bytes()
    inst.operate("reload")
    assert (inst.dir / "tls/cert.pem").read_bytes() == before, "it is not due"
    (inst.dir / "tls/key.pem").write_bytes(b"")  # torn by a crash
    inst.operate("reload")
    after = (inst.dir / "tls/cert.pem").read_bytes()
    assert after != before
    with socket.create_connection(("127.0.0.1", inst.port)) as s, \
            inst.tls().wrap_socket(s, server_hostname="localhost") as t:
        assert ssl.PEM_cert_to_DER_cert(after.decode()) == t.getpeercert(True)


# ---- operators ----

def test_keys(service):
    made = service.operate("key", "create", "--tenant", "acme", "--user", "bob", "--expires", "1h")
    key = made.stdout.strip()
    assert made.stderr == "" and re.fullmatch(r"sp_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", key)
    assert service.request("GET", "/v1/models", key=key)[0] == 200
    listed = json.loads(service.operate("key", "list", "--json").stdout)["keys"]
    mine, = [k for k in listed if k["id"] == key[3:15]]
    assert (mine["tenant"], mine["user"], mine["policy"], mine["revoked_s"]) == ("acme", "bob", "default", 0)
    assert 3500 < mine["expires_s"] - time.time() < 3700
    assert key[16:] not in service.operate("key", "list").stdout
    service.operate("key", "revoke", key[3:15])
    assert service.request("GET", "/v1/models", key=key)[0] == 401
    fails(service.operate("key", "revoke", "0" * 12, check=False), 1, "no such key")
    fails(service.operate("key", "create", "-T", "a", "-u", "b", "-p", "nope", check=False), 1, "policy")
    for tenant, user in (("acme", ".."), ("acme", "."), ("..", "a")):  # no paths lead to them
        fails(service.operate("key", "create", "-T", tenant, "-u", user, check=False), 1, "Wanted")
        fails(service.operate("user", "create", f"{tenant}/{user}", check=False), 1, "Wanted")
        fails(service.operate("user", "disable", f"{tenant}/{user}", check=False), 1, "There is no such object")
    for tenant in ("alone", "one", "two"):  # what `user list --json` calls `id`, where it is one person
        service.operate("user", "create", f"{tenant}/{'lone' if tenant == 'alone' else 'twin'}")
    for command, said in (("disable", "disabled"), ("enable", "enabled"), ("hold", "held")):
        assert f"alone/lone: {said}" in service.operate("user", command, "lone").stderr
    assert '"lone"' in service.operate("user", "export", "lone").stdout
    fails(service.operate("user", "erase", "alone/lone", check=False), 1, "legal hold")
    fails(service.operate("user", "disable", "twin", check=False), 1, "TENANT/USER (one/twin, two/twin)")
    fails(service.operate("user", "erase", "nobody-of-all", check=False), 1, "There is no such user")
    for bad in ("a b", "a/b/c", "/a", "a/", "a?tenant=b"):
        fails(service.operate("user", "export", bad, check=False), 2, "is not TENANT/USER")
    assert "one/twin: erased" in service.operate("user", "erase", "one/twin").stderr
    for again in range(2):  # nobody's namesake is erased by the same command a second time
        fails(service.operate("user", "erase", "twin", check=False), 1, "TENANT/USER (two/twin)")
    assert "two/twin: erased" in service.operate("user", "erase", "two/twin").stderr
    r = service.operate("key", "create", "-T", "acme", "-u", "bob", "--scope-models", "demo,nope")
    assert r.stderr == "sallyport: nope: warning: no model of that name is configured\n" and r.stdout.startswith("sp_")


def test_status(service):
    text = service.operate("status").stdout
    for name in ("supervisor", "gateway", "authority", "broker", "executor", "spawner", "audit", "store",
                 "demo"):
        assert re.search(rf"^{name} +\d+ +\d+ +\d+ +true", text, re.M), text
    assert re.search(r"^no credential +demo$", text, re.M)
    s = json.loads(service.operate("status", "--json").stdout)
    assert s["ready"] is True and s["providers_without_credential"] == ["demo"]


def test_a_stopped_service_is_told(private):
    d = private / "state"
    run("init", str(d), "--listen", f"127.0.0.1:{free_port()}")
    for words in (["status"], ["reload"], ["key", "list"]):
        fails(run(*words, "-c", str(d / "sallyport.yaml")), 1, "does not run")


def test_reload_refuses_a_bad_configuration(make_instance):
    inst = make_instance()
    good = inst.conf.read_text()
    inst.conf.write_text(good + "nope: 1\n")
    fails(inst.operate("reload", check=False), 1, "nope: unknown key")
    inst.conf.write_text(good)
    assert inst.operate("reload").returncode == 0
    assert inst.request("GET", "/v1/models")[0] == 200


def test_audit_tail_and_verify(service):
    status, headers, _ = service.chat("hello", tools=False)
    assert status == 200
    tail = service.operate("audit", "tail", "--request", headers["x-request-id"]).stdout
    types = [json.loads(line)["event"]["type"] for line in tail.splitlines()]
    assert types == ["Authentication", "PromptSubmitted", "ModelCalled", "ModelCalled", "ResponseReturned"]
    fails(service.operate("audit", "tail", "--request", "nope", check=False), 2, "nope: is not the id of a request")
    none = "0" * 8 + "-0000" * 3 + "-" + "0" * 12
    fails(service.operate("audit", "tail", "--request", none, check=False), 1, f"{none}: no record of such a request")
    assert len(service.operate("audit", "tail").stdout.splitlines()) <= 20
    v = service.verify()
    assert v.returncode == 0 and v.stdout.startswith("intact: ")


def test_audit_tail_follows(service):
    p = subprocess.Popen([CLI, "audit", "tail", "-f", "-c", str(service.conf)], stdout=subprocess.PIPE,
                         text=True, env=CLEAN)
    try:
        _, headers, _ = service.chat("hello", tools=False)
        for line in p.stdout:
            if json.loads(line).get("request_id") == headers["x-request-id"]:
                break
        else:
            pytest.fail("the record did not come")
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(30)


# ---- clients ----

def client(inst, *args, **kw):
    return run(*args, env=inst.env, **kw)


def test_ask_streams_answer_and_steps(service):
    r = client(service, "ask", "What is the 100th prime?")
    assert r.returncode == 0 and "541" in r.stdout and "no AI" in r.stdout
    assert "print(primes[-1])" in r.stderr and "541" in r.stderr
    assert client(service, "ask", "-", input="hello").returncode == 0
    fails(client(service, "ask", "-m", "nope", "x"), 1, "model_not_found")


def test_exec(service):
    r = client(service, "exec", "-L", "python", input="print(6*7)\nimport sys; print('e', file=sys.stderr)")
    assert (r.returncode, r.stdout, r.stderr) == (0, "42\n", "e\n")
    r = client(service, "exec", "-L", "sh", input="echo out; exit 3")
    assert (r.returncode, r.stdout) == (1, "out\n") and "status 3" in r.stderr
    r = client(service, "exec", "-L", "sh", "-t", "1", input="sleep 60")
    assert r.returncode == 1 and "timeout" in r.stderr
    fails(client(service, "exec", "-L", "ruby", input="x"), 1, "unknown_language")


def test_text_of_others_cannot_drive_the_terminal(service):
    raw = client(service, "exec", "-L", "python", input="print('\\x1b[31mred')")
    assert raw.stdout == "\x1b[31mred\n", "a pipe gets the bytes"
    r = subprocess.run(["script", "-qec", f"echo \"print('\\x1b[31mred')\" | {CLI} exec -L python", "/dev/null"],
                       capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
                       env={**CLEAN, **service.env, "SHELL": "/bin/sh"})
    assert "red" in r.stdout and "\x1b[31m" not in r.stdout


def test_clients_trust_only_the_given_authority(service, private):
    other = private / "other"
    run("init", str(other))
    env = {**service.env, "SALLYPORT_CA_FILE": str(other / "ca.pem")}
    fails(run("ask", "x", env=env), 1, "certificate")
    fails(run("ask", "x", env={**service.env, "SALLYPORT_URL": service.url.replace("https", "http")}), 1,
          "https://")
    fails(run("ask", "x"), 1, "SALLYPORT_URL", "is not set")
    fails(run("ask", "x", env={**service.env, "SALLYPORT_API_KEY": service.key[:-1] + "!"}), 1,
          "invalid_api_key")


def test_exec_takes_large_results(service):
    """A file and output near their limits come in one event of several megabytes."""
    code = "open('/tmp/out/big', 'wb').write(bytes(3 << 20)); print('x' * 900000)"
    done = service.cli("exec", "--language", "python", "-", env=service.env, input=code, check=False)
    assert done.returncode == 0, done.stderr[-300:]
    assert len(done.stdout) > 900000
