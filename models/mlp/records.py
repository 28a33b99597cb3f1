"""The part of an mlp's model.py that turns records with named columns into rows of numbers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.checkpoint_module import CONFIG
from models.times import parse_time

FLOAT32_MAX = 3.4028234663852886e38
SHOWN_CLASSES = 20  # of a column, in a message about a value that is none of them
SEPARATORS = {"comma": ",", "point": ".", "space": " \u00a0\u202f"}
GROUPS = r"[+-]?[1-9]\d{{0,2}}([{0}]\d{{3}})+([^{0}\d]\d*)?"  # of three digits, with a separator
PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
VECTOR_COLUMN = re.compile(r"(.*)\[(\d+)\]", re.DOTALL)


def encode(records: Sequence[Mapping[str, Any]]) -> Tensor:
    """Turn records, each {column name: value}, into rows [records, inputs] (float64) for `prepare`.

    Only for nets trained on a table with named columns. Values may be written as in the file of the
    training, or as the service shows its rows; the columns `v[0]`, `v[1]` of a list may be a list
    `v`. A category becomes one input per class (one-hot), a number that may be missing two: the
    number and 1 where it is missing. Raises KeyError for a missing column and ValueError for an
    unknown category or a value that is not a number; `find_faults` tells all of them.
    """
    columns = _named_columns()
    rows = [
        [number for column in columns for number in _encode_value(column, record)]
        for record in records
    ]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), CONFIG["inputs"])


def find_faults(records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str, str, Any]]:
    """Yield every value that `encode` refuses: (record from 0, column, what is wrong, value)."""
    for number, record in enumerate(records):
        for column in _named_columns():
            try:
                _encode_value(column, record)
            except KeyError as error:
                yield number, column["name"], str(error.args[0]), None
            except ValueError as error:
                yield number, column["name"], str(error), record.get(column["name"])


def _named_columns() -> list[dict[str, Any]]:
    """Return CONFIG's columns. Raises ValueError where the training's had no names."""
    columns: list[dict[str, Any]] | None = CONFIG.get("columns")
    if columns is None:
        inputs = CONFIG["inputs"]
        raise ValueError(f"the net was trained on arrays without column names: {inputs} numbers")
    return columns


def _encode_value(column: Mapping[str, Any], record: Mapping[str, Any]) -> list[float]:
    """Return the inputs that a column's value becomes."""
    value = _value_of(record, column["name"])
    if column["type"] == "category":
        code = _class_code(column, value)
        return [float(at == code) for at in range(len(column["classes"]))]
    is_gap = _is_missing(value)
    if is_gap and "fill" not in column:
        raise ValueError(f"{column['name']}: the value is missing, as it was in no training row")
    number = column["fill"] if is_gap else _to_number(column, value)
    return [number, float(is_gap)] if column.get("indicator") else [number]


def _value_of(record: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column; that of `v[2]` may be in a list `v`, as in JSON lines."""
    match = VECTOR_COLUMN.fullmatch(name)
    if name in record:
        return record[name]
    if match is None or match[1] not in record:
        raise KeyError(f"{name}: the record has no such column")
    numbers, at = record[match[1]], int(match[2])
    try:
        return None if numbers is None else list(numbers)[at]
    except IndexError:
        raise ValueError(f"{name}: the list of {len(numbers)} numbers is too short") from None
    except TypeError:
        raise ValueError(f"{name}: {numbers!r:.80} is no list of numbers") from None


def _is_missing(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, or a text that stood for that in the file."""
    if value is None or value != value:
        return True
    return str(value).strip() in CONFIG.get("cells", {}).get("missing", [])


def _to_number(column: Mapping[str, Any], value: Any) -> float:
    if column["type"] == "datetime" and isinstance(value, str):
        if (seconds := parse_time(value.strip())) is None:
            raise ValueError(f"{column['name']}: {value!r:.80} is no date or time")
        return seconds
    number = _as_number(value)
    if number is None and not isinstance(value, int):
        raise ValueError(f"{column['name']}: {value!r:.80} is no number")
    if number is None or not abs(number) <= FLOAT32_MAX:
        raise ValueError(f"{column['name']}: {value!r:.80} is beyond the range of float32")
    return number


def _to_plain(text: str) -> str:
    """Return a number as the file of the training wrote it with a point alone, as Python does."""
    cells = CONFIG.get("cells", {})
    separators = SEPARATORS.get(cells.get("thousands", "none"), "")
    if separators and re.fullmatch(GROUPS.format(separators), text):
        text = re.sub(f"[{separators}]", "", text)
    return text.replace(",", ".") if cells.get("decimal") == "comma" else text


def _class_code(column: Mapping[str, Any], value: Any) -> int | None:
    """Return the class number of a value; None where an unknown one is all zeros.

    A value belongs to the class that is spelled like it, else to the only class of equal value
    where the training read numbers, or the value is one.
    """
    classes = column["classes"]
    for text in _spellings(value):
        if text in classes:
            return int(classes.index(text))
    if column.get("by_value") or not isinstance(value, str):
        numbers = [_as_number(name) for name in classes]
        if numbers.count(_as_number(value)) == 1 and _as_number(value) is not None:
            return numbers.index(_as_number(value))
    if column.get("unseen") == "ignore":
        return None
    known = f"{classes}" if len(classes) <= SHOWN_CLASSES else f"its {len(classes)} classes"
    shown = "the value is missing, which" if _is_missing(value) else f"{value!r:.80}"
    raise ValueError(f"{column['name']}: {shown} is none of {known}")


def _spellings(value: Any) -> list[str]:
    """Return how a training may have spelled a value: as in JSON, and with a CSV's line ends."""
    if _is_missing(value):
        return [""]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value), str(value).replace("\r\n", "\n")]


def _as_number(value: Any) -> float | None:
    """Return a value as a number, read as in the file of the training; None if it is none."""
    if isinstance(value, str):
        value = _to_plain(value.strip())
        if not PLAIN_NUMBER.fullmatch(value):
            return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
