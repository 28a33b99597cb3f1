"""The document as linters, regular expressions of ECMAScript and TypeScript's own names have it."""

import json
import re
from pathlib import Path
from typing import Any

from api.app import ENDPOINTS
from api.openapi import document_json
from tests.needs import TYPESCRIPT, needs
from tests.node_packages import PROJECT, find_packages
from tests.typescript_project import REDOCLY, SPECTRAL, run_node, run_package

pytestmark = needs(TYPESCRIPT)
TEXT = document_json(ENDPOINTS)
DECLARED = re.compile(
    r"^(?:declare )?(?:abstract )?(?:var|const|function|class|interface|type|namespace) (\w+)",
    re.M,
)
#: compiles each pattern as JSON Schema wants it: for Unicode
COMPILE = "for (const text of JSON.parse(process.env.PATTERNS)) new RegExp(text, 'u')"


def test_redocly_and_spectral_find_no_fault(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(TEXT)
    lint = ("lint", "openapi.json")
    report = run_package(tmp_path, REDOCLY, *lint, "--extends=recommended", "--format=json")
    assert json.loads(report)["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}
    ruleset = str(PROJECT / "spectral.json")
    run_package(tmp_path, SPECTRAL, *lint, f"--ruleset={ruleset}", "--fail-severity=warn")


def test_no_schema_hides_a_name_that_typescript_declares_everywhere() -> None:
    names: set[str] = set()
    for library in (find_packages() / "typescript" / "lib").glob("lib.*.d.ts"):
        names |= set(DECLARED.findall(library.read_text()))
    assert len(names) > 1500 and {"Array", "Event", "Record"} <= names
    assert names.isdisjoint(json.loads(TEXT)["components"]["schemas"])


def test_every_pattern_is_one_of_ecmascript(tmp_path: Path) -> None:
    patterns: list[str] = []

    def collect(fields: dict[str, Any]) -> dict[str, Any]:
        if isinstance(pattern := fields.get("pattern"), str):
            patterns.append(pattern)
        return fields

    json.loads(TEXT, object_hook=collect)
    assert len(patterns) > 20
    run_node(tmp_path, "--eval", COMPILE, PATTERNS=json.dumps(patterns))
