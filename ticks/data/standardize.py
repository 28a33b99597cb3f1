"""Mean and deviation of features, in float64 and in one fixed order: the same on every machine."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK_ROWS = 8192  # rows at a time; the order of additions does not depend on it


class Scaling(NamedTuple):
    """What inputs are standardised by: (input - mean) / deviation, a feature at a time, float64."""

    mean: Floats
    deviation: Floats


def fit_scaling(x: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> Scaling:
    """Measure mean and deviation of each feature over the chosen rows (None: over all).

    A feature that never varies keeps its scale. Rows are added strictly one after another.
    """
    rows = len(x) if mask is None else int(mask.sum())
    mean = _sum_rows(x, mask, None) / rows
    deviation = np.sqrt(_sum_rows(x, mask, mean) / rows)
    return Scaling(mean, np.where(deviation == 0, 1.0, deviation))


def standardize(
    x: NDArray[Any], scaling: Scaling, output: NDArray[np.float32], columns: Sequence[int]
) -> None:
    """Write the standardised features of all rows into these columns of float32 rows."""
    for first in range(0, len(x), BLOCK_ROWS):
        block = x[first : first + BLOCK_ROWS].astype(np.float64)
        output[first : first + BLOCK_ROWS, columns] = (block - scaling.mean) / scaling.deviation


def _sum_rows(x: NDArray[Any], mask: NDArray[np.bool_] | None, mean: Floats | None) -> Floats:
    """Add up the rows, or the squares of what they differ from `mean`."""
    total: Floats = np.zeros((1, x.shape[1]))
    for first in range(0, len(x), BLOCK_ROWS):
        block_slice = slice(first, first + BLOCK_ROWS)
        block = (
            x[block_slice].astype(np.float64) if mask is None else x[block_slice][mask[block_slice]]
        )
        terms = block if mean is None else (block - mean) ** 2
        # cumsum adds strictly row after row, where sum would add in pairs of its own choice
        total = np.cumsum(np.concatenate([total, terms]), axis=0)[-1:].copy()
    sums: Floats = total[0]
    return sums
