"""Requests by signed links, which need no key: whose request it is, if it is one that was signed.

A link is one GET of the key that made it, until its end. Its `sig` is never logged.
"""

import time
from collections.abc import Iterator

from flask import Request

from api.auth import CHALLENGE, PUBLIC_PATHS, Authenticator
from api.errors import Problem
from jobs.access_keys import Key, Scope
from jobs.signed_links import LinkSigner, LinkTarget, parse_token

SIGNATURE_PARAMETER = "sig"


def is_by_link(request: Request) -> bool:
    """Whether a request that needs a key has a signature instead."""
    has_key = request.path in PUBLIC_PATHS or "Authorization" in request.headers
    return SIGNATURE_PARAMETER in request.args and not has_key


def authenticate_link(authenticator: Authenticator, signer: LinkSigner, request: Request) -> Key:
    """Return the key that a link was made with, allowed to do what was signed; count the request.

    Raises Problem (401, 410) or RateLimitExceeded. That a link has expired is told only of a
    genuine one.
    """
    signatures = request.args.getlist(SIGNATURE_PARAMETER)
    token = parse_token(signatures[0]) if len(signatures) == 1 else None
    key_with_digest = authenticator.read_digest(token.key_id) if token is not None else None
    if token is None or key_with_digest is None or request.method not in ("GET", "HEAD"):
        raise _invalid_link()
    key, digest = key_with_digest
    if not signer.is_genuine(link_tenant(key, request), token, digest, _target(request)):
        raise _invalid_link()
    if time.time() >= token.expires_at:
        raise Problem("link-expired", "ask who gave it for another")
    authenticator.count_link(key.id, digest)
    return Key(key.id, key.tenant, frozenset(_needed_scopes(key, request)))


def _needed_scopes(key: Key, request: Request) -> Iterator[Scope]:
    """Yield the scopes that a read needs, if the key has them."""
    if key.allows("read"):
        yield "read"
    if "tenant" in request.args and key.allows("admin"):
        yield "admin"


def link_tenant(key: Key, request: Request) -> str:
    """Return the tenant whose secret signs: the key's, or the one that an admin names."""
    return request.args.get("tenant", key.tenant) if key.allows("admin") else key.tenant


def _target(request: Request) -> LinkTarget:
    pairs = request.args.items(multi=True)
    return LinkTarget.of(request.path, [pair for pair in pairs if pair[0] != SIGNATURE_PARAMETER])


def _invalid_link() -> Problem:
    detail = "it was changed, is for something else, or its key was deleted"
    return Problem("invalid-link", detail, headers=CHALLENGE)
