"""The static files of the HTML pages, cached, with a strict content security policy."""

from dataclasses import dataclass
from functools import cache, partial
from html import escape
from pathlib import Path

from flask import Response, request

from api.etag import compute_etag, response_or_304

STATIC_FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: served under /static/ without a key; pages (.html) have paths of their own
ASSET_FILES = ("page.css", "icon.svg", "key.js", "home.js", "docs.js", "schema.js", "try.js")
ASSET_PATHS = frozenset(f"/static/{name}" for name in ASSET_FILES)
#: a page may load nothing but our files and our API
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Asset:
    """A static file with its media type and ETag."""

    data: bytes
    media_type: str
    etag: str


@cache
def load_asset(name: str) -> Asset:
    """Read a static file once; `name` must not come from a client."""
    path = STATIC_FOLDER / name
    data = path.read_bytes()
    return Asset(data, MEDIA_TYPES[path.suffix], compute_etag(data))


def asset_response(name: str, *, vary: str | None = None) -> Response:
    """Return a static file, or 304."""
    asset, headers = load_asset(name), {"Referrer-Policy": "no-referrer"}
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    data, etag = asset.data, asset.etag
    if request.script_root and name.endswith(".html"):
        data = data.replace(b'="/', f'="{escape(request.script_root)}/'.encode())
        etag = compute_etag(data)
    make_response = partial(Response, data, headers=headers, content_type=asset.media_type)
    return response_or_304(etag, make_response, vary=vary)
