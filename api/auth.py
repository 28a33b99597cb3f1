"""Who is asking, and what they may: bearer keys, tenants, scopes. Refuses by default, in one place.

A key is kept as its SHA-256 and compared in constant time; it is never in a URL or a log.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from flask import Request

from api.errors import Problem

Scope = Literal["read", "submit", "admin"]
#: what needs no key; everything else does, whether it exists or not
OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/docs"})
ADMIN_TENANT = "default"


@dataclass(frozen=True)
class Key:
    """What a key stands for."""

    id: str
    tenant: str
    scopes: frozenset[Scope]
    sha256: bytes

    def allows(self, scope: Scope) -> bool:
        """Whether it may do what needs `scope`; admin includes the others."""
        return scope in self.scopes or "admin" in self.scopes


def admin_key(secret: str) -> Key:
    """Make the service's own key, which comes from its settings."""
    return Key("key_admin", ADMIN_TENANT, frozenset({"read", "submit", "admin"}), _sha256(secret))


class Keyring:
    """The keys that are valid now."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def find(self, secret: str) -> Key | None:
        """Return the key of a secret, or None. Looks at every key, so that its time tells none."""
        digest = _sha256(secret)
        found = [key for key in self._keys if hmac.compare_digest(key.sha256, digest)]
        return found[0] if found else None


def who(keys: Keyring, request: Request) -> Key | None:
    """Return the caller's key, None where none is needed; raises Problem (401)."""
    if request.path in OPEN:
        return None
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    key = keys.find(secret.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise Problem(
            "unauthorized",
            "send the header Authorization: Bearer KEY",
            headers={"WWW-Authenticate": 'Bearer realm="tickforge"'},
        )
    return key


def check_scope(key: Key | None, scope: Scope | None) -> None:
    """Raise Problem (403) unless the key has what the endpoint needs."""
    if scope is None:
        return
    if key is None or not key.allows(scope):
        raise Problem("missing-scope", f"this needs a key of scope {scope}", scope=scope)


def _sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
