"""The published document (OpenAPI 3.1), written from the endpoints and their models.

`python -m api.print_openapi` prints it; a test compares docs/openapi.json with that output.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import schemas, version
from api.endpoints import MAX_IDEMPOTENCY_KEY_LENGTH, Endpoint, ResponseSpec
from api.errors import PROBLEM_MEDIA_TYPE, PROBLEM_TYPES
from jobs.access_keys import TENANT_PATTERN

SCHEMA_REF = "#/components/schemas/{model}"
PATH_PARAMETER_PATTERN = re.compile(r"<(\w+)>")
SCHEMA_NAME_PATTERN = re.compile(re.escape(SCHEMA_REF).replace(r"\{model\}", r"(\w+)"))
JSON = "application/json"
SchemaRefs = Mapping[Any, dict[str, Any]]  # (model, mode) -> reference

PATH_PARAMETERS: dict[str, dict[str, Any]] = {
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
TEXT_MEDIA_TYPES = (
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
        {
            "minLength": 1,
            "maxLength": MAX_IDEMPOTENCY_KEY_LENGTH,
            "pattern": "^[!-~]([ -~]*[!-~])?$",
        },
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
API_DESCRIPTION = """Posts a spec, trains it tick by tick, and lets clients poll its status, checkpoints and
loss history. Everything under /v1 needs `Authorization: Bearer KEY`. Errors are problem details
(RFC 9457) and list all faults at once."""


def build_document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Write the document of these endpoints."""
    endpoints = list(endpoints)
    schema_refs, definitions = models_json_schema(
        sorted(_response_and_body_models(endpoints), key=str), ref_template=SCHEMA_REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = PATH_PARAMETER_PATTERN.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schema_refs)
    reachable = _reachable(paths, definitions["$defs"])
    _add_discriminators(reachable, reachable)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Tickforge",
            "version": version.SERVICE,
            "description": API_DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(reachable.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _reachable(paths: object, definitions: dict[str, Any]) -> dict[str, Any]:
    """Those that the paths lead to: a field that is never shown leaves schemas of its parts."""
    reachable: dict[str, Any] = {}
    pending = _schema_names(paths)
    while pending:
        reachable |= {name: definitions[name] for name in pending}
        pending = {
            inner for name in pending for inner in _schema_names(definitions[name])
        } - reachable.keys()
    return reachable


def _add_discriminators(node: object, definitions: dict[str, Any]) -> None:
    """Name the field by which the branches of each union are told apart."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for item in children:
        _add_discriminators(item, definitions)
    if isinstance(node, dict) and (branches := [*_schema_names(node.get("oneOf", []))]):
        constants = [_constant_fields(definitions[name]) for name in branches]
        for field in sorted(set.intersection(*(set(item) for item in constants))):
            mapping = {
                item[field]: SCHEMA_REF.format(model=name)
                for item, name in zip(constants, branches, strict=True)
            }
            discriminator = {"propertyName": field, "mapping": dict(sorted(mapping.items()))}
            node["discriminator"] = discriminator


def _constant_fields(schema: dict[str, Any]) -> dict[str, str]:
    """The fields that a model must have, with the only value of each."""
    fields = {name: schema["properties"][name] for name in schema.get("required", [])}
    return {name: field["const"] for name, field in fields.items() if "const" in field}


def _schema_names(node: object) -> set[str]:
    return set(SCHEMA_NAME_PATTERN.findall(json.dumps(node)))


@cache
def document_json(endpoints: tuple[Endpoint, ...]) -> str:
    """Return the document as it is published and stored."""
    return json.dumps(build_document(endpoints), indent=1, ensure_ascii=False) + "\n"


def _response_and_body_models(
    endpoints: Iterable[Endpoint],
) -> set[tuple[type[BaseModel], JsonSchemaMode]]:
    models: set[tuple[type[BaseModel], JsonSchemaMode]] = {
        (schemas.ProblemDocument, "serialization")
    }
    for endpoint in endpoints:
        if endpoint.body is not None:
            models.add((endpoint.body, "validation"))
        for response in endpoint.responses.values():
            if response.model is not None:
                models.add((response.model, "serialization"))
    return models


def _operation(endpoint: Endpoint, schema_refs: SchemaRefs) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation_id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schema_refs),
    }
    if endpoint.scope is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs a key of scope `{endpoint.scope}`."
    if endpoint.body is not None:
        schema = schema_refs[(endpoint.body, "validation")]
        is_required = not endpoint.is_body_optional
        operation["requestBody"] = {"required": is_required, "content": {JSON: {"schema": schema}}}
    if endpoint.upload_media_types:
        content = {
            media_type: {"schema": {"type": "string"} if media_type in TEXT_MEDIA_TYPES else {}}
            for media_type in endpoint.upload_media_types
        }
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}
        for name in PATH_PARAMETER_PATTERN.findall(endpoint.path)
    ]
    query = endpoint.query.model_json_schema()
    for name, schema in query.get("properties", {}).items():
        details = {"description": schema.pop("description")} if "description" in schema else {}
        schema.pop("title", None)
        is_required = name in query.get("required", [])
        parameters.append(
            {"name": name, "in": "query", "required": is_required, **details, "schema": schema}
        )
    if endpoint.is_tenant_scoped:
        parameters.append(TENANT_PARAMETER)
    for name in endpoint.headers:
        text, constraints = REQUEST_HEADERS[name]
        details = {"description": text, "schema": {"type": "string", **constraints}}
        parameters.append({"name": name, "in": "header", "required": False, **details})
    return parameters


def _responses(endpoint: Endpoint, schema_refs: SchemaRefs) -> dict[str, Any]:
    responses = {
        str(status): _success_response(response, schema_refs, endpoint)
        for status, response in endpoint.responses.items()
    }
    problem_schema = schema_refs[(schemas.ProblemDocument, "serialization")]
    for status in sorted({*endpoint.error_statuses, *_common_error_statuses(endpoint)}):
        titles = [title for code, title in PROBLEM_TYPES.values() if code == status]
        responses[str(status)] = {
            "description": "; or: ".join(titles),
            "content": {PROBLEM_MEDIA_TYPE: {"schema": problem_schema}},
        }
    return dict(sorted(responses.items()))


def _success_response(
    response: ResponseSpec, schema_refs: SchemaRefs, endpoint: Endpoint
) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if response.model is not None:
        content[JSON] = {"schema": schema_refs[(response.model, "serialization")]}
    for media_type in response.media_types:
        content[media_type] = {
            "schema": {"type": "string"} if media_type in TEXT_MEDIA_TYPES else {}
        }
    document: dict[str, Any] = {"description": response.description}
    if content:
        document["content"] = content
    if response.headers:
        document["headers"] = {
            name: {"description": RESPONSE_HEADERS[name], "schema": {"type": "string"}}
            for name in response.headers
        }
    return document


def _common_error_statuses(endpoint: Endpoint) -> set[int]:
    """What the registrar and the app refuse before a view is asked, and what may happen to any."""
    statuses = {400, 500}
    if endpoint.scope is not None:
        statuses |= {401, 403, 429, 503}
    if endpoint.produces:
        statuses.add(406)
    if endpoint.method != "GET":
        statuses |= {413, 415, 422}
    return statuses
