"""What generators of clients and linters need of the document, in each schema and operation."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from api.app import ENDPOINTS
from api.openapi import document_json
from api.openapi_contents import FORM
from api.sse import EVENT_STREAM
from jobs.queries.events import EventType
from tests.test_api_openapi import parts, schemas

DOCUMENT: dict[str, Any] = json.loads(document_json(ENDPOINTS))
NAMED: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
OPERATIONS = [entry for methods in DOCUMENT["paths"].values() for entry in methods.values()]
#: that a schema's name would hide in a generated module; test_client_typescript has all of them
ECMASCRIPT_GLOBALS = """
Array ArrayBuffer Atomics BigInt Boolean DataView Date Error EvalError Event Function Infinity Intl
Iterator JSON Map Math NaN Number Object Promise Proxy RangeError Reflect RegExp Request Response
Set String Symbol SyntaxError TypeError URIError WeakMap WeakRef WeakSet Awaited Capitalize
ConstructorParameters Exclude Extract InstanceType Lowercase NoInfer NonNullable Omit Parameters
Partial Pick Readonly ReadonlyArray Record Required ReturnType ThisType Uncapitalize Uppercase
"""


def every_schema() -> Iterator[dict[str, Any]]:
    yield from schemas(DOCUMENT["paths"])
    for component in NAMED.values():
        yield from parts(component)


def named_branches(union: dict[str, Any]) -> list[dict[str, Any]]:
    return [NAMED[branch["$ref"].rpartition("/")[2]] for branch in union["oneOf"]]


def test_no_schema_hides_a_name_of_the_language() -> None:
    assert set(NAMED).isdisjoint(ECMASCRIPT_GLOBALS.split())


def test_the_server_is_the_one_that_serves_the_document() -> None:
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]


def test_every_tag_is_described_once_and_used() -> None:
    names = [tag["name"] for tag in DOCUMENT["tags"]]
    assert len(set(names)) == len(names) and all(tag["description"] for tag in DOCUMENT["tags"])
    assert {tag for operation in OPERATIONS for tag in operation["tags"]} == set(names)


def test_every_list_says_what_its_items_are() -> None:
    lists = [schema for schema in every_schema() if schema.get("type") == "array"]
    assert len(lists) > 50 and any("prefixItems" in schema for schema in lists)
    for schema in lists:
        assert isinstance(schema.get("items"), dict), schema
        for item in schema.get("prefixItems", []):  # `items` is of those beyond, of which is none
            assert item == schema["items"] or item in schema["items"]["anyOf"], schema


def test_every_branch_of_a_tagged_union_requires_its_tag() -> None:
    alternatives = [schema for schema in every_schema() if "oneOf" in schema]
    unions = [one for one in alternatives if any("$ref" in branch for branch in one["oneOf"])]
    tags = {schema["discriminator"]["propertyName"] for schema in unions}
    assert tags >= {"family", "source", "name", "type"}
    for union in unions:
        tag = union["discriminator"]["propertyName"]
        for branch in named_branches(union):
            name = branch["properties"][tag]["const"]
            assert tag in branch["required"] and "default" not in branch["properties"][tag], branch
            assert NAMED[union["discriminator"]["mapping"][name].rpartition("/")[2]] is branch


def test_what_has_a_default_is_not_required() -> None:
    for schema in every_schema():
        for name in schema.get("required", []):
            assert "default" not in schema["properties"][name], (schema["title"], name)


def test_every_kind_of_event_has_its_schema_in_lists_and_in_streams() -> None:
    assert set(NAMED["JobEvent"]["discriminator"]["mapping"]) == set(get_args(EventType))
    answers = [operation["responses"].get("200", {}) for operation in OPERATIONS]
    contents = [answer.get("content", {}) for answer in answers]
    streams = [
        content[EVENT_STREAM]["schema"]["$ref"].rpartition("/")[2]
        for content in contents
        if EVENT_STREAM in content
    ]
    assert streams == ["StreamedEvent"] * 2
    branches = [branch["$ref"].rpartition("/")[2] for branch in NAMED["StreamedEvent"]["anyOf"]]
    assert branches == ["JobEvent", "TicksProgress"]
    assert NAMED["EventPage"]["properties"]["data"]["items"]["$ref"].endswith("/JobEvent")


def test_a_form_is_the_first_way_to_upload_and_bytes_are_called_binary() -> None:
    requests = [operation.get("requestBody", {"content": {}}) for operation in OPERATIONS]
    bodies = [request["content"] for request in requests if FORM in request["content"]]
    assert len(bodies) == 2
    for body in bodies:
        assert next(iter(body)) == FORM
        assert body[FORM]["schema"]["properties"]["file"]["format"] == "binary"
        assert body["application/x-npz"]["schema"]["format"] == "binary"
        assert body["text/csv"]["schema"] == {"type": "string"}


def test_every_escape_in_a_pattern_is_one_of_ecmascript() -> None:
    patterns = [schema["pattern"] for schema in every_schema() if "pattern" in schema]
    escaped = {letter for pattern in patterns for letter in re.findall(r"\\(.)", pattern)}
    assert escaped and escaped <= set(r"^$\.*+?()[]{}|/-dDsSwWbBnrt")
