"""Keys as the store has them: the hash of a secret, its tenant, its scopes. Knows no HTTP.

A secret is shown once, when it is made; it names its key, so that one look finds it. Every request
looks: a deleted key stops at once.
"""

import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import redis
from pydantic import BaseModel, ConfigDict, StringConstraints

from jobs import keys
from jobs.errors import Gone, IdempotencyMismatch, NoSuchKey, RateLimited, StoreFull
from jobs.ids import KEY_ID, new_key_id
from jobs.record import rfc3339
from jobs.scripts import Scripts
from jobs.walk import Page, Walk, sequence_of

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TENANT = r"^[a-z0-9_][a-z0-9_-]{0,63}$"
Tenant = Annotated[str, StringConstraints(pattern=TENANT)]

LETTERS = string.ascii_letters + string.digits
RANDOM_LENGTH = 43  # letters and digits: 256 bits
BURST_SECONDS = 2  # of the rate, that a key which was quiet may send at once


@dataclass(frozen=True)
class Key:
    """What a valid key stands for."""

    id: str
    tenant: str
    scopes: frozenset[Scope]

    def allows(self, scope: Scope) -> bool:
        """Whether it may do what needs `scope`; admin includes the others."""
        return scope in self.scopes or "admin" in self.scopes


class KeyAbout(BaseModel):
    """A key as an admin sees it: all but its secret."""

    model_config = ConfigDict(frozen=True)

    id: str
    tenant: str
    scopes: list[Scope]
    name: str
    created_at: str


@dataclass(frozen=True)
class MadeKey:
    """A key just made, with its secret; without, when its idempotency key had made it before."""

    about: KeyAbout
    secret: str | None


class Access:
    """Makes, lists, deletes and recognises keys."""

    def __init__(self, store: "redis.Redis", rate: float = 0) -> None:
        """`rate` is the requests a second that each key may send; 0 does not count them."""
        self._store, self._rate = store, rate
        self._scripts = Scripts(store)

    def make(
        self,
        tenant: str,
        scopes: frozenset[Scope],
        name: str,
        *,
        maker: str,
        idempotency_key: str | None = None,
        body_digest: str = "",
    ) -> MadeKey:
        """Store a new key, or find the one of this idempotency key of the tenant `maker`.

        Raises IdempotencyMismatch, Gone or StoreFull; then nothing was stored.
        """
        key_id = new_key_id()
        secret = _new_secret(key_id)
        header = {
            "id": key_id,
            "tenant": tenant,
            "scopes": " ".join(scope for scope in SCOPES if scope in scopes),
            "name": name,
            "sha256": sha256(secret).hex(),
            "maker": maker,
            "idempotency_key": idempotency_key,
            "body_digest": body_digest or "-",
        }
        answer, *rest = self._scripts.call("make_key", header)
        if answer == b"mismatch":
            raise IdempotencyMismatch(idempotency_key)
        if answer == b"gone":
            raise Gone(idempotency_key)
        about = self.about(rest[0].decode())
        return MadeKey(about, secret if answer == b"new" else None)

    def about(self, key_id: str) -> KeyAbout:
        """Look at one key. Raises NoSuchKey."""
        record: dict[bytes, bytes] = self._store.hgetall(keys.access(key_id))  # type: ignore[assignment]
        if not record:
            raise NoSuchKey(key_id)
        return _about(record)

    def page(
        self, tenant: str | None, *, limit: int, after: str | None, descending: bool
    ) -> Page[KeyAbout]:
        """List a tenant's keys, or all, by when they were made. Raises BadCursor."""
        walk = Walk(self._store, keys.access_index(tenant), sequence_of(after), descending)
        found = walk.next(limit)
        with self._store.pipeline(transaction=False) as pipe:
            for key_id, _ in found:
                pipe.hgetall(keys.access(key_id.decode()))
            records = pipe.execute()
        last = int(found[-1][1]) if found else None
        more = found and walk.any_behind(last)
        return Page([_about(each) for each in records if each], str(last) if more else None)

    def delete(self, key_id: str) -> None:
        """Let a key be no key any more, from the next request on. Raises NoSuchKey."""
        if self._scripts.call("delete_key", {"id": key_id})[0] == b"gone":
            raise NoSuchKey(key_id)

    def holds(self, key_id: str) -> bool:
        """Whether a key is still one: for what lasts longer than a request."""
        return bool(self._store.exists(keys.access(key_id)))

    def enter(self, secret: str) -> Key | None:
        """Recognise a secret and count the request, in one round trip; None for no valid one.

        Raises RateLimited.
        """
        key_id = _named(secret)
        if key_id is None:
            return None
        digest = sha256(secret).hex()
        header = {
            "id": key_id,
            "sha256": digest,
            "rate": self._rate,
            "burst": burst_of(self._rate),
        }
        try:
            answer, *rest = self._scripts.call("enter", header)
        except StoreFull:  # a disk that takes nothing more: reading goes on, uncounted
            return self._look(key_id, digest)
        if answer == b"limited":
            raise RateLimited(float(rest[0]))
        return _key(key_id, digest, *rest) if answer == b"ok" else None

    def _look(self, key_id: str, digest: str) -> Key | None:
        record: dict[bytes, bytes] = self._store.hgetall(keys.access(key_id))  # type: ignore[assignment]
        if not record:
            return None
        return _key(key_id, digest, record[b"sha256"], record[b"tenant"], record[b"scopes"])


def sha256(secret: str) -> bytes:
    """Hash a secret as it is stored: 256 random bits need no salt and no slowness."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def burst_of(rate: float) -> float:
    """Requests that a quiet key may send at once; at least one, or none would ever pass."""
    return max(1.0, BURST_SECONDS * rate)


def _key(key_id: str, digest: str, sha: bytes, tenant: bytes, scopes: bytes) -> Key | None:
    if not hmac.compare_digest(sha, digest.encode()):
        return None
    return Key(key_id, tenant.decode(), frozenset(_scopes(scopes)))


def _new_secret(key_id: str) -> str:
    """`tf_`, the id's letters, `_`, 256 random bits: scanners for leaked secrets know its form."""
    drawn = "".join(secrets.choice(LETTERS) for _ in range(RANDOM_LENGTH))
    return f"tf_{key_id.removeprefix('key_')}_{drawn}"


def _named(secret: str) -> str | None:
    """The id of the key that a secret claims to be."""
    prefix, _, rest = secret.partition("_")
    key_id = f"key_{rest.partition('_')[0]}"
    return key_id if prefix == "tf" and KEY_ID.fullmatch(key_id) else None


def _scopes(text: bytes) -> list[Scope]:
    had = text.decode().split()
    return [scope for scope in SCOPES if scope in had]


def _about(record: Mapping[bytes, bytes]) -> KeyAbout:
    return KeyAbout(
        id=record[b"id"].decode(),
        tenant=record[b"tenant"].decode(),
        scopes=_scopes(record[b"scopes"]),
        name=record[b"name"].decode(),
        created_at=rfc3339(int(record[b"created_ms"])),
    )
