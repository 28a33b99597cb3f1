"""Series for tests of pictures, as a history would have them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jobs.history.curves import Series
from jobs.job import BestValidation
from jobs.pictures.curve import Curve


def make_series(
    values: npt.ArrayLike, column: str = "loss", ticks: Sequence[int] | None = None
) -> Series:
    """Return a column with one value a bucket; given its `ticks`, as a sparse one."""
    means = np.asarray(values, np.float64)
    at = np.arange(1, means.size + 1) if ticks is None else np.array(ticks, np.int64)
    finite = np.where(np.isfinite(means), means, np.nan)
    nonfinite = (~np.isfinite(means)).astype(np.int64)
    return Series(column, ticks is not None, at, at, finite, finite, finite, nonfinite)


def make_curve(*series: Series, best: BestValidation | None = None, **changes: object) -> Curve:
    """Return a curve of these series."""
    words: dict[str, object] = {
        "name": "digits",
        "standing": "running, tick 5 of 10",
        "is_bad": False,
        "newest": {},
    }
    words |= changes
    return Curve(series=series, best=best, **words)  # type: ignore[arg-type]
