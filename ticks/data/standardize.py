"""Standardize columns by mean and deviation, summed in float64 in one order on every machine."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
BLOCK_ROWS = 8192  # rows at a time; the order of additions does not depend on it


class Scaling(NamedTuple):
    """Standardized value = (value - mean) / deviation; both are float64 [columns]."""

    mean: Floats
    deviation: Floats


def fit_scaling(
    x: NDArray[Any], mask: NDArray[np.bool_] | None = None, *, has_exact_constants: bool = True
) -> Scaling:
    """Return mean and (biased) deviation of x [rows, columns] over the rows of `mask` (None: all).

    A column whose least and greatest value are equal is constant: it gets that value as its mean
    and the deviation 1. Rows are added strictly one after another. Without `has_exact_constants`,
    as in the first revision of specs, a column is constant where its computed deviation is 0.
    """
    rows = len(x) if mask is None else int(mask.sum())
    mean = sum_rows(x, mask, None) / rows
    deviation = np.sqrt(sum_rows(x, mask, mean) / rows)
    if has_exact_constants:
        low, high = _range_of_rows(x, mask)
        mean = np.where(low == high, low, mean)
        deviation = np.where(low == high, 0.0, deviation)
    return Scaling(mean, np.where(deviation == 0, 1.0, deviation))


def standardize(
    x: NDArray[Any], scaling: Scaling, output: NDArray[np.float32], columns: Sequence[int]
) -> None:
    """Write the standardized x [rows, columns] into these columns of `output` [rows, ...]."""
    for first in range(0, len(x), BLOCK_ROWS):
        block = x[first : first + BLOCK_ROWS].astype(np.float64)
        output[first : first + BLOCK_ROWS, columns] = (block - scaling.mean) / scaling.deviation


def to_float32(values: NDArray[Any], scaling: Scaling | None) -> Tensor:
    """Return values [rows, columns] in float32, in torch's own memory; standardized if scaled."""
    output = torch.zeros(values.shape)
    if scaling is None:
        output.numpy()[:] = values
    else:
        standardize(values, scaling, output.numpy(), range(values.shape[1]))
    return output


def sum_rows(x: NDArray[Any], mask: NDArray[np.bool_] | None, mean: Floats | None) -> Floats:
    """Sum the rows, or, with a mean, the squares of their deviations from it: [columns]."""
    total: Floats = np.zeros((1, x.shape[1]))
    for block in _masked_blocks(x, mask):
        terms = block if mean is None else (block - mean) ** 2
        # cumsum adds row after row; sum would add in an order of numpy's choice
        total = np.cumsum(np.concatenate([total, terms]), axis=0)[-1:].copy()
    sums: Floats = total[0]
    return sums


def _range_of_rows(x: NDArray[Any], mask: NDArray[np.bool_] | None) -> tuple[Floats, Floats]:
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    for block in _masked_blocks(x, mask):
        low = np.minimum(low, block.min(axis=0, initial=np.inf))
        high = np.maximum(high, block.max(axis=0, initial=-np.inf))
    return low, high


def _masked_blocks(x: NDArray[Any], mask: NDArray[np.bool_] | None) -> Iterator[Floats]:
    """Yield the rows of the mask (None: all) in order, BLOCK_ROWS of x at a time."""
    for first in range(0, len(x), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        block = x[rows] if mask is None else x[rows][mask[rows]]
        yield block.astype(np.float64)
