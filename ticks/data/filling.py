"""Fill the gaps of number columns by the mean or median of the training rows. Knows no spec."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ticks.data.standardize import Floats, sum_rows

Statistic = Literal["mean", "median"]


def fit_fills(x: Floats, training: NDArray[np.bool_], statistic: Statistic) -> Floats:
    """Return what fills the gaps (NaN) of each column of x [rows, columns], float64 [columns].

    The mean (rows added one after another) or median over the rows of the mask `training` that have
    a value; 0 for a column without any.
    """
    if statistic == "median":
        columns = (x[training, at] for at in range(x.shape[1]))
        medians = [_median(column[~np.isnan(column)]) for column in columns]
        return np.array(medians, np.float64)
    counts = (~np.isnan(x[training])).sum(axis=0)
    means: Floats = sum_rows(np.nan_to_num(x), training, None) / np.maximum(counts, 1)
    return means


def fill(x: Floats, fills: Floats) -> None:
    """Replace the gaps (NaN) of x [rows, columns] by the fills [columns]."""
    np.copyto(x, fills, where=np.isnan(x))


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else 0.0
