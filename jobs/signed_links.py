"""Signatures of links: one GET of one job, for a time, in the name of an access key. Knows no HTTP.

Nothing is stored for a link. It is signed with a secret of the tenant, which is archived, so that
links outlive a rebuild, and over the hash of the key's secret, so that they end with the key.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.files.artifacts import ArtifactStore
from jobs.ids import KEY_ID
from jobs.store.connection import Store
from jobs.tenant_secrets import stored_tenant_secret, tenant_secret

#: what of the tenant's secret the signing key is made for; another form of links takes another
PURPOSE = b"tickforge signed link 1"
TOKEN_PATTERN = re.compile(r"([0-9a-f]{1,12})\.([a-z0-9]{26})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class LinkToken:
    """What a link's `sig` says: its end in seconds since 1970, its key, and the signature."""

    expires_at: int
    key_id: str
    signature: str

    def __str__(self) -> str:
        return f"{self.expires_at:x}.{self.key_id.removeprefix('key_')}.{self.signature}"


def parse_token(text: str) -> LinkToken | None:
    """Return the token of a `sig`; None for one of another form."""
    match = TOKEN_PATTERN.fullmatch(text)
    if match is None or not KEY_ID.fullmatch(key_id := f"key_{match[2]}"):
        return None
    return LinkToken(int(match[1], 16), key_id, match[3])


@dataclass(frozen=True)
class LinkTarget:
    """What a link opens: a path below the service's root, and its query in any order."""

    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, path: str, query: Iterable[tuple[str, str]]) -> "LinkTarget":
        """Return the target of a path and the pairs of its query."""
        return cls(path, tuple(sorted(query)))


class LinkSigner:
    """Signs links and checks signatures."""

    def __init__(self, store: Store, artifacts: ArtifactStore) -> None:
        self._store, self._archive = store, KeyDatasetArchive(store, artifacts)

    def sign(
        self, tenant: str, key_id: str, key_digest: str, target: LinkTarget, expires_at: int
    ) -> LinkToken:
        """Return the token of a new link. Raises StoreFull or DiskUnavailable.

        `key_digest` is the hash of the secret of the key that it is made with.
        """
        secret = tenant_secret(self._store, tenant)
        self._archive.save_secret(tenant)
        unsigned = LinkToken(expires_at, key_id, "")
        return LinkToken(
            expires_at, key_id, _signature(secret, tenant, unsigned, key_digest, target)
        )

    def is_genuine(
        self, tenant: str, token: LinkToken, key_digest: str, target: LinkTarget
    ) -> bool:
        """Whether this target was signed with this end and this key; compares in constant time.

        Whether the end has come is the caller's question.
        """
        if (secret := stored_tenant_secret(self._store, tenant)) is None:
            return False
        expected = _signature(secret, tenant, token, key_digest, target)
        return hmac.compare_digest(expected.encode(), token.signature.encode())


def _signature(
    secret: bytes, tenant: str, token: LinkToken, key_digest: str, target: LinkTarget
) -> str:
    """Return HMAC-SHA256 over tenant, key, end, path and query, in base64 without padding."""
    signing_key = hmac.digest(secret, PURPOSE, hashlib.sha256)
    fields = [tenant, token.key_id, key_digest, token.expires_at, target.path, target.query]
    code = hmac.digest(signing_key, json.dumps(fields).encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(code).decode().rstrip("=")
