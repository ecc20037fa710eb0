#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The description of the API as JSON: openapi.py openapi.yaml OUT.json

A reference to a file becomes a schema of the document, with the file's name; so bodies are described by
the very files by which they are checked. References within such a file are kept, from its new place.
"""
import json
import pathlib
import sys

import yaml

PLACE = "#/components/schemas/"


class Loader(yaml.SafeLoader):
    """Without dates and yes/no, and without keys that come twice."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, match) for tag, match in rows if tag != "tag:yaml.org,2002:timestamp"]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def mapping(loader, node):
    keys = [key.value for key, _ in node.value]
    if len(set(keys)) != len(keys):
        raise yaml.YAMLError(f"a key comes twice {node.start_mark}: {sorted(keys)}")
    return {str(loader.construct_object(k, deep=True)): loader.construct_object(v, deep=True)
            for k, v in node.value}


Loader.add_constructor("tag:yaml.org,2002:map", mapping)


def walk(value, refer):
    if isinstance(value, list):
        return [walk(v, refer) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: refer(v) if k == "$ref" and isinstance(v, str) else walk(v, refer) for k, v in value.items()}


def embed(document, folder):
    """`document` with every schema file that it, or such a file, refers to."""
    found = {}

    def take(ref, base):
        path, _, below = ref.partition("#")
        if path == "":
            return ref
        file = (base / path).resolve()
        name = file.stem
        if name not in found:
            found[name] = None
            schema = json.loads(file.read_text())
            schema.pop("$schema", None)
            found[name] = walk(schema, lambda r: PLACE + name + r[1:] if r.startswith("#") else take(r, file.parent))
        return PLACE + name + below

    document = walk(document, lambda r: take(r, folder))
    schemas = document["components"]["schemas"]
    both = schemas.keys() & found.keys()
    if both:
        raise ValueError(f"there are two schemas of one name: {sorted(both)}")
    schemas.update(found)
    return document


def main(source, out):
    path = pathlib.Path(source)
    document = embed(yaml.load(path.read_text(encoding="utf-8"), Loader), path.parent)
    pathlib.Path(out).write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
