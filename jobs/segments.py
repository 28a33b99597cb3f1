"""Moves parts of a history from the store to files: a full segment, and the rest at the end.

The file first, durable; then one script puts its digest in the place of the strings. A reader looks
in both places (jobs/history/columns.py), so nobody sees the move. Knows no trainer.
"""

import contextlib

import redis

from jobs import fault_points, keys
from jobs.archive.jobs import Archive
from jobs.errors import Early, Fenced, InWork, NoSuchJob, StoreFull
from jobs.files import Files
from jobs.history.columns import Columns
from jobs.history.parts import Part
from jobs.history.rows import SEGMENT
from jobs.job import Lease
from jobs.ledger import Ledger


class Segments:
    """Moves segments. Safe to repeat, and for several processes at once."""

    def __init__(self, ledger: Ledger, store: "redis.Redis", files: Files) -> None:
        self._ledger, self._store, self._files = ledger, store, files
        self._columns = Columns(store, files)
        self._archive = Archive(store, files)

    def move(self, tenant: str, job_id: str, segment: int, lease: Lease | None = None) -> None:
        """Move one segment; of a running job only its owner may, and only a full one.

        Raises NoSuchJob, Fenced or Early.
        """
        extent = self._columns.extent(tenant, job_id)
        if segment < extent.moved:
            return
        found = self._read(tenant, job_id, extent.columns, segment)
        if segment < self._columns.extent(tenant, job_id).moved:
            return  # another mover was quicker: what was read here may be what it has left
        digests, size = {}, 0
        for part, data in found:
            fault_points.point("segment:write")
            digests[part.name] = self._files.write(part.path(self._files, tenant, job_id), data)
            size += len(data)
        fault_points.point("segment:commit")
        try:
            self._ledger.move_segment(tenant, job_id, segment, digests, size, lease)
        except NoSuchJob:  # deleted in the meantime: its files were removed before ours were there
            self._files.remove_job(tenant, job_id)
            raise

    def keep(self, lease: Lease) -> None:
        """Keep a running job's record beside the files that it has now.

        Where the disk will not have it, the next checkpoint's record does.
        """
        with contextlib.suppress(OSError, StoreFull, InWork):
            self._archive.job(lease.tenant, lease.job_id, lease=lease)

    def seal(self, tenant: str, job_id: str) -> None:
        """Move what an ended job still has in the store, and keep its record beside it.

        Raises NoSuchJob, or Early for a live one.
        """
        extent = self._columns.extent(tenant, job_id)
        for segment in range(extent.moved, -(-extent.tick // SEGMENT)):
            self.move(tenant, job_id, segment)
        self._archive.job(tenant, job_id)
        self._ledger.seal(tenant, job_id)

    def seal_some(self, most: int = 16) -> int:
        """Seal jobs that ended and were not sealed by their last owner; gives how many."""
        members: list[bytes] = self._store.srandmember(keys.UNSEALED, most)  # type: ignore[assignment]
        sealed = 0
        for name in members:
            tenant, job_id = keys.split(name.decode())
            try:
                self.seal(tenant, job_id)
                sealed += 1
            except NoSuchJob:
                self._store.srem(keys.UNSEALED, name)
            except (Early, Fenced, InWork):
                continue
        return sealed

    def _read(
        self, tenant: str, job_id: str, columns: tuple[str, ...], segment: int
    ) -> list[tuple[Part, bytes]]:
        """Read a segment's parts, all before any is written; sparse ones where there are any."""
        found: list[tuple[Part, bytes]] = []
        for part in self._parts(tenant, job_id, columns, segment):
            data: bytes = self._store.get(part.key(tenant, job_id)) or b""  # type: ignore[assignment]
            if part.suffix != "sparse" or data:
                found.append((part, data))
        return found

    def _parts(
        self, tenant: str, job_id: str, columns: tuple[str, ...], segment: int
    ) -> list[Part]:
        names: bytes | None = self._store.hget(keys.job(tenant, job_id), "sparse")  # type: ignore[assignment]
        dense = [Part(name, segment, suffix) for name in columns for suffix in ("f32", "rows")]
        points = (names or b"").decode().split()
        return dense + [Part(name, segment, "sparse") for name in points]
