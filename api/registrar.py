"""Endpoints as values: path, query, body, answers, scope. Routes them and calls their views.

The published document is written from the same values (api/openapi.py). Knows no endpoint.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import Flask, Response, g, request
from pydantic import BaseModel
from werkzeug.routing import BaseConverter

from api.auth import Key, Scope, asked_tenant, check_scope, check_still_known
from api.body import is_empty, read_json, read_nothing
from api.errors import bad_header
from api.query import NoQuery, Query, read_query
from api.receiving import media_type_of
from api.service import Service
from jobs.errors import NoSuchJob
from jobs.ids import is_job_id

View = Callable[..., Response]
JSON = "application/json"
LONGEST_KEY = 255  # characters of an Idempotency-Key


@dataclass(frozen=True)
class Answer:
    """One documented success: its body (a model, or media types), and headers worth naming."""

    about: str
    model: type[BaseModel] | None = None
    media: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One method of one path. `offers` are the media types it can answer with; () asks nothing."""

    method: str
    path: str
    view: View
    tag: str
    answers: dict[int, Answer]
    refusals: tuple[int, ...]
    query: type[Query]
    body: type[BaseModel] | None
    scope: Scope | None
    offers: tuple[str, ...]
    headers: tuple[str, ...]
    upload: tuple[str, ...] = ()  # media types of a raw body, which its view reads itself
    may_be_empty: bool = False  # no body at all is {}

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.view.__name__

    @property
    def of_a_tenant(self) -> bool:
        """Whether it is a list or a thing of one tenant: an admin may name another's."""
        lists_or_names = self.method == "GET" or "<" in self.path
        return self.scope in ("read", "submit") and self.tag != "about" and lists_or_names

    @property
    def summary(self) -> str:
        """What it does, in the view's own words."""
        return inspect.getdoc(self.view) or ""


@dataclass(frozen=True)
class Call:
    """What a view is told beside its path, query and body."""

    service: Service
    key: Key | None
    endpoint: Endpoint
    endpoints: tuple[Endpoint, ...]
    asked_tenant: str | None = None  # an admin's `?tenant=`

    @property
    def tenant(self) -> str:
        """Whose things the caller sees."""
        assert self.key is not None, "an endpoint with a scope has a key"
        return self.asked_tenant or self.key.tenant

    @property
    def watched(self) -> str | None:
        """The tenant whose part of the service the caller sees; None for an admin, who sees all."""
        return None if self.key is not None and self.key.allows("admin") else self.tenant

    @property
    def form(self) -> str:
        """The offered media type that the client likes best."""
        return _best(self.endpoint.offers) or self.endpoint.offers[0]


@dataclass
class Endpoints:
    """A table of endpoints, filled by a decorator on each view."""

    tag: str
    all: list[Endpoint] = field(default_factory=list)

    def __call__(
        self,
        verb: str,
        *,
        answers: dict[int, Answer],
        refusals: tuple[int, ...] = (),
        query: type[Query] = NoQuery,
        body: type[BaseModel] | None = None,
        scope: Scope | None = "read",
        offers: tuple[str, ...] = (JSON,),
        headers: tuple[str, ...] = (),
        upload: tuple[str, ...] = (),
        may_be_empty: bool = False,
    ) -> Callable[[View], View]:
        """Enter a view under "METHOD /path"."""
        method, path = verb.split(" ")

        def enter(view: View) -> View:
            self.all.append(
                Endpoint(
                    method, path, view, self.tag, answers, refusals,
                    query, body, scope, offers, headers, upload, may_be_empty,
                )
            )  # fmt: skip
            return view

        return enter


def mount(app: Flask, service: Service, endpoints: tuple[Endpoint, ...]) -> None:
    """Route them all to `_answer`."""
    app.url_map.converters["default"] = _variable(endpoints)
    for endpoint in endpoints:
        view = partial(_answer, service, endpoint, endpoints)
        app.add_url_rule(endpoint.path, endpoint.name, view, methods=[endpoint.method])


def _variable(endpoints: tuple[Endpoint, ...]) -> type[BaseConverter]:
    """What a variable part of a path takes: anything but a fixed name that stands in its place.

    Without this, GET /v1/jobs/plan would be a job that does not exist instead of a 405.
    """
    parents = {each.path.rpartition("/")[0] for each in endpoints if each.path.endswith(">")}
    fixed = [each.path.rpartition("/") for each in endpoints if "<" not in each.path]
    names = sorted({name for parent, _, name in fixed if parent in parents})

    class Variable(BaseConverter):
        regex = f"(?!(?:{'|'.join(map(re.escape, names))})\\Z)[^/]+" if names else "[^/]+"

    return Variable


def _answer(
    service: Service, endpoint: Endpoint, endpoints: tuple[Endpoint, ...], **path: str
) -> Response:
    """Check all that can be checked without knowing the endpoint, then call its view."""
    check_scope(g.key, endpoint.scope)
    tenant = asked_tenant(g.key, request) if endpoint.of_a_tenant else None
    if "job_id" in path and not is_job_id(path["job_id"]):
        raise NoSuchJob(path["job_id"])
    if endpoint.offers and "Accept" in request.headers and _best(endpoint.offers) is None:
        offered = ", ".join(endpoint.offers)
        raise bad_header("not-acceptable", "Accept", offered, request.headers["Accept"])
    told: dict[str, Any] = dict(path)
    query = read_query(endpoint.query, request, besides=("tenant",) if endpoint.of_a_tenant else ())
    if endpoint.query is not NoQuery:
        told["query"] = query
    if endpoint.body is not None:
        told["body"] = {} if endpoint.may_be_empty and is_empty(request) else read_json(request)
    elif endpoint.upload:
        told["media_type"] = media_type_of(request, endpoint.upload)
    elif endpoint.method != "GET":
        read_nothing(request)
    answer = endpoint.view(Call(service, g.key, endpoint, endpoints, tenant), **told)
    if getattr(query, "wait", 0):
        check_still_known(g.keys, g.key)  # it may be deleted by now
    return answer


def _best(offers: tuple[str, ...]) -> str | None:
    if not request.headers.get("Accept"):
        return offers[0]
    return request.accept_mimetypes.best_match(offers)


def json_answer(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON text that needs no ETag."""
    return Response(text, status, headers=headers, content_type=JSON)


def model_answer(model: BaseModel, status: int = 200) -> Response:
    """Return a model as JSON; NaN and infinities become null."""
    return json_answer(model.model_dump_json(), status)


def header_of(name: str, longest: int) -> str | None:
    """Return a request header's text, checked to be short printable ASCII; raises Problem (400)."""
    text = request.headers.get(name)
    if text is None:
        return None
    if not 1 <= len(text) <= longest or not text.isascii() or not text.isprintable():
        rule = f"1 to {longest} printable ASCII characters"
        raise bad_header("invalid-parameter", name, rule, text)
    return text
