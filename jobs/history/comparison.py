"""Compare a range of a recorded history with the same ticks computed again, bit by bit.

Knows no trainer; reads the store through ColumnReader only.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs import values
from jobs.certificate import Bits, Difference
from jobs.history.column_reader import ColumnReader, Extent, Points
from jobs.job import SparsePoint
from jobs.values import STATE_COLUMN

DenseValues = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class RecordedRange:
    """The recorded ticks first…last: arrays of dense columns, bytes of sparse ones by tick."""

    first: int
    last: int
    dense: DenseValues
    sparse: Mapping[str, Mapping[int, bytes]]

    def values(self, column: str, first: int, last: int) -> npt.NDArray[np.float32]:
        """Return the ticks first…last of a dense column -> float32 [last - first + 1]."""
        return self.dense[column][first - self.first : last + 1 - self.first]

    def metrics_at(self, tick: int) -> set[str]:
        """Return the sparse columns with a value at a tick, state digests not counted."""
        return {name for name in self.sparse if name != STATE_COLUMN and tick in self.sparse[name]}

    def first_difference(
        self, first: int, columns: DenseValues, points: Sequence[SparsePoint], last: int
    ) -> Difference | None:
        """Return the first difference in the recomputed ticks first…last; None if all are equal.

        Recomputed state digests without a recorded counterpart are ignored.
        """
        candidates = [
            self._dense_difference(name, first, columns.get(name), last) for name in self.dense
        ]
        recomputed = {(point.column, point.tick): point.bits for point in points}
        for name, recorded in self.sparse.items():
            expected = {tick: recorded[tick] for tick in range(first, last + 1) if tick in recorded}
            actual = {tick: raw for (column, tick), raw in recomputed.items() if column == name}
            if name == STATE_COLUMN:
                actual = {tick: raw for tick, raw in actual.items() if tick in expected}
            candidates.append(_sparse_difference(name, expected, actual))
        differences = (candidate for candidate in candidates if candidate is not None)
        return min(differences, key=lambda difference: difference.tick, default=None)

    def _dense_difference(
        self, name: str, first: int, recomputed: npt.NDArray[np.float32] | None, last: int
    ) -> Difference | None:
        expected = self.values(name, first, last)
        actual = np.empty(0, np.float32) if recomputed is None else recomputed[: expected.size]
        unequal = np.flatnonzero(expected[: actual.size].view(np.uint32) != actual.view(np.uint32))
        if not unequal.size and actual.size == expected.size:
            return None
        at = int(unequal[0]) if unequal.size else actual.size
        actual_bytes = actual[at : at + 1].tobytes() or None
        return make_difference(first + at, name, expected[at : at + 1].tobytes(), actual_bytes)


def read_range(
    reader: ColumnReader, extent: Extent, sparse: Iterable[str], first: int, last: int
) -> RecordedRange:
    """Read the ticks first…last of all dense columns, and of the named sparse ones."""
    dense = {name: reader.values(extent, name, first, last) for name in extent.columns}
    points = {name: _bits_by_tick(reader.points(extent, name, first, last)) for name in sparse}
    return RecordedRange(first, last, dense, points)


def make_difference(
    tick: int, column: str, recorded: bytes | None, recomputed: bytes | None
) -> Difference:
    """Build a Difference from the bytes of both values; None where one is missing."""
    before, after = _encode_bits(column, recorded), _encode_bits(column, recomputed)
    return Difference(tick=tick, column=column, recorded=before, recomputed=after)


def _bits_by_tick(points: Points) -> dict[int, bytes]:
    return {int(tick): bits.tobytes() for tick, bits in points}


def _sparse_difference(
    name: str, expected: Mapping[int, bytes], actual: Mapping[int, bytes]
) -> Difference | None:
    ticks = expected.keys() | actual.keys()
    unequal_ticks = [tick for tick in ticks if expected.get(tick) != actual.get(tick)]
    if not unequal_ticks:
        return None
    tick = min(unequal_ticks)
    return make_difference(tick, name, expected.get(tick), actual.get(tick))


def _encode_bits(column: str, raw: bytes | None) -> Bits | None:
    if raw is None:
        return None
    value = values.decode_value(column, raw)
    if column == STATE_COLUMN:
        return Bits(bits=str(value), value=None)
    printable_value = value if isinstance(value, float) and math.isfinite(value) else str(value)
    return Bits(bits=values.format_bits(raw), value=printable_value)
