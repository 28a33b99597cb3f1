"""Summary rows: minimum, maximum, sum and counts of 1,024 ticks of a column. Knows no store.

A bucket without a finite value has min = +inf, max = -inf, sum = 0: the neutral elements, so that
rows combine without a special case. Rows are stored as ROW (24 bytes); arithmetic uses SUMMARY.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

BUCKET = 1024  # ticks per summary row
SEGMENT = 1 << 20  # ticks per segment: 4 MiB of float32, 1,024 rows

FIELDS = ("min", "max", "sum", "finite", "nonfinite")
ROW = np.dtype({"names": FIELDS, "formats": ("<f4", "<f4", "<f8", "<u4", "<u4")})
SUMMARY = np.dtype({"names": FIELDS, "formats": ("<f8", "<f8", "<f8", "<i8", "<i8")})

Floats = npt.NDArray[np.floating[Any]]
Summaries = npt.NDArray[np.void]  # dtype ROW or SUMMARY
Edges = npt.NDArray[np.int64]


def summarize(values: npt.NDArray[np.float32]) -> Summaries:
    """Summarize complete buckets: float32 [n * 1024] -> ROW [n]."""
    assert values.size % BUCKET == 0, "a row is made of a whole bucket only"
    return summarize_runs(values, np.arange(0, values.size, BUCKET)).astype(ROW)


def summarize_runs(values: Floats, starts: Edges) -> Summaries:
    """Summarize values [n] in runs that begin at `starts` [m] (ascending, first 0) -> SUMMARY [m].

    Minima, maxima and sums are over finite values only; sums are float64.
    """
    out = np.zeros(starts.size, SUMMARY)
    if starts.size == 0:
        return out
    finite = np.isfinite(values)
    wide = values.astype(np.float64)
    out["min"] = np.minimum.reduceat(np.where(finite, wide, np.inf), starts)
    out["max"] = np.maximum.reduceat(np.where(finite, wide, -np.inf), starts)
    out["sum"] = np.add.reduceat(np.where(finite, wide, 0.0), starts)
    out["finite"] = np.add.reduceat(finite.astype(np.int64), starts)
    out["nonfinite"] = np.diff(np.append(starts, values.size)) - out["finite"]
    return out


def combine_runs(summaries: Summaries, starts: Edges) -> Summaries:
    """Merge neighbouring summaries [n] in runs that begin at `starts` [m] -> SUMMARY [m]."""
    out = np.zeros(starts.size, SUMMARY)
    out["min"] = np.minimum.reduceat(summaries["min"], starts)
    out["max"] = np.maximum.reduceat(summaries["max"], starts)
    for name in ("sum", "finite", "nonfinite"):
        out[name] = np.add.reduceat(summaries[name], starts)
    return out
