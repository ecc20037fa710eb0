# SPDX-License-Identifier: Apache-2.0
"""Speaks the guest protocol (guest/PROTOCOL.md) with a runner in a real runsc, without any of Sallyport's own processes."""
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time

ECHO, ONE_SHOT = 1, 2
UID = 699990                      # below the ranges that `sallyport init` reserves
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def load_engines():
    """What `./dev build` built."""
    with open(os.path.join(os.environ.get("SALLYPORT_BUILD", f"{ROOT}/build"), "engines.json")) as f:
        return json.load(f)


def bundle(kind, image):
    capabilities = {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")}
    return {
        "ociVersion": "1.0.2", "hostname": "sandbox",
        "process": {"user": {"uid": 65534, "gid": 65534}, "args": kind["argv"], "env": kind["env"], "cwd": "/",
                    "capabilities": capabilities, "noNewPrivileges": True,
                    "rlimits": [{"type": f"RLIMIT_{name}", "hard": value, "soft": value} for name, value in
                                (("NOFILE", 256), ("CORE", 0), ("NPROC", 64), ("FSIZE", 64 << 20)) + (
                                    () if "node" in kind["argv"][0] else (("AS", 4 << 30),))]},
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                   {"destination": "/dev/shm", "type": "tmpfs", "source": "tmpfs", "options": ["size=16m", "mode=1777"]},
                   {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=64m", "mode=1777"]}],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")]},
        "annotations": {"dev.gvisor.spec.rootfs.source": image, "dev.gvisor.spec.rootfs.type": "erofs",
                        "dev.gvisor.spec.rootfs.overlay": "memory"},
    }


class Guest:
    """One sandbox with its warm runner. Usable as a context manager."""

    def __init__(self, engines, kind):
        self.dir = tempfile.mkdtemp(prefix="sallyport-guest-", dir="/dev/shm")
        with open(engines["kinds"]) as f:
            spec = bundle(json.load(f)["kinds"][kind], engines["image"])
        os.makedirs(f"{self.dir}/root")
        os.makedirs(f"{self.dir}/bundle/rootfs")
        with open(f"{self.dir}/bundle/config.json", "w") as f:
            json.dump(spec, f)
        for path in ("", "/root", "/bundle", "/bundle/rootfs", "/bundle/config.json"):
            os.chown(self.dir + path, UID, UID)
        self.started = time.monotonic()
        self._spawn(engines["runsc"])

    def _spawn(self, runsc):
        in_r, self.control_in = os.pipe()
        self.control_out, out_w = os.pipe()
        self.stdout, stdout_w = os.pipe()
        self.stderr, stderr_w = os.pipe()
        argv = ["unshare", "-p", "-f", "--mount-proc", "-n", "-i", "-m", "--kill-child",
                "setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--no-new-privs",
                runsc, f"--root={self.dir}/root", "--rootless", "--network=none", "--ignore-cgroups",
                "--directfs=false", "--host-uds=none", "--overlay2=none", "--platform=systrap",
                "run", f"--bundle={self.dir}/bundle", "--pass-fd=3:3", f"t{os.getpid()}-{id(self)}"]

        # subprocess closes what it does not pass, so a shell puts the descriptor where it belongs.
        wrapped = ["/bin/bash", "-c", f'exec 3>&{out_w}; exec "$@"', "bash", *argv]
        self.process = subprocess.Popen(wrapped, stdin=in_r, stdout=stdout_w, stderr=stderr_w, pass_fds=(out_w,),
                                        start_new_session=True)
        for fd in (in_r, out_w, stdout_w, stderr_w):
            os.close(fd)
        os.set_blocking(self.stdout, False)
        os.set_blocking(self.stderr, False)
        self.output = {self.stdout: bytearray(), self.stderr: bytearray()}
        self._buf = bytearray()

    def send(self, kind, payload=b""):
        view = memoryview(struct.pack(">cI", kind, len(payload)) + payload)
        while view:
            view = view[os.write(self.control_in, view):]

    def send_split(self, kind, data):
        for at in range(0, len(data), 65536):
            self.send(kind, data[at:at + 65536])

    def _drain(self):
        for fd, data in self.output.items():
            try:
                while chunk := os.read(fd, 65536):
                    data += chunk
            except BlockingIOError:
                pass

    def recv(self, timeout=60):
        """The next control frame, or None at the end; output is collected meanwhile."""
        deadline = time.monotonic() + timeout
        while True:
            if len(self._buf) >= 5:
                kind, length = struct.unpack(">cI", self._buf[:5])
                if len(self._buf) >= 5 + length:
                    payload = bytes(self._buf[5:5 + length])
                    del self._buf[:5 + length]
                    return kind, payload
            ready, _, _ = select.select([self.control_out, *self.output], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no frame; stderr: {bytes(self.output[self.stderr])!r}")
            self._drain()
            if self.control_out in ready:
                chunk = os.read(self.control_out, 65536)
                if not chunk:
                    return None
                self._buf += chunk

    def wait_ready(self):
        frame = self.recv()
        assert frame is not None, f"ended before READY: {bytes(self.output[self.stderr])!r}"
        assert frame[0] == b"R" and frame[1][0] == 1, frame
        self.ready_ms = 1000 * (time.monotonic() - self.started)
        return frame[1][1:].decode()

    def run(self, code, stdin=b"", flags=0, step=1, files=None, files_max=16, bytes_max=1 << 20, timeout=60):
        for data in self.output.values():
            data.clear()
        for name, content in (files or {}).items():
            self.send(b"f", name.encode())
            self.send_split(b"d", content)
        begun = time.monotonic()
        self.send_split(b"c", code.encode())
        self.send_split(b"i", stdin)
        self.send(b"r", struct.pack(">IIII", step, flags, files_max, bytes_max))
        result = {"files": {}, "exit_code": None, "left_out": 0}
        name = None
        while (frame := self.recv(timeout)) is not None:
            kind, payload = frame
            if kind == b"F":
                name = payload.decode()
                assert name not in result["files"]
                result["files"][name] = b""
            elif kind == b"D":
                result["files"][name] += payload
            else:
                assert kind == b"E", frame
                done_step, result["exit_code"], result["left_out"] = struct.unpack(">III", payload)
                assert done_step == step
                break
        result["ms"] = 1000 * (time.monotonic() - begun)
        self._drain()
        if frame is None:
            result["status"] = self.process.wait(timeout)
        result["stdout"] = bytes(self.output[self.stdout]).decode(errors="replace")
        result["stderr"] = bytes(self.output[self.stderr]).decode(errors="replace")
        return result

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for fd in (self.control_in, self.control_out, self.stdout, self.stderr):
            os.close(fd)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        self.kind = self.wait_ready()
        return self

    def __exit__(self, *_):
        self.close()
