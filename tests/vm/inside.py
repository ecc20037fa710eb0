# SPDX-License-Identifier: Apache-2.0
"""The main job inside the test machine: init, serve, a run, a chat turn, the audit log, a clean end.

Runs in: tests/vm's machine, with nothing but Debian's python3. Usage: inside.py BUILD_DIR
"""
import glob
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

BUILD = sys.argv[1]
STATE = "/root/state"
CONFIG = f"{STATE}/sallyport.yaml"
LOG = "/tmp/serve.log"
READY_S = 200
REQUEST_S = 100


def check(what, right, seen=""):
    print(("ok   " if right else "WRONG") + f" {what}" + (f": {seen}" if not right else ""), flush=True)
    if not right:
        if os.path.exists(LOG):
            with open(LOG) as f:
                print("the service's log ends with:\n" + f.read()[-6000:])
        sys.exit(1)


def initialise():
    done = subprocess.run([f"{BUILD}/sallyport", "init", STATE], stdout=subprocess.PIPE, text=True)
    check("init", done.returncode == 0 and done.stdout.count("\n") == 3, done)
    tighten_memory()
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def tighten_memory():
    """Under emulation, touching the usual memory takes longer than the CPU limit allows."""
    with open(CONFIG) as f:
        text = f.read()
    tight = re.sub(r"(?m)^(\s*python: \{)", r"\g<1> memory_mb: 160,", text)
    check("the memory limit can be tightened", tight != text, text)
    with open(CONFIG, "w") as f:
        f.write(tight)


class Management(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(f"{STATE}/run/management.sock")


def is_ready():
    try:
        connection = Management("localhost")
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def wait_ready(service):
    begun = time.monotonic()
    while not is_ready():
        if service.poll() is not None or time.monotonic() > begun + READY_S:
            check("service becomes ready", False, f"exit status {service.poll()}")
        time.sleep(0.2)
    check(f"service is ready after {time.monotonic() - begun:.1f} s", True)


def post(client, path, body):
    address = urllib.parse.urlsplit(client["SALLYPORT_URL"])
    context = ssl.create_default_context(cafile=client["SALLYPORT_CA_FILE"])
    connection = http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=REQUEST_S)
    connection.request("POST", path, json.dumps(body), {"Authorization": "Bearer " + client["SALLYPORT_API_KEY"],
                                                        "Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def post_patiently(client, path, body):
    """As a client does: 429 says that it is to come again. Under emulation the pools take a while to fill."""
    begun = time.monotonic()
    status, answer = post(client, path, body)
    while status == 429 and time.monotonic() < begun + REQUEST_S:
        time.sleep(1)
        status, answer = post(client, path, body)
    return status, answer


def execute(client, language, code):
    status, answer = post_patiently(client, "/v1/execute", {"language": language, "code": code})
    return answer if status == 200 else {"status": f"HTTP {status}", "stdout": json.dumps(answer)}


def sandbox_groups():
    return [path for path, names, _ in os.walk("/sys/fs/cgroup") if "sallyport" in os.path.basename(path)]


def ours():
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "libexec/sallyport" in line or "runsc" in line:
            found.append(line)
    return found


def audit_verify(when):
    done = subprocess.run([f"{BUILD}/sallyport", "audit", "verify", "-c", CONFIG], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    check(f"audit verify, {when}", done.returncode == 0, done)


def call_tool(client):
    """A user's tool in WebAssembly: compiled in one jailed worker, run in another."""
    folder = "/tmp/tool"
    os.mkdir(folder)
    with open(f"{folder}/tool.json", "w") as f:
        json.dump({"name": "echo", "description": "Says what it is told.", "input_schema": {"type": "object"}}, f)
    os.symlink(f"{BUILD}/echo.wasm", f"{folder}/echo.wasm")
    done = subprocess.run([f"{BUILD}/sallyport", "tool", "push", folder], env={**os.environ, **client},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("tool push", done.returncode == 0, done)
    status, answer = post_patiently(client, "/v1/tools/echo/call", {"arguments": {"a": 42}})
    check("tool call", status == 200 and answer["output"] == {"a": 42} and answer["sandbox"].startswith("wasm"),
          (status, answer))


def main():
    check("cgroup v2", os.path.exists("/sys/fs/cgroup/cgroup.controllers"))
    client = initialise()
    with open(LOG, "w") as log:
        service = subprocess.Popen([f"{BUILD}/sallyport", "serve", "-c", CONFIG], stdout=log, stderr=log)
    wait_ready(service)
    for language, code in (("python", "print(6 * 7)"), ("javascript", "console.log(6 * 7)"), ("sh", "echo $((6 * 7))")):
        answer = execute(client, language, code)
        check(f"execute {language}", (answer["status"], answer["stdout"]) == ("exit", "42\n"), answer)
    answer = execute(client, "python", "x = [bytes([1]) * (32 << 20) for _ in range(100)]")
    check("a run that allocates too much is ended", answer["status"] == "memory", answer)
    check("sandboxes have cgroups", sandbox_groups(), sandbox_groups())
    model = {"model": "demo", "messages": [{"role": "user", "content": "```python\nprint(2 ** 100)\n```"}],
             "tools": [{"type": "code_interpreter"}]}
    status, answer = post_patiently(client, "/v1/chat/completions", model)
    check("chat turn", status == 200 and "1267650600228229401496703205376" in json.dumps(answer), (status, answer))
    call_tool(client)
    audit_verify("while it runs")
    service.terminate()
    check("service ends on SIGTERM", service.wait(60) == 0, service.returncode)
    audit_verify("after the end")
    time.sleep(1)
    check("no process is left", ours() == [], ours())
    check("no cgroup is left", sandbox_groups() == [], sandbox_groups())


main()
