"""Forms of a history: JSON lists, CSV lines. Knows arrays and their spelling; no store, no HTTP.

A float32 is written as the decimal of the float64 it equals, so that it comes back bit for bit
through either width. NaN and infinities are `nan`, `inf`, `-inf` in CSV; in JSON they are null and
named beside the numbers.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.history.summary_rows import Edges, Floats, Summaries

Ticks = npt.NDArray[np.integer[Any]]
Nonfinite = dict[str, int | str]  # {"tick", "column", "value": "nan" | "inf" | "-inf"}


def encode_numbers(values: Floats) -> list[float | None]:
    """Spell values for JSON: floats, and null for what JSON cannot say."""
    plain: list[float | None] = values.tolist()
    for at in np.flatnonzero(~np.isfinite(values)).tolist():
        plain[at] = None
    return plain


def list_nonfinite(column: str, ticks: Ticks, values: Floats) -> list[Nonfinite]:
    """Name each value that `numbers` made null."""
    is_nonfinite = ~np.isfinite(values)
    pairs = zip(ticks[is_nonfinite].tolist(), values[is_nonfinite].tolist(), strict=True)
    return [{"tick": tick, "column": column, "value": repr(value)} for tick, value in pairs]


def encode_buckets(first: Edges, last: Edges, summaries: Summaries) -> dict[str, list[Any]]:
    """Spell a view of one column: six lists of one length; null where a bucket is all NaN."""
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
    """Spell state digests: 16 hex digits each."""
    return [f"{digest:016x}" for digest in bits.tolist()]


def csv_header(columns: Sequence[str]) -> bytes:
    """First line of a CSV history."""
    return ",".join(["tick", *columns]).encode() + b"\n"


def csv_lines(ticks: Ticks, cells: Iterable[Iterable[str]]) -> bytes:
    """Lines of some ticks: `cells` has an iterable of as many strings for each column."""
    lines = map(",".join, zip(map(str, ticks.tolist()), *cells, strict=True))
    return ("\n".join(lines) + "\n").encode() if ticks.size else b""


def csv_cells(values: Floats) -> Iterable[str]:
    """Spell values for CSV, one string each."""
    return map(repr, values.tolist())
