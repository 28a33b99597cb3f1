"""Endpoint of signed links: what of a job opens without a key, for a time."""

import math
import time
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from flask import Response, current_app, g, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RoutingException

from api.auth import check_scope, unauthorized_problem
from api.endpoints import (
    ENDPOINTS_EXTENSION,
    Endpoint,
    RequestContext,
    ResponseSpec,
    Router,
    model_response,
)
from api.errors import Problem, validation_problem
from api.json_body import parse_model
from api.query import parse_query
from api.routes_answers import RESULT_PATH
from api.schemas_pictures import LinkCreate, SignedLink
from api.signed_links import SIGNATURE_PARAMETER, link_tenant
from jobs.answers.service import check_has_result
from jobs.errors import NoSuchPart
from jobs.job import QUESTION_KINDS, Job
from jobs.signed_links import LinkTarget
from jobs.spec.base import FieldError
from jobs.timestamps import format_rfc3339

router = Router("pictures")
PATH_POINTER = "/path"


@router.endpoint(
    "POST /v1/jobs/<job_id>/links",
    body=LinkCreate,
    scope="submit",
    responses={201: ResponseSpec("the link", SignedLink)},
    error_statuses=(404, 409, 507),
)
def create_link(context: RequestContext, job_id: str, body: object) -> Response:
    """Sign a link to a picture, an export, a checkpoint's file or a result; it opens without a key.

    It is one GET in the name of this request's key: it ends after `expires_in` seconds, or when
    that key is deleted. Nothing is stored.
    """
    payload = parse_model(LinkCreate, body)
    check_scope(context.key, "read")
    job = context.deps.job_queries.get_job(context.tenant, job_id)
    endpoint, path, pairs = _parse_path(job_id, payload.path)
    _check_kind(job, endpoint)
    if context.tenant_override is not None:
        pairs = [*pairs, ("tenant", context.tenant_override)]
    expires_at = math.ceil(time.time()) + payload.expires_in
    assert context.key is not None, "this endpoint has a scope"
    key_with_digest = g.authenticator.read_digest(context.key.id)
    if key_with_digest is None:  # deleted since the request began
        raise unauthorized_problem()
    token = context.deps.link_signer.sign(
        link_tenant(context.key, request), context.key.id, key_with_digest[1],
        LinkTarget.of(path, pairs), expires_at,
    )  # fmt: skip
    query = urlencode([*pairs, (SIGNATURE_PARAMETER, str(token))])
    url = f"{request.host_url.rstrip('/')}{request.script_root}{quote(path)}?{query}"
    return model_response(SignedLink(url=url, expires_at=format_rfc3339(1000 * expires_at)), 201)


def _check_kind(job: Job, endpoint: Endpoint) -> None:
    """Raise NoSuchPart or NoResult for a part that a job of this kind never has."""
    if endpoint.path == RESULT_PATH:
        check_has_result(job)
    elif job.kind in QUESTION_KINDS:
        raise NoSuchPart(f"a {job.kind} trains nothing; its net is that of {job.parent}")


def _parse_path(job_id: str, text: str) -> tuple[Endpoint, str, list[tuple[str, str]]]:
    """Return endpoint, path and query of a link. Raises Problem (422) for what none may open."""
    parts = urlsplit(text)
    path = f"/v1/jobs/{job_id}/{unquote(parts.path)}"
    endpoint = _find_endpoint(path)
    if parts.scheme or parts.netloc or parts.fragment or endpoint is None:
        paths = ", ".join(entry.path.partition("<job_id>/")[2] for entry in _signable_endpoints())
        raise _invalid_path(f"one of {paths}, and its query", text)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    try:
        parse_query(endpoint.query, MultiDict(pairs))
    except Problem as problem:
        raise _invalid_path(problem.detail, text) from None
    return endpoint, path, pairs


def _find_endpoint(path: str) -> Endpoint | None:
    """Return the endpoint of a path that a link may open."""
    try:
        name, _ = current_app.url_map.bind("").match(path, "GET")
    except (HTTPException, RoutingException):
        return None
    endpoint: Endpoint | None = current_app.extensions[ENDPOINTS_EXTENSION].get(name)
    return endpoint if endpoint is not None and endpoint.is_signable else None


def _signable_endpoints() -> list[Endpoint]:
    endpoints = current_app.extensions[ENDPOINTS_EXTENSION].values()
    return [endpoint for endpoint in endpoints if endpoint.is_signable]


def _invalid_path(rule: str, text: str) -> Problem:
    return validation_problem("invalid-body", [FieldError(PATH_POINTER, rule, text)])
