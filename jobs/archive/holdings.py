"""The archive of access keys and datasets: what the store has of each, and that one was deleted.

Of a key only the hash of its secret, of a dataset all but its bytes, which are files anyway.
"""

from typing import Any

import redis

from jobs import keys
from jobs.archive.lines import alone, read, spell, unspell
from jobs.archive.shelf import Room, Shelf, named
from jobs.files import Files

Hash = dict[bytes, bytes]


class Holdings:
    """Writes keys and datasets to the archive. Every method raises StoreFull on a full disk."""

    def __init__(self, store: "redis.Redis", files: Files) -> None:
        self._store, self._files, self._shelf = store, files, Shelf(files)
        self.room = self._shelf.room

    def key(self, key_id: str, room: Room | None = None) -> None:
        """Keep a key that was made."""
        record: Hash = self._store.hgetall(keys.access(key_id))  # type: ignore[assignment]
        known = {}
        if b"idempotency_key" in record:
            name = keys.access_idempotency(record[b"maker"].decode())
            known = self._known(name, [record[b"idempotency_key"]])
        self._put("keys", key_id, "key", {"fields": _spelled(record), "known": known}, room)

    def key_deleted(self, key_id: str) -> None:
        """Keep that a key is none any more; does nothing for one that was never kept."""
        path = self._shelf.path("keys", key_id)
        if not path.exists():
            return
        record = read(self._files, path).record
        fields = record["fields"]
        gone = {
            "id": key_id,
            "sequence": int(unspell(fields["seq"])),
            "maker": fields.get("maker"),
            "known": list(record["known"]),
        }
        self._put("deleted-keys", key_id, "gone", gone)
        self._shelf.drop(path)

    def dataset(self, tenant: str, dataset_id: str, room: Room | None = None) -> None:
        """Keep a dataset as it is now, with the idempotency keys that led to it."""
        written = None
        while (record := self._dataset(tenant, dataset_id)) != written:  # another adds a key
            if not record["fields"]:
                return  # deleted meanwhile, which is kept by who did it
            self._put("datasets", named(tenant, dataset_id), "dataset", record, room)
            written, room = record, None

    def dataset_deleted(
        self, tenant: str, dataset_id: str, sequence: int, known: list[str]
    ) -> None:
        """Keep that a dataset was deleted."""
        at: Any = self._store.zscore(keys.tombstones(tenant), dataset_id)
        gone = {"tenant": tenant, "id": dataset_id, "sequence": sequence, "known": known,
                "deleted_ms": int(at or 0)}  # fmt: skip
        # uploaded again it has the same id: each of its lives leaves a tombstone of its own
        self._put("deleted-datasets", f"{named(tenant, dataset_id)}.{sequence}", "gone", gone)
        if (kept := self._kept_dataset(tenant, dataset_id)) and kept[0] <= sequence:
            self._shelf.drop(self._shelf.path("datasets", named(tenant, dataset_id)))

    def assure_dataset_deleted(self, tenant: str, dataset_id: str) -> None:
        """The same for one whose deletion may have been cut short; nothing for any other."""
        kept = self._kept_dataset(tenant, dataset_id)
        if kept and not self._store.exists(keys.dataset(tenant, dataset_id)):
            self.dataset_deleted(tenant, dataset_id, *kept)

    def _kept_dataset(self, tenant: str, dataset_id: str) -> tuple[int, list[str]] | None:
        """Sequence and idempotency keys of a dataset as it was last kept."""
        try:
            text = read(self._files, self._shelf.path("datasets", named(tenant, dataset_id)))
        except FileNotFoundError:
            return None
        return int(unspell(text.record["fields"]["seq"])), list(text.record["known"])

    def secret(self, tenant: str) -> None:
        """Keep what a tenant's datasets' ids are made with."""
        if not self._shelf.path("secrets", tenant).exists():
            found: Any = self._store.hget(keys.SECRETS, tenant)
            self._put("secrets", tenant, "secret", {"tenant": tenant, "secret": spell(found)})

    def _dataset(self, tenant: str, dataset_id: str) -> dict[str, Any]:
        record: Hash = self._store.hgetall(keys.dataset(tenant, dataset_id))  # type: ignore[assignment]
        led: Any = self._store.smembers(keys.dataset_keys(tenant, dataset_id))
        known = self._known(keys.idempotency(tenant), sorted(led))
        return {"fields": _spelled(record), "known": known}

    def _known(self, name: str, names: list[bytes]) -> dict[str, Any]:
        """Idempotency keys, each with what the store has of it."""
        if not names:
            return {}
        found: Any = self._store.hmget(name, names)
        told = zip(names, found, strict=True)
        return {key.decode(): spell(value) for key, value in told if value is not None}

    def _put(
        self, folder: str, name: str, kind: Any, record: dict[str, Any], room: Room | None = None
    ) -> None:
        self._shelf.put(self._shelf.path(folder, name), alone(kind, record), room)


def _spelled(record: Hash) -> dict[str, Any]:
    return {name.decode(): spell(value) for name, value in record.items()}
