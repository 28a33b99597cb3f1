"""Who is asking, and what they may: bearer keys, tenants, scopes. Refuses by default, in one place.

A secret is kept as its SHA-256 and compared in constant time; it is never in a URL or a log.
"""

import hmac
import re

from flask import Request

from api.assets import PATHS
from api.bucket import Bucket
from api.errors import Problem, bad_parameter
from jobs.access import SCOPES, TENANT_PATTERN, AccessKeys, Key, Scope, hash_secret

#: what needs no key; everything else does, whether it exists or not
OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/docs", *PATHS})
ADMIN_ID = "key_" + "admin".ljust(26, "0")
ADMIN_TENANT = "default"

__all__ = ["ADMIN_ID", "ADMIN_TENANT", "OPEN", "Key", "Keyring", "Scope", "check_scope", "who"]


class Keyring:
    """Knows a key by its secret: the admin key of the settings here, every other in the store."""

    def __init__(self, access: AccessKeys, admin_secret: str | None, rate: float) -> None:
        self._access = access
        self._admin = Key(ADMIN_ID, ADMIN_TENANT, frozenset(SCOPES))
        self._admin_sha256 = hash_secret(admin_secret) if admin_secret else None
        self._bucket = Bucket(rate)  # each process has its own: this key asks no store

    def find(self, secret: str) -> Key | None:
        """Return the key of a secret and count the request; None for no key. Raises RateLimited."""
        if self._admin_sha256 and hmac.compare_digest(self._admin_sha256, hash_secret(secret)):
            self._bucket.take()
            return self._admin
        return self._access.authenticate(secret)

    def holds(self, key: Key) -> bool:
        """Whether a key found earlier is still one: for streams, which outlast a request."""
        return key.id == ADMIN_ID or self._access.exists(key.id)


def who(keys: Keyring, request: Request) -> Key | None:
    """Return the caller's key, None where none is needed; raises Problem (401), RateLimited."""
    if request.path in OPEN:
        return None
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    key = keys.find(secret.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise _unauthorized()
    return key


def _unauthorized() -> Problem:
    return Problem(
        "unauthorized",
        "send the header Authorization: Bearer KEY",
        headers={"WWW-Authenticate": 'Bearer realm="tickforge"'},
    )


def check_still_known(keys: Keyring, key: Key | None) -> None:
    """Raise Problem (401) for a key that was deleted while its request was held."""
    if key is not None and not keys.holds(key):
        raise _unauthorized()


def check_scope(key: Key | None, scope: Scope | None) -> None:
    """Raise Problem (403) unless the key has what the endpoint needs."""
    if scope is None:
        return
    if key is None or not key.allows(scope):
        raise Problem("missing-scope", f"this needs a key of scope {scope}", scope=scope)


def asked_tenant(key: Key | None, request: Request) -> str | None:
    """Whose things are asked for by `?tenant=`; raises Problem (400, 403)."""
    given = request.args.getlist("tenant")
    if not given:
        return None
    check_scope(key, "admin")
    if len(given) > 1:
        raise bad_parameter("tenant", "given more than once", given)
    if not re.fullmatch(TENANT_PATTERN, given[0]):
        raise bad_parameter("tenant", "1 to 64 of a-z, 0-9 and _", given[0])
    return given[0]
