"""Rows to predict, in any common form, as the JSON of requests. Sends nothing."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tickforge_client.errors import FieldError, InvalidInput
from tickforge_client.json_values import ENCODING_ERRORS, MAX_ERRORS, find_faults

MAX_PART_ROWS = 1000  # of one request
MAX_PART_BYTES = 900_000  # of one request's rows; the server takes 1 MiB
RULE = "a list of {column: value}, a data frame, or a list or array of rows of numbers"


def to_parts(rows: Any) -> tuple[str, list[list[Any]]]:
    """Return the field of a predict's body, and the rows as JSON in parts that a request may have.

    A data frame becomes records by column (`rows`), an array rows of numbers (`inputs`), its
    booleans 0 and 1. What is missing (NaN, NaT, NA) is null in a record. Raises InvalidInput with
    the row, column and rule of each value that cannot be sent, and for no rows at all.
    """
    records = _list_rows(rows)
    is_table = isinstance(records[0], Mapping)
    field = "rows" if is_table else "inputs"
    if faults := list(_find_wrong_rows(records, field, is_table=is_table)):
        raise InvalidInput(faults[:MAX_ERRORS])
    converted = list(map(_to_json_record if is_table else _to_numbers, records))
    try:
        sizes = [len(json.dumps(record, allow_nan=False)) for record in converted]
    except ENCODING_ERRORS as error:
        raise find_faults(converted, f"/{field}") from error
    return field, list(_split(converted, sizes))


def frame_to_numbers(rows: Any) -> list[Any] | None:
    """Return the rows of a data frame whose columns are all numbers or booleans; None of others."""
    if not _is_frame(rows) or any(getattr(kind, "kind", "") not in "biuf" for kind in rows.dtypes):
        return None
    numbers: list[Any] = rows.to_numpy().tolist()
    return numbers


def _is_frame(rows: Any) -> bool:
    """Return whether this is a data frame, as pandas has them."""
    return hasattr(rows, "to_dict") and hasattr(rows, "columns")


def _list_rows(rows: Any) -> list[Any]:
    given = rows
    if _is_frame(rows):
        names = Counter(map(str, rows.columns))
        repeated = [name for name, count in names.items() if count > 1]
        if repeated:  # of which to_dict would keep the last
            raise InvalidInput([FieldError("columns", "each name once", repeated, True)])
        rows = rows.to_dict("records")
    elif hasattr(rows, "tolist"):  # a numpy array
        rows = rows.tolist()
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise InvalidInput([FieldError("rows", RULE, given, True)])
    records = list(rows)
    if not records:
        raise InvalidInput([FieldError("rows", "at least one row")])
    if not isinstance(records[0], Mapping) and not _is_list(records[0]):
        rule = "{column: value}, or a list of numbers; of a single row give [row]"
        raise InvalidInput([FieldError("row 0", rule, records[0], True)])
    return records


def _find_wrong_rows(records: Sequence[Any], field: str, *, is_table: bool) -> Iterator[FieldError]:
    rule = "{column: value}, as row 0 is" if is_table else "a list of numbers, as row 0 is"
    for at, record in enumerate(records):
        if not (isinstance(record, Mapping) if is_table else _is_list(record)):
            yield FieldError(f"/{field}/{at}", rule, record, True)


def _is_list(row: Any) -> bool:
    is_other = isinstance(row, str | bytes | bytearray | Mapping | set | frozenset)
    return isinstance(row, Iterable) and not is_other


def _to_json_record(record: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _to_json_value(value) for name, value in record.items()}


def _to_json_value(value: Any) -> Any:
    """Return a value of a record as JSON, or as it is where JSON has none."""
    value = _to_plain(value)
    if isinstance(value, list | tuple):
        return [_to_json_value(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which nobody needs to have
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def _to_numbers(row: Any) -> Any:
    row = _to_plain(row)
    if _is_list(row):
        return [_to_numbers(value) for value in row]
    return int(row) if isinstance(row, bool) else row


def _to_plain(value: Any) -> Any:
    """Return what numpy made as Python's: a time as its ISO 8601 text, or None for no time."""
    dtype = getattr(value, "dtype", None)
    if getattr(dtype, "kind", "") == "M" and not getattr(value, "shape", True):
        return None if (text := str(value)) == "NaT" else text
    return value.tolist() if hasattr(value, "tolist") else value


def _split(records: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Any]]:
    """Split rows of these sizes (in bytes) into parts that a request may have."""
    part, part_bytes = list[Any](), 0
    for record, record_bytes in zip(records, sizes, strict=True):
        if part and (len(part) == MAX_PART_ROWS or part_bytes + record_bytes > MAX_PART_BYTES):
            yield part
            part, part_bytes = [], 0
        part.append(record)
        part_bytes += record_bytes + 2
    yield part
