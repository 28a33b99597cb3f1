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
from api.registrar import Answer, Endpoint

REF = "#/components/schemas/{model}"
PARAMETER = re.compile(r"<(\w+)>")
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
    "name": {"description": "one of the checkpoint's `files`", "schema": {"type": "string"}},
}
REQUEST_HEADERS = {
    "Idempotency-Key": "1 to 255 printable ASCII characters; the same key and body make one job",
    "If-None-Match": "an ETag from before; if it still holds, the answer is 304",
    "Range": "one range of bytes",
    "If-Range": "the ETag that the range belongs to; if it no longer holds, the whole is sent",
}
RESPONSE_HEADERS = {
    "Accept-Ranges": "bytes",
    "Content-Range": "which bytes of how many",
    "ETag": "for If-None-Match",
    "Idempotent-Replayed": "true when this idempotency key had made it before",
    "Location": "the job's path",
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
            "schemas": dict(sorted(definitions["$defs"].items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


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
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return told


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, **PATHS[name]}
        for name in PARAMETER.findall(endpoint.path)
    ]
    for name, schema in endpoint.query.model_json_schema().get("properties", {}).items():
        about = {"description": schema.pop("description")} if "description" in schema else {}
        schema.pop("title", None)
        found.append({"name": name, "in": "query", "required": False, **about, "schema": schema})
    for name in endpoint.headers:
        about = {"description": REQUEST_HEADERS[name], "schema": {"type": "string"}}
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
        content[media] = {"schema": {"type": "string"} if media.startswith("text/") else {}}
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
        found |= {401, 403, 503}
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
