"""What the values of Arrow's columns are as cells. Knows no file.

Numbers stay numbers (a decimal becomes the nearest float64, a duration seconds), booleans are the
texts "true" and "false", dates and times ISO 8601, nulls and NaN missing. A list of numbers `v` of
constant length becomes the columns `v[0]`, `v[1]`, …
"""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.datasets.formats.arrow_types import is_list, is_number, is_text, types
from jobs.datasets.formats.table import Value

MAX_TEXT_BYTES = 1 << 20  # of a cell, as of a row of a CSV
UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
MILLISECONDS_PER_DAY = 86_400_000
BOOLEAN_TEXTS = {True: "true", False: "false", None: None}
TEXT_RULE = f"a text in UTF-8 of at most {MAX_TEXT_BYTES:,} bytes"
VECTOR_RULE = "a list of {} numbers, as where it first has a value"

Cells = list[Value]


class BadCell(Exception):
    """A value that is no cell: its row (from 0 in its array) and the rule that it breaks."""

    def __init__(self, row: int, rule: str) -> None:
        super().__init__(rule)
        self.row, self.rule = row, rule


def list_width(array: Any) -> int:
    """Return the length of the first list in an array; 0 for one without lists."""
    array = _storage(array)
    if not is_list(array.type):
        return 0
    lengths = pc.drop_null(pc.list_value_length(array))
    return int(lengths[0].as_py()) if len(lengths) else 0


def read_vectors(array: Any, width: int) -> list[Cells]:
    """Return the `width` columns of an array of lists. Raises BadCell for one of another length."""
    array = _storage(array)
    is_valid = _to_numpy(array.is_valid())
    is_other = is_valid & (_to_numpy(pc.fill_null(pc.list_value_length(array), 0)) != width)
    if is_other.any():
        raise BadCell(int(is_other.argmax()), VECTOR_RULE.format(width))
    items = np.full((len(array), width), None, object)
    items[is_valid] = np.array(read_cells(pc.list_flatten(array)), object).reshape(-1, width)
    return [column.tolist() for column in items.T]


def read_cells(array: Any) -> Cells:
    """Return the values of an array as cells. Raises BadCell for a text that is none."""
    array = _storage(array)
    kind = array.type
    if types.is_dictionary(kind):
        return _read_dictionary(array)
    if is_list(kind):
        return _read_empty_lists(array)
    if is_text(kind):
        return _read_texts(array)
    if is_number(kind):
        return _read_numbers(array)
    if types.is_date(kind) or types.is_timestamp(kind):
        return _read_moments(array)
    if types.is_duration(kind):
        units = UNITS_PER_SECOND[kind.unit]
        counts = array.cast(pa.int64()).to_pylist()
        return [None if count is None else count / units for count in counts]
    if types.is_time(kind):
        texts = array.cast(pa.string()).to_pylist()
        return [None if text is None else _without_zeros(text) for text in texts]
    if types.is_boolean(kind):
        return [BOOLEAN_TEXTS[value] for value in array.to_pylist()]
    cells: Cells = array.to_pylist()
    return cells


def _read_empty_lists(array: Any) -> Cells:
    """Read lists of which the first rows have none: all have to be missing."""
    is_valid = _to_numpy(array.is_valid())
    if is_valid.any():
        raise BadCell(int(is_valid.argmax()), "no list: the first rows have none with a number")
    return [None] * len(array)


def _storage(array: Any) -> Any:
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def _to_numpy(array: Any) -> NDArray[Any]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _read_dictionary(array: Any) -> Cells:
    """Read each distinct value once: the dictionary may be longer than the array."""
    indices = _to_numpy(pc.fill_null(array.indices.cast(pa.int64()), -1))
    distinct, positions = np.unique(indices, return_inverse=True)
    gaps: Cells = [None] if distinct[:1] == -1 else []
    try:
        cells = gaps + read_cells(array.dictionary.take(pa.array(distinct[len(gaps) :])))
    except BadCell as error:
        row = int((positions == error.row + len(gaps)).argmax())
        raise BadCell(row, error.rule) from None
    return [cells[position] for position in positions.tolist()]


def _read_texts(array: Any) -> Cells:
    array = array.cast(pa.large_binary())
    lengths = _to_numpy(pc.fill_null(pc.binary_length(array), 0))
    if (lengths > MAX_TEXT_BYTES).any():
        raise BadCell(int(lengths.argmax()), TEXT_RULE)
    texts: Cells = []
    for value in array.to_pylist():
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            raise BadCell(len(texts), TEXT_RULE) from None
    return texts


def _read_numbers(array: Any) -> Cells:
    if types.is_floating(array.type):
        return _read_floats(array)
    return _read_integers(array) if types.is_integer(array.type) else _read_decimals(array)


def _read_floats(array: Any) -> Cells:
    """Read numbers; NaN is missing, and an infinite one is a text, as in JSON lines."""
    if types.is_float16(array.type):  # Arrow stores these, and computes with hardly any
        array = array.cast(pa.float32())
    floats = _to_numpy(pc.fill_null(array, np.nan)).astype(np.float64)
    cells: Cells = floats.tolist()
    for at in np.flatnonzero(~np.isfinite(floats)).tolist():
        cells[at] = None if np.isnan(floats[at]) else str(cells[at])
    return cells


def _read_integers(array: Any) -> Cells:
    cells: Cells = _to_numpy(pc.fill_null(array, 0)).tolist()
    for at in np.flatnonzero(~_to_numpy(array.is_valid())).tolist():
        cells[at] = None
    return cells


def _read_decimals(array: Any) -> Cells:
    """Read decimals by their digits: Arrow's own cast often misses the nearest float64."""
    texts = array.cast(pa.string()).to_pylist()
    if array.type.scale > 0:
        return [None if text is None else float(text) for text in texts]
    return [None if text is None else int(Decimal(text)) for text in texts]


def _read_moments(array: Any) -> Cells:
    """Read dates as `YYYY-MM-DD`, and times as `YYYY-MM-DDTHH:MM:SS` and what fraction there is.

    A time of a zone is told in UTC and ends with Z; one without a zone does not.
    """
    kind, is_date = array.type, types.is_date(array.type)
    counts = array.cast(pa.int32()) if types.is_date32(kind) else array
    numbers = _to_numpy(pc.fill_null(counts.cast(pa.int64()), 0))
    if types.is_date64(kind):
        numbers = numbers // MILLISECONDS_PER_DAY
    unit = "D" if is_date else kind.unit
    suffix = "Z" if not is_date and kind.tz is not None else ""
    texts = np.datetime_as_string(numbers.view(f"datetime64[{unit}]")).tolist()
    return [
        _without_zeros(text) + suffix if is_valid else None
        for text, is_valid in zip(texts, _to_numpy(array.is_valid()).tolist(), strict=True)
    ]


def _without_zeros(text: str) -> str:
    """Return a time without a fraction of zeros."""
    seconds, _, fraction = text.partition(".")
    return text if fraction.strip("0") else seconds
