"""The published document (OpenAPI 3.1), built from the endpoints and their models.

`python -m api.print_openapi` prints it; a test compares docs/openapi.json with that output.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from api import schemas, version
from api.endpoints import Endpoint, ResponseSpec
from api.errors import PROBLEM_MEDIA_TYPE
from api.etag import JSON
from api.openapi_contents import describe_contents
from api.openapi_headers import REQUEST_HEADERS, RESPONSE_HEADERS
from api.openapi_schemas import (
    ModelAndMode,
    SchemaRefs,
    add_discriminators,
    describe_models,
    select_reachable,
)
from api.openapi_tags import TAGS
from api.problem_types import PROBLEM_TYPES
from api.signed_links import SIGNATURE_PARAMETER
from api.sse import EVENT_STREAM
from jobs.access_keys import TENANT_PATTERN

PATH_PARAMETER_PATTERN = re.compile(r"<(\w+)>")

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
    schema_refs, definitions = describe_models(_response_and_body_models(endpoints))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = PATH_PARAMETER_PATTERN.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schema_refs)
    reachable = select_reachable(paths, definitions)
    add_discriminators(reachable, reachable)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Tickforge",
            "version": version.SERVICE,
            "description": API_DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "the service that serves this document"}],
        "security": [{"key": []}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(reachable.items())),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


@cache
def document_json(endpoints: tuple[Endpoint, ...]) -> str:
    """Return the text of the document, as served and as stored in docs/."""
    return json.dumps(build_document(endpoints), indent=1, ensure_ascii=False) + "\n"


def _response_and_body_models(endpoints: Iterable[Endpoint]) -> set[ModelAndMode]:
    bodies = {endpoint.body for endpoint in endpoints}
    responses = [response for endpoint in endpoints for response in endpoint.responses.values()]
    models = {schemas.ProblemDocument, *(response.model for response in responses)}
    models |= {response.event_model for response in responses}
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
        operation["description"] = "Open: needs no key."
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
        content = describe_contents(endpoint.upload_media_types)
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
    content |= describe_contents(response.media_types)
    if response.event_model is not None:
        content[EVENT_STREAM] = {"schema": schema_refs[(response.event_model, "serialization")]}
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
