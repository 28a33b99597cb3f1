"""The WSGI app: all endpoints, and what happens before and after every request."""

import re
import time
from functools import partial
from uuid import uuid4

from flask import Flask, Response, g, request
from werkzeug.exceptions import NotFound

from api import (
    routes_answers,
    routes_checkpoints,
    routes_datasets,
    routes_events,
    routes_exports,
    routes_forks,
    routes_history,
    routes_jobs,
    routes_keys,
    routes_links,
    routes_logs,
    routes_pictures,
    routes_rows,
    routes_service,
    routes_site,
    routes_tenants,
    routes_verify,
    routes_webhooks,
)
from api.auth import PUBLIC_PATHS, Authenticator, authenticate_request
from api.dependencies import UPKEEP_EXTENSION, Dependencies
from api.endpoints import Endpoint, register_routes
from api.errors import Problem, to_problem
from api.etag import NO_STORE, REVALIDATE, REVALIDATE_SHARED
from api.forwarding import ForwardedHeaders
from api.held_requests import HELD_REQUESTS_EXTENSION
from api.json_body import MAX_BODY_BYTES
from api.long_polling import LONG_POLLER_EXTENSION
from api.openapi import document_json
from api.signed_links import authenticate_link, is_by_link
from api.upload_body import BODY_SECONDS, drop_body
from jobs import celery_app, logs
from jobs.settings import Settings
from jobs.store.connection import Store

ROUTES = (
    routes_service, routes_jobs, routes_history, routes_checkpoints, routes_answers, routes_verify,
    routes_pictures, routes_links, routes_rows, routes_forks, routes_exports, routes_datasets,
    routes_events, routes_logs, routes_keys, routes_tenants, routes_webhooks,
    routes_site,
)  # fmt: skip
ENDPOINTS: tuple[Endpoint, ...] = sum((tuple(routes.router.endpoints) for routes in ROUTES), ())
MAX_LOGGED_PATH_LENGTH = 200  # characters
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings, store: Store | None = None) -> Flask:
    """Create the app. Without a store it connects to the one of the settings, on first use."""
    app = Flask("tickforge", static_folder=None)
    # Flask cuts a chunked body off here: one byte more shows that it is too long
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    app.config[BODY_SECONDS] = settings.body_seconds
    deps = Dependencies(settings, partial(document_json, ENDPOINTS), store)
    authenticator = Authenticator(deps.access_keys, settings.admin_key, settings.rate_limit)
    celery_app.configure_broker(settings)
    app.extensions[LONG_POLLER_EXTENSION] = deps.long_poller
    app.extensions[UPKEEP_EXTENSION] = deps.jobs.upkeep
    app.extensions[HELD_REQUESTS_EXTENSION] = deps.long_poller.held_request_limit

    @app.before_request
    def start_request() -> None:
        g.started = time.perf_counter()
        client_request_id = request.headers.get("X-Request-Id", "")
        is_usable = REQUEST_ID_PATTERN.fullmatch(client_request_id)
        g.request_id = client_request_id if is_usable else uuid4().hex
        g.authenticator, g.key, g.is_by_link = authenticator, None, is_by_link(request)
        g.key = (
            authenticate_link(authenticator, deps.link_signer, request)
            if g.is_by_link
            else authenticate_request(authenticator, request)
        )
        if request.environ["PATH_INFO"].startswith("//"):  # which werkzeug routes as one slash
            raise NotFound

    @app.after_request
    def finish_request(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        status = response.status_code
        deps.metrics.observe_request(request.endpoint, request.method, status, seconds)
        return _finalize_response(response, seconds)

    app.register_error_handler(Exception, _handle_error)
    register_routes(app, deps, ENDPOINTS)
    app.wsgi_app = ForwardedHeaders(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    return app


def _handle_error(error: Exception) -> Response:
    problem = to_problem(error)
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


def _finalize_response(response: Response, seconds: float) -> Response:
    drop_body()
    if request.method == "OPTIONS" or response.status_code in (204, 304):
        response.headers.pop("Content-Type", None)  # there is no body
    if location := response.headers.get("Location"):
        response.headers["Location"] = request.script_root + location
    response.headers["X-Request-Id"] = g.request_id
    response.headers.setdefault("Cache-Control", NO_STORE)
    if g.is_by_link and response.headers["Cache-Control"] == REVALIDATE:
        response.headers["Cache-Control"] = REVALIDATE_SHARED
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path in PUBLIC_PATHS and response.status_code < 400:
        return response  # a log line for each probe would be noise
    rule = request.url_rule
    logs.get_logger("api").info(
        "request",
        request_id=g.request_id,
        method=request.method,
        route=rule.rule if rule else None,
        path=request.path[:MAX_LOGGED_PATH_LENGTH],
        status=response.status_code,
        ms=round(1000 * seconds, 1),
        key=g.key.id if g.key else None,
        tenant=g.key.tenant if g.key else None,
        by_link=g.is_by_link,
    )
    return response
