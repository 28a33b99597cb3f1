"""Access keys: the hash of a secret, its tenant, its scopes. Knows no HTTP.

A secret is shown once, when its key is created. It contains the key's id, so that one read finds
the key. Every request reads it, so a deleted key is invalid at once.
"""

import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints

from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.errors import DiskUnavailable, NoSuchKey, RateLimitExceeded, StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.ids import KEY_ID, new_key_id
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.cursor import IndexCursor, Page
from jobs.store.scripts import Scripts, check_idempotency
from jobs.timestamps import format_rfc3339

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TENANT_PATTERN = r"^[a-z0-9_][a-z0-9_-]{0,63}$"
Tenant = Annotated[str, StringConstraints(pattern=TENANT_PATTERN)]

SECRET_ALPHABET = string.ascii_letters + string.digits
RANDOM_LENGTH = 43  # letters and digits: 256 bits
BURST_SECONDS = 2  # of the rate: what an idle key may send at once


@dataclass(frozen=True)
class Key:
    """A valid key: its tenant and what it may do."""

    id: str
    tenant: str
    scopes: frozenset[Scope]

    def allows(self, scope: Scope) -> bool:
        """Whether the key has `scope`; admin includes the others."""
        return scope in self.scopes or "admin" in self.scopes


class KeyInfo(BaseModel):
    """A key as an admin sees it: without its secret."""

    model_config = ConfigDict(frozen=True)

    id: str
    tenant: str
    scopes: list[Scope]
    name: str
    created_at: str


@dataclass(frozen=True)
class CreateKeyResult:
    """A key; with its secret only if this request created it, not an earlier one."""

    info: KeyInfo
    secret: str | None


class AccessKeys:
    """Creates, lists, deletes and authenticates keys; a change is archived before it returns."""

    def __init__(self, store: Store, artifacts: ArtifactStore, rate: float = 0) -> None:
        """`rate` is how many requests a second each key may send; 0 does not limit them."""
        self._store, self._scripts, self._rate = store, Scripts(store), rate
        self._archive = KeyDatasetArchive(store, artifacts)

    def create(
        self,
        tenant: str,
        scopes: frozenset[Scope],
        name: str,
        *,
        creator: str,
        idempotency_key: str | None = None,
        body_digest: str = "",
    ) -> CreateKeyResult:
        """Store a new key, or find the one of this idempotency key of the tenant `creator`.

        Raises IdempotencyMismatch, IdempotentResultDeleted, StoreFull or DiskUnavailable; then
        nothing is stored.
        """
        key_id = new_key_id()
        secret = _make_secret(key_id)
        header = {
            "id": key_id,
            "tenant": tenant,
            "scopes": " ".join(scope for scope in SCOPES if scope in scopes),
            "name": name,
            "sha256": hash_secret(secret).hex(),
            "maker": creator,
            "idempotency_key": idempotency_key,
            "body_digest": body_digest or "-",
        }
        with self._archive.reserve() as reservation:
            answer, *rest = self._scripts.call("make_key", header)
            check_idempotency(answer, idempotency_key)
            info = self.get(rest[0].decode())
            try:
                self._archive.save_key(info.id, reservation)
            except (StoreFull, DiskUnavailable):
                if answer == b"new":  # nobody has its secret
                    self._withdraw(info.id)
                raise
        return CreateKeyResult(info, secret if answer == b"new" else None)

    def get(self, key_id: str) -> KeyInfo:
        """Read one key. Raises NoSuchKey."""
        record: dict[bytes, bytes] = self._store.hgetall(keys.access_key(key_id))  # type: ignore[assignment]
        if not record:
            raise NoSuchKey(key_id)
        return _parse_key_info(record)

    def list_keys(
        self, tenant: str | None, *, limit: int, after: str | None, descending: bool
    ) -> Page[KeyInfo]:
        """List the keys of a tenant, or all, by creation time. Raises BadCursor."""
        cursor = IndexCursor(self._store, keys.access_index(tenant), after, descending)
        page = cursor.read_records(keys.access_key, limit)
        return Page(list(map(_parse_key_info, page.data)), page.next_after)

    def delete(self, key_id: str) -> None:
        """Delete a key, from the next request on. Raises NoSuchKey, or as JobArchive does."""
        with self._archive.reserve_change() as reservation:
            answer = self._scripts.call("delete_key", {"id": key_id})[0]
            # perhaps of an earlier try that was cut short
            is_archived = self._archive.save_key_tombstone(key_id, reservation)
        if answer == b"gone" and not is_archived:
            raise NoSuchKey(key_id)

    def _withdraw(self, key_id: str) -> None:
        """Remove a key that was just made, as if it had never been."""
        self._scripts.call("delete_key", {"id": key_id, "is_withdrawn": True})
        self._archive.discard_key(key_id)

    def exists(self, key_id: str) -> bool:
        """Whether a key still exists."""
        return bool(self._store.exists(keys.access_key(key_id)))

    def authenticate(self, secret: str) -> Key | None:
        """Return the key of a secret, or None, and count the request, in one round trip.

        Raises RateLimitExceeded.
        """
        if (key_id := _parse_key_id(secret)) is None:
            return None
        return self._count_request(key_id, hash_secret(secret).hex(), is_link=False)

    def read_digest(self, key_id: str) -> tuple[Key, str] | None:
        """Return a key and the hash of its secret; None if there is no such key."""
        entry: dict[bytes, bytes] = self._store.hgetall(keys.access_key(key_id))  # type: ignore[assignment]
        if not entry:
            return None
        scopes = frozenset(_parse_scopes(entry[b"scopes"]))
        return Key(key_id, entry[b"tenant"].decode(), scopes), entry[b"sha256"].decode()

    def count_link(self, key_id: str, digest: str) -> None:
        """Count a request by a link of this key, apart from its own. Raises RateLimitExceeded."""
        if self._rate > 0:
            self._count_request(key_id, digest, is_link=True)

    def _count_request(self, key_id: str, digest: str, *, is_link: bool) -> Key | None:
        rate = self._rate
        header = {"id": key_id, "sha256": digest, "rate": rate, "burst": burst_size(rate)}
        try:
            answer, *rest = self._scripts.call("authenticate", {**header, "is_link": is_link})
        except StoreFull:  # reads still work on a full disk, uncounted
            return self._authenticate_uncounted(key_id, digest)
        if answer == b"limited":
            raise RateLimitExceeded(float(rest[0]))
        return _key_if_valid(key_id, digest, *rest) if answer == b"ok" else None

    def _authenticate_uncounted(self, key_id: str, digest: str) -> Key | None:
        entry: dict[bytes, bytes] = self._store.hgetall(keys.access_key(key_id))  # type: ignore[assignment]
        if not entry:
            return None
        return _key_if_valid(key_id, digest, entry[b"sha256"], entry[b"tenant"], entry[b"scopes"])


def hash_secret(secret: str) -> bytes:
    """Return the hash that is stored: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def burst_size(rate: float) -> float:
    """Return how many requests an idle key may send at once: at least one."""
    return max(1.0, BURST_SECONDS * rate)


def _key_if_valid(
    key_id: str, digest: str, stored_digest: bytes, tenant: bytes, scopes: bytes
) -> Key | None:
    if not hmac.compare_digest(stored_digest, digest.encode()):
        return None
    return Key(key_id, tenant.decode(), frozenset(_parse_scopes(scopes)))


def _make_secret(key_id: str) -> str:
    """Return `tf_`, the id's letters, `_`, 256 random bits: a form that secret scanners detect."""
    random_part = "".join(secrets.choice(SECRET_ALPHABET) for _ in range(RANDOM_LENGTH))
    return f"tf_{key_id.removeprefix('key_')}_{random_part}"


def _parse_key_id(secret: str) -> str | None:
    """Return the id in a secret; None if it has none."""
    prefix, _, rest = secret.partition("_")
    key_id = f"key_{rest.partition('_')[0]}"
    return key_id if prefix == "tf" and KEY_ID.fullmatch(key_id) else None


def _parse_scopes(text: bytes) -> list[Scope]:
    return [scope for scope in SCOPES if scope in text.decode().split()]


def _parse_key_info(record: Mapping[bytes, bytes]) -> KeyInfo:
    return KeyInfo(
        id=record[b"id"].decode(),
        tenant=record[b"tenant"].decode(),
        scopes=_parse_scopes(record[b"scopes"]),
        name=record[b"name"].decode(),
        created_at=format_rfc3339(int(record[b"created_ms"])),
    )
