"""The published document (OpenAPI 3.1), written from the endpoints and their models.

`python -m api.openapi` prints it; docs/openapi.json is that output, held to it by a test.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import schemas, version
from api.errors import KINDS, MEDIA_TYPE
from api.registrar import LONGEST_KEY, Answer, Endpoint
from jobs.access import TENANT_PATTERN

REF = "#/components/schemas/{model}"
PARAMETER = re.compile(r"<(\w+)>")
NAMED = re.compile(re.escape(REF).replace(r"\{model\}", r"(\w+)"))
JSON = "application/json"
Schemas = Mapping[Any, dict[str, Any]]  # (model, mode) -> reference

PATHS: dict[str, dict[str, Any]] = {
    "job_id": {
        "description": "a job's id",
        "schema": {"type": "string", "pattern": "^job_[a-z0-9]{26}$"},
    },
    "which": {
        "description": "a tick, or initial, latest, best, final",
        "schema": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,14}|initial|latest|best|final)$"},
    },
    "name": {"description": "a file's name, as its owner lists it", "schema": {"type": "string"}},
    "dataset_id": {
        "description": "a dataset's id",
        "schema": {"type": "string", "pattern": "^ds_[a-z0-9]{26}$"},
    },
    "key_id": {
        "description": "a key's id",
        "schema": {"type": "string", "pattern": "^key_[a-z0-9]{26}$"},
    },
}
#: bodies that are one text; the others are bytes, or server-sent events
TEXTS = (
    "text/csv",
    "text/plain",
    "text/html",
    "text/css",
    "text/javascript",
    "application/x-ndjson",
)
TENANT_PARAMETER = {
    "name": "tenant",
    "in": "query",
    "required": False,
    "description": "another tenant, for a key of scope `admin`",
    "schema": {"type": "string", "pattern": TENANT_PATTERN},
}
#: what each is for, and its form where any other is refused
REQUEST_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Idempotency-Key": (
        "1 to 255 printable ASCII characters; the same key and body make it once",
        {"minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    ),
    "If-None-Match": ("an ETag from before; if it still holds, the answer is 304", {}),
    "Last-Event-ID": (
        "number of the last event that was received; the stream goes on after it",
        {"pattern": "^[0-9]{1,15}$"},
    ),
    "Range": ("one range of bytes", {}),
    "If-Range": ("the ETag that the range belongs to; if it no longer holds, all is sent", {}),
}
RESPONSE_HEADERS = {
    "Accept-Ranges": "bytes",
    "Content-Range": "which bytes of how many",
    "ETag": "for If-None-Match",
    "Idempotent-Replayed": "true when this idempotency key had made it before",
    "Location": "the path of what was made",
    "Retry-After": "seconds; there was no place to wait, so this is the state now",
    "X-Complete": "true when nothing more will come",
    "X-First-Byte": "offset of the first byte sent",
    "X-Next-After": "`after` to go on with",
    "X-First-Tick": "tick of the first value (binary form)",
    "X-Last-Tick": "tick of the last value (binary form)",
}
ABOUT = """Posts a spec, trains it tick by tick, and lets clients poll its status, checkpoints and
loss history. Everything under /v1 needs `Authorization: Bearer KEY`. Errors are problem details
(RFC 9457) and list all faults at once."""


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Write the document of these endpoints."""
    endpoints = list(endpoints)
    made, definitions = models_json_schema(sorted(_models(endpoints), key=str), ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, made)
    used = _used(paths, definitions["$defs"])
    _tell_apart(used, used)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Tickforge",
            "version": version.SERVICE,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(used.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _used(paths: object, schemas: dict[str, Any]) -> dict[str, Any]:
    """Those that the paths lead to: a field that is never shown leaves schemas of its parts."""
    found: dict[str, Any] = {}
    new = _named(paths)
    while new:
        found |= {name: schemas[name] for name in new}
        new = {inner for name in new for inner in _named(schemas[name])} - found.keys()
    return found


def _tell_apart(part: object, schemas: dict[str, Any]) -> None:
    """Name the field by which the branches of each union are told apart."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for each in inner:
        _tell_apart(each, schemas)
    if isinstance(part, dict) and (branches := [*_named(part.get("oneOf", []))]):
        constants = [_constants(schemas[name]) for name in branches]
        for field in sorted(set.intersection(*(set(each) for each in constants))):
            mapping = {
                each[field]: REF.format(model=name)
                for each, name in zip(constants, branches, strict=True)
            }
            told = {"propertyName": field, "mapping": dict(sorted(mapping.items()))}
            part["discriminator"] = told


def _constants(schema: dict[str, Any]) -> dict[str, str]:
    """The fields that a model must have, with the only value of each."""
    fields = {name: schema["properties"][name] for name in schema.get("required", [])}
    return {name: each["const"] for name, each in fields.items() if "const" in each}


def _named(part: object) -> set[str]:
    return set(NAMED.findall(json.dumps(part)))


@cache
def text_of(endpoints: tuple[Endpoint, ...]) -> str:
    """Return the document as it is published and stored."""
    return json.dumps(document(endpoints), indent=1, ensure_ascii=False) + "\n"


def _models(endpoints: Iterable[Endpoint]) -> set[tuple[type[BaseModel], JsonSchemaMode]]:
    used: set[tuple[type[BaseModel], JsonSchemaMode]] = {(schemas.Problem, "serialization")}
    for endpoint in endpoints:
        if endpoint.body is not None:
            used.add((endpoint.body, "validation"))
        for answer in endpoint.answers.values():
            if answer.model is not None:
                used.add((answer.model, "serialization"))
    return used


def _operation(endpoint: Endpoint, made: Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, made),
    }
    if endpoint.scope is None:
        told["security"] = []
    else:
        told["description"] = f"Needs a key of scope `{endpoint.scope}`."
    if endpoint.body is not None:
        schema = made[(endpoint.body, "validation")]
        needed = not endpoint.may_be_empty
        told["requestBody"] = {"required": needed, "content": {JSON: {"schema": schema}}}
    if endpoint.upload:
        forms = {
            media: {"schema": {"type": "string"} if media in TEXTS else {}}
            for media in endpoint.upload
        }
        told["requestBody"] = {"required": True, "content": forms}
    return told


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, **PATHS[name]}
        for name in PARAMETER.findall(endpoint.path)
    ]
    query = endpoint.query.model_json_schema()
    for name, schema in query.get("properties", {}).items():
        about = {"description": schema.pop("description")} if "description" in schema else {}
        schema.pop("title", None)
        needed = name in query.get("required", [])
        found.append({"name": name, "in": "query", "required": needed, **about, "schema": schema})
    if endpoint.of_a_tenant:
        found.append(TENANT_PARAMETER)
    for name in endpoint.headers:
        text, form = REQUEST_HEADERS[name]
        about = {"description": text, "schema": {"type": "string", **form}}
        found.append({"name": name, "in": "header", "required": False, **about})
    return found


def _responses(endpoint: Endpoint, made: Schemas) -> dict[str, Any]:
    found = {
        str(status): _success(answer, made, endpoint) for status, answer in endpoint.answers.items()
    }
    problem = made[(schemas.Problem, "serialization")]
    for status in sorted({*endpoint.refusals, *_refusals(endpoint)}):
        titles = [title for code, title in KINDS.values() if code == status]
        found[str(status)] = {
            "description": "; or: ".join(titles),
            "content": {MEDIA_TYPE: {"schema": problem}},
        }
    return dict(sorted(found.items()))


def _success(answer: Answer, made: Schemas, endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if answer.model is not None:
        content[JSON] = {"schema": made[(answer.model, "serialization")]}
    for media in answer.media:
        content[media] = {"schema": {"type": "string"} if media in TEXTS else {}}
    told: dict[str, Any] = {"description": answer.about}
    if content:
        told["content"] = content
    if answer.headers:
        told["headers"] = {
            name: {"description": RESPONSE_HEADERS[name], "schema": {"type": "string"}}
            for name in answer.headers
        }
    return told


def _refusals(endpoint: Endpoint) -> set[int]:
    """What the registrar and the app refuse before a view is asked, and what may happen to any."""
    found = {400, 500}
    if endpoint.scope is not None:
        found |= {401, 403, 429, 503}
    if endpoint.offers:
        found.add(406)
    if endpoint.method != "GET":
        found |= {413, 415, 422}
    return found


def _print() -> None:
    from api.app import ENDPOINTS

    print(text_of(ENDPOINTS), end="")


if __name__ == "__main__":
    _print()
