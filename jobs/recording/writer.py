"""The writing end of a history under one lease: ticks are cut into calls and summarized.

A call has at most 16,384 ticks of one segment. A summary row is made once its 1,024 ticks are
complete; the values of an incomplete bucket are buffered, and read back once at the start. Full
segments move to files. Knows no trainer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.errors import TickGap, TickMismatch
from jobs.files.artifacts import ArtifactStore
from jobs.history.column_reader import (
    POINT,
    ColumnReader,
    Extent,
    Points,
    decode_floats,
    segment_of,
)
from jobs.history.summary_rows import BUCKET, SEGMENT, summarize
from jobs.job import Lease, SparsePoint
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import AppendResult, LeaseLedger
from jobs.recording.moved_points import MovedPoints
from jobs.recording.segment_mover import SegmentMover
from jobs.recording.segments import Segments
from jobs.spec.conditions import MetCondition
from jobs.spec.metrics import Mode
from jobs.store.connection import Store
from jobs.values import STATE_COLUMN, finite_or_none

#: the p99 of status reads is then 6 ms; it is 34 ms at 128 k
MAX_TICKS_PER_CALL = 16_384
#: full segments that may wait for their files: 16 MiB a column
MAX_SEGMENTS_IN_STORE = 4

Values = npt.NDArray[np.float32]
Dense = Mapping[str, Values]


class HistoryWriter:
    """Appends to one job's history; must be closed.

    A disk that refuses a full segment stops no append: `last_move_error` has its error,
    `is_backlogged` says when no more ticks should come.
    """

    def __init__(
        self, ledger: LeaseLedger, store: Store, files: ArtifactStore, lease: Lease
    ) -> None:
        self._ledger, self._lease = ledger, lease
        self._columns = ColumnReader(store, files)
        self._moved_points = MovedPoints(self._columns)
        self._partial_bucket: dict[str, Values] = {}  # values since the last complete bucket
        self._next_tick: int | None = None  # the tick after them
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
        met: Sequence[MetCondition] = (),
        is_last_skipped: bool = False,
    ) -> AppendResult:
        """Append consecutive ticks from `first` on, and sparse points of these or earlier ticks.

        `columns` has float32 values by name, one a tick. Without columns the points come alone, and
        `first` is the tick after them. `replayed` ticks change no progress of the job. The
        conditions of `met` are told with the ticks that meet them, in one step. `is_last_skipped`:
        the update of the last tick was not applied. Safe to repeat.
        Raises LeaseLost, TickGap or TickMismatch, and what `SegmentMover` raises.
        """
        progress: dict[str, str | None] = {"phase": phase}
        if not replayed:
            progress["metrics"] = _metrics_json(metrics)
            progress["best"] = None if best is None else json.dumps(best)
            progress["elapsed"] = None if elapsed is None else repr(elapsed)
            progress["skipped"] = "1" if is_last_skipped else None
        count = len(next(iter(columns.values()))) if columns else 0
        calls = list(_split_into_calls(first, count))
        for start, length in calls[:-1]:
            values = _slice_columns(columns, start - first, length)
            self._append_call(start, values, {}, _met_within(met, start, length), phase=phase)
        start, length = calls[-1]
        values = _slice_columns(columns, start - first, length)
        last_met = _met_within(met, start, length) if count else met
        result = self._append_call(start, values, _pack_points(sparse), last_met, **progress)
        self._tick = result.tick
        self._mover.schedule(self._tick)
        return result

    def list_digest_ticks(self, after: int, upto: int) -> set[int]:
        """Return the ticks in (after, upto] that have a recorded state digest."""
        extent = self._columns.read_extent(self._lease.tenant, self._lease.job_id)
        points = self._columns.points(extent, STATE_COLUMN, after + 1, upto)
        return set(points["tick"].tolist())

    def find_best_tick(self, upto: int, metric: str, mode: Mode) -> int | None:
        """Return the first tick of the best finite value of a metric up to `upto`, or None."""
        extent = self._columns.read_extent(self._lease.tenant, self._lease.job_id)
        points = self._columns.points(extent, metric, 0, upto)
        values = decode_floats(points)
        if not np.isfinite(values).any():
            return None
        costs = -values if mode == "max" else values
        return int(points["tick"][np.argmin(np.where(np.isfinite(values), costs, np.inf))])

    @property
    def last_move_error(self) -> str | None:
        """Return the disk's error where it refused a full segment; the move is retried."""
        return self._mover.last_error

    @property
    def is_backlogged(self) -> bool:
        """Return whether more than MAX_SEGMENTS_IN_STORE full segments wait for their files."""
        return self._tick > (self._mover.segments_in_files + MAX_SEGMENTS_IN_STORE) * SEGMENT

    def flush_full_segments(self) -> None:
        """Move full segments, unless the disk refused one just now, and wait for the end of it."""
        self._mover.schedule(self._tick)
        self._mover.wait_idle()

    def wait_idle(self) -> None:
        """Wait until no segment moves; raise the error of a move, if there is one."""
        self._mover.wait_idle()

    def close(self) -> None:
        """Wait until no segment moves, ignoring errors; nothing may be appended after it."""
        self._mover.close()

    def _read_position(self) -> tuple[int, int]:
        """Return the accepted tick, and how many segments are in files."""
        extent = self._columns.read_extent(self._lease.tenant, self._lease.job_id)
        return extent.tick, extent.segments_in_files

    def _append_call(
        self,
        first: int,
        columns: Dense,
        sparse: Mapping[str, bytes],
        met: Sequence[MetCondition],
        **progress: str | None,
    ) -> AppendResult:
        count = len(next(iter(columns.values()))) if columns else 0
        row_at, rows, partial_bucket = self._summarize(first, count, columns)
        data = {name: array.astype("<f4", copy=False).tobytes() for name, array in columns.items()}
        try:
            result = self._ledger.append_ticks(
                self._lease, first, count, data, rows, row_at, sparse, met, **progress
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
        """Return the first row's number in the segment, the rows of completed buckets, the rest."""
        if not count:
            return 0, {}, self._partial_bucket
        if self._next_tick != first:
            self._partial_bucket = self._read_partial_bucket(first, columns)
        partial, lead = self._partial_bucket, (first - 1) % BUCKET
        complete = (lead + count) // BUCKET * BUCKET
        joined = {name: np.concatenate([partial[name], added]) for name, added in columns.items()}
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
        last = min(first - 1, extent.tick)  # the ledger refuses a gap
        return {name: self._columns.values(extent, name, border + 1, last) for name in columns}

    def _compare_with_files(
        self, first: int, columns: Dense, sparse: Mapping[str, bytes], uncompared_upto: int
    ) -> None:
        """Compare ticks after `uncompared_upto` with the files, by bits. Raises TickMismatch."""
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
                bits = (array[i : i + 1].tobytes() for array in (recorded, offered))
                raise TickMismatch(start + i, name, *bits)
        for name, points in sparse.items():
            if name != "time":
                self._compare_points(extent, name, np.frombuffer(points, POINT), uncompared_upto)

    def _compare_points(
        self, extent: Extent, name: str, offered: Points, uncompared_upto: int
    ) -> None:
        """Compare points with those in files. Raises TickMismatch."""
        for point in offered:
            tick = int(point["tick"])
            if tick <= uncompared_upto or segment_of(tick) >= extent.segments_in_files:
                continue
            for recorded in self._moved_points.at(extent, name, tick):
                if recorded["bits"] != point["bits"]:
                    bits = (side["bits"].tobytes() for side in (recorded, point))
                    raise TickMismatch(tick, name, *bits)


def _split_into_calls(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield first tick and length of each call, within one segment; for 0 ticks one empty call."""
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


def _met_within(met: Sequence[MetCondition], first: int, count: int) -> list[MetCondition]:
    return [condition for condition in met if first <= condition.tick < first + count]


def _pack_points(points: Sequence[SparsePoint]) -> dict[str, bytes]:
    """Pack points by column in the order of ticks: u64 tick, then 8 bytes of value."""
    packed_points: dict[str, bytes] = {}
    for point in sorted(points, key=lambda point: point.tick):
        packed = point.tick.to_bytes(8, "little") + point.bits
        packed_points[point.column] = packed_points.get(point.column, b"") + packed
    return packed_points


def _metrics_json(metrics: Mapping[str, float | None] | None) -> str | None:
    if not metrics:
        return None
    return json.dumps({name: finite_or_none(value) for name, value in metrics.items()})
