# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for a test: Debian's, as its unprivileged user, in a folder of its own."""

import os
import pathlib
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time

USER = "postgres"


def binaries():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else None


class Postgres:
    admin = "vaultadmin"

    def __init__(self):
        self.bin = binaries()
        self.password = secrets.token_hex(16)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sp-pg-"))
        self.proc = None
        who = pwd.getpwnam(USER)
        self.uid, self.gid = who.pw_uid, who.pw_gid
        os.chown(self.dir, self.uid, self.gid)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]

    def _run(self, start, *args):
        return start([str(self.bin / args[0]), *args[1:]], user=self.uid, group=self.gid, extra_groups=[],
                     cwd=self.dir, stdin=subprocess.DEVNULL, stdout=open(self.dir / "log", "ab"),
                     stderr=subprocess.STDOUT, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})

    def __enter__(self):
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def _start(self):
        secret = self.dir / "pw"
        secret.write_text(self.password)
        os.chown(secret, self.uid, self.gid)
        log = self.dir / "log"
        log.touch()
        done = self._run(subprocess.run, "initdb", "-D", str(self.dir / "data"), "-U", self.admin, "-A",
                         "scram-sha-256", "--pwfile", str(secret), "--no-sync", "-E", "UTF8")
        if done.returncode:
            raise RuntimeError("initdb: " + log.read_text()[-1000:])
        secret.unlink()
        self.proc = self._run(
            subprocess.Popen, "postgres", "-D", str(self.dir / "data"), "-p", str(self.port), "-h",
            "127.0.0.1", "-k", str(self.dir), "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c",
            "autovacuum=off", "-c", "max_connections=20")
        deadline = time.monotonic() + 60
        while self.login(self.admin, self.password):
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("postgres: " + log.read_text()[-1000:])
            time.sleep(0.05)
        return self

    def login(self, user, password):
        """-> "" when that works, else why not"""
        done = subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", "postgres",
                               "-Atc", "select 1"], capture_output=True, text=True, timeout=20,
                              env={"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5", "PATH": "/usr/bin:/bin"})
        return "" if done.stdout.strip() == "1" else done.stderr

    def roles(self):
        """Names of the roles that Vault has made and not yet dropped."""
        done = subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", self.admin, "-d",
                               "postgres", "-Atc", "select rolname from pg_roles where rolname like 'v-%'"],
                              capture_output=True, text=True, timeout=20, check=True,
                              env={"PGPASSWORD": self.password, "PATH": "/usr/bin:/bin"})
        return done.stdout.split()

    def __exit__(self, *_):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(2)  # fast: ends sessions
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
