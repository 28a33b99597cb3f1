"""Encode arrays of a history as JSON lists and CSV lines. Knows no store and no HTTP.

A float32 is written as the decimal of the float64 it equals, so that it is read back bit for bit
in either width. NaN and infinities are `nan`, `inf`, `-inf` in CSV; in JSON they are null and
listed beside the numbers.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.history.summary_rows import Edges, Floats, Summaries

Ticks = npt.NDArray[np.integer[Any]]
Nonfinite = dict[str, int | str]  # {"tick", "column", "value": "nan" | "inf" | "-inf"}


def encode_numbers(values: Floats) -> list[float | None]:
    """Encode values for JSON: floats, and None for NaN and infinities."""
    plain: list[float | None] = values.tolist()
    for at in np.flatnonzero(~np.isfinite(values)).tolist():
        plain[at] = None
    return plain


def list_nonfinite(column: str, ticks: Ticks, values: Floats) -> list[Nonfinite]:
    """List the values that `encode_numbers` makes null."""
    is_nonfinite = ~np.isfinite(values)
    pairs = zip(ticks[is_nonfinite].tolist(), values[is_nonfinite].tolist(), strict=True)
    return [{"tick": tick, "column": column, "value": repr(value)} for tick, value in pairs]


def encode_buckets(first: Edges, last: Edges, summaries: Summaries) -> dict[str, list[Any]]:
    """Encode a view of one column as six lists of one length; null for a bucket without numbers."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        mean = summaries["sum"] / summaries["finite"]
    return {
        "tick_first": first.tolist(),
        "tick_last": last.tolist(),
        "min": encode_numbers(summaries["min"]),
        "max": encode_numbers(summaries["max"]),
        "mean": encode_numbers(mean),
        "nonfinite": summaries["nonfinite"].tolist(),
    }


def encode_digests(bits: Ticks) -> list[str]:
    """Encode state digests as 16 hex digits each."""
    return [f"{digest:016x}" for digest in bits.tolist()]


def csv_header(columns: Sequence[str]) -> bytes:
    """Encode the header line of a CSV history."""
    return ",".join(["tick", *columns]).encode() + b"\n"


#: of CSV that are encoded at once
STEP_LINES = 1024


def csv_lines(ticks: Ticks, cells: Iterable[Iterable[str]]) -> bytes:
    """Encode the lines of some ticks; `cells` has one string per tick for each column."""
    lines = map(",".join, zip(map(str, ticks.tolist()), *cells, strict=True))
    # in steps, between which other threads run: `join` lets none of them
    steps = iter(lambda: "\n".join(islice(lines, STEP_LINES)), "")
    return "".join(f"{step}\n" for step in steps).encode()


def csv_cells(values: Floats) -> Iterable[str]:
    """Encode values for CSV, one string each."""
    return map(repr, values.tolist())
