# SPDX-License-Identifier: Apache-2.0
"""Bodies that the gateway takes and refuses, and its answers and streams, over raw TLS."""

import json
import socket
import struct
import time

import pytest

from instance import wait_for

CHAT = "/v1/chat/completions"
HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}


# ---- JSON and schemas ----

@pytest.mark.parametrize("body, status, code, param", [
    ("{", 400, "invalid_json", None),
    ("", 400, "invalid_json", None),
    ("[" * 100000, 400, "invalid_json", None),
    ('{"model":"demo","model":"demo","messages":[{"role":"user","content":"x"}]}', 400, "invalid_field", "/model"),
    ('{"model":"demo","Model":"demo","messages":[{"role":"user","content":"x"}]}', 400, "invalid_field", "/Model"),
    ('{"model":"demo","Stream":true,"messages":[{"role":"user","content":"x"}]}', 400, "invalid_field", "/Stream"),
    ('{"model":"demo","messages":"x"}', 400, "invalid_field", "/messages"),
    ('{"model":"demo","messages":[{"role":"user","content":1}]}', 400, "invalid_field", "/messages/0/content"),
    ('{"model":"demo","messages":[{"role":"user","content":"\\ud800"}]}', 400, "invalid_json", None),
    ('{"model":"demo","messages":[{"role":"user","content":"x"}],"api_key":"y"}', 400, "invalid_field", "/api_key"),
    ('\ufeff{"model":"demo"}', 400, "invalid_json", None),
    ('{"model":"demo","messages":[{"role":"user","content":"x"}]} x', 400, "invalid_json", None),
    ('{"model":"' + "m" * 200 + '","messages":[{"role":"user","content":"x"}]}', 400, "invalid_field", "/model"),
    ('{"model":"other","messages":[{"role":"user","content":"x"}]}', 404, "model_not_found", "/model"),
])
def test_chat_bodies(service, body, status, code, param):
    got, headers, answer = service.request("POST", CHAT, body.encode())
    assert (got, answer["error"]["code"]) == (status, code)
    if param is not None:
        assert answer["error"]["param"] == param
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize("body, status, code, param", [
    ({"language": "cobol", "code": ""}, 400, "unknown_language", "/language"),
    ({"language": "python"}, 400, "invalid_field", ""),
    ({"language": "python", "code": "", "env": {}}, 400, "invalid_field", "/env"),
    ({"language": "python", "code": "", "timeout_ms": -1}, 400, "invalid_field", "/timeout_ms"),
    ({"language": "python", "code": "", "files": [{"name": "../x", "content_base64": ""}]}, 400,
     "invalid_field", "/files/0/name"),
    ({"language": "python", "code": "", "files": [{"name": "x", "content_base64": "%"}]}, 400,
     "invalid_field", "/files/0/content_base64"),
    ({"language": "python", "code": "", "files": [{"name": "a", "content_base64": ""}, {"name": "b", "content_base64": ""},
                                                  {"name": "a", "content_base64": "eA=="}]}, 400,
     "invalid_field", "/files/2/name"),
])
def test_execute_bodies(service, body, status, code, param):
    got, _, answer = service.request("POST", "/v1/execute", body)
    assert (got, answer["error"]["code"]) == (status, code)
    if param is not None:
        assert answer["error"]["param"] == param


def test_routes_for_valid_keys(service):
    assert service.request("GET", "/nowhere")[0] == 404
    assert service.request("DELETE", "/v1/models")[0] == 405
    assert service.request("GET", "/v1/models?x=1")[0] == 400
    assert service.request("POST", CHAT, "x", headers={"Content-Type": "text/plain"})[0] == 415
    assert service.request("POST", CHAT, HELLO, headers={"Content-Encoding": "gzip"})[0] == 415
    errors = [r for r in service.records() if r["event"]["type"] == "Error"]
    assert {"not_found", "method_not_allowed", "invalid_field", "unsupported_media_type"} <= {
        r["event"].get("error_type") or r["event"].get("fields", {}).get("error_type") for r in errors}


# ---- execute ----

def test_execute_answer(service):
    status, _, a = service.execute("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert status == 200
    assert set(a) == {"id", "status", "exit_code", "stdout", "stderr", "truncated", "files_dropped", "files",
                      "duration_ms", "sandbox"}
    assert (a["status"], a["exit_code"], a["stdout"], a["stderr"]) == ("exit", 3, "out\n", "err\n")


def test_execute_files_and_stdin(service):
    code = "import sys,os\nos.makedirs('/tmp/out', exist_ok=True)\n" \
           "open('/tmp/out/b.bin','wb').write(open('a.bin','rb').read()[::-1] + sys.stdin.buffer.read())"
    status, _, a = service.execute(code, stdin="end", files=[{"name": "a.bin", "content_base64": "AAEC"}])
    assert (status, a["status"], a["exit_code"]) == (200, "exit", 0), a
    assert a["files"] == [{"name": "b.bin", "content_base64": "AgEAZW5k"}]


def test_dropped_files_are_told_from_cut_output(service):
    _, _, a = service.execute("open('/tmp/out/good','w').write('x')\nopen('/tmp/out/a\\nb','w').write('y')")
    assert [f["name"] for f in a["files"]] == ["good"], a
    assert (a["files_dropped"], a["truncated"]) == (True, True)
    _, _, a = service.execute("print('x' * 3_000_000)")
    assert (a["files_dropped"], a["truncated"]) == (False, True)
    _, _, a = service.execute("print('x')")
    assert (a["files_dropped"], a["truncated"]) == (False, False)


def test_invalid_utf8_is_repaired_across_pieces(service):
    code = "import os,time\nos.write(1,b'h\\xc3'); time.sleep(0.2); os.write(1,b'\\xa9 \\xff')"
    status, _, a = service.execute(code)
    assert (status, a["stdout"]) == (200, "h\u00e9 \ufffd")


def events_of(raw_socket, stop):
    """Parse a chunked event stream until `stop` was seen."""
    raw_socket.read_until(b"\r\n\r\n")
    head, _, rest = raw_socket.data.partition(b"\r\n\r\n")
    raw_socket.data = rest
    raw_socket.read_until(stop)
    return head.decode(), raw_socket.data


def test_execute_stream(raw):
    r = raw()
    r.request("POST", "/v1/execute", json.dumps(
        {"language": "python", "code": "print('one', flush=True)", "stream": True}))
    head, data = events_of(r, b"event: result")
    assert "200 OK" in head and "text/event-stream" in head
    assert data.index(b"event: started") < data.index(b"event: stdout") < data.index(b"event: result")
    assert b'data: {"data":"one\\n"}\n\n' in data


def test_output_streams_as_it_comes(raw):
    r = raw()
    r.request("POST", "/v1/execute", json.dumps(
        {"language": "python", "code": "import time\nprint('a', flush=True)\ntime.sleep(20)\nprint('b')",
         "stream": True}))
    began = time.monotonic()
    r.read_until(b'{"data":"a\\n"}')
    assert time.monotonic() - began < 15
    assert b'"b' not in r.data


def test_a_client_that_leaves_cancels_its_run(service, raw):
    r = raw()
    r.request("POST", "/v1/execute", json.dumps(
        {"language": "python", "code": "print('x', flush=True)\nwhile True: pass", "stream": True}))
    r.read_until(b'"x\\n"')
    r.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    before = len(service.records())
    r.sock.close()

    def closed():
        return any(rec["event"]["type"] == "ResponseReturned" and rec["outcome"] == "failure"
                   for rec in service.records()[before:])

    wait_for(closed, 10, "the end of the cancelled run is not on record")


# ---- chat ----

def test_chat_stream_ends_with_done(raw):
    r = raw()
    r.request("POST", CHAT, json.dumps({**HELLO, "stream": True}))
    _, data = events_of(r, b"data: [DONE]\n\n")
    assert b"sallyport" not in data.replace(b"Sallyport", b"").replace(b"sallyport-demo", b"").replace(
        b"sallyport.yaml", b"")
    r.read_until(b"0\r\n\r\n")
    r.data = b""
    r.request("GET", "/v1/models")
    assert r.answer()[0] == 200, "the connection is good for more"


def test_terminal_chunk_is_after_the_record(service, raw):
    before = len(service.records())
    r = raw()
    r.request("POST", CHAT, json.dumps({**HELLO, "stream": True}))
    head, _ = events_of(r, b'"finish_reason":"stop"')
    kinds = [rec["event"]["type"] for rec in service.records()[before:] if rec.get("request_id", "-") in head]
    assert kinds[-1] == "ResponseReturned" and "PromptSubmitted" in kinds


def test_turn_is_bounded_in_steps(make_instance):
    inst = make_instance(edit=lambda text: text + "\nlimits: { turn_steps: 1 }\n")
    status, _, a = inst.chat("```python\nprint(1)\n```\n```python\nprint(2)\n```")
    assert status == 422 and a["error"]["code"] == "turn_limit"
    status, _, a = inst.chat("```python\nprint(1)\n```")
    assert status == 200 and len(a["sallyport"]["steps"]) == 1


def test_policy_attaches_the_tool(make_instance):
    def edit(text):
        assert 'languages: "*" }' in text
        return text.replace('languages: "*" }', 'languages: "*", attach: [code_interpreter] }')

    inst = make_instance(edit=edit)
    status, _, a = inst.chat("```python\nprint(6*7)\n```", tools=False)
    assert status == 200 and a["sallyport"]["steps"][0]["stdout"] == "42\n"
