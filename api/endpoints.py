"""Endpoints as values: path, query, body, responses, scope. Routes requests to their views.

The published document is built from the same values (api/openapi.py). Knows no endpoint.
"""

import inspect
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from flask import Flask, Response, g, request
from pydantic import BaseModel
from werkzeug.routing import BaseConverter, Map

from api.auth import (
    check_not_revoked,
    check_scope,
    read_tenant_override,
    unauthorized_problem,
)
from api.dependencies import Dependencies
from api.errors import bad_header
from api.etag import JSON
from api.held_requests import hold_place_for_answer, hold_place_for_body
from api.json_body import body_digest, has_no_body, read_json, require_empty_body
from api.query import NoQuery, Query, parse_query
from api.signed_links import SIGNATURE_PARAMETER
from api.upload_body import check_media_type
from jobs.access_keys import Key, Scope
from jobs.errors import NoSuchJob, NoSuchPart
from jobs.ids import is_job_id
from jobs.submissions import Idempotency

View = Callable[..., Response]
#: key of the app's endpoints by their operation ids in its extensions
ENDPOINTS_EXTENSION = "tickforge.endpoints"
MAX_IDEMPOTENCY_KEY_LENGTH = 255  # characters


@dataclass(frozen=True)
class ResponseSpec:
    """A documented success: its body (a model or media types) and its headers.

    `event_model` is that of the data of each server-sent event, where such a stream is an answer.
    """

    description: str
    model: type[BaseModel] | None = None
    media_types: tuple[str, ...] = ()
    event_model: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One method of one path.

    `produces` lists the media types to negotiate by Accept; () skips negotiation.
    `upload_media_types` are those of a raw body, which the view reads itself. What `is_signable`
    also opens by a signed link, without a key.
    """

    method: str
    path: str
    view: View
    tag: str
    responses: dict[int, ResponseSpec]
    error_statuses: tuple[int, ...]
    query: type[Query]
    body: type[BaseModel] | None
    scope: Scope | None
    produces: tuple[str, ...]
    headers: tuple[str, ...]
    upload_media_types: tuple[str, ...] = ()
    is_body_optional: bool = False  # no body is read as {}
    is_signable: bool = False

    @property
    def operation_id(self) -> str:
        """The operation's id in the published document."""
        return self.view.__name__

    @property
    def is_tenant_scoped(self) -> bool:
        """Whether it is about one tenant's resources, so that an admin may use `?tenant=`."""
        lists_or_names = self.method in ("GET", "DELETE") or "<" in self.path
        return self.scope in ("read", "submit") and self.tag != "about" and lists_or_names

    @property
    def summary(self) -> str:
        """The view's docstring."""
        return inspect.getdoc(self.view) or ""


@dataclass(frozen=True)
class RequestContext:
    """What a view gets beside its path, query and body."""

    deps: Dependencies
    key: Key | None
    endpoint: Endpoint
    tenant_override: str | None = None  # an admin's `?tenant=`

    @property
    def tenant(self) -> str:
        """The tenant whose resources the request is about."""
        assert self.key is not None, "an endpoint with a scope has a key"
        return self.tenant_override or self.key.tenant

    @property
    def visible_tenant(self) -> str | None:
        """The tenant that the caller may see; None for an admin, who sees all."""
        return None if self.key is not None and self.key.allows("admin") else self.tenant

    @property
    def accepted_media_type(self) -> str:
        """The produced media type that the client prefers."""
        return _best_match(self.endpoint.produces) or self.endpoint.produces[0]


@dataclass
class Router:
    """Collects endpoints by a decorator on each view."""

    tag: str
    endpoints: list[Endpoint] = field(default_factory=list)

    def endpoint(
        self,
        route: str,
        *,
        responses: dict[int, ResponseSpec],
        error_statuses: tuple[int, ...] = (),
        query: type[Query] = NoQuery,
        body: type[BaseModel] | None = None,
        scope: Scope | None = "read",
        produces: tuple[str, ...] = (JSON,),
        headers: tuple[str, ...] = (),
        upload_media_types: tuple[str, ...] = (),
        is_body_optional: bool = False,
        is_signable: bool = False,
    ) -> Callable[[View], View]:
        """Register a view for the `route` "METHOD /path"; If-None-Match implies a 304."""
        method, path = route.split(" ")
        if "If-None-Match" in headers:
            responses = {**responses, 304: ResponseSpec("not modified")}

        def register(view: View) -> View:
            self.endpoints.append(
                Endpoint(
                    method, path, view, self.tag, responses, error_statuses,
                    query, body, scope, produces, headers, upload_media_types, is_body_optional,
                    is_signable,
                )
            )  # fmt: skip
            return view

        return register

    def delete_endpoint(self, path: str, scope: Scope = "submit") -> Callable[[View], View]:
        """Register a view that deletes what lies at `path`, and answers 204."""
        route, responses = f"DELETE {path}", {204: ResponseSpec("deleted")}
        return self.endpoint(
            route, scope=scope, produces=(), responses=responses, error_statuses=(404, 409, 507)
        )


def register_routes(app: Flask, deps: Dependencies, endpoints: tuple[Endpoint, ...]) -> None:
    """Route the URL of each endpoint to `_dispatch`."""
    app.url_map = _compile_routes(endpoints)
    app.extensions[ENDPOINTS_EXTENSION] = {entry.operation_id: entry for entry in endpoints}
    for endpoint in endpoints:
        app.view_functions[endpoint.operation_id] = partial(_dispatch, deps, endpoint)


@cache
def _compile_routes(endpoints: tuple[Endpoint, ...]) -> Map:
    """Return Flask's URL rules of the endpoints, which are the same in every app.

    werkzeug compiles two functions for each rule: 23 of the 25 ms that an app took.
    """
    routes = Flask("routes", static_folder=None)
    # /v1//jobs and /v1/jobs/ are unknown paths, and redirect nowhere
    routes.url_map.merge_slashes = False
    routes.url_map.strict_slashes = True
    routes.url_map.redirect_defaults = False
    routes.url_map.converters["default"] = _path_converter(endpoints)
    for endpoint in endpoints:
        routes.add_url_rule(endpoint.path, endpoint.operation_id, methods=[endpoint.method])
    return routes.url_map


def _path_converter(endpoints: tuple[Endpoint, ...]) -> type[BaseConverter]:
    """Return the converter of path variables, which excludes fixed names in the same place.

    Without it GET /v1/jobs/plan would be 404 (no job named plan) instead of 405.
    """
    variable = [endpoint.path for endpoint in endpoints if endpoint.path.endswith(">")]
    parents = {path.rpartition("/")[0] for path in variable}
    fixed = [endpoint.path.rpartition("/") for endpoint in endpoints if "<" not in endpoint.path]
    names = sorted({name for parent, _, name in fixed if parent in parents})

    class Variable(BaseConverter):
        regex = f"(?!(?:{'|'.join(map(re.escape, names))})\\Z)[^/]+" if names else "[^/]+"

    return Variable


def _dispatch(deps: Dependencies, endpoint: Endpoint, **path: str) -> Response:
    """Check scope, path, Accept, query and body as the endpoint declares, then call its view."""
    if g.is_by_link and not endpoint.is_signable:
        raise unauthorized_problem()
    check_scope(g.key, endpoint.scope)
    tenant = read_tenant_override(g.key, request) if endpoint.is_tenant_scoped else None
    if "job_id" in path and not is_job_id(path["job_id"]):
        raise NoSuchJob(path["job_id"])
    if endpoint.produces and "Accept" in request.headers and _best_match(endpoint.produces) is None:
        produced = ", ".join(endpoint.produces)
        raise bad_header("not-acceptable", "Accept", produced, request.headers["Accept"])
    arguments: dict[str, Any] = dict(path)
    query = parse_query(endpoint.query, request.args, _names_for_access(endpoint))
    if endpoint.query is not NoQuery:
        arguments["query"] = query
    if endpoint.body is not None:
        is_omitted = endpoint.is_body_optional and has_no_body(request)
        arguments["body"] = {} if is_omitted else read_json(request)
    elif endpoint.upload_media_types:
        content_type = request.headers.get("Content-Type", "")
        rule = f"one of {', '.join(endpoint.upload_media_types)} (texts in UTF-8)"
        check_media_type(content_type, endpoint.upload_media_types, rule)
    elif endpoint.method != "GET":
        require_empty_body(request)
    context = RequestContext(deps, g.key, endpoint, tenant)
    with hold_place_for_body() if endpoint.upload_media_types else nullcontext():
        try:
            response = endpoint.view(context, **arguments)
        except NoSuchJob as error:
            raise _explain_missing(context, path.get("job_id", "")) or error from None
    if getattr(query, "wait", 0):
        check_not_revoked(g.authenticator, g.key)  # it may have been deleted meanwhile
    return hold_place_for_answer(response)


def _explain_missing(context: RequestContext, job_id: str) -> NoSuchPart | None:
    """Return what to tell where a job's part is asked of an answer, which is in the store alone."""
    if not context.deps.answers.is_answer(context.tenant, job_id):
        return None
    return NoSuchPart(f"all of a predict of rows or a prompt is in GET /v1/jobs/{job_id}")


def _names_for_access(endpoint: Endpoint) -> list[str]:
    """Return the parameters that are about who asks, not about what."""
    names = ["tenant"] if endpoint.is_tenant_scoped else []
    return [*names, SIGNATURE_PARAMETER] if endpoint.is_signable else names


def _best_match(produces: tuple[str, ...]) -> str | None:
    if not request.headers.get("Accept"):
        return produces[0]
    return request.accept_mimetypes.best_match(produces)


def json_response(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON text without an ETag."""
    return Response(text, status, headers=headers, content_type=JSON)


def model_response(model: BaseModel, status: int = 200) -> Response:
    """Return a model as JSON; NaN and infinities become null."""
    return json_response(model.model_dump_json(), status)


def read_idempotency_key() -> str | None:
    """Return the Idempotency-Key header, or None. Raises Problem (400) if it is malformed."""
    text = request.headers.get("Idempotency-Key")
    if text is None:
        return None
    is_printable_ascii = text.isascii() and text.isprintable()
    if not 1 <= len(text) <= MAX_IDEMPOTENCY_KEY_LENGTH or not is_printable_ascii:
        rule = f"1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters"
        raise bad_header("invalid-parameter", "Idempotency-Key", rule, text)
    return text


def read_idempotency(body: object) -> Idempotency | None:
    """Return the idempotency key, if any, with the digest of the body. Raises Problem (400)."""
    key = read_idempotency_key()
    return None if key is None else Idempotency(key, body_digest(body))
