"""Responses with an ETag, or 304 if the client has them already. Knows no resource.

Werkzeug's `make_conditional` will not do: it sends a second Date header, answers 412 to If-Match,
and does nothing for a PATCH.
"""

import hashlib
from collections.abc import Callable

from flask import Response, request

JSON = "application/json"
#: a client may store it, but must ask each time whether it still holds
REVALIDATE = "private, no-cache"
#: so may proxies of images, of what a signed link opens
REVALIDATE_SHARED = "no-cache"
NO_STORE = "no-store"


def compute_etag(*parts: str | bytes) -> str:
    """Return an ETag's value, without quotes: 32 hex digits of a digest of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def etag_matches(etag: str) -> bool:
    """Whether If-None-Match has this tag (weak comparison, as RFC 9110 says) or is `*`."""
    return bool(request.if_none_match) and request.if_none_match.contains_weak(etag)


def response_or_304(
    etag: str, make_response: Callable[[], Response], *, weak: bool = False, vary: str | None = None
) -> Response:
    """Return a response with this ETag, or 304 if the client has that already."""
    response = Response(status=304) if etag_matches(etag) else make_response()
    return set_etag(response, etag, weak=weak, vary=vary)


def json_with_etag(text: str, *, vary: str | None = None) -> Response:
    """Return JSON text with the ETag of its bytes, or 304."""
    data = text.encode()
    return response_or_304(compute_etag(data), lambda: Response(data, content_type=JSON), vary=vary)


def set_etag(
    response: Response, etag: str, *, weak: bool = False, vary: str | None = None
) -> Response:
    """Set a response's ETag, with the headers that go with one."""
    response.set_etag(etag, weak)
    response.headers["Cache-Control"] = REVALIDATE
    if vary:
        response.headers["Vary"] = vary
    if response.status_code == 304:
        response.headers.pop("Content-Type", None)
    return response
