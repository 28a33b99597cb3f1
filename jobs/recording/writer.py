"""What one owner hands over of a history: cut into calls and summarized; full segments move on.

Calls hold at most 16,384 ticks of one segment. A summary row is made when its 1,024 ticks are
whole; the values of the ragged bucket before it are kept here, and read back once at the start.
Knows no trainer.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.errors import TickGap, TickMismatch
from jobs.files.artifacts import ArtifactStore
from jobs.history.column_reader import POINT, ColumnReader, Extent, Points
from jobs.history.segment_parts import segment_of
from jobs.history.summary_rows import BUCKET, SEGMENT, summarize
from jobs.job import Lease, SparsePoint
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import AppendResult, LeaseLedger
from jobs.recording.segment_mover import SegmentMover
from jobs.recording.segments import Segments
from jobs.store.connection import Store
from jobs.values import STATE_COLUMN

#: ticks a call: status reads keep a p99 of 6 ms then (34 ms at 128 k)
MAX_TICKS_PER_CALL = 16_384
#: full segments that may wait in the store for their files: 16 MiB a column
MAX_SEGMENTS_IN_STORE = 4

Values = npt.NDArray[np.float32]
Dense = Mapping[str, Values]


class HistoryWriter:
    """The writing end of one job's history under one lease.

    A disk that does not take a full segment stops nobody: `unmoved` says what it said, `crowded`
    when so many segments wait for it that no more ticks should come. To be closed.
    """

    def __init__(
        self, ledger: LeaseLedger, store: Store, files: ArtifactStore, lease: Lease
    ) -> None:
        self._ledger, self._lease = ledger, lease
        self._columns = ColumnReader(store, files)
        self._partial_bucket: dict[str, Values] = {}  # values since the last bucket's border
        self._next_tick: int | None = None  # the tick that would continue them
        self._tick, segments_in_files = self._read_position()
        segments = Segments(JobLedger(store), store, files)
        self._mover = SegmentMover(segments, lease, segments_in_files)

    def append(
        self,
        first: int,
        columns: Dense,
        sparse: Sequence[SparsePoint] = (),
        *,
        phase: str | None = None,
        replayed: bool = False,
        elapsed: float | None = None,
        metrics: Mapping[str, float | None] | None = None,
        best: Mapping[str, Any] | None = None,
    ) -> AppendResult:
        """Offer consecutive ticks from `first` on, and sparse points of them or of earlier ticks.

        No columns: the points alone, with `first` the tick behind them. What is `replayed` tells
        nothing new about the job. Raises LeaseLost, TickGap or TickMismatch, or what the last move to files
        met; may be sent again after any loss of a reply.
        """
        progress: dict[str, str | None] = {"phase": phase}
        if not replayed:
            progress |= {
                "metrics": _metrics_json(metrics),
                "best": None if best is None else json.dumps(best),
            }
            progress |= {"elapsed": None if elapsed is None else repr(elapsed)}
        count = len(next(iter(columns.values()))) if columns else 0
        calls = list(_split_into_calls(first, count))
        for start, length in calls[:-1]:
            self._append_call(
                start, _slice_columns(columns, start - first, length), {}, phase=phase
            )
        start, length = calls[-1]
        result = self._append_call(
            start, _slice_columns(columns, start - first, length), _pack_points(sparse), **progress
        )
        self._tick = result.tick
        self._mover.schedule(self._tick)
        return result

    def list_digest_ticks(self, after: int, upto: int) -> set[int]:
        """Ticks in (after, upto] whose state digest is recorded."""
        extent = self._columns.read_extent(self._lease.tenant, self._lease.job_id)
        points = self._columns.points(extent, STATE_COLUMN, after + 1, upto)
        return set(points["tick"].tolist())

    @property
    def last_move_error(self) -> str | None:
        """What the disk said that did not take a full segment; it is tried again later."""
        return self._mover.last_error

    @property
    def is_backlogged(self) -> bool:
        """Whether as many full segments as may wait in the store do."""
        return (
            self._tick - self._mover.segments_in_files * SEGMENT > MAX_SEGMENTS_IN_STORE * SEGMENT
        )

    def flush_full_segments(self) -> None:
        """Try once more to move what waits for files, and wait for the end of it."""
        self._mover.schedule(self._tick)
        self._mover.wait_idle()

    def wait_idle(self) -> None:
        """Wait until nothing of this history moves to files; raises what a move has met."""
        self._mover.wait_idle()

    def close(self) -> None:
        """Wait until nothing moves, whatever it meets: there is no more to hand over."""
        self._mover.close()

    def _read_position(self) -> tuple[int, int]:
        """The accepted tick, and how many segments lie in files."""
        extent = self._columns.read_extent(self._lease.tenant, self._lease.job_id)
        return extent.tick, extent.segments_in_files

    def _append_call(
        self, first: int, columns: Dense, sparse: Mapping[str, bytes], **progress: str | None
    ) -> AppendResult:
        count = len(next(iter(columns.values()))) if columns else 0
        row_at, rows, partial_bucket = self._summarize(first, count, columns)
        values = {
            name: column.astype("<f4", copy=False).tobytes() for name, column in columns.items()
        }
        try:
            result = self._ledger.append_ticks(
                self._lease, first, count, values, rows, row_at, sparse, **progress
            )
        except TickGap:  # a store that has lost ticks may have lost the moves of segments too
            self._mover.wait_idle()
            self._tick, self._mover.segments_in_files = self._read_position()
            raise
        if result.segment_in_files:
            self._compare_with_files(first, columns, sparse, result.uncompared_upto)
        if count:
            self._partial_bucket, self._next_tick = partial_bucket, first + count
        return result

    def _summarize(
        self, first: int, count: int, columns: Dense
    ) -> tuple[int, dict[str, bytes], dict[str, Values]]:
        """Rows of the buckets these ticks complete: number in the segment, rows, what is left."""
        if not count:
            return 0, {}, self._partial_bucket
        if self._next_tick != first:
            self._partial_bucket = self._read_partial_bucket(first, columns)
        lead = (first - 1) % BUCKET
        complete = (lead + count) // BUCKET * BUCKET
        joined = {
            name: np.concatenate([self._partial_bucket[name], added])
            for name, added in columns.items()
        }
        partial_bucket = {name: values[complete:] for name, values in joined.items()}
        row_at = (first - 1 - lead) % SEGMENT // BUCKET
        if not complete:
            return row_at, {}, partial_bucket
        rows = {name: summarize(values[:complete]).tobytes() for name, values in joined.items()}
        return row_at, rows, partial_bucket

    def _read_partial_bucket(self, first: int, columns: Dense) -> dict[str, Values]:
        border = (first - 1) // BUCKET * BUCKET
        if border == first - 1:
            return {name: np.empty(0, np.float32) for name in columns}
        extent = self._columns.read_extent(self._lease.tenant, self._lease.job_id)
        last = min(first - 1, extent.tick)  # a gap is the ledger's to refuse
        return {name: self._columns.values(extent, name, border + 1, last) for name in columns}

    def _compare_with_files(
        self, first: int, columns: Dense, sparse: Mapping[str, bytes], uncompared_upto: int
    ) -> None:
        """Compare replayed ticks beyond `trusted` of a segment that lies in files, bit by bit."""
        extent = self._columns.read_extent(self._lease.tenant, self._lease.job_id)
        start = max(first, uncompared_upto + 1)
        for name, column in columns.items():
            offered = column[start - first :]
            if not len(offered):
                continue
            recorded = self._columns.values(extent, name, start, start + len(offered) - 1)
            differing = np.flatnonzero(recorded.view(np.uint32) != offered.view(np.uint32))
            if differing.size:
                i = int(differing[0])
                bits = (array[i : i + 1].tobytes().hex() for array in (recorded, offered))
                raise TickMismatch(start + i, name, *bits)
        for name, blob in sparse.items():
            if name != "time":
                self._compare_points(extent, name, np.frombuffer(blob, POINT), uncompared_upto)

    def _compare_points(
        self, extent: Extent, name: str, offered: Points, uncompared_upto: int
    ) -> None:
        """Compare points with those recorded in files; others are not compared."""
        for point in offered:
            tick = int(point["tick"])
            if tick <= uncompared_upto or segment_of(tick) >= extent.segments_in_files:
                continue
            for recorded in self._columns.points(extent, name, tick, tick):
                if recorded["bits"] != point["bits"]:
                    bits = (side["bits"].tobytes().hex() for side in (recorded, point))
                    raise TickMismatch(tick, name, *bits)


def _split_into_calls(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Cut ticks at segment borders and into calls: first tick, length; one empty cut for none."""
    if not count:
        yield first, 0
    end = first + count
    while first < end:
        border = (first - 1) // SEGMENT * SEGMENT + SEGMENT + 1
        length = min(MAX_TICKS_PER_CALL, end - first, border - first)
        yield first, length
        first += length


def _slice_columns(columns: Dense, start: int, length: int) -> dict[str, Values]:
    return {name: values[start : start + length] for name, values in columns.items()}


def _pack_points(points: Sequence[SparsePoint]) -> dict[str, bytes]:
    """Points by column, in the order of their ticks: u64 tick, then 8 bytes."""
    blobs: dict[str, bytes] = {}
    for point in sorted(points, key=lambda point: point.tick):
        packed = point.tick.to_bytes(8, "little") + point.bits
        blobs[point.column] = blobs.get(point.column, b"") + packed
    return blobs


def _metrics_json(metrics: Mapping[str, float | None] | None) -> str | None:
    if not metrics:
        return None
    finite = {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in metrics.items()
    }
    return json.dumps(finite)
