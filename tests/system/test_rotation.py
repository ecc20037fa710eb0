# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates are replaced while the service serves."""

import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from instance import Instance, running, wait_for
from pki import Authority, earlier_authority, openssl


@pytest.fixture(scope="module")
def service():
    with running() as inst:
        yield inst


@contextlib.contextmanager
def light_load(inst, threads=3):
    """Requests on living connections for as long as the block runs; yields the statuses that were not 200."""
    failed, counts, stop = [], [0] * threads, threading.Event()

    def ask(i):
        c = inst.connection()
        try:
            while not stop.is_set():
                c.request("POST", "/v1/chat/completions", headers={
                    "Authorization": f"Bearer {inst.key}", "Content-Type": "application/json"},
                    body=json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hello"}]}))
                r = c.getresponse()
                r.read()
                counts[i] += 1
                if r.status != 200:
                    failed.append(r.status)
                time.sleep(0.04)  # a key has 6,000 requests a minute, on a fast machine, too
        except OSError as e:
            failed.append(e)
        finally:
            c.close()

    pool = [threading.Thread(target=ask, args=(i,)) for i in range(threads)]
    for t in pool:
        t.start()
    try:
        yield failed
        wait_for(lambda: failed or min(counts) > 3, 60, counts)
    finally:
        stop.set()
        for t in pool:
            t.join()


def of_type(inst, kind):
    return [r for r in inst.records() if r["event"]["type"] == kind]


def signing_key(inst):
    return json.loads(inst.operate("audit", "rotate-key", "--json").stdout)


# ---- the audit log's signing key -------------------------------------------------------------------

def test_the_signing_key_rotates_under_load(service, tmp_path):
    first = (service.dir / "audit.pub").read_text()
    keys = []
    with light_load(service) as failed:
        for version in (2, 3, 4):
            answer = signing_key(service)
            assert answer["version"] == version
            keys.append(answer["key"])
            assert service.verify().returncode == 0
            time.sleep(0.3)
    assert failed == []
    assert (service.dir / "audit.pub").read_text() == first
    rows = of_type(service, "SigningKeyRotated")
    assert [r["event"]["signing_key"] for r in rows] == keys
    assert [r["event"]["previous_key"] for r in rows] == [first.strip(), *keys[:2]]
    assert [(r["phase"], r["event"]["what"], r["event"].get("version")) for r in of_type(service, "KeysRotated")] == [
        (phase, "audit", version if phase == "outcome" else None)
        for version in (2, 3, 4) for phase in ("intent", "outcome")]
    # From the first key, and from any that somebody kept.
    wait_for(lambda: "by 4 keys" in service.verify().stdout)
    for key in keys:
        (tmp_path / "pub").write_text(key + "\n")
        r = service.operate("audit", "verify", "--pub", str(tmp_path / "pub"))
        assert r.stdout.startswith("intact") and "by 4 keys" in r.stdout
    (tmp_path / "pub").write_text(first.replace(first[-10:-5], "AAAAA"))
    assert service.operate("audit", "verify", "--pub", str(tmp_path / "pub"), check=False).returncode == 1
    # One private key, the audit process's own.
    folder = service.dir / "keys" / "audit"
    assert os.listdir(folder) == ["key"]
    assert folder.stat().st_uid == (folder / "key").stat().st_uid == (service.dir / "audit").stat().st_uid
    assert (folder / "key").stat().st_mode & 0o077 == 0


def test_the_signing_key_over_kills(service):
    """Killed at moments of chance while it rotates: what was told holds, and it goes on."""
    before = signing_key(service)["version"]
    for i in range(4):
        answers = []

        def rotate():
            r = service.operate("audit", "rotate-key", "--json", check=False)
            answers.append(json.loads(r.stdout)["version"] if r.returncode == 0 else None)

        thread = threading.Thread(target=rotate)
        pid = service.pids("audit")[0]
        thread.start()
        time.sleep(0.004 * i)
        os.kill(pid, signal.SIGKILL)
        thread.join()
        wait_for(lambda: service.pids("audit") not in ([], [pid]))
        service.wait_ready()
        assert answers[0] is None or answers[0] > before
        after = signing_key(service)["version"]
        assert after > (answers[0] or before)
        before = after
        assert os.listdir(service.dir / "keys" / "audit") == ["key"]
    assert service.verify().returncode == 0
    assert len(of_type(service, "SigningKeyRotated")) == before - 1


def test_a_key_that_lies_where_it_used_to(service):
    """An instance of an earlier version: the key is moved, and the log goes on."""
    service.stop()
    keys = service.dir / "keys"
    (keys / "audit" / "key").rename(keys / "audit.key")
    (keys / "audit").rmdir()
    service.start()
    assert sorted(os.listdir(keys)) == ["audit"]
    signing_key(service)
    assert service.verify().returncode == 0


# ---- the public certificate --------------------------------------------------------------------------

def shown(inst, ca=None):
    """The certificate that a new handshake sees, DER."""
    context = ssl.create_default_context(cafile=ca or inst.ca)
    with socket.create_connection(("127.0.0.1", inst.port), 10) as s, \
            context.wrap_socket(s, server_hostname="localhost") as t:
        return t.getpeercert(True)


def rotate_certificate(inst):
    return json.loads(inst.operate("cert", "rotate", "--json").stdout)


def changes(inst):
    """-> [(why, fault or None)]"""
    return [(r["event"]["why"], r["event"].get("fault")) for r in of_type(inst, "CertificateChanged")]


def test_the_certificate_rotates_under_load(service):
    old = shown(service)
    c = service.connection()
    with light_load(service) as failed:
        for _ in range(3):
            c.request("GET", "/v1/models", headers={"Authorization": f"Bearer {service.key}"})
            assert c.getresponse().read()
            assert c.sock.getpeercert(True) == old, "a living connection keeps its certificate"
            answer = rotate_certificate(service)
            assert answer["changed"] is True
            fresh = wait_for(lambda: (now := shown(service)) != old and now)
            wait_for(lambda: hashlib.sha256(shown(service)).hexdigest() == answer["fingerprint"])
            assert fresh != old
            time.sleep(0.2)  # the load goes on between two
    assert failed == []
    c.close()
    wait_for(lambda: changes(service) == [("demand", None)] * 3)
    rows = [r for r in of_type(service, "KeysRotated") if r["event"]["what"] == "certificate"]
    assert [r["phase"] for r in rows] == ["intent", "outcome"] * 3
    assert rows[-1]["outcome"] == "success"


def test_tickets_of_the_old_certificate_are_void(service):
    context = service.tls()

    def visit(session=None):
        with socket.create_connection(("127.0.0.1", service.port), 10) as s, \
                context.wrap_socket(s, server_hostname="localhost", session=session) as t:
            t.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
            t.recv(10)
            return t.session_reused, t.session

    reused, session = visit()
    assert not reused
    reused, session = visit(session)
    assert reused
    rotate_certificate(service)
    wait_for(lambda: not visit(session)[0])  # each worker hears of it a moment later
    wait_for(lambda: not any(visit(session)[0] for _ in range(8)))


def tls_section(cert, key):
    return f"\ntls: {{ certificate: {json.dumps(cert)}, key: {json.dumps(key)}, watch_s: 1 }}\n"


@pytest.fixture
def earlier(tmp_path):
    """A CA and a leaf that is due, as versions before this one kept them: keys in the clear."""
    inst = Instance(edit=lambda text: text + "\ntls: { watch_s: 1 }\n")
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    key = earlier_authority(inst)
    openssl("req", "-new", *ec, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "csr", "-subj", "/CN=sallyport")
    (tmp_path / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", tmp_path / "csr", "-CA", inst.dir / "ca.pem", "-CAkey", key,
            "-days", 20, "-extfile", tmp_path / "ext", "-out", tmp_path / "cert.pem", "-set_serial", 77)
    yield inst
    inst.remove()


def put_due_leaf(inst, tmp_path):
    for name in ("key.pem", "cert.pem"):
        (inst.dir / "tls" / name).write_bytes((tmp_path / name).read_bytes())
    (inst.dir / "tls/key.pem").chmod(0o600)


def test_a_leaf_of_ours_is_renewed_when_it_is_due(earlier, tmp_path):
    put_due_leaf(earlier, tmp_path)
    earlier.start()
    due = ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())
    first = shown(earlier)
    assert first != due
    for name in ("ca.key", "tls/key.pem"):
        assert (earlier.dir / name).read_text().startswith("sallyport sealed key 1\n")
        assert (earlier.dir / name).stat().st_mode & 0o077 == 0
    n = len(changes(earlier))
    put_due_leaf(earlier, tmp_path)
    earlier.operate("reload")  # is due: it is never in use
    assert wait_for(lambda: (now := shown(earlier)) != first and now) != due
    wait_for(lambda: changes(earlier)[n:] == [("reload", None)])
    # A CA's key that is sealed for another place, or with a bit changed, opens nothing.
    for other in (earlier.dir / "tls/key.pem").read_bytes(), flipped((earlier.dir / "ca.key").read_bytes()):
        (earlier.dir / "ca.key").write_bytes(other)
        r = earlier.operate("cert", "rotate", check=False)
        assert (r.returncode, "ca" in r.stderr or "cert" in r.stderr) == (1, True), r.stderr


def flipped(data):
    i = len(data) // 2
    return data[:i] + (b"A" if data[i:i + 1] != b"A" else b"B") + data[i + 1:]


def test_files_of_the_operator(service, tmp_path):
    ca = Authority(tmp_path)
    cert, key = ca.issue(tmp_path, "first", ["localhost"])
    other = ca.issue(tmp_path, "other", ["localhost"])
    expired = ca.issue(tmp_path, "expired", ["localhost"], days=-1)
    use = {"cert": tmp_path / "use.pem", "key": tmp_path / "use.key"}

    def put(pair):
        for name, source in zip(("cert", "key"), pair):
            tmp = tmp_path / "tmp"
            tmp.write_bytes(pathlib.Path(source).read_bytes() if source else b"rubbish")
            tmp.chmod(0o600)
            tmp.rename(use[name])

    def der(path):
        return ssl.PEM_cert_to_DER_cert(pathlib.Path(path).read_text())

    def shows(wanted):
        with contextlib.suppress(ssl.SSLError):  # another authority's, of the workers that are replaced
            return shown(service, ca.ca) == wanted

    put((cert, key))
    service.edit(lambda text: text + tls_section(str(use["cert"]), str(use["key"])))
    service.operate("reload")
    wait_for(lambda: shows(der(cert)))
    # It is seen by itself that they changed, links included.
    put(other)
    wait_for(lambda: shown(service, ca.ca) == der(other[0]))
    wait_for(lambda: changes(service)[-1] == ("file", None))
    n = len(changes(service))
    use["cert"].unlink()
    use["cert"].symlink_to(cert)
    use["key"].unlink()
    use["key"].symlink_to(key)
    wait_for(lambda: shown(service, ca.ca) == der(cert))
    wait_for(lambda: len(changes(service)) > n and changes(service)[-1] == ("file", None))
    n = len(changes(service))  # it may have been looked at between those steps
    # What is not good is refused, and the one in use stays; each change is said once.
    service.edit(lambda text: text.replace("watch_s: 1", "watch_s: 0"))
    service.operate("reload")
    for pair, mode, fault, text in (
            ((cert, other[1]), 0o600, "mismatch", "does not belong to the certificate"),
            ((cert, key), 0o666, "unreadable", "may be written by others than its owner"),
            (expired, 0o600, "expired", "has expired"),
            ((None, key), 0o600, "invalid", "does not begin with a certificate in PEM"),
            ((cert, None), 0o600, "invalid", "is not a private key in PEM"),
            ((cert, key), 0o644, "unreadable", "others than its owner may read it")):
        put(pair)
        use["key"].chmod(mode)
        for command in (("cert", "rotate"), ("reload",)):
            r = service.operate(*command, check=False)
            assert r.returncode == 1 and text in r.stderr, (command, r.stderr)
        assert shown(service, ca.ca) == der(cert)
        wait_for(lambda: changes(service)[-2:] == [("demand", fault), ("reload", fault)])
    # Nor is another one's parsed, wherever a link leads to.
    for name in ("cert", "key"):
        put((cert, key))
        foreign = tmp_path / f"foreign-{name}"
        use[name].rename(foreign)
        os.chown(foreign, 65534, 65534)
        use[name].symlink_to(foreign)
        r = service.operate("cert", "rotate", check=False)
        assert r.returncode == 1 and "belongs to neither root nor the owner" in r.stderr
        os.chown(foreign, os.stat(service.dir).st_uid, -1)
        # It is the one in use: nothing has changed, and that is what is said.
        said = service.operate("cert", "rotate").stdout
        assert said.startswith("unchanged: SHA-256 "), said
        assert rotate_certificate(service)["changed"] is False
    n += 2
    use["key"].unlink()
    r = service.operate("cert", "rotate", check=False)
    assert r.returncode == 1 and "No such file" in r.stderr
    wait_for(lambda: len(changes(service)) >= n + 13)
    time.sleep(1.2)  # a look at the files later
    assert len(changes(service)) == n + 13


def test_everything_is_one_command(service):
    """The operator's pair is not good (see above): that one fails, the others go on."""
    r = service.operate("rotate", "all", check=False)
    lines = {line[:32].strip(): line[32:].strip() for line in r.stdout.splitlines()}
    assert lines.pop("public certificate") == "FAILED" and r.returncode == 1
    assert {said.split(";")[0] for said in lines.values()} == {"done"} and len(lines) >= 5
    assert "follow with their next use" in lines["pepper of API keys"]
    service.edit(lambda text: re.sub(r"\ntls: .*\n", "\n", text))
    service.operate("reload")
    r = service.operate("rotate", "all")
    assert all(line[32:].strip().startswith("done") for line in r.stdout.splitlines()) and len(r.stdout.splitlines()) >= 4
    assert service.request("GET", "/v1/models")[0] == 200
    assert service.verify().returncode == 0


# ---- a passphrase over master.key -------------------------------------------------------------------

WORDS, OTHER = "correct horse battery", "staple in the rain"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """-> the path of a file with that passphrase"""
    folder = tmp_path_factory.mktemp("words")

    def path(text):
        file = folder / hashlib.sha256(text.encode()).hexdigest()
        file.write_text(text + "\n")
        return str(file)
    return path


@pytest.fixture(scope="module")
def locked(words):
    """A service whose master.key was put under a passphrase."""
    inst = Instance()
    try:
        inst.operate("passphrase", "set", "--new-passphrase-file", words(WORDS))
        inst.serve_options = ["--passphrase-file", words(WORDS)]
        yield inst.start()
    finally:
        if inst.proc:
            print(inst.text_log())
        inst.remove()


def on_a_terminal(command, lines):
    """Run it with a terminal of its own, and answer its questions. -> status, what it showed"""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    shown = b""
    todo = [(b": ", line) for line in lines]
    while True:
        try:
            piece = os.read(fd, 1000)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if todo and shown.endswith(todo[0][0]):
            os.write(fd, todo.pop(0)[1].encode() + b"\n")
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_it_serves_and_its_processes_come_back(locked):
    text = (locked.dir / "master.key").read_text()
    assert text.startswith("sallyport master key 1\nscrypt 131072 8 1 ") and text.count("\n") == 3
    assert (locked.dir / "master.key").stat().st_mode & 0o777 == 0o600
    key = locked.operate("key", "create", "--tenant", "t", "--user", "u").stdout.strip()
    for name in ("store", "broker"):
        for pid in locked.pids(name):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(locked.pids(name)) == 1 and locked.pids(name) != [pid])
    locked.wait_ready()
    assert wait_for(lambda: locked.request("GET", "/v1/models", key=key)[0] == 200)
    # The passphrase is nobody's argument or environment.
    for pid in [locked.proc.pid, *locked.descendants()]:
        with contextlib.suppress(OSError):
            seen = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() + pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            assert b"horse" not in seen


def test_commands_ask_for_it(locked, words, tmp_path):
    good, bad = ["--passphrase-file", words(WORDS)], ["--passphrase-file", words(OTHER)]
    r = locked.operate("secret", "set", "provider", *bad, input="value", check=False)
    assert r.returncode == 1 and "master.key: wrong passphrase" in r.stderr
    r = locked.operate("secret", "set", "provider", "--passphrase-file", "-", input="value", check=False)
    assert r.returncode == 2
    r = locked.operate("secret", "set", "provider", input="value", check=False, start_new_session=True)
    assert r.returncode == 1 and "no terminal" in r.stderr
    locked.operate("secret", "set", "provider", *good, input="value")
    r = locked.operate("backup", str(tmp_path / "b"), *bad, check=False)
    assert r.returncode == 1 and "wrong passphrase" in r.stderr and not (tmp_path / "b").exists()
    locked.operate("backup", str(tmp_path / "b"), "--passphrase-file", "-", input=WORDS + "\n")
    assert (tmp_path / "b").exists()


def serve_fails(inst, options=(), **kw):
    r = subprocess.run([str(inst.build / "sallyport"), "serve", "-c", str(inst.conf), *options], text=True,
                       capture_output=True, timeout=30, env={"PATH": os.environ["PATH"], **kw.pop("env", {})},
                       start_new_session=True, **kw)
    assert r.returncode == 1
    return r.stderr


def test_no_start_without_it(locked, words, tmp_path):
    locked.stop()
    before = (locked.dir / "master.key").read_bytes()
    assert "no terminal" in serve_fails(locked, stdin=subprocess.DEVNULL)
    assert "wrong passphrase" in serve_fails(locked, ["--passphrase-file", words(OTHER)])
    assert "is empty" in serve_fails(locked, ["--passphrase-file", "/dev/null"])
    # A changed file, or one that would make us compute for ever.
    for change in ((b"131072", b"131071"), (b"131072 8 1", b"1048576 16 16"), (b"key 1", b"key 2")):
        (locked.dir / "master.key").write_bytes(before.replace(*change))
        assert "master.key" in serve_fails(locked, ["--passphrase-file", words(WORDS)])
    (locked.dir / "master.key").write_bytes(before)
    # As systemd hands a credential over, and on a terminal.
    (tmp_path / "sallyport.passphrase").write_text(OTHER)
    assert "wrong passphrase" in serve_fails(locked, env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    sp = str(locked.build / "sallyport")
    rc, shown = on_a_terminal([sp, "serve", "-c", str(locked.conf)], [OTHER])
    assert rc == 1 and "wrong passphrase" in shown and OTHER not in shown


def test_another_one_and_none(locked, words):
    locked.stop()
    sp, conf = str(locked.build / "sallyport"), str(locked.conf)
    before = (locked.dir / "master.key").read_bytes()
    for answers, text in (([OTHER], "wrong passphrase"), ([WORDS, "short", "short"], "too short"),
                          ([WORDS, OTHER, OTHER + "x"], "not the same")):
        rc, shown = on_a_terminal([sp, "passphrase", "set", "-c", conf], answers)
        assert rc == 1 and text in shown, shown
        assert (locked.dir / "master.key").read_bytes() == before
    rc, shown = on_a_terminal([sp, "passphrase", "set", "-c", conf], [WORDS, OTHER, OTHER])
    assert rc == 0 and WORDS not in shown and OTHER not in shown
    assert (locked.dir / "master.key").read_bytes() != before
    assert "wrong passphrase" in serve_fails(locked, ["--passphrase-file", words(WORDS)])
    assert locked.operate("passphrase", "remove", "--passphrase-file", words(WORDS), check=False).returncode == 1
    r = locked.operate("passphrase", "remove", "--passphrase-file", words(OTHER))
    assert r.stderr == "sallyport: master.key: in the clear\n"
    assert locked.operate("passphrase", "remove").stderr == "sallyport: master.key: has no passphrase\n"
    assert re.fullmatch(r"[0-9a-f]{64}\n", (locked.dir / "master.key").read_text())
    locked.serve_options = []
    locked.start()
    assert locked.request("GET", "/v1/models")[0] == 200


def test_init_with_a_passphrase(words, tmp_path):
    build = Instance.__init__.__globals__["BUILD"]

    def run(*args, **kw):
        return subprocess.run([str(build / "sallyport"), *args], text=True, capture_output=True, timeout=30,
                              start_new_session=True, **kw)
    d = tmp_path / "state"
    assert run("init", str(d), "--passphrase", stdin=subprocess.DEVNULL).returncode == 1 and not d.exists()
    assert "too short" in run("init", str(d), "--passphrase-file", "-", input="short").stderr and not d.exists()
    assert run("init", str(d), "--passphrase-file", "-", input=WORDS + "\n").returncode == 0
    assert (d / "master.key").read_text().startswith("sallyport master key 1\n")
    r = run("passphrase", "remove", "-c", str(d / "sallyport.yaml"), "--passphrase-file", words(WORDS))
    assert r.returncode == 0, r.stderr
