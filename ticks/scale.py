"""Mean and deviation of features, in float64 and in one fixed order: the same on every machine."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK = 8192  # rows at a time; the order of additions does not depend on it


class Scale(NamedTuple):
    """What inputs are standardised by: (input - mean) / deviation, a feature at a time, float64."""

    mean: Floats
    deviation: Floats


def measure(x: NDArray[Any], chosen: NDArray[np.bool_] | None = None) -> Scale:
    """Measure mean and deviation of each feature over the chosen rows (None: over all).

    A feature that never varies keeps its scale. Rows are added strictly one after another.
    """
    rows = len(x) if chosen is None else int(chosen.sum())
    mean = _sum(x, chosen, None) / rows
    deviation = np.sqrt(_sum(x, chosen, mean) / rows)
    return Scale(mean, np.where(deviation == 0, 1.0, deviation))


def standardise(
    x: NDArray[Any], scale: Scale, into: NDArray[np.float32], columns: Sequence[int]
) -> None:
    """Write the standardised features of all rows into these columns of float32 rows."""
    for first in range(0, len(x), BLOCK):
        block = x[first : first + BLOCK].astype(np.float64)
        into[first : first + BLOCK, columns] = (block - scale.mean) / scale.deviation


def _sum(x: NDArray[Any], chosen: NDArray[np.bool_] | None, mean: Floats | None) -> Floats:
    """Add up the rows, or the squares of what they differ from `mean`."""
    total: Floats = np.zeros((1, x.shape[1]))
    for first in range(0, len(x), BLOCK):
        part = slice(first, first + BLOCK)
        block = x[part].astype(np.float64) if chosen is None else x[part][chosen[part]]
        terms = block if mean is None else (block - mean) ** 2
        # cumsum adds strictly row after row, where sum would add in pairs of its own choice
        total = np.cumsum(np.concatenate([total, terms]), axis=0)[-1:].copy()
    found: Floats = total[0]
    return found
