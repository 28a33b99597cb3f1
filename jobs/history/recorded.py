"""A stretch of a recorded history held against the same ticks computed again, bit by bit.

Knows arrays and points; knows no trainer and no store but through Columns.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs import bits
from jobs.bits import DIGEST
from jobs.certificate import Bits, Difference
from jobs.history.columns import Columns, Extent
from jobs.job import SparsePoint

Dense = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Stretch:
    """The recorded ticks first…last: values of dense columns, bytes of sparse ones by tick."""

    first: int
    last: int
    dense: Dense
    sparse: Mapping[str, Mapping[int, bytes]]

    def values(self, column: str, first: int, last: int) -> npt.NDArray[np.float32]:
        """Values of some of its ticks."""
        return self.dense[column][first - self.first : last + 1 - self.first]

    def measured(self, tick: int) -> bool:
        """Whether something but a digest is recorded at a tick: it was validated there."""
        return any(tick in self.sparse[name] for name in self.sparse if name != DIGEST)

    def difference(
        self, first: int, columns: Dense, points: Sequence[SparsePoint], last: int
    ) -> Difference | None:
        """Return the first difference of the ticks first…last computed again; None: all equal.

        A digest that was not recorded has nothing to be compared with.
        """
        found = [self._dense(name, first, columns.get(name), last) for name in self.dense]
        again = {(point.column, point.tick): point.bits for point in points}
        for name, recorded in self.sparse.items():
            had = {at: recorded[at] for at in range(first, last + 1) if at in recorded}
            got = {at: raw for (column, at), raw in again.items() if column == name}
            if name == DIGEST:
                got = {at: raw for at, raw in got.items() if at in had}
            found.append(_sparse(name, had, got))
        return min(
            (each for each in found if each is not None), key=lambda each: each.tick, default=None
        )

    def _dense(
        self, name: str, first: int, offered: npt.NDArray[np.float32] | None, last: int
    ) -> Difference | None:
        had = self.values(name, first, last)
        got = np.empty(0, np.float32) if offered is None else offered[: had.size]
        differ = np.flatnonzero(had[: got.size].view(np.uint32) != got.view(np.uint32))
        if not differ.size and got.size == had.size:
            return None
        at = int(differ[0]) if differ.size else got.size
        again = got[at : at + 1].tobytes() or None
        return difference(first + at, name, had[at : at + 1].tobytes(), again)


def read(source: Columns, extent: Extent, sparse: Iterable[str], first: int, last: int) -> Stretch:
    """Read a stretch, with the points of the sparse columns named."""
    dense = {name: source.values(extent, name, first, last) for name in extent.columns}
    points = {name: source.points(extent, name, first, last) for name in sparse}
    return Stretch(
        first,
        last,
        dense,
        {
            name: {
                int(at): raw.tobytes() for at, raw in zip(found["tick"], found["bits"], strict=True)
            }
            for name, found in points.items()
        },
    )


def difference(
    tick: int, column: str, recorded: bytes | None, recomputed: bytes | None
) -> Difference:
    """Tell one difference, to the bit."""
    return Difference(
        tick=tick,
        column=column,
        recorded=_bits(column, recorded),
        recomputed=_bits(column, recomputed),
    )


def _sparse(name: str, had: Mapping[int, bytes], got: Mapping[int, bytes]) -> Difference | None:
    differ = [at for at in had.keys() | got.keys() if had.get(at) != got.get(at)]
    if not differ:
        return None
    at = min(differ)
    return difference(at, name, had.get(at), got.get(at))


def _bits(column: str, raw: bytes | None) -> Bits | None:
    if raw is None:
        return None
    value = bits.read(column, raw)
    if column == DIGEST:
        return Bits(bits=str(value), value=None)
    shown = value if isinstance(value, float) and math.isfinite(value) else str(value)
    return Bits(bits=raw[::-1].hex(), value=shown)
