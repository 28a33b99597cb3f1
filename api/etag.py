"""Answers with an ETag, and 304 for who has them already. Knows no resource."""

import hashlib

from flask import Request, Response

JSON = "application/json"
#: may be kept, but never shown again without asking whether it still holds
REVALIDATE = "private, no-cache"
NO_STORE = "no-store"


def compute_etag(*parts: str | bytes) -> str:
    """Return a strong ETag's value (without quotes) of what an answer is made from."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def etag_matches(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this tag (weakly, as RFC 9110 says) or is *."""
    return bool(request.if_none_match) and request.if_none_match.contains_weak(etag)


def not_modified(etag: str, *, weak: bool = False, vary: str | None = None) -> Response:
    """Return the 304."""
    return set_etag(Response(status=304), etag, weak=weak, vary=vary)


def json_with_etag(request: Request, text: str, *, vary: str | None = None) -> Response:
    """Return JSON text with the ETag of its bytes, or 304."""
    body = text.encode()
    etag = compute_etag(body)
    if etag_matches(request, etag):
        return not_modified(etag, vary=vary)
    return set_etag(Response(body, content_type=JSON), etag, vary=vary)


def set_etag(
    response: Response, etag: str, *, weak: bool = False, vary: str | None = None
) -> Response:
    """Put an ETag on an answer."""
    response.set_etag(etag, weak)
    response.headers["Cache-Control"] = REVALIDATE
    if vary:
        response.headers["Vary"] = vary
    if response.status_code == 304:
        response.headers.pop("Content-Type", None)
    return response
