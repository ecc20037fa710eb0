# SPDX-License-Identifier: Apache-2.0
"""Runs inside a sandbox, as user code: files, /proc, network, descriptors, limits, neighbours.

A line is technique, tab, expected, tab, seen, as in probe.c.
"""
import ctypes
import errno
import glob
import os
import resource
import socket
import stat
import subprocess


def wanted(technique, expected):
    def decorate(fn):
        TECHNIQUES.append((technique, expected, fn))
        return fn
    return decorate


TECHNIQUES = []


def connect(family, kind, address):
    s = socket.socket(family, kind)
    s.settimeout(2)
    s.connect(address)
    if kind == socket.SOCK_DGRAM:
        s.send(b"\x00" * 12)
        s.recv(1)
    return "allowed"


for name, args in {
        "TCP to the host's loopback": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 22)),
        "TCP to the service": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 8443)),
        "TCP to metadata": (socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80)),
        "TCP to link-local": (socket.AF_INET, socket.SOCK_STREAM, ("169.254.1.1", 80)),
        "TCP to the internet": (socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 443)),
        "TCP to a private network": (socket.AF_INET, socket.SOCK_STREAM, ("10.0.0.1", 80)),
        "UDP to a resolver": (socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.53", 53)),
        "IPv6 loopback": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 22)),
        "IPv6 to the internet": (socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 443)),
        "socket of a container engine": (socket.AF_UNIX, socket.SOCK_STREAM,
                                         "/var/run/docker.sock"),
        "socket of the system bus": (socket.AF_UNIX, socket.SOCK_STREAM,
                                     "/run/dbus/system_bus_socket"),
        "abstract socket of the host": (socket.AF_UNIX, socket.SOCK_STREAM, "\0/tmp/.X11-unix/X0"),
        "control socket of runsc": (socket.AF_UNIX, socket.SOCK_STREAM,
                                    "/run/runsc-sandbox.sock")}.items():
    wanted("network: " + name, "denied")(lambda args=args: connect(*args))


@wanted("network: name resolution", "denied")
def resolve():
    return "allowed " + socket.gethostbyname("example.com")


@wanted("network: interfaces", "contained")
def interfaces():
    names = {name for _, name in socket.if_nameindex()}
    return "contained" if names <= {"lo"} else f"allowed {names}"


@wanted("files: anything setuid or setgid", "contained")
def setuid_files():
    found = []
    for top in ("/usr", "/bin", "/sbin", "/lib", "/etc", "/var", "/opt"):
        for folder, _, names in os.walk(top):
            for n in names:
                try:
                    mode = os.lstat(os.path.join(folder, n)).st_mode
                except OSError:
                    continue
                if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                    found.append(os.path.join(folder, n))
    return f"allowed {found}" if found else "contained"


@wanted("files: the way up from /proc/1/root", "contained")
def proc_root():
    outside = set(os.listdir("/proc/1/root/../../..")) - set(os.listdir("/"))
    return f"allowed {outside}" if outside else "contained"


@wanted("files: the host's working directory through descriptors", "contained")
def leaked_descriptors():
    seen = []
    for fd in range(0, 1024):
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            continue
        target = os.readlink(f"/proc/self/fd/{fd}") if os.path.exists("/proc/self/fd") else ""
        # Pipes of the run, files of this sandbox's own /tmp and /dev: nothing else.
        if stat.S_ISDIR(mode) and not target.startswith(("/proc", "/tmp")):
            seen.append(target)
        if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode):
            seen.append(target)
    return f"allowed {seen}" if seen else "contained"


@wanted("files: mounts of the host", "contained")
def mounts():
    types = {line.split()[2] for line in open("/proc/mounts")}
    extra = types - {"tmpfs", "proc", "dev", "devtmpfs", "devpts", "erofs", "overlay", "rootfs", "sysfs",
                     "cgroup"}
    return f"allowed {extra}" if extra else "contained"


@wanted("files: a symlink out of /tmp/out", "contained")
def symlink_out():
    os.makedirs("/tmp/out", exist_ok=True)
    os.symlink("/etc/passwd", "/tmp/out/passwd")
    os.symlink("/proc/1/environ", "/tmp/out/environ")
    return "contained"        # the test looks at what came back


for path in ("/proc/1/environ", "/proc/self/environ"):
    @wanted(f"secrets: {path}", "contained")
    def environ(path=path):
        text = open(path, "rb").read()
        bad = [w for w in (b"KEY", b"TOKEN", b"SECRET", b"SALLYPORT") if w in text]
        return f"allowed {bad}" if bad else "contained"


@wanted("secrets: command lines of others", "contained")
def command_lines():
    text = b" ".join(open(p, "rb").read() for p in glob.glob("/proc/[0-9]*/cmdline"))
    return "allowed" if b"sallyport serve" in text or b"runsc" in text else "contained"


@wanted("identity: uid, gid and groups", "contained")
def identity():
    ids = (*os.getresuid(), *os.getresgid(), *os.getgroups())
    return "contained" if set(ids) == {65534} else f"allowed {ids}"


@wanted("identity: kernel is not the host's", "contained")
def kernel():
    return "contained" if "gvisor" in os.uname().release else f"allowed {os.uname()}"


@wanted("runtime: write to the runner's memory", "denied|contained")
def runner_memory():
    pid = 1 if os.getpid() != 1 else os.getppid()
    with open(f"/proc/{pid}/mem", "r+b") as f:
        f.seek(0)
        f.write(b"x")
    return "allowed"


for name, which in {"core": resource.RLIMIT_CORE, "processes": resource.RLIMIT_NPROC,
                    "files": resource.RLIMIT_NOFILE}.items():
    @wanted(f"limits: raise {name}", "denied")
    def raise_limit(which=which):
        soft, hard = resource.getrlimit(which)
        if hard == resource.RLIM_INFINITY:
            return "allowed: none"
        resource.setrlimit(which, (hard + 1, hard + 1))
        return "allowed"


@wanted("limits: fill the disk", "denied")
def fill():
    try:
        with open("/tmp/fill", "wb") as f:
            for _ in range(100000):
                f.write(b"x" * 100000)
        return "allowed"
    finally:
        os.unlink("/tmp/fill")


@wanted("limits: real-time scheduling", "denied|contained")
def real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    return "contained" if os.sched_getscheduler(0) == os.SCHED_OTHER else "allowed"


@wanted("runtime: x86 page of executable memory", "contained")
def executable_memory():
    import mmap
    m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    m.write(b"\xb8\x2a\x00\x00\x00\xc3")
    fn = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
    return "contained" if fn() == 42 else "allowed"


for command in ("su -c id", "sudo id", "mount -t tmpfs x /tmp", "unshare -m id", "ping -c1 127.0.0.1",
                "dmesg -C", "apt-get update", "passwd"):
    @wanted(f"commands: {command}", "denied")
    def execute(command=command):
        r = subprocess.run(["sh", "-c", command], capture_output=True, stdin=subprocess.DEVNULL,
                           timeout=20)
        return "allowed" if r.returncode == 0 else f"denied {r.returncode}"


def main():
    for technique, expected, fn in TECHNIQUES:
        try:
            seen = fn()
        except OSError as e:
            seen = f"denied {errno.errorcode.get(e.errno, e)}"
        except Exception as e:      # noqa: BLE001 - whatever it was, it was no way out
            seen = f"denied {type(e).__name__}"
        print(technique, expected, seen, sep="\t", flush=True)


if __name__ == "__main__":
    main()
