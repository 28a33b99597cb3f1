"""The HTML pages: start page and API reference. Their files are in static/."""

from functools import partial

from flask import Response, request
from werkzeug.exceptions import NotFound

from api import version
from api.assets import ASSET_FILES, asset_response
from api.endpoints import RequestContext, ResponseSpec, Router, model_response
from api.etag import JSON
from api.forwarding import add_prefix
from api.schemas import RootLinks

router = Router("pages")
public_endpoint = partial(router.endpoint, scope=None, produces=())
HTML = "text/html"
ASSET_MEDIA_TYPES = ("text/css", "text/javascript", "image/svg+xml")
LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "jobs": "/v1/jobs",
    "datasets": "/v1/datasets",
    "events": "/v1/events",
    "models": "/v1/models",
    "workers": "/v1/workers",
    "keys": "/v1/keys",
    "version": "/v1/version",
    "metrics": "/metrics",
    "health": "/healthz",
    "readiness": "/readyz",
}


@public_endpoint("GET /", responses={200: ResponseSpec("links", RootLinks, (HTML,))})
def home(context: RequestContext) -> Response:
    """Read links to everything here: HTML for browsers, JSON for others."""
    if request.accept_mimetypes.best_match((JSON, HTML)) == HTML:
        return asset_response("home.html", vary="Accept")
    links = add_prefix(LINKS)
    response = model_response(RootLinks(service="tickforge", version=version.SERVICE, links=links))
    response.headers["Vary"] = "Accept"
    return response


@public_endpoint("GET /docs", responses={200: ResponseSpec("the page", media_types=(HTML,))})
def get_docs(context: RequestContext) -> Response:
    """Read the API reference, and try it out."""
    return asset_response("docs.html")


@public_endpoint(
    "GET /static/<name>",
    responses={200: ResponseSpec("the file", media_types=ASSET_MEDIA_TYPES)},
    error_statuses=(404,),
)
def get_static_file(context: RequestContext, name: str) -> Response:
    """Get a static file of the pages."""
    if name not in ASSET_FILES:
        raise NotFound
    return asset_response(name)
