"""What the cells of a table mean: missing values, numbers, times and texts.

The profile of an upload and the rows of a job both read cells here, so that they agree.
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.table import Value
from jobs.spec.base import FLOAT32_MAX
from jobs.spec.profiles import ParseOptions
from models.times import parse_time

Floats = NDArray[np.float64]
#: the documented list of cells that mean a missing value, whatever blanks surround them
MISSING_TOKENS = frozenset(
    {
        "", "NA", "N/A", "n/a", "n.a.", "na", "NaN", "nan", "-nan", "-NaN", "null", "NULL", "Null",
        "None", "none", "nil", "<NA>", "#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?",
        "#NUM!", "#NULL!", "?", ".", "-", "--", "\\N",
    }
)  # fmt: skip
NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
#: tools write -999 where a column has whole numbers alone, else -999.0
WHOLE_PATTERN = re.compile(r"([+-]?\d+)(\.0*)?", re.ASCII)
#: of these characters, float() reads what NUMBER_PATTERN allows
PLAIN_CHARACTERS = b"0123456789+-.eE "
DECIMAL_SIGNS = {"point": ".", "comma": ","}
THOUSANDS_SIGNS = {"comma": ",", "point": ".", "space": " \u00a0\u202f"}


class Kind(IntEnum):
    """What a cell is."""

    MISSING = 0
    NUMBER = 1
    TIME = 2
    TEXT = 3


class Cell(NamedTuple):
    """What a cell is, and its number, or its seconds since 1970; NaN for others."""

    kind: Kind
    value: float = np.nan


MISSING_CELL, TEXT_CELL = Cell(Kind.MISSING), Cell(Kind.TEXT)


class CellParser:
    """Reads the cells of one dataset by the options of its upload."""

    def __init__(self, options: ParseOptions) -> None:
        self.options = options
        self._decimal = DECIMAL_SIGNS[options.decimal]
        added = {token.strip() for token in options.missing}
        whole = [match[1] for token in added if (match := WHOLE_PATTERN.fullmatch(token))]
        added |= {*whole, *(f"{digits}{self._decimal}0" for digits in whole)}
        self.missing_tokens = MISSING_TOKENS | added
        spelled = [token for token in self.missing_tokens if NUMBER_PATTERN.fullmatch(token)]
        self._missing_numbers = np.array(list(map(float, spelled)), np.float64)
        self._grouped = _grouped_pattern(options)

    def is_missing(self, value: Value) -> bool:
        """Return whether a cell is missing."""
        return value is None or spelling(value).strip() in self.missing_tokens

    def missing_mask(self, values: Sequence[Value]) -> NDArray[np.bool_]:
        """Return a mask [values] of the missing cells."""
        return np.fromiter(map(self.is_missing, values), np.bool_, len(values))

    def gap_mask(self, columns: Sequence[Sequence[Value]]) -> NDArray[np.bool_]:
        """Return a mask [rows] of the rows that lack a value in one of these columns or more."""
        has_gap = np.zeros(len(columns[0]), np.bool_)
        for values in columns:
            has_gap |= self.missing_mask(values)
        return has_gap

    def numbers(self, values: Sequence[Value]) -> Floats:
        """Return cells as numbers, float64 [values], NaN for missing ones.

        Raises ValueError for a cell that is neither. A number is finite and fits float32.
        """
        numbers = self.plain_numbers(values)
        if numbers is None:
            numbers = np.fromiter(map(self._number, values), np.float64, len(values))
        return numbers

    def times(self, values: Sequence[Value]) -> Floats:
        """Return cells as seconds since 1970 (UTC), float64 [values], NaN for missing ones.

        Raises ValueError for a cell that is neither.
        """
        return np.fromiter(map(self._time, values), np.float64, len(values))

    def classify(self, value: Value) -> Cell:
        """Return what a cell is. A text that is a number counts as one."""
        if isinstance(value, str):
            return self._classify_text(value.strip())
        if self.is_missing(value):
            return MISSING_CELL
        assert value is not None, "null is missing"
        number = _to_float(value)
        return TEXT_CELL if number is None else Cell(Kind.NUMBER, number)

    def plain_numbers(self, values: Sequence[Value]) -> Floats | None:
        """Return cells as float64 [values] if all are numbers without groups of digits, else None.

        This is the fast way to read most columns of numbers.
        """
        numbers = _plain_floats(values, self._decimal)
        if numbers is None or not (np.abs(numbers) <= FLOAT32_MAX).all():
            return None
        return None if self.may_be_missing(numbers).any() else numbers

    def may_be_missing(self, numbers: Floats) -> NDArray[np.bool_]:
        """Return which numbers may be spelled as a missing value is, such as -999."""
        if not len(self._missing_numbers):
            return np.zeros(numbers.shape, np.bool_)
        return np.isin(numbers, self._missing_numbers)

    def _classify_text(self, text: str) -> Cell:
        if text in self.missing_tokens:
            return MISSING_CELL
        if (number := self._parse_number(text)) is not None:
            return Cell(Kind.NUMBER, number)
        if (seconds := parse_time(text)) is not None:
            return Cell(Kind.TIME, seconds)
        return TEXT_CELL

    def _parse_number(self, text: str) -> float | None:
        """Return a text without blanks around it as a number; None if it is none."""
        if self._grouped is not None and self._grouped.fullmatch(text):
            for sign in THOUSANDS_SIGNS[self.options.thousands]:
                text = text.replace(sign, "")
        if self._decimal == ",":
            if "." in text:
                return None
            text = text.replace(",", ".")
        return _to_float(text) if NUMBER_PATTERN.fullmatch(text) else None

    def _number(self, value: Value) -> float:
        cell = self.classify(value)
        if cell.kind not in (Kind.MISSING, Kind.NUMBER):
            raise ValueError(f"{value!r} is no number")
        return cell.value

    def _time(self, value: Value) -> float:
        if self.is_missing(value):
            return np.nan
        seconds = parse_time(value.strip()) if isinstance(value, str) else None
        if seconds is None:
            raise ValueError(f"{value!r} is no date or time")
        return seconds


def spelling(value: Value) -> str:
    """Return a cell as a text, which is its class in a category."""
    return str(value)


def _grouped_pattern(options: ParseOptions) -> re.Pattern[str] | None:
    """Compile the pattern of a number whose digits stand in groups of three.

    It does not begin with 0: `0,634` has a decimal comma, whatever the options say.
    """
    if options.thousands == "none":
        return None
    decimal = re.escape(DECIMAL_SIGNS[options.decimal])
    sign = f"[{re.escape(THOUSANDS_SIGNS[options.thousands])}]"
    return re.compile(rf"[+-]?[1-9]\d{{0,2}}({sign}\d{{3}})+({decimal}\d*)?", re.ASCII)


def _plain_floats(values: Sequence[Any], decimal: str) -> Floats | None:
    """Return values as floats if they are numbers or plain texts, else None."""
    try:
        joined = "\n".join(values)
    except TypeError:  # not all are texts
        return _numbers_alone(values)
    if decimal == ",":
        if "." in joined:
            return None
        joined, values = joined.replace(",", "."), [value.replace(",", ".") for value in values]
    try:
        if joined.encode().translate(None, PLAIN_CHARACTERS + b"\n"):
            return None
        return np.fromiter(map(float, values), np.float64, len(values))
    except (ValueError, UnicodeEncodeError):
        return None


def _numbers_alone(values: Sequence[Any]) -> Floats | None:
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        return np.fromiter(map(float, values), np.float64, len(values))
    except OverflowError:
        return None


def _to_float(value: str | float) -> float | None:
    """Return a number that is finite and fits float32, else None."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= FLOAT32_MAX else None
