"""The archive of webhooks: a record each, with sealed secrets, and tombstones of deleted ones."""

import contextlib
from typing import Any

from jobs.archive.disk_reserve import DiskReservation
from jobs.archive.format import encode_bytes, encode_hash, read_file, sequence_of, single_record
from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.archive.owed_records import OwedRecords
from jobs.archive.record_folders import RecordFolders, record_name
from jobs.errors import DiskUnavailable
from jobs.files.artifacts import ArtifactStore
from jobs.store import keys
from jobs.store.connection import Store


class WebhookArchive:
    """Writes webhooks to the archive.

    Every method may raise StoreFull or DiskUnavailable; or NotArchived, once the store has changed.
    """

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._files, self._folders = store, files, RecordFolders(files)
        self._owed = OwedRecords(store)
        self.save_secret = KeyDatasetArchive(store, files).save_secret
        self.reserve = self._folders.disk_reserve.reserve
        self.reserve_change = self._folders.disk_reserve.reserve_change

    def save(
        self, tenant: str, webhook_id: str, reservation: DiskReservation | None = None
    ) -> None:
        """Archive a new webhook."""
        record = self._read(tenant, webhook_id)
        if record["fields"]:
            path = self._folders.path("webhooks", record_name(tenant, webhook_id))
            self._folders.write(path, single_record("webhook", record), reservation)

    def save_change(
        self, tenant: str, webhook_id: str, reservation: DiskReservation | None = None
    ) -> None:
        """Archive a webhook as it is now; where the disk refuses it, it is owed."""
        with self._owed.owe_on_error("webhook", tenant, webhook_id):
            last_written: Any = None
            # again while other requests change it
            while (record := self._read(tenant, webhook_id)) != last_written:
                self.save(tenant, webhook_id, reservation)
                last_written, reservation = record, None

    def discard(self, tenant: str, webhook_id: str) -> None:
        """Remove what a failed `save` may have left."""
        with contextlib.suppress(DiskUnavailable):
            self._folders.delete(self._folders.path("webhooks", record_name(tenant, webhook_id)))

    def save_tombstone(
        self, tenant: str, webhook_id: str, reservation: DiskReservation | None = None
    ) -> bool:
        """Archive that a webhook was deleted; return False if no record of it is there."""
        name = record_name(tenant, webhook_id)
        path = self._folders.path("webhooks", name)
        if not path.exists():
            return False
        record = read_file(self._files, path).record
        tombstone = {"tenant": tenant, "id": webhook_id, "sequence": sequence_of(record)}
        tombstone["known"] = list(record["known"])
        with self._owed.owe_on_error("webhook", tenant, webhook_id):
            gone = single_record("gone", tombstone)
            self._folders.write(self._folders.path("deleted-webhooks", name), gone, reservation)
            self._folders.delete(path)
        return True

    def write_owed(self, tenant: str, webhook_id: str) -> None:
        """Archive a webhook as it is now, or that it was deleted."""
        if self._store.exists(keys.webhook(tenant, webhook_id)):
            self.save(tenant, webhook_id)
        else:
            self.save_tombstone(tenant, webhook_id)

    def _read(self, tenant: str, webhook_id: str) -> dict[str, Any]:
        """Read a webhook's record; the number of its newest message is no part of it."""
        fields: Any = self._store.hgetall(keys.webhook(tenant, webhook_id))
        record = {name.decode(): value for name, value in fields.items() if name != b"messages"}
        known = {}
        if key := record.get("idempotency_key"):
            value: Any = self._store.hget(keys.webhook_idempotency(tenant), key.decode())
            known = {key.decode(): encode_bytes(value)} if value is not None else {}
        return {"fields": encode_hash(record), "known": known}
