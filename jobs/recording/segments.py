"""Moves parts of a history from the store to files: a full segment, and the rest at the end.

The file first, durable; then one script puts its digest in the place of the strings. A reader looks
in both places (jobs/history/column_reader.py), so nobody sees the move. Knows no trainer.
"""

import contextlib

from jobs import fault_points
from jobs.archive.jobs import JobArchive
from jobs.errors import LeaseLost, NoSuchJob, NotAccepted, RequestInProgress, StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.history.column_reader import ColumnReader
from jobs.history.segment_parts import SegmentPart
from jobs.history.summary_rows import SEGMENT
from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.store import keys
from jobs.store.connection import Store


class Segments:
    """Moves segments. Safe to repeat, and for several processes at once."""

    def __init__(self, ledger: JobLedger, store: Store, files: ArtifactStore) -> None:
        self._ledger, self._store, self._files = ledger, store, files
        self._columns = ColumnReader(store, files)
        self._archive = JobArchive(store, files)

    def move(self, tenant: str, job_id: str, segment: int, lease: Lease | None = None) -> None:
        """Move one segment; of a running job only its owner may, and only a full one.

        Raises NoSuchJob, LeaseLost or NotAccepted.
        """
        extent = self._columns.read_extent(tenant, job_id)
        if segment < extent.segments_in_files:
            return
        contents = self._read_parts(tenant, job_id, extent.columns, segment)
        if segment < self._columns.read_extent(tenant, job_id).segments_in_files:
            return  # another mover was quicker: what was read here may be what it has left
        digests, size = {}, 0
        for part, data in contents:
            fault_points.hit("segment:write")
            digests[part.name] = self._files.write(part.path(self._files, tenant, job_id), data)
            size += len(data)
        fault_points.hit("segment:commit")
        try:
            self._ledger.move_segment(tenant, job_id, segment, digests, size, lease)
        except NoSuchJob:  # deleted in the meantime: its files were removed before ours were there
            self._files.remove_job(tenant, job_id)
            raise

    def archive_record(self, lease: Lease) -> None:
        """Keep a running job's record beside the files that it has now.

        Where the disk will not have it, the next checkpoint's record does.
        """
        with contextlib.suppress(OSError, StoreFull, RequestInProgress):
            self._archive.save(lease.tenant, lease.job_id, lease=lease)

    def finalize(self, tenant: str, job_id: str) -> None:
        """Move what an ended job still has in the store, and keep its record beside it.

        Raises NoSuchJob, or NotAccepted for a live one.
        """
        extent = self._columns.read_extent(tenant, job_id)
        for segment in range(extent.segments_in_files, -(-extent.tick // SEGMENT)):
            self.move(tenant, job_id, segment)
        self._archive.save(tenant, job_id)
        self._ledger.mark_finalized(tenant, job_id)

    def finalize_some(self, limit: int = 16) -> int:
        """Seal jobs that ended and were not sealed by their last owner; gives how many."""
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

    def _read_parts(
        self, tenant: str, job_id: str, columns: tuple[str, ...], segment: int
    ) -> list[tuple[SegmentPart, bytes]]:
        """Read a segment's parts, all before any is written; sparse ones where there are any."""
        contents: list[tuple[SegmentPart, bytes]] = []
        for part in self._list_parts(tenant, job_id, columns, segment):
            data: bytes = self._store.get(part.key(tenant, job_id)) or b""  # type: ignore[assignment]
            if part.suffix != "sparse" or data:
                contents.append((part, data))
        return contents

    def _list_parts(
        self, tenant: str, job_id: str, columns: tuple[str, ...], segment: int
    ) -> list[SegmentPart]:
        names: bytes | None = self._store.hget(keys.job(tenant, job_id), "sparse")  # type: ignore[assignment]
        dense = [
            SegmentPart(name, segment, suffix) for name in columns for suffix in ("f32", "rows")
        ]
        points = (names or b"").decode().split()
        return dense + [SegmentPart(name, segment, "sparse") for name in points]
