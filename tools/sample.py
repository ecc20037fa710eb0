# SPDX-License-Identifier: Apache-2.0
"""The sample of `./dev run`: makes its request; shows its answer with the audit records, and checks every step of it.

sample.py request MODEL PROMPT
sample.py show PROMPT EXPECTED ANSWER_DIR AUDIT_DIR     exit status 0 only if every step was right
"""
import glob
import json
import sys

EVENTS = ["Authentication", "PromptSubmitted", "CodeGenerated", "ToolExecuted", "ToolExecuted", "ResponseReturned"]


def heading(text):
    print(f"\n── {text}")


def indented(text):
    for line in str(text).rstrip("\n").split("\n"):
        print("   ", line)


def request_id_of(path):
    with open(path) as f:
        headers = dict(line.strip().lower().split(": ", 1) for line in f if ": " in line)
    return headers.get("x-request-id", "")


def records_of(audit_dir, request_id):
    found = []
    for path in sorted(glob.glob(f"{audit_dir}/*.jsonl")):
        with open(path) as f:
            found += [record for line in f if request_id in line
                      and (record := json.loads(line)).get("request_id") == request_id]
    return found


def show_steps(answer):
    steps = answer.get("sallyport", {}).get("steps", [])
    for number, step in enumerate(steps, 1):
        heading(f"code the model wrote (step {number}, {step.get('language')})")
        indented(step.get("code"))
        heading(f"the sandbox's output (step {number}: {step.get('status')}, exit code {step.get('exit_code')}, "
                f"{step.get('duration_ms')} ms in {step.get('sandbox')})")
        indented(step.get("stdout", "") + step.get("stderr", ""))
        for file in step.get("files") or []:
            indented(f"[file {file['name']}]")
    return steps


def show_records(records):
    heading("audit records of this request")
    for record in records:
        event = dict(record.get("event", {}))
        kind = event.pop("type", "?")
        print(f"    {record.get('seq'):>5}  {record.get('ts')}  {kind:<16} {record.get('phase', ''):<8}"
              f"{record.get('outcome', ''):<8} {json.dumps(event)}")


def faults(steps, text, records, expected):
    if not steps:
        yield "the model wrote no code"
    for step in steps:
        if step.get("status") != "exit" or step.get("exit_code") != 0:
            yield f"a run ended with {step.get('status')}, exit code {step.get('exit_code')}"
    if steps and expected not in steps[-1].get("stdout", ""):
        yield f"the sandbox did not print {expected}"
    if expected not in text:
        yield f"the answer does not say {expected}"
    missing = list(EVENTS)
    for record in records:
        kind = record.get("event", {}).get("type")
        if kind in missing:
            missing.remove(kind)
        if record.get("outcome") not in (None, "success"):
            yield f"record {record.get('seq')} ({kind}) says {record.get('outcome')}"
    if missing:
        yield f"audit records are missing: {', '.join(missing)}"


def show(prompt, expected, answer_dir, audit_dir):
    with open(f"{answer_dir}/body.json") as f:
        answer = json.load(f)
    request_id = request_id_of(f"{answer_dir}/headers")
    heading("prompt")
    indented(prompt)
    steps = show_steps(answer)
    heading("answer")
    text = ((answer.get("choices") or [{}])[0].get("message", {}).get("content")) or ""
    indented(text or json.dumps(answer))
    records = records_of(audit_dir, request_id)
    show_records(records)
    wrong = list(faults(steps, text, records, expected))
    for fault in wrong:
        print(f"\nWRONG: {fault}", file=sys.stderr)
    return 1 if wrong else 0


def main():
    if sys.argv[1] == "request":
        json.dump({"model": sys.argv[2], "messages": [{"role": "user", "content": sys.argv[3]}],
                   "tools": [{"type": "code_interpreter"}]}, sys.stdout)
        return 0
    return show(*sys.argv[2:])


sys.exit(main())
