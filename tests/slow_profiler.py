"""A profile of a CSV that is computed cell by cell, as plainly as its rules are written."""

import csv
import io
import math
import re
from collections import Counter
from fractions import Fraction
from typing import Any

from jobs.datasets.formats.cells import MISSING_TOKENS
from jobs.spec.base import FLOAT32_MAX
from models.times import parse_time

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def kind_of(cell: str) -> tuple[str, float]:
    """Return what a cell is, and its value."""
    text = cell.strip()
    if text in MISSING_TOKENS:
        return "missing", math.nan
    if NUMBER.fullmatch(text) and abs(float(text)) <= FLOAT32_MAX:
        return "number", float(text)
    seconds = parse_time(text)
    return ("text", math.nan) if seconds is None else ("time", seconds)


def slow_columns(data: bytes) -> list[dict[str, Any]]:
    """Return the profiles of the columns of a CSV with a header."""
    names, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    return [
        slow_column(name, [row[at].replace("\r\n", "\n") for row in rows])
        for at, name in enumerate(names)
    ]


def slow_column(name: str, cells: list[str]) -> dict[str, Any]:
    """Return the profile of one column."""
    kinds = [kind_of(cell) for cell in cells]
    counts = Counter(kind for kind, _ in kinds)
    present = len(cells) - counts["missing"]
    texts = {cell for cell, (kind, _) in zip(cells, kinds, strict=True) if kind != "missing"}
    is_few = len(texts) <= 1000 and all(len(text) <= 255 for text in texts)
    column: dict[str, Any] = {"name": name, "missing": counts["missing"], "distinct": 0}
    if not present:
        return column | {"type": "empty"}
    column["non_numbers"], column["non_times"] = (
        present - counts["number"],
        present - counts["time"],
    )
    column["distinct"] = len(texts) if is_few else None
    if counts["number"] == present or counts["time"] == present:
        values = [value for kind, value in kinds if kind != "missing"]
        column |= moments(values)
        column["type"] = "number" if counts["number"] == present else "datetime"
        if column["type"] == "number":
            column["distinct"] = len(set(values)) if len(set(values)) <= 1000 else None
        return column
    return column | ({"type": "category", "classes": sorted(texts)} if is_few else {"type": "text"})


def moments(values: list[float]) -> dict[str, float]:
    """Return range, mean and deviation, computed exactly."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    return {
        "min": min(values), "max": max(values), "mean": float(mean),
        "deviation": math.sqrt(float(variance)),
    }  # fmt: skip


def slow_gaps(data: bytes) -> Counter[tuple[int, ...]]:
    """Count the rows by the columns that have no cell there."""
    _, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    patterns = (
        tuple(at for at, cell in enumerate(row) if kind_of(cell)[0] == "missing") for row in rows
    )
    return Counter(pattern for pattern in patterns if pattern)
