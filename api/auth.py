"""Authentication and authorisation: bearer keys, tenants, scopes. Every path but a few needs a key.

A secret is stored as its SHA-256 and compared in constant time; it is never in a URL or a log.
"""

import hmac
import re
import threading
import time
from collections.abc import Callable

from flask import Request

from api.assets import ASSET_PATHS
from api.errors import Problem, bad_parameter
from jobs.access_keys import SCOPES, TENANT_PATTERN, AccessKeys, Key, Scope, burst_size, hash_secret
from jobs.errors import RateLimitExceeded
from jobs.store.connection import UNAVAILABLE

#: all other paths need a key, whether they exist or not
PUBLIC_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/docs", *ASSET_PATHS})
#: of every 401
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tickforge"'}
ADMIN_KEY_ID = "key_" + "admin".ljust(26, "0")
ADMIN_TENANT = "default"


class TokenBucket:
    """Limits one process to `rate` requests a second, plus a burst; 0 does not limit."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst_size(rate), clock
        self._tokens, self._updated_at = self._burst, clock()
        self._lock = threading.Lock()

    def consume(self) -> None:
        """Take one token. Raises RateLimitExceeded."""
        if self._rate <= 0:
            return
        with self._lock:
            now = self._clock()
            tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
            if tokens < 1:
                raise RateLimitExceeded((1 - tokens) / self._rate)
            self._tokens, self._updated_at = tokens - 1, now


class Authenticator:
    """Finds the keys of secrets and links: the admin key in the settings, others in the store."""

    def __init__(self, access_keys: AccessKeys, admin_secret: str | None, rate: float) -> None:
        self._access_keys = access_keys
        self._admin_key = Key(ADMIN_KEY_ID, ADMIN_TENANT, frozenset(SCOPES))
        self._admin_sha256 = hash_secret(admin_secret) if admin_secret else None
        # the admin key is checked, and counted, without the store
        self._bucket, self._link_bucket = TokenBucket(rate), TokenBucket(rate)

    def authenticate(self, secret: str) -> Key | None:
        """Return the key of a secret, or None, and count the request.

        Raises RateLimitExceeded.
        """
        if self._admin_sha256 and hmac.compare_digest(self._admin_sha256, hash_secret(secret)):
            self._bucket.consume()
            return self._admin_key
        return self._access_keys.authenticate(secret)

    def read_digest(self, key_id: str) -> tuple[Key, str] | None:
        """Return a key and the hash of its secret, by which links are bound to it; None if gone."""
        if key_id == ADMIN_KEY_ID:
            return (self._admin_key, self._admin_sha256.hex()) if self._admin_sha256 else None
        return self._access_keys.read_digest(key_id)

    def count_link(self, key_id: str, digest: str) -> None:
        """Count a request by a link, apart from those of its key. Raises RateLimitExceeded."""
        if key_id == ADMIN_KEY_ID:
            self._link_bucket.consume()
        else:
            self._access_keys.count_link(key_id, digest)

    def is_valid(self, key: Key) -> bool:
        """Whether a key still exists; long streams ask from time to time."""
        return key.id == ADMIN_KEY_ID or self._access_keys.exists(key.id)


def authenticate_request(authenticator: Authenticator, request: Request) -> Key | None:
    """Return the request's key, or None on a public path.

    Raises Problem (401) or RateLimitExceeded.
    """
    if request.path in PUBLIC_PATHS:
        return None
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    key = authenticator.authenticate(secret.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise unauthorized_problem()
    return key


def unauthorized_problem() -> Problem:
    """Return the refusal of a request without a valid key."""
    return Problem("unauthorized", "send the header Authorization: Bearer KEY", headers=CHALLENGE)


def check_not_revoked(authenticator: Authenticator, key: Key | None) -> None:
    """Raise Problem (401) if the key was deleted while its request waited."""
    if key is not None and not authenticator.is_valid(key):
        raise unauthorized_problem()


class RevocationWatch:
    """Asks now and then whether the key of a held request was deleted.

    Held requests wake up every 2 s at least, so that each asks at every wake-up without a notice.
    """

    INTERVAL_SECONDS = 1.5

    def __init__(self, authenticator: Authenticator, key: Key | None) -> None:
        self._authenticator, self._key = authenticator, key
        self._checked_at = time.monotonic()

    def is_revoked(self) -> bool:
        """Return whether the key is known to be deleted; a store that is away does not tell."""
        if self._key is None or time.monotonic() < self._checked_at + self.INTERVAL_SECONDS:
            return False
        self._checked_at = time.monotonic()
        try:
            return not self._authenticator.is_valid(self._key)
        except UNAVAILABLE:
            return False

    def check(self) -> None:
        """Raise Problem (401) if it is."""
        if self.is_revoked():
            raise unauthorized_problem()


def check_scope(key: Key | None, scope: Scope | None) -> None:
    """Raise Problem (403) unless the key has the endpoint's scope."""
    if scope is None:
        return
    if key is None or not key.allows(scope):
        raise Problem("missing-scope", f"this needs a key of scope {scope}", scope=scope)


def read_tenant_override(key: Key | None, request: Request) -> str | None:
    """Return the tenant of an admin's `?tenant=`, if given. Raises Problem (400, 403)."""
    values = request.args.getlist("tenant")
    if not values:
        return None
    check_scope(key, "admin")
    if len(values) > 1:
        raise bad_parameter("tenant", "given more than once", values)
    if not re.fullmatch(TENANT_PATTERN, values[0]):
        raise bad_parameter("tenant", "1 to 64 of a-z, 0-9 and _", values[0])
    return values[0]
