"""A copy of a job's history up to a tick, for a job that goes on from there.

Segments before that of the tick become files, the rest goes into the store. Every file that is read
has the digest that was recorded. Knows no spec.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.files.artifacts import ArtifactStore
from jobs.history.column_reader import ColumnReader, Extent, SegmentPiece, segment_of
from jobs.history.summary_rows import BUCKET, SEGMENT
from jobs.ledger.fork_start import OpenPart
from jobs.store import keys
from jobs.store.connection import Store

#: training seconds at some ticks
TIME_COLUMN = "time"


@dataclass
class CopiedHistory:
    """What was copied: columns, the files' digests and bytes, and the open segment's parts."""

    columns: list[str]
    segments: int
    sparse: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    size: int = 0
    open_parts: list[OpenPart] = field(default_factory=list)


class HistoryCopy:
    """Copies histories of one tenant. Raises NoSuchJob once a job is gone, or DamagedHistory."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._files = store, files
        self._reader = ColumnReader(store, files)

    def copy(
        self, tenant: str, job_id: str, tick: int, folder: Path, on_progress: Callable[[], None]
    ) -> CopiedHistory:
        """Copy the ticks up to `tick`, with the files below `folder`, a new job's."""
        extent = self._reader.read_extent(tenant, job_id)
        last_segment = segment_of(tick)
        copied = CopiedHistory(list(extent.columns) if tick else [], last_segment)
        for piece, data in self._read_pieces(extent, tick, copied.columns):
            on_progress()
            if piece.suffix == "sparse" and piece.column not in copied.sparse:
                copied.sparse.append(piece.column)
            if piece.segment < last_segment:
                copied.digests[piece.name] = self._files.write(
                    folder / "history" / piece.name, data
                )
                copied.size += len(data)
            elif data:
                part = (piece.suffix, piece.column, piece.segment, piece.name)
                copied.open_parts.append(OpenPart(*part, data))
        return copied

    def read_elapsed(self, tenant: str, job_id: str, tick: int) -> float:
        """Return the training seconds up to `tick`, as recorded last before it; 0 without any."""
        extent = self._reader.read_extent(tenant, job_id)
        for segment in range(segment_of(tick), -1, -1):
            first, last = segment * SEGMENT + 1, min(tick, (segment + 1) * SEGMENT)
            points = self._reader.points(extent, TIME_COLUMN, first, last)
            if points.size:
                return float(points["bits"][-1:].copy().view("<f8")[0])
        return 0.0

    def _read_pieces(
        self, extent: Extent, tick: int, columns: list[str]
    ) -> Iterator[tuple[SegmentPiece, bytes]]:
        names: Any = self._store.hget(keys.job(extent.tenant, extent.job_id), "sparse")
        sparse = list(dict.fromkeys((names or b"").decode().split()))
        for segment in range(segment_of(tick) + 1):
            first, last = segment * SEGMENT + 1, min(tick, (segment + 1) * SEGMENT)
            for name in columns:
                values = self._reader.values(extent, name, first, last)
                yield SegmentPiece(name, segment, "f32"), values.tobytes()
                rows = self._reader.rows(extent, name, (first - 1) // BUCKET, last // BUCKET)
                yield SegmentPiece(name, segment, "rows"), rows.tobytes()
            for name in sparse:
                points = self._reader.points(extent, name, first if segment else 0, last)
                if points.size:
                    yield SegmentPiece(name, segment, "sparse"), points.tobytes()
