"""The published document: of every route and no other, true to itself, and stored as it is."""

import json
import re
from collections.abc import Iterator
from typing import Any

from api.app import ENDPOINTS
from api.openapi import document_json
from tests.support import ROOT

DOCUMENT: dict[str, Any] = json.loads(document_json(ENDPOINTS))
KEYWORDS = {
    "type": (str, list), "properties": dict, "items": dict, "required": list, "enum": list,
    "anyOf": list, "oneOf": list, "allOf": list, "pattern": str, "minimum": (int, float),
    "maximum": (int, float), "exclusiveMinimum": (int, float), "exclusiveMaximum": (int, float),
    "minLength": int, "maxLength": int, "minItems": int, "maxItems": int, "maxProperties": int,
    "prefixItems": list, "propertyNames": dict, "description": str, "title": str, "$ref": str,
    "additionalProperties": (bool, dict), "discriminator": dict, "format": str,
}  # fmt: skip
TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema below a node, the node's own `schema`s first."""
    if isinstance(node, list):
        for child in node:
            yield from schemas(child)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        if name == "schema":
            yield from parts(value)
        else:
            yield from schemas(value)


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for subschema in schema.get(name, []):
            yield from parts(subschema)
    for name in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(name), dict):
            yield from parts(schema[name])
    for subschema in schema.get("properties", {}).values():
        yield from parts(subschema)


def all_schemas() -> list[dict[str, Any]]:
    named = DOCUMENT["components"]["schemas"].values()
    return [
        *schemas(DOCUMENT["paths"]),
        *(part for component in named for part in parts(component)),
    ]


def test_the_stored_copy_is_what_is_published() -> None:
    stored = (ROOT / "docs" / "openapi.json").read_text()
    assert stored == document_json(ENDPOINTS), (
        "run: python -m api.print_openapi > docs/openapi.json"
    )


def test_the_document_is_served_without_a_key(client: Any) -> None:
    client.environ_base.pop("HTTP_AUTHORIZATION")
    response = client.get("/openapi.json")
    assert response.json == DOCUMENT
    known = {"If-None-Match": response.headers["ETag"]}
    assert client.get("/openapi.json", headers=known).status_code == 304


def test_the_document_has_every_route_and_no_other(client: Any) -> None:
    routed = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(method.upper(), path) for method, path, _ in operations()} == routed


def test_every_operation_has_an_id_of_its_own_and_a_summary() -> None:
    ids = [operation["operationId"] for *_, operation in operations()]
    assert len(set(ids)) == len(ids)
    assert all(operation["summary"] for *_, operation in operations())


def test_every_name_in_a_path_is_a_required_parameter() -> None:
    for _, path, operation in operations():
        named = [parameter for parameter in operation["parameters"] if parameter["in"] == "path"]
        assert re.findall(r"{(\w+)}", path) == [parameter["name"] for parameter in named]
        assert all(parameter["required"] for parameter in named)
        assert all(
            set(parameter) >= {"name", "in", "schema"} for parameter in operation["parameters"]
        )


def test_every_error_is_a_problem_and_every_success_has_a_media_type() -> None:
    for method, path, operation in operations():
        for status, response in operation["responses"].items():
            assert response["description"]
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (path, status)
            elif status not in ("204", "304"):
                assert response["content"], (method, path, status)


def test_every_endpoint_with_a_key_can_answer_401_403_and_503() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert schemes["key"] == {"type": "http", "scheme": "bearer"}
    assert (schemes["link"]["in"], schemes["link"]["name"]) == ("query", "sig")
    for _, path, operation in operations():
        is_open = operation.get("security", DOCUMENT["security"]) == []
        assert is_open == (not path.startswith("/v1") and path != "/metrics"), path
        assert is_open or {"401", "403", "429", "503"} <= set(operation["responses"]), path


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(DOCUMENT)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert named == set(DOCUMENT["components"]["schemas"])


def test_every_schema_is_made_of_known_words_of_the_right_type() -> None:
    published = all_schemas()
    assert len(published) > 300
    for schema in published:
        for word, value in schema.items():
            assert word in KEYWORDS or word in ("default", "const", "examples"), schema
            assert not isinstance(value, bool) or word in (
                "default",
                "const",
                "additionalProperties",
            )
            if word in KEYWORDS:
                assert isinstance(value, KEYWORDS[word]), schema
        assert {schema.get("type", "null")} <= TYPES
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


def test_bounds_of_the_contract_are_published() -> None:
    spec = DOCUMENT["components"]["schemas"]["JobSpecRequest"]
    assert spec["additionalProperties"] is False
    assert spec["required"] == ["model", "data", "budget"]
    seed = spec["properties"]["seed"]
    assert (seed["minimum"], seed["maximum"], seed["default"]) == (0, 2**32 - 1, 0)
    jobs = DOCUMENT["paths"]["/v1/jobs"]["get"]["parameters"]
    limit = next(parameter for parameter in jobs if parameter["name"] == "limit")["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 1000, 100)


def test_no_later_feature_is_published() -> None:
    text = json.dumps(DOCUMENT["paths"])
    for word in ("sweep",):
        assert word not in text, word
