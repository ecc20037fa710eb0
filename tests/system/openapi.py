# SPDX-License-Identifier: Apache-2.0
"""The description of the API as tests use it: its operations, examples of what they take, and a judge of answers."""

import dataclasses
import json
import re
import subprocess

from instance import BUILD, ROOT
from places import places

DOCUMENT = BUILD / "src/gateway/openapi.json"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
HOLE = re.compile(r"\{(\w+)\}")
# What a text must be where a pattern says so and nothing shorter fits.
PATTERNS = ("a", "A", "0", "a" * 8, "python", "sp_", "file", "resp_" + "0" * 48, "conv_" + "0" * 48, "file-" + "0" * 48, "0" * 12, "A" * 12, "custom", "127.0.0.0/8")


def load():
    return json.loads(DOCUMENT.read_text())


@dataclasses.dataclass
class Operation:
    document: dict
    method: str
    path: str
    spec: dict

    def __str__(self):
        return f"{self.method} {self.path}"

    @property
    def id(self):
        return self.spec["operationId"]

    @property
    def parameters(self):
        below = self.document["paths"][self.path].get("parameters", [])
        return [resolve(self.document, p) for p in below + self.spec.get("parameters", [])]

    def named(self, place):
        return {p["name"]: p for p in self.parameters if p["in"] == place}

    @property
    def holes(self):
        return HOLE.findall(self.path)

    def at(self, **ids):
        """The path with these ids, and an example where there is none."""
        params = self.named("path")
        return HOLE.sub(lambda m: ids.get(m[1]) or example(self.document, params[m[1]]["schema"]), self.path)

    @property
    def content(self):
        return self.spec.get("requestBody", {}).get("content", {})

    @property
    def body(self):
        """The schema of a body in JSON; None: it takes none."""
        return self.content.get("application/json", {}).get("schema")

    def example(self):
        return None if self.body is None else example(self.document, self.body)


def operations(document):
    return [Operation(document, method.upper(), path, spec)
            for path, item in document["paths"].items()
            for method, spec in item.items() if method in METHODS]


def resolve(document, value):
    while isinstance(value, dict) and "$ref" in value:
        at = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            at = at[part.replace("~1", "/").replace("~0", "~")]
        value = at
    return value


def example(document, schema):
    """The smallest thing that conforms, as far as our schemas go."""
    schema = resolve(document, schema)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "examples" in schema:
        return schema["examples"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind is None:
        choices = schema.get("oneOf") or schema.get("anyOf") or schema.get("allOf")
        return example(document, choices[0]) if choices else "x"
    return EXAMPLES[kind](document, schema)


def text_example(_, schema):
    want = schema.get("minLength", 0)
    fits = [p for p in PATTERNS if len(p) >= want and len(p) <= schema.get("maxLength", 1 << 20) and
            re.search(schema.get("pattern", ""), p)]
    assert fits, f"no example of {schema}"
    return fits[0]


def object_example(document, schema):
    found, props = {}, dict(schema.get("properties", {}))
    for part in [schema, *schema.get("anyOf", [])[:1], *schema.get("allOf", [])]:
        part = resolve(document, part)
        props.update({k: v for k, v in part.get("properties", {}).items() if k not in props})
        for name in part.get("required", []):
            found[name] = example(document, props.get(name, {}))
    return found


EXAMPLES = {
    "string": text_example,
    "object": object_example,
    "array": lambda d, s: [example(d, s.get("items", {}))] * s.get("minItems", 0),
    "integer": lambda d, s: max(s.get("minimum", 0), 1),
    "number": lambda d, s: max(s.get("minimum", 0), 1),
    "boolean": lambda d, s: True,
    "null": lambda d, s: None,
}


# ---- the judge: another people's validators, in an environment that has them ----

JUDGE = """
import json, sys
from jsonschema import Draft202012Validator
document, cases = json.load(sys.stdin)
for name, schema, value in cases:
    whole = {"$defs": {"it": schema}, "$ref": "#/$defs/it", "components": document["components"]}
    for e in list(Draft202012Validator(whole).iter_errors(value))[:3]:
        print(name, e.json_path, e.message[:300])
"""
VALID = """
import json, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
for e in list(OpenAPIV31SpecValidator(json.load(sys.stdin)).iter_errors())[:10]:
    print(e.json_path, e.message[:300])
"""


def run(program, value):
    done = subprocess.run([places()["aws_python"], "-c", program], input=json.dumps(value), text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def faults(document):
    return run(VALID, document)


def judge(document, cases):
    """cases: [(name, schema, value)] -> what does not conform, a line each"""
    return run(JUDGE, [document, cases])


def schema_of(operation, status, kind="application/json"):
    responses = operation.spec["responses"]
    found = resolve(operation.document, responses.get(str(status)) or responses["default"])
    return found["content"][kind]["schema"]


# ---- what the program itself says ----

def routes():
    """[(method, path, endpoint, title of the body's schema or "-")] of the gateway's table"""
    out = subprocess.run([BUILD / "tests/routes-dump"], check=True, text=True, capture_output=True, timeout=20).stdout
    return [line.split("\t") for line in out.splitlines()]


@dataclasses.dataclass
class AdminRoute:
    method: str
    path: str
    door: str
    action: str
    query: list
    schema: object


def admin_routes():
    """The authority's table of /admin/v1."""
    out = subprocess.run([BUILD / "tests/admin-routes-dump"], check=True, text=True, capture_output=True,
                         timeout=20).stdout
    rows = [line.split("\t") for line in out.splitlines()]
    return [AdminRoute(method, path, door, action, query.split(), None if schema == "-" else json.loads(schema))
            for method, path, door, action, query, schema in rows]


def admin_codes():
    """{code: door} of the authority's table."""
    out = subprocess.run([BUILD / "tests/admin-routes-dump", "codes"], check=True, text=True, capture_output=True,
                         timeout=20).stdout
    return dict(line.split("\t") for line in out.splitlines())


def inlined(document, value):
    """Without references, and without what only people read."""
    value = resolve(document, value)
    if isinstance(value, list):
        return [inlined(document, v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: inlined(document, v) for k, v in value.items() if k not in ("description", "examples")}


def error_codes():
    """{code} of wire/errors.h"""
    text = (ROOT / "wire/errors.h").read_text()
    return set(re.findall(r'\[ERROR_\w+\] = \{ \d+, \d, "\w+",\s*"(\w+)"', text))


def anonymous(path):
    """A path whose parameters have no names."""
    return re.sub(r"\{\w*\}", "{}", path + "{}" if path.endswith("/") else path)
