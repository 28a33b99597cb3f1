"""The published document (OpenAPI 3.1), built from the endpoints and their models.

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
from api.endpoints import Endpoint, ResponseSpec
from api.errors import PROBLEM_MEDIA_TYPE
from api.etag import JSON
from api.openapi_headers import REQUEST_HEADERS, RESPONSE_HEADERS
from api.problem_types import PROBLEM_TYPES
from api.signed_links import SIGNATURE_PARAMETER
from jobs.access_keys import TENANT_PATTERN

SCHEMA_REF = "#/components/schemas/{model}"
PATH_PARAMETER_PATTERN = re.compile(r"<(\w+)>")
SCHEMA_NAME_PATTERN = re.compile(re.escape(SCHEMA_REF).replace(r"\{model\}", r"(\w+)"))
SchemaRefs = Mapping[Any, dict[str, Any]]  # (model, mode) -> reference

#: name -> description, constraints
PATH_PARAMETERS: dict[str, tuple[str, dict[str, str]]] = {
    "job_id": ("a job's id", {"pattern": "^job_[a-z0-9]{26}$"}),
    "which": (
        "a tick, or `initial`, `latest`, `best`, `final`",
        {"pattern": "^(0|[1-9][0-9]{0,14}|initial|latest|best|final)$"},
    ),
    "name": ("a file's name", {}),
    "dataset_id": ("a dataset's id", {"pattern": "^ds_[a-z0-9]{26}$"}),
    "tenant_name": ("a tenant's name", {"pattern": "^[a-z0-9_][a-z0-9_-]{0,63}$"}),
    "webhook_id": (
        "a webhook's id, or `default`: the tenant's own",
        {"pattern": "^(wh_[a-z0-9]{26}|default)$"},
    ),
    "message_id": ("a delivery's id", {"pattern": "^msg_[a-z0-9]{26}$"}),
    "key_id": ("a key's id", {"pattern": "^key_[a-z0-9]{26}$"}),
}
#: bodies of plain text; others are bytes or server-sent events
TEXT_MEDIA_TYPES = (
    "text/csv",
    "text/tab-separated-values",
    "text/plain",
    "text/html",
    "text/css",
    "text/javascript",
    "application/x-ndjson",
    "application/jsonl",
    "application/jsonlines",
)
FORM = "multipart/form-data"
FORM_SCHEMA = {
    "title": "UploadForm",
    "type": "object",
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "one file; its field may have any name",
        }
    },
    "required": ["file"],
}

TENANT_PARAMETER = {
    "name": "tenant",
    "in": "query",
    "required": False,
    "description": "another tenant, for a key of scope `admin`",
    "schema": {"type": "string", "pattern": TENANT_PATTERN},
}
SECURITY_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer"},
    "link": {
        "type": "apiKey",
        "in": "query",
        "name": SIGNATURE_PARAMETER,
        "description": "of a link that `POST /v1/jobs/{job_id}/links` signed; not beside a key",
    },
}
API_DESCRIPTION = """Trains models tick by tick from posted specs; serves their status,
checkpoints and loss histories. Everything under /v1 needs `Authorization: Bearer KEY`. Errors are
problem details (RFC 9457) and list all errors of a request at once."""


def build_document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the document of these endpoints."""
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
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _reachable(paths: object, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas that the paths refer to; excluded fields leave unused ones behind."""
    reachable: dict[str, Any] = {}
    pending = _schema_names(paths)
    while pending:
        reachable |= {name: definitions[name] for name in pending}
        inner_names = {inner for name in pending for inner in _schema_names(definitions[name])}
        pending = inner_names - reachable.keys()
    return reachable


def _add_discriminators(node: object, definitions: dict[str, Any]) -> None:
    """Add to each union the constant field that tells its branches apart."""
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
            mapping = dict(sorted(mapping.items()))
            node["discriminator"] = {"propertyName": field, "mapping": mapping}


def _constant_fields(schema: dict[str, Any]) -> dict[str, str]:
    """Return the required fields that have a constant value, with that value."""
    fields = {name: schema["properties"][name] for name in schema.get("required", [])}
    return {name: field["const"] for name, field in fields.items() if "const" in field}


def _schema_names(node: object) -> set[str]:
    return set(SCHEMA_NAME_PATTERN.findall(json.dumps(node)))


@cache
def document_json(endpoints: tuple[Endpoint, ...]) -> str:
    """Return the text of the document, as served and as stored in docs/."""
    return json.dumps(build_document(endpoints), indent=1, ensure_ascii=False) + "\n"


def _response_and_body_models(
    endpoints: Iterable[Endpoint],
) -> set[tuple[type[BaseModel], JsonSchemaMode]]:
    bodies = {endpoint.body for endpoint in endpoints}
    responses = [response for endpoint in endpoints for response in endpoint.responses.values()]
    models = {schemas.ProblemDocument, *(response.model for response in responses)}
    return {(body, "validation") for body in bodies if body is not None} | {
        (model, "serialization") for model in models if model is not None
    }


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
    elif endpoint.is_signable:
        operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
        operation["description"] = f"Needs a key of scope `{endpoint.scope}`, or a signed link."
    else:
        operation["description"] = f"Needs a key of scope `{endpoint.scope}`."
    if endpoint.body is not None:
        schema = schema_refs[(endpoint.body, "validation")]
        is_required = not endpoint.is_body_optional
        operation["requestBody"] = {"required": is_required, "content": {JSON: {"schema": schema}}}
    if endpoint.upload_media_types:
        content = _contents(endpoint.upload_media_types)
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, **_described(*PATH_PARAMETERS[name])}
        for name in PATH_PARAMETER_PATTERN.findall(endpoint.path)
    ]
    query = endpoint.query.model_json_schema()
    for name, schema in query.get("properties", {}).items():
        details = {"description": schema.pop("description")} if "description" in schema else {}
        schema.pop("title", None)
        is_required = name in query.get("required", [])
        details = {"required": is_required, **details, "schema": schema}
        parameters.append({"name": name, "in": "query", **details})
    if endpoint.is_tenant_scoped:
        parameters.append(TENANT_PARAMETER)
    for name in endpoint.headers:
        details = _described(*REQUEST_HEADERS[name])
        parameters.append({"name": name, "in": "header", "required": False, **details})
    return parameters


def _described(description: str, constraints: Mapping[str, Any] = {}) -> dict[str, Any]:
    """Return the description and the schema of a text with these constraints."""
    return {"description": description, "schema": {"type": "string", **constraints}}


def _contents(media_types: Iterable[str]) -> dict[str, Any]:
    """Return the contents of these media types: texts, a form with a file of another, or bytes."""
    contents: dict[str, Any] = {
        media_type: {"schema": {"type": "string"} if media_type in TEXT_MEDIA_TYPES else {}}
        for media_type in media_types
    }
    if FORM in contents:
        file_types = ", ".join(name for name in contents if name != FORM)
        contents[FORM] = {"schema": FORM_SCHEMA, "encoding": {"file": {"contentType": file_types}}}
    return contents


def _responses(endpoint: Endpoint, schema_refs: SchemaRefs) -> dict[str, Any]:
    responses = {
        str(status): _success_response(response, schema_refs)
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


def _success_response(response: ResponseSpec, schema_refs: SchemaRefs) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if response.model is not None:
        content[JSON] = {"schema": schema_refs[(response.model, "serialization")]}
    content |= _contents(response.media_types)
    headers = {name: _described(RESPONSE_HEADERS[name]) for name in response.headers}
    members = {"description": response.description, "content": content, "headers": headers}
    return {name: member for name, member in members.items() if member}


def _common_error_statuses(endpoint: Endpoint) -> set[int]:
    """Return the error statuses that any such endpoint may have, before its view is called."""
    statuses = {400, 500}
    if endpoint.scope is not None:
        statuses |= {401, 403, 429, 503}
    if endpoint.produces:
        statuses.add(406)
    if endpoint.method != "GET":
        statuses |= {413, 415, 422}
    return statuses
