"""The archive of jobs: a change is in a file before a client gets its response.

A job has a submission record; files beside its checkpoints replace it, and the newest version
counts. The history of a running job is archived by its owner alone; what clients change meanwhile
is written to a `.said` file. Where the disk takes no whole record, a change goes to `changed`, into
space that was reserved before. `python -m jobs.rebuild` reads all of them.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from jobs.archive.client_changes import encode_changes
from jobs.archive.disk_reserve import DiskReservation
from jobs.archive.format import BrokenArchive, read_file, sequence_of, single_record
from jobs.archive.job_file import (
    HistoryDelta,
    JobFile,
    archive_folder,
    job_file_path,
    submission_record,
)
from jobs.archive.keys_datasets import read_tombstone
from jobs.archive.owed_records import OwedRecord, OwedRecords
from jobs.archive.record_folders import RecordFolders, record_name
from jobs.archive.request_records import RequestRecords, read_requests
from jobs.errors import DiskUnavailable, LeaseLost, NoSuchJob, RequestInProgress, StoreFull
from jobs.files.artifacts import ArtifactStore, translate_disk_errors
from jobs.history.column_reader import list_pieces, segment_of
from jobs.job import Lease
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.job_snapshot import JobSnapshot, parse_snapshot
from jobs.store.scripts import Scripts

MAX_READ_ATTEMPTS = 4  # the history may move or grow between snapshot and read
POINT_BYTES = 16  # a sparse point: tick and bits, 8 bytes each


class JobArchive:
    """Writes jobs to the archive.

    Every method may raise StoreFull or DiskUnavailable; or NotArchived, once the store has changed.
    """

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._files = store, files
        self._scripts, self._folders = Scripts(store), RecordFolders(files)
        self._owed, self._requests = OwedRecords(store), RequestRecords(store, files)

    def reserve(self, size: int) -> AbstractContextManager[DiskReservation]:
        """Reserve space for a new record before the store changes."""
        return self._folders.disk_reserve.reserve(size)

    def reserve_change(self) -> AbstractContextManager[DiskReservation]:
        """Reserve space for a change or deletion of a job before the store changes."""
        return self._folders.disk_reserve.reserve_change()

    def save_submission(
        self,
        reservation: DiskReservation,
        snapshot: JobSnapshot,
        response: str | None,
        history: HistoryDelta | None = None,
    ) -> None:
        """Archive a submitted job, with the response to replay for its idempotency key.

        `history`: the parts that a fork begins with in the store.
        """
        if response is not None:
            snapshot = replace(snapshot, fields={**snapshot.fields, "answer": response.encode()})
        tenant, job_id = (snapshot.fields[name].decode() for name in ("tenant", "id"))
        path = self._submission_path(tenant, job_id)
        with self._owed.owe_on_error("job", tenant, job_id):
            self._folders.write(path, submission_record(snapshot, history or {}), reservation)

    def ensure_saved(self, tenant: str, job_id: str) -> None:
        """Archive a job whose submission may have been cut short before its record.

        Raises RequestInProgress if a worker runs it and has not archived it yet.
        """
        with self._owed.owe_on_error("job", tenant, job_id):
            if not self._has_record(tenant, job_id) and self.save(tenant, job_id) is None:
                raise RequestInProgress(job_id)

    def save_change(self, tenant: str, job_id: str, reservation: DiskReservation) -> None:
        """Archive what a client changed of a job, in the reserved space if nothing else is free."""
        with self._owed.owe_on_error("job", tenant, job_id):
            try:
                self.save(tenant, job_id)
            except (StoreFull, DiskUnavailable, RequestInProgress):
                snapshot = self._take_snapshot(tenant, job_id, None, 0)
                path = self._changed_path(tenant, job_id)
                self._folders.write(path, encode_changes(snapshot), reservation)
                self._remove_if_deleted(tenant, job_id)

    def save(
        self,
        tenant: str,
        job_id: str,
        *,
        lease: Lease | None = None,
        job_file: JobFile | None = None,
    ) -> JobFile | None:
        """Archive a job durably as it is now; its owner passes the lease.

        Appends to `job_file` where possible. Returns the file to append to next time, or None if
        another process owns the job and only the clients' changes were written. Raises NoSuchJob,
        LeaseLost, or RequestInProgress if the history moved at every attempt.
        """
        for _ in range(MAX_READ_ATTEMPTS):
            newest_event = job_file.newest_event if job_file else 0
            snapshot = self._take_snapshot(tenant, job_id, lease, newest_event)
            if lease is None and snapshot.status == "running" and snapshot.columns:
                self._save_client_changes(tenant, job_id, snapshot)
                return None
            if job_file is not None and not job_file.can_append(snapshot):
                job_file = None
                continue
            target = job_file or JobFile(self._files, tenant, job_id, snapshot)
            delta = self._read_delta(tenant, job_id, snapshot, target.part_sizes)
            if delta is not None:
                break
        else:
            raise RequestInProgress(job_id)
        with translate_disk_errors():
            target.append(snapshot, delta)
            if job_file is None:
                self._after_new_file(tenant, job_id, snapshot.version, is_owner=lease is not None)
        return target

    def ensure_request_saved(
        self, tenant: str, job_id: str, idempotency_key: str, body_digest: str, response: str,
        reservation: DiskReservation,
    ) -> None:  # fmt: skip
        """Archive a checkpoint request with the response to replay for its idempotency key."""
        with self._owed.owe_on_error("job", tenant, job_id):
            self._requests.ensure_saved(
                tenant, job_id, idempotency_key, body_digest, response, reservation
            )

    def save_tombstone(
        self,
        tenant: str,
        job_id: str,
        sequence: int,
        idempotency_keys: Sequence[str],
        event: bytes = b"",
        reservation: DiskReservation | None = None,
    ) -> None:
        """Archive that a job was deleted, so that no rebuild restores it."""
        tombstone = read_tombstone(self._store, tenant, job_id, sequence, idempotency_keys, event)
        record, path = single_record("gone", tombstone), self._tombstone_path(tenant, job_id)
        with self._owed.owe_on_error("job", tenant, job_id):
            self._folders.write(path, record, reservation)
        self._remove_replaced_records(tenant, job_id)

    def ensure_tombstone(self, tenant: str, job_id: str) -> bool:
        """Archive a job's tombstone if its deletion was cut short before that; return whether."""
        if self._store.zscore(keys.tombstones(tenant), job_id) is None:
            return False
        submission = self._submission_path(tenant, job_id)
        if not submission.exists() or self._tombstone_path(tenant, job_id).exists():
            return False
        record = read_file(self._files, submission).record
        idempotency_keys = list(record["hashes"]["known"])
        for request in read_requests(self._files, tenant, job_id):
            idempotency_keys += [] if isinstance(request, BrokenArchive) else [request["key"]]
        self.save_tombstone(tenant, job_id, sequence_of(record), idempotency_keys)
        return True

    def ensure_not_owed(self, tenant: str, job_id: str) -> None:
        """Archive a job whose record is owed."""
        with self._owed.owe_on_error("job", tenant, job_id):
            if self._owed.discard(OwedRecord("job", tenant, job_id)):
                self.write_owed(tenant, job_id)

    def write_owed(self, tenant: str, job_id: str) -> None:
        """Archive a job as it is now with its checkpoint requests, or its tombstone."""
        try:
            self.save(tenant, job_id)
            self._requests.save_missing(tenant, job_id)
        except NoSuchJob:
            if self.ensure_tombstone(tenant, job_id):
                self._files.remove_job(tenant, job_id)

    def prepare(self) -> None:
        """Make the archive's folders; remove what dead processes and deleted jobs have left."""
        self._folders.make_folders()
        self._folders.disk_reserve.sweep()
        for tenant, job_id in self._folders.split_names("deleted"):
            self._remove_replaced_records(tenant, job_id)
            if self._files.job_folder(tenant, job_id).exists():
                with translate_disk_errors():
                    self._files.remove_job(tenant, job_id)

    def refill_reserve(self) -> None:
        """Allocate the space that is kept for changes on a full disk."""
        self._folders.disk_reserve.refill()

    def _take_snapshot(
        self, tenant: str, job_id: str, lease: Lease | None, newest_event: int
    ) -> JobSnapshot:
        header = {"member": keys.job_member(tenant, job_id), "events": newest_event}
        if lease is not None:
            header |= {"term": lease.term, "nonce": lease.nonce}
        answer, *rest = self._scripts.call("snapshot", header)
        if answer == b"gone":
            raise NoSuchJob(job_id)
        if answer == b"fenced":
            raise LeaseLost(f"{job_id}: the lease is over")
        return parse_snapshot(rest)

    def _read_delta(
        self, tenant: str, job_id: str, snapshot: JobSnapshot, part_sizes: Mapping[str, int]
    ) -> HistoryDelta | None:
        """Read what the file lacks of the stored history; None if a segment moved meanwhile."""
        segments = range(snapshot.segments_in_files, segment_of(snapshot.tick) + 1)
        dense = list_pieces(snapshot.columns, segments, "f32", "rows")
        points = list_pieces(snapshot.sparse, segments, "sparse")
        with self._store.pipeline(transaction=False) as pipe:
            for part in dense:
                start, stop = part_sizes.get(part.name, 0), part.size(snapshot.tick)
                pipe.getrange(part.key(tenant, job_id), start, max(start, stop) - 1)
            for part in points:
                pipe.getrange(part.key(tenant, job_id), part_sizes.get(part.name, 0), -1)
            contents: list[bytes] = pipe.execute()
        delta: HistoryDelta = {}
        for part, data in zip(dense, contents, strict=False):
            size = part.size(snapshot.tick) - part_sizes.get(part.name, 0)
            delta[part.name] = data if size > 0 else b""
            if len(delta[part.name]) != max(size, 0):
                return None
        for part, data in zip(points, contents[len(dense) :], strict=True):
            delta[part.name] = _truncate_points(snapshot.tick, data)
        return delta

    def _save_client_changes(self, tenant: str, job_id: str, snapshot: JobSnapshot) -> None:
        path = job_file_path(self._files, tenant, job_id, snapshot.version, "said")
        self._folders.write(path, encode_changes(snapshot))
        self._remove_older(tenant, job_id, snapshot.version, (".said",))

    def _after_new_file(self, tenant: str, job_id: str, version: int, *, is_owner: bool) -> None:
        """Remove the files that a new one replaces; all files if the job was deleted meanwhile."""
        self._remove_older(tenant, job_id, version, (".said", ".jsonl"))
        if not is_owner:
            self._remove_if_deleted(tenant, job_id)

    def _remove_if_deleted(self, tenant: str, job_id: str) -> None:
        """Remove a job's files again, if it was deleted while one was written. Raises NoSuchJob."""
        if not self._store.exists(keys.job(tenant, job_id)):
            self._remove_replaced_records(tenant, job_id)
            self._files.remove_job(tenant, job_id)
            raise NoSuchJob(job_id)

    def _remove_replaced_records(self, tenant: str, job_id: str) -> None:
        """Remove a deleted job's records but for its tombstone, which counts if they stay."""
        for path in (self._submission_path(tenant, job_id), self._changed_path(tenant, job_id)):
            with contextlib.suppress(DiskUnavailable):
                if path.exists():
                    self._folders.delete(path)

    def _remove_older(
        self, tenant: str, job_id: str, version: int, suffixes: tuple[str, ...]
    ) -> None:
        folder = archive_folder(self._files, tenant, job_id)
        with contextlib.suppress(OSError):  # a leftover is harmless: the newest version counts
            self._changed_path(tenant, job_id).unlink(missing_ok=True)
            for name in os.listdir(folder):
                number, suffix = os.path.splitext(name)
                if suffix in suffixes and number.isdigit() and int(number) < version:
                    (folder / name).unlink(missing_ok=True)

    def _has_record(self, tenant: str, job_id: str) -> bool:
        job_files = archive_folder(self._files, tenant, job_id).glob("*.jsonl")
        return self._submission_path(tenant, job_id).exists() or any(job_files)

    def _submission_path(self, tenant: str, job_id: str) -> Path:
        return self._folders.path("submitted", record_name(tenant, job_id))

    def _changed_path(self, tenant: str, job_id: str) -> Path:
        return self._folders.path("changed", record_name(tenant, job_id))

    def _tombstone_path(self, tenant: str, job_id: str) -> Path:
        return self._folders.path("deleted", record_name(tenant, job_id))


def _truncate_points(tick: int, points: bytes) -> bytes:
    """Drop incomplete points, and points after `tick`; they are sorted by tick."""
    stop = len(points) - len(points) % POINT_BYTES
    while stop and int.from_bytes(points[stop - POINT_BYTES : stop - 8], "little") > tick:
        stop -= POINT_BYTES
    return points[:stop]
