"""Answers with an ETag, and 304 for who has them already. Knows no resource."""

import hashlib

from flask import Request, Response

JSON = "application/json"
#: may be kept, but never shown again without asking whether it still holds
REVALIDATE = "private, no-cache"
NEVER_KEPT = "no-store"


def tag_of(*parts: str | bytes) -> str:
    """Return a strong ETag's value (without quotes) of what an answer is made from."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()[:32]


def known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names this tag (weakly, as RFC 9110 says) or is *."""
    return bool(request.if_none_match) and request.if_none_match.contains_weak(tag)


def not_modified(tag: str, *, weak: bool = False, vary: str | None = None) -> Response:
    """Return the 304."""
    return mark(Response(status=304), tag, weak=weak, vary=vary)


def tagged(request: Request, text: str, *, vary: str | None = None) -> Response:
    """Return JSON text with the ETag of its bytes, or 304."""
    body = text.encode()
    tag = tag_of(body)
    if known(request, tag):
        return not_modified(tag, vary=vary)
    return mark(Response(body, content_type=JSON), tag, vary=vary)


def mark(response: Response, tag: str, *, weak: bool = False, vary: str | None = None) -> Response:
    """Put an ETag on an answer."""
    response.set_etag(tag, weak)
    response.headers["Cache-Control"] = REVALIDATE
    if vary:
        response.headers["Vary"] = vary
    if response.status_code == 304:
        response.headers.pop("Content-Type", None)
    return response
