"""Derive the profiles of a table's columns from what was counted of their cells. Reads no row."""

from collections.abc import Sequence
from typing import Any

from jobs.datasets.number_statistics import NumberStatistics
from jobs.datasets.table_scanner import TableScanner
from jobs.spec.profiles import Column, ColumnType

MAX_EXACT_INTEGER = 2.0**53  # float64 holds every whole number up to here


def build_columns(scanner: TableScanner, names: Sequence[str], index: int | None) -> list[Column]:
    """Build the profiles of all columns; `index` is the position of a nameless row index."""
    return [
        Column(name=name, index=at == index, **_column_fields(scanner, at))
        for at, name in enumerate(names)
    ]


def _column_fields(scanner: TableScanner, at: int) -> dict[str, Any]:
    kind = _find_type(scanner, at)
    missing, numbers, times, _ = scanner.counts[:, at].tolist()
    present = scanner.rows - missing
    fields: dict[str, Any] = {"type": kind, "missing": missing, "distinct": 0}
    if kind == "empty":
        return fields | {"non_numbers": 0, "non_times": 0}
    if not scanner.is_settled[at]:
        fields |= {"non_numbers": present - numbers, "non_times": present - times}
    if numbers == present:
        fields |= _ranges(scanner.numbers, at)
    elif kind == "datetime":
        fields |= _ranges(scanner.times, at)
    return fields | _texts(scanner, at, kind)


def _find_type(scanner: TableScanner, at: int) -> ColumnType:
    missing, numbers, times, _ = scanner.counts[:, at].tolist()
    present = scanner.rows - missing
    if not present:
        return "empty"
    if numbers == present and not scanner.has_texts[at]:
        return "number"
    if times == present:
        return "datetime"
    return "category" if scanner.spellings.is_kept[at] else "text"


def _ranges(statistics: NumberStatistics, at: int) -> dict[str, float]:
    return {
        "min": float(statistics.low[at]),
        "max": float(statistics.high[at]),
        "mean": statistics.mean(at),
        "deviation": statistics.deviation(at),
    }


def _texts(scanner: TableScanner, at: int, kind: ColumnType) -> dict[str, Any]:
    """Return what is known of the different texts of a column."""
    spellings = scanner.spellings
    if not spellings.is_kept[at]:
        numbers = spellings.numbers.get(at)
        return _numbers(numbers) if kind == "number" and numbers else {"distinct": None}
    texts = sorted(spellings.texts[at])
    if kind == "category":
        return {"distinct": len(texts), "classes": texts}
    if kind != "number":
        return {"distinct": len(texts), "spellings": texts}
    fields = _numbers({cell.value for cell in spellings.texts[at].values()})
    is_plain = fields["whole"] is not None and set(map(str, fields["whole"])) == set(texts)
    return fields if is_plain else fields | {"spellings": texts}


def _numbers(values: set[float]) -> dict[str, Any]:
    """Return how many numbers a column has, and which, if all are whole."""
    is_whole = all(value.is_integer() and abs(value) <= MAX_EXACT_INTEGER for value in values)
    whole = sorted(map(int, values)) if is_whole else None
    return {"distinct": len(values), "whole": whole}
