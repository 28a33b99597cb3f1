"""The pages' files: read once, sent with a policy that lets nothing else load. Knows no page."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Request, Response

from api.etag import known, mark, not_modified, tag_of

FOLDER = Path(__file__).parent / "static"
MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: open to everybody, by name; a page (.html) has a path of its own
FILES = ("page.css", "icon.svg", "key.js", "home.js", "docs.js", "schema.js", "try.js")
PATHS = frozenset(f"/static/{name}" for name in FILES)
#: what a page may load: our own files, and our own API
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True)
class Asset:
    """One file as it is sent."""

    data: bytes
    media: str
    tag: str


@cache
def asset(name: str) -> Asset:
    """Read a file of the folder; `name` is one of ours, never a client's."""
    path = FOLDER / name
    data = path.read_bytes()
    return Asset(data, MEDIA[path.suffix], tag_of(data))


def send(request: Request, name: str, *, vary: str | None = None) -> Response:
    """Answer with a file, or 304."""
    found = asset(name)
    if known(request, found.tag):
        return not_modified(found.tag, vary=vary)
    response = Response(found.data, content_type=found.media)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return mark(response, found.tag, vary=vary)
