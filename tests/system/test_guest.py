# SPDX-License-Identifier: Apache-2.0
"""The runners, each in a real runsc sandbox, spoken to in the guest protocol directly."""
import os
import signal
import struct
import time

import pytest

from guest_driver import ECHO, ONE_SHOT, Guest, load_engines
from instance import best_of

KINDS = ("python", "javascript", "sh")
ENGINES = load_engines()

HELLO = {"python": "print('hello')", "javascript": "console.log('hello')", "sh": "echo hello"}
EXIT_7 = {"python": "import sys; sys.exit(7)", "javascript": "process.exit(7)", "sh": "exit 7"}
READ_STDIN = {
    "python": "import sys; sys.stdout.write(sys.stdin.read())",
    "javascript": "process.stdin.on('data', (d) => process.stdout.write(d))",
    "sh": "cat",
}
WRITE_FILES = {
    "python": "import os\nopen('/tmp/out/b','wb').write(open('in.bin','rb').read())\nopen('/tmp/out/a','w').write('A')\n"
              "os.symlink('/etc/passwd','/tmp/out/link'); os.mkdir('/tmp/out/dir'); os.mkfifo('/tmp/out/fifo')",
    "javascript": "const fs=require('fs');fs.writeFileSync('/tmp/out/b',fs.readFileSync('in.bin'));fs.writeFileSync('/tmp/out/a','A');"
                  "fs.symlinkSync('/etc/passwd','/tmp/out/link');fs.mkdirSync('/tmp/out/dir');",
    "sh": "cp in.bin /tmp/out/b; printf A >/tmp/out/a; ln -s /etc/passwd /tmp/out/link; mkdir /tmp/out/dir; mkfifo /tmp/out/fifo",
}


@pytest.fixture
def guest():
    started = []

    def start(kind):
        one = Guest(ENGINES, kind)
        started.append(one)
        assert one.wait_ready() == kind
        return one
    yield start
    for one in started:
        one.close()


@pytest.mark.parametrize("kind", KINDS)
def test_one_shot_says_hello(guest, kind):
    g = guest(kind)
    result = g.run(HELLO[kind], flags=ONE_SHOT)
    assert (result["stdout"], result["stderr"], result["exit_code"]) == ("hello\n", "", 0)
    assert g.process.wait(60) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", (0, ONE_SHOT))
def test_exit_code(guest, kind, flags):
    g = guest(kind)
    assert g.run(EXIT_7[kind], flags=flags)["exit_code"] == 7
    if flags:
        assert g.process.wait(60) == 7
    else:
        assert g.run(HELLO[kind], step=2)["stdout"] == "hello\n"


@pytest.mark.parametrize("kind", KINDS)
def test_stdin_is_given_to_each_step(guest, kind):
    g = guest(kind)
    data = ("line\n" * 40000).encode()
    assert g.run(READ_STDIN[kind], stdin=data)["stdout"].encode() == data
    assert g.run(READ_STDIN[kind], stdin=b"second", step=2)["stdout"] == "second"
    assert g.run(READ_STDIN[kind], step=3)["stdout"] == ""


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_and_out(guest, kind):
    g = guest(kind)
    content = os.urandom(200000)
    result = g.run(WRITE_FILES[kind], files={"in.bin": content})
    assert result["stderr"] == ""
    assert result["files"] == {"a": b"A", "b": content} and result["left_out"] == 0
    again = g.run(HELLO[kind], step=2)
    assert again["files"] == {}


@pytest.mark.parametrize("kind", KINDS)
def test_limits_of_files_out(guest, kind):
    g = guest(kind)
    result = g.run(WRITE_FILES[kind], files={"in.bin": b"x" * 1000}, bytes_max=999)
    assert result["files"] == {"a": b"A"} and result["left_out"] == 1
    result = g.run(WRITE_FILES[kind].replace("/tmp/out/a", "/tmp/out/c").replace("/tmp/out/b", "/tmp/out/d"),
                   files={"in.bin": b"x"}, step=2, files_max=1)
    assert result["files"] == {"c": b"A"} and result["left_out"] == 1


@pytest.mark.parametrize("kind,first,second,expected", [
    ("python", "import math\nx = 41\ndef f(): return x + 1", "print(f(), math.pi > 3)", "42 True\n"),
    ("javascript", "const x = 41; let y = 1; function f() { return x + y; }", "y = 2; console.log(f())", "43\n"),
    ("javascript", "const x = 41; const fs = require('fs')", "const fs = require('fs'); console.log(x, typeof fs.read)", "41 function\n"),
    ("sh", "x=41; f() { echo $((x + 1)); }; cd /tmp/out", "f; pwd", "42\n/tmp/out\n"),
])
def test_second_step_sees_the_first(guest, kind, first, second, expected):
    g = guest(kind)
    assert g.run(first)["exit_code"] == 0
    result = g.run(second, step=2)
    assert (result["stdout"], result["exit_code"]) == (expected, 0)


@pytest.mark.parametrize("kind,code,expected", [
    ("python", "x = 'a'\nx * 2", "'aa'\n"), ("python", "None", ""), ("python", "x = 1", ""),
    ("javascript", "[1, 'a']", "[ 1, 'a' ]\n"), ("javascript", "let z = 1", ""),
])
def test_echo_of_a_trailing_expression(guest, kind, code, expected):
    g = guest(kind)
    assert g.run(code, flags=ECHO)["stdout"] == expected


def test_no_echo_without_the_flag(guest):
    assert guest("python").run("1 + 1")["stdout"] == ""


@pytest.mark.parametrize("kind,code,words", [
    ("python", "def f():\n    return 1 / 0\nf()", ["main.py", "line 2", "return 1 / 0", "ZeroDivisionError"]),
    ("python", "if:", ["main.py", "line 1", "SyntaxError"]),
    ("javascript", "function f() {\n  null.x;\n}\nf();", ["main.js:2", "TypeError"]),
    ("javascript", "let = ;", ["SyntaxError"]),
    ("javascript", "setTimeout(() => { throw new Error('late') }, 5)", ["late", "main.js:1"]),
    ("javascript", "Promise.reject(new Error('rejected'))", ["rejected"]),
])
def test_uncaught_error(guest, kind, code, words):
    result = guest(kind).run(code, flags=ONE_SHOT)
    assert result["exit_code"] == 1
    for word in words:
        assert word in result["stderr"]
    assert "/usr/lib/sallyport" not in result["stderr"]


def test_an_error_ends_the_step_and_keeps_the_rest(guest):
    g = guest("javascript")
    assert g.run("var kept = 5; throw new Error('x')")["exit_code"] == 1
    assert g.run("setTimeout(() => { throw new Error('y') }, 1)", step=2)["exit_code"] == 1
    assert g.run("console.log(kept)", step=3)["stdout"] == "5\n"


def test_sh_failure_codes(guest):
    assert guest("sh").run("false", flags=ONE_SHOT)["exit_code"] == 1
    assert guest("sh").run("set -e\nfalse\necho no", flags=ONE_SHOT)["exit_code"] == 1
    result = guest("sh").run("trap 'echo bye' EXIT\nnosuchcommand", flags=ONE_SHOT)
    assert (result["stdout"], result["exit_code"]) == ("bye\n", 127)


def test_javascript_modules(guest):
    g = guest("javascript")
    result = g.run("import fs from 'fs';\nconst x = await Promise.resolve(3);\nconsole.log(x, typeof fs.readFileSync)")
    assert (result["stdout"], result["stderr"]) == ("3 function\n", "")
    result = g.run("import x from 'nosuch'", step=2)
    assert result["exit_code"] == 1 and "nosuch" in result["stderr"]


def test_output_comes_while_code_runs(guest):
    g = guest("python")
    g.send(b"c", b"import time\nprint('early')\ntime.sleep(2)\nprint('late')")
    g.send(b"r", struct.pack(">IIII", 1, ONE_SHOT, 0, 0))
    begun = time.monotonic()
    while not g.output[g.stdout] and time.monotonic() < begun + 30:
        g._drain()
    assert bytes(g.output[g.stdout]) == b"early\n"
    assert g.recv()[0] == b"E"
    g._drain()
    assert bytes(g.output[g.stdout]) == b"early\nlate\n"


def test_all_output_is_there_at_done(guest):
    g = guest("python")
    for step in range(1, 30):
        result = g.run("import os\nos.write(1, b'a' * 3000); print('b' * 3000)", step=step)
        assert len(result["stdout"]) == 6001


@pytest.mark.parametrize("code,status", [
    ("import os; os._exit(9)", 9),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
    ("import ctypes; ctypes.string_at(0)", 128 + signal.SIGSEGV),
])
def test_end_without_done(guest, code, status):
    result = guest("python").run(code)
    assert result["exit_code"] is None and result["status"] == status


def test_a_signal_that_ends_the_shell(guest):
    """DONE says 256 + n, files come as after any end, and the next step has a shell again."""
    g = guest("sh")
    result = g.run("x=1; echo kept >/tmp/out/a; kill -9 $$")
    assert (result["exit_code"], result["files"]) == (256 + signal.SIGKILL, {"a": b"kept\n"})
    assert g.run("echo ${x-gone}", step=2)["stdout"] == "gone\n"
    assert g.run("sh -c 'kill -9 $$'", step=3)["exit_code"] == 128 + signal.SIGKILL
    result = g.run("kill -TERM $$", step=4, flags=ONE_SHOT)
    assert (result["exit_code"], g.process.wait(60)) == (256 + signal.SIGTERM, 128 + signal.SIGTERM)


def test_python_is_a_whole_python(guest):
    g = guest("python")
    result = g.run("import os\npid = os.fork()\nif pid == 0:\n    print('child')\nelse:\n    os.waitpid(pid, 0)\n    print('parent')")
    assert result["stdout"] == "child\nparent\n" and result["exit_code"] == 0
    result = g.run("from multiprocessing import Pool\ndef f(x): return x * x\nwith Pool(2) as p: print(p.map(f, [1, 2, 3]))", step=2)
    assert result["stdout"] == "[1, 4, 9]\n", result
    result = g.run("import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
                   "import atexit; atexit.register(print, 'atexit')", step=3, flags=ONE_SHOT)
    assert result["stdout"] == "thread\natexit\n"


def test_helper_module_among_the_files(guest):
    result = guest("python").run("import helper; print(helper.x)", files={"helper.py": b"x = 5"}, flags=ONE_SHOT)
    assert result["stdout"] == "5\n"


def test_user_code_does_not_find_the_control_pipe_by_chance(guest):
    """Closing or writing to every inherited number is not enough to disturb a child process's parent."""
    for kind, code in (("python", "import subprocess; subprocess.run(['sh', '-c', 'for i in 3 4 5 6 7 8 9; do echo x >&$i; done'], close_fds=False)"),
                       ("javascript", "require('child_process').spawnSync('sh', ['-c', 'for i in 3 4 5 6 7 8 9; do echo x >&$i; done'])"),
                       ("sh", "for i in 3 4 5 6 7 8 9; do (eval \"echo x >&$i\"); done 2>/dev/null; true")):
        result = guest(kind).run(code)
        assert result["exit_code"] == 0, result


@pytest.mark.parametrize("kind", ("python", "python-data"))
def test_plots(guest, kind):
    g = guest(kind)
    result = g.run("import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.show()\nplt.plot([1])\n")
    assert result["stderr"] == "" and sorted(result["files"]) == ["figure-1.png", "figure-2.png"]
    assert all(data.startswith(b"\x89PNG\r\n\x1a\n") for data in result["files"].values())
    result = g.run("plt.plot([1]); plt.savefig('/tmp/out/own.png')", step=2)
    assert list(result["files"]) == ["own.png"]


def test_data_libraries(guest):
    g = guest("python-data")
    result = g.run("import sys; warm = 'pandas' in sys.modules\nimport numpy as np, pandas as pd\n"
                   "print(warm, np.arange(6).reshape(2, 3).sum(), pd.Series([1, 2, 3]).mean(), (np.ones((50, 50)) @ np.ones((50, 50))).sum())")
    assert result["stdout"] == "True 15 2.0 125000.0\n" and result["ms"] < 5000


def test_wrong_frames_end_the_runner(guest):
    for kind in KINDS:
        g = guest(kind)
        g.send(b"?", b"")
        assert g.recv() is None and g.process.wait(60) == 70
        g = guest(kind)
        os.write(g.control_in, struct.pack(">cI", b"c", 65537))
        assert g.recv() is None and g.process.wait(60) == 70


def test_the_image_has_no_way_up(guest):
    result = guest("sh").run("find / -xdev \\( -perm -4000 -o -perm -2000 \\) ! -type l; ls /var/cache /var/log; touch /usr/x && echo writable; "
                             "command -v pip apt dpkg gcc mount su; id -u; grep -c : /proc/net/dev; true")
    assert result["stdout"] == "/var/cache:\n\n/var/log:\n65534\n1\n"


def test_latency_of_a_warm_runner(guest):
    """Not a benchmark: a run that takes ten times the usual says that warming up broke."""
    for kind, limit_ms in (("python", 50), ("javascript", 80), ("sh", 50)):
        times = best_of(12, lambda: guest(kind).run(HELLO[kind], flags=ONE_SHOT)["ms"], limit_ms)
        print(kind, [round(t, 1) for t in times])


@pytest.mark.parametrize("kind,code", [
    ("python", "for i in range(60000): print('x' * 49)"),
    ("python", "print(('x' * 49 + '\\n') * 60000, end='')"),
    ("javascript", "for (let i = 0; i < 60000; i++) console.log('x'.repeat(49))"),
    ("javascript", "process.stdout.write(('x'.repeat(49) + '\\n').repeat(60000))"),
    ("sh", "seq 60000 | sed 's/.*/" + "x" * 49 + "/'"),
])
def test_much_output_arrives_whole(guest, kind, code):
    """More than any pipe holds: the runner waits for the host, and DONE comes after the last byte."""
    result = guest(kind).run(code, flags=ONE_SHOT)
    assert (len(result["stdout"]), set(result["stdout"]), result["exit_code"]) == (3000000, {"x", "\n"}, 0)
