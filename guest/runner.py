# SPDX-License-Identifier: Apache-2.0
"""The warm Python inside a sandbox: waits for a run on a pipe, runs it, sends what it left behind.

Runs in:  a gVisor sandbox, as 65534, before and beside user code in one process.
Trusts:   its control pipe. It protects nothing: user code may do anything to this process.
See:      PROTOCOL.md.
"""
import ast
import atexit
import fcntl
import gc
import io
import linecache
import os
import random
import shutil
import stat
import struct
import sys
import threading
import traceback
import types

PAYLOAD_MAX = 65536
FILES_SCAN_MAX = 4096
FLAG_ECHO = 1
FLAG_ONE_SHOT = 2
WORK = "/tmp/work"
OUT = "/tmp/out"
MPL_CACHE = "/usr/lib/sallyport/matplotlib"
EXIT_PROTOCOL = 70


class Control:
    """Framed requests on one pipe, framed answers on another; both out of user code's way."""

    def __init__(self):
        self._in = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
        self._out = fcntl.fcntl(3, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(3)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._buf = bytearray()

    def _take(self, n):
        while len(self._buf) < n:
            chunk = os.read(self._in, 1 << 18)
            if not chunk:
                os._exit(0 if not self._buf else EXIT_PROTOCOL)
            self._buf += chunk
        taken = bytes(self._buf[:n])
        del self._buf[:n]
        return taken

    def recv(self):
        kind, length = struct.unpack(">cI", self._take(5))
        if length > PAYLOAD_MAX:
            os._exit(EXIT_PROTOCOL)
        return kind, self._take(length)

    def preload(self, *frames):
        """Frames that are received before those of the pipe; until send is restored, answers are thrown away."""
        for kind, payload in frames:
            self._buf += struct.pack(">cI", kind, len(payload)) + payload

    def send(self, kind, payload):
        view = memoryview(struct.pack(">cI", kind, len(payload)) + payload)
        while view:
            view = view[os.write(self._out, view):]


class Request:
    """What the host sent for one run."""

    def __init__(self, control):
        self.code = bytearray()
        self.stdin = bytearray()
        file = None
        while True:
            kind, payload = control.recv()
            if kind == b"r" and len(payload) == 16:
                self.step, self.flags, self.files_max, self.bytes_max = struct.unpack(">IIII", payload)
                break
            if kind == b"f":
                file = os.open(os.path.join(WORK, payload.decode()),
                               os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            elif kind == b"d" and file is not None:
                view = memoryview(payload)
                while view:
                    view = view[os.write(file, view):]
            elif kind == b"c":
                self.code += payload
            elif kind == b"i":
                self.stdin += payload
            else:
                os._exit(EXIT_PROTOCOL)


def open_stdin(data):
    """User code reads `data` from descriptor 0."""
    fd = os.memfd_create("stdin") if data else os.open("/dev/null", os.O_RDONLY)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    if data:
        os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, 0)
    os.close(fd)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8",
                                                 errors="surrogateescape")


def open_stdout():
    """Lines leave as they are printed, although descriptor 1 is a pipe."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(fd, "w", closefd=False)
        stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace",
                                  line_buffering=True)
        stream.mode = "w"
        setattr(sys, name, stream)
        setattr(sys, "__" + name + "__", stream)


def show_exception(kind, value, tb):
    """sys.excepthook, but with source lines of code that is in no file, and without our frames."""
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    traceback.print_exception(kind, value, tb)


def exit_code_of(exc):
    if exc.code is None:
        return 0
    if isinstance(exc.code, int):
        return exc.code & 255
    print(exc.code, file=sys.stderr)
    return 1


def guarded(function, *args):
    """Call user code; the exit code it comes to."""
    try:
        function(*args)
        return 0
    except SystemExit as exc:
        return exit_code_of(exc)
    except KeyboardInterrupt:
        return 130
    except BaseException as exc:
        try:
            sys.excepthook(type(exc), exc.with_traceback(exc.__traceback__), exc.__traceback__)
        except BaseException:
            traceback.print_exc()
        return 1


def execute(source, filename, namespace, echo):
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    if not echo:
        exec(compile(source, filename, "exec", dont_inherit=True), namespace)
        return
    tree = ast.parse(source, filename)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, filename, "exec", dont_inherit=True), namespace)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), filename, "eval", dont_inherit=True), namespace)
        if value is not None:
            namespace["_"] = value
            print(repr(value))


def finish_script():
    """What the interpreter does at the end of a script."""
    threading._shutdown()
    atexit._run_exitfuncs()


def save_figures():
    """Figures that the code left open and never saved."""
    if "matplotlib.pyplot" in sys.modules:
        import sallyport_backend
        sallyport_backend.save_open_figures(unsaved_only=True)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def files_new(seen):
    """Regular files in OUT that are new or changed, by name."""
    found = []
    try:
        names = sorted(os.listdir(OUT))[:FILES_SCAN_MAX]
    except OSError:
        return found
    for name in names:
        try:
            info = os.stat(os.path.join(OUT, name), follow_symlinks=False)
            name.encode()
        except (OSError, UnicodeEncodeError):
            continue
        mark = (info.st_ino, info.st_size, info.st_mtime_ns)
        if stat.S_ISREG(info.st_mode) and seen.get(name) != mark:
            seen[name] = mark
            found.append((name, info.st_size))
    return found


def send_files(control, request, seen):
    """Send what fits; the number of files that did not."""
    count, left, left_out = 0, request.bytes_max, 0
    for name, size in files_new(seen):
        try:
            if count == request.files_max or size > left:
                raise ValueError
            with open(os.path.join(OUT, name), "rb", buffering=0, opener=lambda p, f: os.open(p, f | os.O_NOFOLLOW)) as f:
                data = f.read(size)
        except (OSError, ValueError):
            left_out += 1
            continue
        count, left = count + 1, left - size
        control.send(b"F", name.encode())
        for at in range(0, len(data), PAYLOAD_MAX):
            control.send(b"D", data[at:at + PAYLOAD_MAX])
    return left_out


def new_main():
    """A fresh __main__, so that pickle and multiprocessing see what a script would be."""
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    return vars(main)


def warm_up(data):
    """Pay now for what the first run would pay for: imports, compiler, streams, caches."""
    for path in (WORK, OUT):
        os.makedirs(path, exist_ok=True)
    os.chdir(WORK)
    if os.path.isdir(MPL_CACHE):
        shutil.copytree(MPL_CACHE, os.environ.get("MPLCONFIGDIR", "/tmp/.matplotlib"), dirs_exist_ok=True)
    import collections, datetime, functools, itertools, json, math, re  # noqa: F401,E401
    if data:
        import matplotlib.pyplot as plt
        import numpy as np
        import pandas as pd
        pd.DataFrame({"a": np.arange(3)}).describe()
        str(pd.DataFrame({"a": [1.5]}))
        plt.close(plt.figure())


WARM_CODE = b"import sys\ndef f(x):\n    return [i for i in range(x)]\nprint(f(3), file=sys.stderr)\n'%d' % 3"


def warm_runs(control):
    """Two whole runs, their output and answers thrown away."""
    out, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), io.StringIO(), io.StringIO()
    control.send, send = lambda kind, payload: None, control.send
    for code in (WARM_CODE, b"raise ValueError('warm')"):
        control.preload((b"i", b"warm"), (b"c", code), (b"r", struct.pack(">IIII", 0, FLAG_ECHO, 1, 1)))
        serve(control, new_main(), {}, 1)
    sys.stdout, sys.stderr = out
    control.send = send
    linecache.clearcache()


def serve(control, namespace, seen, runs):
    """Run after run, as many as asked for."""
    pid = os.getpid()
    for _ in range(runs):
        request = Request(control)
        one_shot = bool(request.flags & FLAG_ONE_SHOT)
        open_stdin(request.stdin)
        source = request.code.decode("utf-8", "replace")
        filename = "main.py" if one_shot else "step-%d.py" % request.step
        code = guarded(execute, source, filename, namespace, bool(request.flags & FLAG_ECHO))
        if os.getpid() != pid:                  # the code forked, and this is the child
            flush()
            os._exit(code)
        if one_shot:
            code = guarded(finish_script) or code
        code = guarded(save_figures) or code
        flush()
        left_out = send_files(control, request, seen)
        control.send(b"E", struct.pack(">III", request.step, code, left_out))
        if one_shot:
            os._exit(code)


def main():
    data = "--data" in sys.argv[1:]
    control = Control()
    open_stdout()
    warm_up(data)
    sys.argv = ["main.py"]
    sys.path.insert(0, WORK)
    sys.dont_write_bytecode = True
    sys.excepthook = show_exception
    warm_runs(control)
    random.seed()
    gc.collect()
    gc.freeze()
    control.send(b"R", b"\x01" + (b"python-data" if data else b"python"))
    serve(control, new_main(), {}, sys.maxsize)


main()
