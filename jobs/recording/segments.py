"""Moves pieces of a history from the store to files: full segments, and the rest at the end.

The files are durable before one script replaces the store's strings by their digests. Readers look
in both places (jobs/history/column_reader.py), so none notices a move. Knows no trainer.
"""

import contextlib
from pathlib import Path

from jobs import fault_points
from jobs.archive.jobs import JobArchive
from jobs.errors import (
    DiskUnavailable,
    LeaseLost,
    NoSuchJob,
    NotAccepted,
    RequestInProgress,
    StoreFull,
)
from jobs.files.artifacts import ArtifactStore
from jobs.history.column_reader import ColumnReader, SegmentPiece, list_pieces
from jobs.history.summary_rows import SEGMENT
from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.store import keys
from jobs.store.connection import Store


class Segments:
    """Moves segments. Every move is safe to repeat, also by several processes at once."""

    def __init__(self, ledger: JobLedger, store: Store, files: ArtifactStore) -> None:
        self._ledger, self._store, self._files = ledger, store, files
        self._columns = ColumnReader(store, files)
        self._archive = JobArchive(store, files)

    def move(self, tenant: str, job_id: str, segment: int, lease: Lease | None = None) -> None:
        """Move one segment; a live job's must be full, and needs its lease.

        Raises NoSuchJob, LeaseLost or NotAccepted.
        """
        extent = self._columns.read_extent(tenant, job_id)
        if segment < extent.segments_in_files:
            return
        contents = self._read_pieces(tenant, job_id, extent.columns, segment)
        if segment < self._columns.read_extent(tenant, job_id).segments_in_files:
            return  # another mover was quicker, so these strings may be incomplete
        files: dict[Path, bytes] = {}
        for piece, data in contents:
            fault_points.hit("segment:write")
            files[piece.path(self._files, tenant, job_id)] = data
        names = (piece.name for piece, _ in contents)
        digests = dict(zip(names, self._files.write_all(files), strict=True))
        size = sum(map(len, files.values()))
        fault_points.hit("segment:commit")
        try:
            self._ledger.move_segment(tenant, job_id, segment, digests, size, lease)
        except NoSuchJob:  # deleted after its files were removed, before ours were written
            self._files.remove_job(tenant, job_id)
            raise

    def archive_record(self, lease: Lease) -> None:
        """Archive a running job's record, to match its files.

        Where the disk refuses it, the next checkpoint's record makes up for it.
        """
        with contextlib.suppress(OSError, StoreFull, DiskUnavailable, RequestInProgress):
            self._archive.save(lease.tenant, lease.job_id, lease=lease)

    def finalize(self, tenant: str, job_id: str) -> None:
        """Move the rest of an ended job's history to files, and archive its record.

        Raises NoSuchJob, or NotAccepted for a live job.
        """
        extent = self._columns.read_extent(tenant, job_id)
        for segment in range(extent.segments_in_files, -(-extent.tick // SEGMENT)):
            self.move(tenant, job_id, segment)
        self._archive.save(tenant, job_id)
        self._ledger.mark_finalized(tenant, job_id)

    def finalize_some(self, limit: int = 16) -> int:
        """Finalize up to `limit` ended jobs that their owners did not; return how many."""
        members: list[bytes] = self._store.srandmember(keys.UNFINALIZED_JOBS, limit)  # type: ignore[assignment]
        count = 0
        for name in members:
            tenant, job_id = keys.split_member(name.decode())
            try:
                self.finalize(tenant, job_id)
                count += 1
            except NoSuchJob:
                self._store.srem(keys.UNFINALIZED_JOBS, name)
            except (NotAccepted, LeaseLost, RequestInProgress):
                continue
        return count

    def _read_pieces(
        self, tenant: str, job_id: str, columns: tuple[str, ...], segment: int
    ) -> list[tuple[SegmentPiece, bytes]]:
        """Read a segment's pieces; sparse pieces without points are left out."""
        names: bytes | None = self._store.hget(keys.job(tenant, job_id), "sparse")  # type: ignore[assignment]
        sparse = (names or b"").decode().split()
        pieces = list_pieces(columns, [segment], "f32", "rows")
        contents: list[tuple[SegmentPiece, bytes]] = []
        pieces += list_pieces(sparse, [segment], "sparse")
        with self._store.pipeline(transaction=False) as pipe:
            for piece in pieces:
                pipe.get(piece.key(tenant, job_id))
            stored: list[bytes | None] = pipe.execute()
        for piece, data in zip(pieces, stored, strict=True):
            if piece.suffix != "sparse" or data:
                contents.append((piece, data or b""))
        return contents
