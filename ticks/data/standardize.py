"""Standardize features by mean and deviation, summed in float64 in one order on every machine."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK_ROWS = 8192  # rows at a time; the order of additions does not depend on it


class Scaling(NamedTuple):
    """Standardized input = (input - mean) / deviation; both are float64 [features]."""

    mean: Floats
    deviation: Floats


def fit_scaling(x: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> Scaling:
    """Return mean and (biased) deviation of x [rows, features] over the rows of `mask` (None: all).

    A constant feature gets the deviation 1. Rows are added strictly one after another.
    """
    rows = len(x) if mask is None else int(mask.sum())
    mean = _sum_rows(x, mask, None) / rows
    deviation = np.sqrt(_sum_rows(x, mask, mean) / rows)
    return Scaling(mean, np.where(deviation == 0, 1.0, deviation))


def standardize(
    x: NDArray[Any], scaling: Scaling, output: NDArray[np.float32], columns: Sequence[int]
) -> None:
    """Write the standardized x [rows, features] into these columns of `output` [rows, ...]."""
    for first in range(0, len(x), BLOCK_ROWS):
        block = x[first : first + BLOCK_ROWS].astype(np.float64)
        output[first : first + BLOCK_ROWS, columns] = (block - scaling.mean) / scaling.deviation


def _sum_rows(x: NDArray[Any], mask: NDArray[np.bool_] | None, mean: Floats | None) -> Floats:
    """Sum the rows, or, with a mean, the squares of their deviations from it."""
    total: Floats = np.zeros((1, x.shape[1]))
    for first in range(0, len(x), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        block = x[rows].astype(np.float64) if mask is None else x[rows][mask[rows]]
        terms = block if mean is None else (block - mean) ** 2
        # cumsum adds row after row; sum would add in an order of numpy's choice
        total = np.cumsum(np.concatenate([total, terms]), axis=0)[-1:].copy()
    sums: Floats = total[0]
    return sums
