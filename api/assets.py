"""The pages' files: read once, sent with a policy that lets nothing else load. Knows no page."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Request, Response

from api.etag import compute_etag, etag_matches, not_modified, set_etag

STATIC_FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: open to everybody, by name; a page (.html) has a path of its own
ASSET_FILES = ("page.css", "icon.svg", "key.js", "home.js", "docs.js", "schema.js", "try.js")
ASSET_PATHS = frozenset(f"/static/{name}" for name in ASSET_FILES)
#: what a page may load: our own files, and our own API
CONTENT_SECURITY_POLICY = "; ".join(
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
    media_type: str
    etag: str


@cache
def load_asset(name: str) -> Asset:
    """Read a file of the folder; `name` is one of ours, never a client's."""
    path = STATIC_FOLDER / name
    data = path.read_bytes()
    return Asset(data, MEDIA_TYPES[path.suffix], compute_etag(data))


def asset_response(request: Request, name: str, *, vary: str | None = None) -> Response:
    """Answer with a file, or 304."""
    asset = load_asset(name)
    if etag_matches(request, asset.etag):
        return not_modified(asset.etag, vary=vary)
    response = Response(asset.data, content_type=asset.media_type)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return set_etag(response, asset.etag, vary=vary)
