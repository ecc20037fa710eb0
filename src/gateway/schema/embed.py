#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the schema files into one C file: embed.py OUT.c NAME.json…"""
import json
import os
import sys

with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write('#include "routes.h"\n\n')
    for path in sys.argv[2:]:
        name = os.path.basename(path).removesuffix(".json")
        with open(path, encoding="utf-8") as f:
            text = json.dumps(json.load(f), separators=(",", ":"), ensure_ascii=True).encode()
        out.write(f"static const uint8_t {name}_text[] = {{")
        for i, byte in enumerate(text):
            out.write(("\n\t" if i % 16 == 0 else " ") + f"{byte},")
        out.write("\n};\n")
        out.write(f"const struct span schema_{name} = {{ {name}_text, sizeof({name}_text) }};\n\n")
