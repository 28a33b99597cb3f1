"""Checkpoint requests that came with an idempotency key, a file each, so that each costs the same.

The file lies among the job's records and goes with the job. Knows the store only where a record is
missing.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.archive.disk_reserve import DiskReservation
from jobs.archive.format import BrokenArchive, read_file, single_record
from jobs.archive.job_file import archive_folder
from jobs.archive.record_folders import RecordFolders
from jobs.files.artifacts import ArtifactStore
from jobs.store import keys
from jobs.store.connection import Store

MAX_REQUEST_BYTES = 1 << 18  # of a record, with the longest name, labels and notes of a job


class RequestRecords:
    """Writes them. Every method may raise StoreFull or DiskUnavailable."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._files, self._folders = store, files, RecordFolders(files)

    def ensure_saved(
        self, tenant: str, job_id: str, idempotency_key: str, body_digest: str, response: str,
        reservation: DiskReservation | None = None,
    ) -> None:  # fmt: skip
        """Archive one request with its response; "" is that of a try which was cut short."""
        path = self._path(tenant, job_id, idempotency_key)
        if not path.exists():
            record = {"key": idempotency_key, "digest": body_digest, "response": response}
            self._folders.write(path, single_record("request", record), reservation)

    def save_missing(self, tenant: str, job_id: str) -> None:
        """Archive all requests of a job that have no record, as the store has them."""
        responses: Any = self._store.hgetall(keys.checkpoint_responses(tenant, job_id))
        if not responses:
            return
        digests: Any = self._store.hgetall(keys.job_idempotency_keys(tenant, job_id))
        for encoded, response in responses.items():
            if digest := digests.get(encoded):
                texts = (text.decode() for text in (encoded, digest, response))
                self.ensure_saved(tenant, job_id, *texts)

    def _path(self, tenant: str, job_id: str, idempotency_key: str) -> Path:
        name = hashlib.sha256(idempotency_key.encode()).hexdigest()
        return _requests_folder(self._files, tenant, job_id) / f"{name}.json"


def read_requests(
    files: ArtifactStore, tenant: str, job_id: str
) -> Iterator[dict[str, Any] | BrokenArchive]:
    """Yield the records of a job, and the error of each damaged file in its place."""
    for path in sorted(_requests_folder(files, tenant, job_id).glob("*.json")):
        try:
            yield read_file(files, path).record
        except BrokenArchive as error:
            yield error


def _requests_folder(files: ArtifactStore, tenant: str, job_id: str) -> Path:
    return archive_folder(files, tenant, job_id) / "requests"
