"""Pages for people: where things are, and the document to be read. Their files are in static/."""

from flask import Response, request
from werkzeug.exceptions import NotFound

from api import version
from api.assets import FILES, send
from api.registrar import JSON, Answer, Call, Endpoints, model_answer
from api.schemas import Home

endpoint = Endpoints("pages")
HTML = "text/html"
PLACES = {
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


@endpoint(
    "GET /", scope=None, offers=(), answers={200: Answer("links to what there is", Home, (HTML,))}
)
def home(call: Call) -> Response:
    """Say where things are: a page for browsers, JSON for others."""
    if request.accept_mimetypes.best_match((JSON, HTML)) == HTML:
        return send(request, "home.html", vary="Accept")
    answer = model_answer(Home(service="tickforge", version=version.SERVICE, links=PLACES))
    answer.headers["Vary"] = "Accept"
    return answer


@endpoint("GET /docs", scope=None, offers=(), answers={200: Answer("the page", media=(HTML,))})
def get_docs(call: Call) -> Response:
    """Read the published document as a page, and try it."""
    return send(request, "docs.html")


@endpoint(
    "GET /static/<name>",
    scope=None,
    offers=(),
    answers={200: Answer("the file", media=("text/css", "text/javascript", "image/svg+xml"))},
    refusals=(404,),
)
def get_static_file(call: Call, name: str) -> Response:
    """Get a file that the pages load."""
    if name not in FILES:
        raise NotFound
    return send(request, name)
