"""The WSGI app: its endpoints, and what happens to every request before and after them."""

import re
import time
from uuid import uuid4

from flask import Flask, Response, g, request

from api import (
    routes_about,
    routes_checkpoints,
    routes_datasets,
    routes_events,
    routes_history,
    routes_jobs,
    routes_keys,
    routes_logs,
    routes_metrics,
    routes_pages,
    routes_verify,
)
from api.auth import OPEN, Keyring, who
from api.body import MOST_BYTES
from api.drain import drain
from api.errors import Problem, problem_of
from api.etag import NEVER_KEPT
from api.registrar import Endpoint, mount
from api.service import Service
from api.waiting import WAITING
from jobs import bell, logs
from jobs.settings import Settings
from jobs.store import Store

ENDPOINTS: tuple[Endpoint, ...] = (
    *routes_about.endpoint.all,
    *routes_jobs.endpoint.all,
    *routes_history.endpoint.all,
    *routes_checkpoints.endpoint.all,
    *routes_verify.endpoint.all,
    *routes_datasets.endpoint.all,
    *routes_events.endpoint.all,
    *routes_logs.endpoint.all,
    *routes_keys.endpoint.all,
    *routes_metrics.endpoint.all,
    *routes_pages.endpoint.all,
)
LONGEST_PATH = 200  # characters of a path that are logged
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings, store: Store | None = None) -> Flask:
    """Make an app on a store (by default: of its own, connected with the first command)."""
    app = Flask("tickforge", static_folder=None)
    # a chunked body is cut off here, so one byte more than is allowed must come through to be seen
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES + 1
    # /v1//jobs and /v1/jobs/ are paths like any other: unknown ones. No redirects.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    service = Service.open(settings, store)
    keys = Keyring(service.access, settings.admin_key, settings.rate_limit)
    bell.configure_broker(settings)
    app.extensions[WAITING] = service.waiting

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        sent = request.headers.get("X-Request-Id", "")
        g.request_id = sent if REQUEST_ID.fullmatch(sent) else uuid4().hex
        g.keys, g.key = keys, None
        g.key = who(keys, request)

    @app.after_request
    def complete(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        service.metrics.answered(request.endpoint, request.method, response.status_code, seconds)
        return _complete(response, seconds)

    app.register_error_handler(Exception, _refuse)
    mount(app, service, ENDPOINTS)
    return app


def _refuse(error: Exception) -> Response:
    problem = problem_of(error)
    if problem is None or problem.status >= 500:
        log = logs.get_logger("api")
        (log.error if problem is None or problem.status == 500 else log.warning)(
            "request failed",
            request_id=g.request_id,
            method=request.method,
            path=request.path,
            exc_info=error if problem is None else None,
            error=repr(error),
        )
    if problem is None:
        problem = Problem("internal", f"it was logged as request {g.request_id}")
    return problem.response()


def _complete(response: Response, seconds: float) -> Response:
    drain(request.environ)
    if request.method == "OPTIONS" or response.status_code in (204, 304):
        response.headers.pop("Content-Type", None)  # there is nothing that could have a type
    response.headers["X-Request-Id"] = g.request_id
    response.headers.setdefault("Cache-Control", NEVER_KEPT)
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path in OPEN and response.status_code < 400:
        return response  # probes come every few seconds, for ever
    rule = request.url_rule
    logs.get_logger("api").info(
        "request",
        request_id=g.request_id,
        method=request.method,
        route=rule.rule if rule else None,
        path=request.path[:LONGEST_PATH],
        status=response.status_code,
        ms=round(1000 * seconds, 1),
        key=g.key.id if g.key else None,
        tenant=g.key.tenant if g.key else None,
    )
    return response
