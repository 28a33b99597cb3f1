"""The archive of access keys, datasets and tenants: records, tombstones, dataset id secrets.

A key's record has only the hash of its secret; a dataset's bytes are files of their own.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from jobs.archive.disk_reserve import DiskReservation
from jobs.archive.format import (
    RecordKind,
    encode_bytes,
    encode_hash,
    read_file,
    sequence_of,
    single_record,
)
from jobs.archive.owed_records import OwedRecords
from jobs.archive.record_folders import RecordFolders, record_name
from jobs.errors import DiskUnavailable
from jobs.files.artifacts import ArtifactStore
from jobs.store import keys
from jobs.store.connection import Store

RECORD_KINDS: dict[str, RecordKind] = {  # by the record's folder
    "keys": "key",
    "deleted-keys": "gone",
    "datasets": "dataset",
    "deleted-datasets": "gone",
    "secrets": "secret",
    "tenants": "tenant",
}


class KeyDatasetArchive:
    """Writes keys and datasets to the archive.

    Every method may raise StoreFull or DiskUnavailable; or NotArchived, once the store has changed.
    """

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._files, self._folders = store, files, RecordFolders(files)
        self._owed = OwedRecords(store)
        self.reserve = self._folders.disk_reserve.reserve
        self.reserve_change = self._folders.disk_reserve.reserve_change

    def save_key(self, key_id: str, reservation: DiskReservation | None = None) -> None:
        """Archive a new access key."""
        record = self._read_hash(keys.access_key(key_id))
        idempotency_keys = {}
        if "idempotency_key" in record:
            hash_key = keys.access_idempotency(record["maker"].decode())
            idempotency_keys = self._read_idempotency_keys(hash_key, [record["idempotency_key"]])
        archived = {"fields": encode_hash(record), "known": idempotency_keys}
        self._write("keys", key_id, archived, reservation)

    def discard_key(self, key_id: str) -> None:
        """Remove what a failed `save_key` may have left."""
        with contextlib.suppress(DiskUnavailable):
            self._folders.delete(self._folders.path("keys", key_id))

    def save_key_tombstone(self, key_id: str, reservation: DiskReservation | None = None) -> bool:
        """Archive that a key was deleted; return False if no record of it is there."""
        path = self._folders.path("keys", key_id)
        if not path.exists():
            return False
        record = read_file(self._files, path).record
        sequence, maker = sequence_of(record), record["fields"].get("maker")
        known = list(record["known"])
        tombstone = {"id": key_id, "sequence": sequence, "maker": maker, "known": known}
        with self._owed.owe_on_error("key", "", key_id):
            self._write("deleted-keys", key_id, tombstone, reservation)
            self._folders.delete(path)
        return True

    def save_dataset(
        self, tenant: str, dataset_id: str, reservation: DiskReservation | None = None
    ) -> None:
        """Archive a dataset as it is now, with the idempotency keys that led to it."""
        last_written = None
        # again while other uploads of the same bytes add their keys
        while (record := self._read_dataset(tenant, dataset_id)) != last_written:
            if not record["fields"]:
                return  # deleted meanwhile: the deleting request writes the tombstone
            with self._owed.owe_on_error("dataset", tenant, dataset_id):
                self._write("datasets", record_name(tenant, dataset_id), record, reservation)
            last_written, reservation = record, None

    def save_dataset_tombstone(
        self,
        tenant: str,
        dataset_id: str,
        sequence: int,
        idempotency_keys: list[str],
        reservation: DiskReservation | None = None,
    ) -> None:
        """Archive that a dataset was deleted."""
        tombstone = read_tombstone(self._store, tenant, dataset_id, sequence, idempotency_keys)
        # a dataset uploaded again has the same id: each deletion has a tombstone of its own
        name = record_name(tenant, dataset_id)
        with self._owed.owe_on_error("dataset", tenant, dataset_id):
            self._write("deleted-datasets", f"{name}.{sequence}", tombstone, reservation)
            archived = self._read_archived_dataset(tenant, dataset_id)
            if archived and archived[0] <= sequence:
                self._folders.delete(self._folders.path("datasets", name))

    def ensure_dataset_tombstone(self, tenant: str, dataset_id: str) -> bool:
        """Archive the tombstone of a dataset whose deletion was cut short; return whether."""
        archived = self._read_archived_dataset(tenant, dataset_id)
        if not archived or self._store.exists(keys.dataset(tenant, dataset_id)):
            return False
        self.save_dataset_tombstone(tenant, dataset_id, *archived)
        return True

    def write_owed_key(self, key_id: str) -> None:
        """Archive that a key was deleted, if it was."""
        if not self._store.exists(keys.access_key(key_id)):
            self.save_key_tombstone(key_id)

    def write_owed_dataset(self, tenant: str, dataset_id: str) -> None:
        """Archive a dataset as it is now, or its tombstone."""
        self.save_dataset(tenant, dataset_id)
        self.ensure_dataset_tombstone(tenant, dataset_id)

    def save_secret(self, tenant: str) -> None:
        """Archive the secret that a tenant's dataset ids are derived from."""
        if not self._folders.path("secrets", tenant).exists():
            secret: Any = self._store.hget(keys.DATASET_ID_SECRETS, tenant)
            self._write("secrets", tenant, {"tenant": tenant, "secret": encode_bytes(secret)})

    def save_tenant(self, tenant: str, reservation: DiskReservation | None = None) -> None:
        """Archive a tenant's quotas and rules of retention as they are now."""
        last_written = None
        # again while other requests change them
        while (settings := self._read_hash(keys.tenant_settings(tenant))) != last_written:
            record = {"tenant": tenant, "fields": encode_hash(settings)}
            with self._owed.owe_on_error("tenant", tenant, ""):
                self._write("tenants", tenant, record, reservation)
            last_written, reservation = settings, None

    def _read_archived_dataset(self, tenant: str, dataset_id: str) -> tuple[int, list[str]] | None:
        """Read sequence number and idempotency keys of a dataset's record."""
        path = self._folders.path("datasets", record_name(tenant, dataset_id))
        try:
            record = read_file(self._files, path).record
        except FileNotFoundError:
            return None
        return sequence_of(record), list(record["known"])

    def _read_dataset(self, tenant: str, dataset_id: str) -> dict[str, Any]:
        record = self._read_hash(keys.dataset(tenant, dataset_id))
        key_names: Any = self._store.smembers(keys.dataset_keys(tenant, dataset_id))
        idempotency_keys = self._read_idempotency_keys(keys.idempotency(tenant), sorted(key_names))
        return {"fields": encode_hash(record), "known": idempotency_keys}

    def _read_hash(self, key: str) -> dict[str, bytes]:
        fields: Any = self._store.hgetall(key)
        return {name.decode(): value for name, value in fields.items()}

    def _read_idempotency_keys(self, hash_key: str, key_names: list[bytes]) -> dict[str, Any]:
        """Read idempotency keys with their values."""
        if not key_names:
            return {}
        values: Any = self._store.hmget(hash_key, key_names)
        pairs = zip(key_names, values, strict=True)
        return {key.decode(): encode_bytes(value) for key, value in pairs if value is not None}

    def _write(
        self,
        folder: str,
        name: str,
        record: dict[str, Any],
        reservation: DiskReservation | None = None,
    ) -> None:
        data = single_record(RECORD_KINDS[folder], record)
        self._folders.write(self._folders.path(folder, name), data, reservation)


def read_tombstone(
    store: Store,
    tenant: str,
    record_id: str,
    sequence: int,
    idempotency_keys: Sequence[str],
    event: bytes = b"",
) -> dict[str, Any]:
    """Return the record of a deleted job or dataset, with the tenant's event if there is one."""
    deleted_ms: Any = store.zscore(keys.tombstones(tenant), record_id)
    record = {"tenant": tenant, "id": record_id, "sequence": sequence}
    record |= {"event": event.decode()} if event else {}
    return {**record, "known": list(idempotency_keys), "deleted_ms": int(deleted_ms or 0)}
