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
import redis

from jobs.bits import DIGEST
from jobs.errors import Diverged, Gap
from jobs.files import Files
from jobs.history.columns import POINT, Columns, Extent, Points
from jobs.history.parts import segment_of
from jobs.history.rows import BUCKET, SEGMENT, summarize
from jobs.job import Lease, SparsePoint
from jobs.ledger import Appended, Ledger
from jobs.mover import Mover
from jobs.segments import Segments

#: ticks a call: status reads keep a p99 of 6 ms then (34 ms at 128 k)
MOST_TICKS = 16_384
#: full segments that may wait in the store for their files: 16 MiB a column
MOST_UNMOVED = 4

Values = npt.NDArray[np.float32]
Dense = Mapping[str, Values]


class Recorder:
    """The writing end of one job's history under one lease.

    A disk that does not take a full segment stops nobody: `unmoved` says what it said, `crowded`
    when so many segments wait for it that no more ticks should come. To be closed.
    """

    def __init__(self, ledger: Ledger, store: "redis.Redis", files: Files, lease: Lease) -> None:
        self._ledger, self._lease = ledger, lease
        self._columns = Columns(store, files)
        self._ragged: dict[str, Values] = {}  # values since the last bucket's border
        self._next: int | None = None  # the tick that would continue them
        self._tick, moved = self._look()
        self._mover = Mover(Segments(ledger, store, files), lease, moved)

    def record(
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
    ) -> Appended:
        """Offer consecutive ticks from `first` on, and sparse points of them or of earlier ticks.

        No columns: the points alone, with `first` the tick behind them. What is `replayed` tells
        nothing new about the job. Raises Fenced, Gap or Diverged, or what the last move to files
        met; may be sent again after any loss of a reply.
        """
        told: dict[str, str | None] = {"phase": phase}
        if not replayed:
            told |= {
                "metrics": _finite_json(metrics),
                "best": None if best is None else json.dumps(best),
            }
            told |= {"elapsed": None if elapsed is None else repr(elapsed)}
        count = len(next(iter(columns.values()))) if columns else 0
        pieces = list(_cut(first, count))
        for start, length in pieces[:-1]:
            self._append(start, _part(columns, start - first, length), {}, phase=phase)
        start, length = pieces[-1]
        appended = self._append(
            start, _part(columns, start - first, length), _blobs(sparse), **told
        )
        self._tick = appended.tick
        self._mover.go(self._tick)
        return appended

    def digested_ticks(self, after: int, upto: int) -> set[int]:
        """Ticks in (after, upto] whose state digest is recorded."""
        extent = self._columns.extent(self._lease.tenant, self._lease.job_id)
        points = self._columns.points(extent, DIGEST, after + 1, upto)
        return set(points["tick"].tolist())

    @property
    def unmoved(self) -> str | None:
        """What the disk said that did not take a full segment; it is tried again later."""
        return self._mover.unmoved

    @property
    def crowded(self) -> bool:
        """Whether as many full segments as may wait in the store do."""
        return self._tick - self._mover.moved * SEGMENT > MOST_UNMOVED * SEGMENT

    def move_full(self) -> None:
        """Try once more to move what waits for files, and wait for the end of it."""
        self._mover.go(self._tick)
        self._mover.rest()

    def rest(self) -> None:
        """Wait until nothing of this history moves to files; raises what a move has met."""
        self._mover.rest()

    def close(self) -> None:
        """Wait until nothing moves, whatever it meets: there is no more to hand over."""
        self._mover.close()

    def _look(self) -> tuple[int, int]:
        """The accepted tick, and how many segments lie in files."""
        extent = self._columns.extent(self._lease.tenant, self._lease.job_id)
        return extent.tick, extent.moved

    def _append(
        self, first: int, columns: Dense, sparse: Mapping[str, bytes], **told: str | None
    ) -> Appended:
        count = len(next(iter(columns.values()))) if columns else 0
        row_at, rows, ragged = self._summaries(first, count, columns)
        values = {
            name: column.astype("<f4", copy=False).tobytes() for name, column in columns.items()
        }
        try:
            appended = self._ledger.append(
                self._lease, first, count, values, rows, row_at, sparse, **told
            )
        except Gap:  # a store that has lost ticks may have lost the moves of segments too
            self._mover.rest()
            self._tick, self._mover.moved = self._look()
            raise
        if appended.moved:
            self._compare_with_files(first, columns, sparse, appended.trusted)
        if count:
            self._ragged, self._next = ragged, first + count
        return appended

    def _summaries(
        self, first: int, count: int, columns: Dense
    ) -> tuple[int, dict[str, bytes], dict[str, Values]]:
        """Rows of the buckets these ticks complete: number in the segment, rows, what is left."""
        if not count:
            return 0, {}, self._ragged
        if self._next != first:
            self._ragged = self._read_ragged(first, columns)
        lead = (first - 1) % BUCKET
        whole = (lead + count) // BUCKET * BUCKET
        joined = {name: np.concatenate([self._ragged[name], new]) for name, new in columns.items()}
        ragged = {name: values[whole:] for name, values in joined.items()}
        row_at = (first - 1 - lead) % SEGMENT // BUCKET
        if not whole:
            return row_at, {}, ragged
        rows = {name: summarize(values[:whole]).tobytes() for name, values in joined.items()}
        return row_at, rows, ragged

    def _read_ragged(self, first: int, columns: Dense) -> dict[str, Values]:
        border = (first - 1) // BUCKET * BUCKET
        if border == first - 1:
            return {name: np.empty(0, np.float32) for name in columns}
        extent = self._columns.extent(self._lease.tenant, self._lease.job_id)
        last = min(first - 1, extent.tick)  # a gap is the ledger's to refuse
        return {name: self._columns.values(extent, name, border + 1, last) for name in columns}

    def _compare_with_files(
        self, first: int, columns: Dense, sparse: Mapping[str, bytes], trusted: int
    ) -> None:
        """Compare replayed ticks beyond `trusted` of a segment that lies in files, bit by bit."""
        extent = self._columns.extent(self._lease.tenant, self._lease.job_id)
        start = max(first, trusted + 1)
        for name, column in columns.items():
            offered = column[start - first :]
            if not len(offered):
                continue
            had = self._columns.values(extent, name, start, start + len(offered) - 1)
            differ = np.flatnonzero(had.view(np.uint32) != offered.view(np.uint32))
            if differ.size:
                at = int(differ[0])
                bits = (array[at : at + 1].tobytes().hex() for array in (had, offered))
                raise Diverged(start + at, name, *bits)
        for name, blob in sparse.items():
            if name != "time":
                self._compare_points(extent, name, np.frombuffer(blob, POINT), trusted)

    def _compare_points(self, extent: Extent, name: str, offered: Points, trusted: int) -> None:
        """Compare points with those recorded in files; others are not compared."""
        for point in offered:
            tick = int(point["tick"])
            if tick <= trusted or segment_of(tick) >= extent.moved:
                continue
            for had in self._columns.points(extent, name, tick, tick):
                if had["bits"] != point["bits"]:
                    bits = (each["bits"].tobytes().hex() for each in (had, point))
                    raise Diverged(tick, name, *bits)


def _cut(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Cut ticks at segment borders and into calls: first tick, length; one empty cut for none."""
    if not count:
        yield first, 0
    end = first + count
    while first < end:
        border = (first - 1) // SEGMENT * SEGMENT + SEGMENT + 1
        length = min(MOST_TICKS, end - first, border - first)
        yield first, length
        first += length


def _part(columns: Dense, start: int, length: int) -> dict[str, Values]:
    return {name: values[start : start + length] for name, values in columns.items()}


def _blobs(points: Sequence[SparsePoint]) -> dict[str, bytes]:
    """Points by column, in the order of their ticks: u64 tick, then 8 bytes."""
    blobs: dict[str, bytes] = {}
    for point in sorted(points, key=lambda point: point.tick):
        packed = point.tick.to_bytes(8, "little") + point.bits
        blobs[point.column] = blobs.get(point.column, b"") + packed
    return blobs


def _finite_json(metrics: Mapping[str, float | None] | None) -> str | None:
    if not metrics:
        return None
    finite = {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in metrics.items()
    }
    return json.dumps(finite)
