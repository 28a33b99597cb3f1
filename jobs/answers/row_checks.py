"""Whether the rows of a predict can be read by a net, as model.py's `encode` would read them.

Knows the columns of config.json and the forms of numbers, times and categories; no tensor. A test
compares it with `encode`.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from math import isfinite
from typing import Any

from jobs.datasets.formats.cells import NUMBER_PATTERN, THOUSANDS_SIGNS
from jobs.spec.base import FLOAT32_MAX, FieldError, pointer_step
from jobs.spec.column_types import list_names
from models.strict_models import MAX_ERRORS
from models.times import parse_time

VECTOR_COLUMN = re.compile(r"(.*)\[(\d+)\]", re.DOTALL)  # `v[2]` may be item 2 of a list `v`
#: of a number that float32, in which nets compute, does not hold
FLOAT32_RULE = f"a number from {-FLOAT32_MAX:.8g} to {FLOAT32_MAX:.8g}, the range of float32"
GROUPS = r"[+-]?[1-9]\d{{0,2}}([{0}]\d{{3}})+([^{0}\d]\d*)?"


def find_row_errors(
    rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any], other_columns: Collection[str]
) -> tuple[list[FieldError], int]:
    """Return the first errors of the rows of a predict, and how many more there are.

    A row may have `other_columns` beside those of the net.
    """
    reader = _RowReader(config, other_columns)
    errors = (error for at, row in enumerate(rows) for error in reader.find_errors(at, row))
    return list(islice(errors, MAX_ERRORS)), sum(1 for _ in errors)


class _RowReader:
    """The columns of one net, and how their values are written."""

    def __init__(self, config: Mapping[str, Any], other_columns: Collection[str]) -> None:
        self._columns: list[Mapping[str, Any]] = config["columns"]
        self._cells: Mapping[str, Any] = config.get("cells", {})
        self._missing = frozenset(self._cells.get("missing", ()))
        self._other_columns = {*other_columns, config.get("target")}

    def find_errors(self, at: int, row: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield the errors of one row."""
        for column in self._columns:
            name = column["name"]
            holder, value, rule = _find_value(row, name)
            if rule is None:
                rule = self._find_fault(column, value)
            if rule is not None:
                yield FieldError(f"/rows/{at}/{pointer_step(holder)}", rule, value)
        for name in row:
            if name not in self._known_names:
                rule = f"a column of the training's table: the net reads {self._listed}"
                yield FieldError(f"/rows/{at}/{pointer_step(name)}", rule, row[name])

    @cached_property
    def _known_names(self) -> set[str | None]:
        names = {column["name"] for column in self._columns} | self._other_columns
        matches = [VECTOR_COLUMN.fullmatch(name) for name in names if name is not None]
        return names | {match[1] for match in matches if match}

    @cached_property
    def _listed(self) -> str:
        return list_names([column["name"] for column in self._columns])

    def _find_fault(self, column: Mapping[str, Any], value: Any) -> str | None:
        """Return the rule that a value breaks, or None."""
        if isinstance(value, list | dict):
            return "a number or a text"
        if isinstance(value, float) and not isfinite(value):
            return "a finite number"
        if column["type"] == "category":
            return self._find_category_fault(column, value)
        if self._is_missing(value):
            return None if "fill" in column else f"{_FORMS[column['type']]}: it is missing"
        if isinstance(value, bool) or self._to_number(column, value) is None:
            return FLOAT32_RULE if self._is_large(value) else _FORMS[column["type"]]
        return None

    def _is_large(self, value: Any) -> bool:
        """Return whether a value that is no number of float32 is a number beyond its range."""
        if isinstance(value, bool):
            return False
        number = self._as_number(value)
        return isinstance(value, int) if number is None else not abs(number) <= FLOAT32_MAX

    def _is_missing(self, value: Any) -> bool:
        return value is None or value != value or str(value).strip() in self._missing

    def _to_number(self, column: Mapping[str, Any], value: Any) -> float | None:
        if column["type"] == "datetime" and isinstance(value, str):
            return parse_time(value.strip())
        number = self._as_number(value)
        is_usable = number is not None and isfinite(number) and abs(number) <= FLOAT32_MAX
        return number if is_usable else None

    def _as_number(self, value: Any) -> float | None:
        if isinstance(value, str):
            value = self._to_plain(value.strip())
            if not NUMBER_PATTERN.fullmatch(value):
                return None
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            return None

    def _to_plain(self, text: str) -> str:
        """Return a number as the file of the training wrote it with a point alone."""
        signs = THOUSANDS_SIGNS.get(self._cells.get("thousands", "none"), "")
        if signs and re.fullmatch(GROUPS.format(signs), text):
            text = re.sub(f"[{signs}]", "", text)
        return text.replace(",", ".") if self._cells.get("decimal") == "comma" else text

    def _find_category_fault(self, column: Mapping[str, Any], value: Any) -> str | None:
        classes = column["classes"]
        if column.get("unseen") == "ignore" or set(self._spellings(value)) & set(classes):
            return None
        number, is_number = self._as_number(value), not isinstance(value, str)
        if number is not None and (column.get("by_value") or is_number):
            numbers = [self._as_number(name) for name in classes]
            return None if numbers.count(number) == 1 else f"one of {list_names(classes)}"
        return f"one of {list_names(classes)}"

    def _spellings(self, value: Any) -> list[str]:
        if self._is_missing(value):
            return [""]
        if isinstance(value, bool):
            return ["true" if value else "false"]
        return [str(value), str(value).replace("\r\n", "\n")]


_FORMS = {"number": "a number", "datetime": "a date or time of ISO 8601"}


def _find_value(row: Mapping[str, Any], name: str) -> tuple[str, Any, str | None]:
    """Return where a column's value is, the value, and the rule that is broken if it has none."""
    match = VECTOR_COLUMN.fullmatch(name)
    if name in row or match is None or match[1] not in row:
        return name, row.get(name), None if name in row else "required"
    numbers, at = row[match[1]], int(match[2])
    if numbers is None:
        return match[1], None, None
    if not isinstance(numbers, list):
        return match[1], numbers, "a list of numbers"
    if at >= len(numbers):
        return match[1], f"{len(numbers)} numbers", f"a list of {at + 1} numbers or more"
    return f"{match[1]}/{at}", numbers[at], None
