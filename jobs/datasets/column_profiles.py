"""Profile the columns of a streamed table in bounded memory: types, ranges, classes.

A column holds numbers until its first text that is no number; then it is a category. A category has
at most 1,000 distinct values, so a number column keeps up to as many, in case a text follows.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.data_errors import FITS_FLOAT32_RULE, MISSING_VALUE_RULE, DataErrors
from jobs.datasets.formats.table import RowBlock, TableReader, Value
from jobs.spec.base import FLOAT32_MAX
from jobs.spec.profiles import MAX_CLASSES, Column

MAX_CLASS_CHARACTERS = 255
MAX_DISTINCT_VALUES = 65_536  # over all columns
MAX_TOTAL_CLASS_CHARACTERS = 262_144
#: usual spellings of a missing number; a column of numbers and these is no category
MISSING_MARKERS = {
    "na", "n/a", "nan", "null", "none", "nil", "-", "?", ".",
    "inf", "-inf", "+inf", "infinity", "-infinity", "+nan", "-nan",
}  # fmt: skip
NUMBER_PATTERN = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
MAX_EXACT_INTEGER = 2.0**53  # float64 holds every whole number up to here
TOO_MANY_TEXTS_RULE = (
    f"a number: it is the first value that is none, and a column of texts may have "
    f"{MAX_CLASSES:,} different ones at most, which this one exceeds"
)


class ColumnProfile:
    """Profiles one column. `distinct` are its values, or None once there were too many."""

    def __init__(self, name: str, errors: DataErrors, forced_type: str | None) -> None:
        self.name, self._errors = name, errors
        self.is_number = forced_type != "category"
        self.distinct: set[Value] | None = set()
        self.is_rejected = False  # its error is reported: ignore all further rows
        self._first_text: tuple[int, str] | None = None  # the first that is no number, with its row
        self._missing_markers: list[tuple[int, str]] = []  # errors if the column stays numbers
        self._low, self._high = np.inf, -np.inf

    def add(self, values: Sequence[Value], first: int, *, is_plain: bool) -> None:
        """Add the values of consecutive rows from row number `first` on."""
        if self.is_rejected:
            return
        was_number = self.is_number
        if was_number:
            numbers = _try_floats(values) if is_plain or _is_plain(values) else None
            if numbers is not None and _fit_float32(numbers):
                self._extend_range(numbers)
            else:
                self._check_values(values, first)
        elif "" in values:
            self._check_missing(values, first)
        if self.distinct is not None:
            self._remember(values, first, is_checked=was_number)

    def build_profile(self) -> Column:
        """Build the profile of a column without errors."""
        if not self.is_number:
            names = sorted(str(value) for value in self.distinct or ())
            return Column(name=self.name, type="category", distinct=len(names), classes=names)
        number = Column(name=self.name, type="number", min=float(self._low), max=float(self._high))
        if self.distinct is None:
            return number
        numbers = sorted({float(value) for value in self.distinct})
        all_integers = all(n.is_integer() and abs(n) <= MAX_EXACT_INTEGER for n in numbers)
        integers = [int(n) for n in numbers] if all_integers else None
        return number.model_copy(update={"distinct": len(numbers), "whole": integers})

    def finalize(self) -> None:
        """Report missing-number markers, now that the column is known to hold numbers."""
        if self.is_number:
            for row, text in self._missing_markers:
                self._errors.add(row, self.name, f"{FITS_FLOAT32_RULE}, and not missing", text)

    def _check_values(self, values: Sequence[Value], first: int) -> None:
        """Check values one by one, since some are no numbers."""
        for row, value in enumerate(values, first):
            text = str(value)
            if not text.strip():
                self._errors.add(row, self.name, MISSING_VALUE_RULE, text)
            elif isinstance(value, str) and not NUMBER_PATTERN.fullmatch(value):
                self._handle_text(row, value)
            elif not _fit_float32(np.array([float(value)])):
                self._errors.add(row, self.name, FITS_FLOAT32_RULE, text)
            else:
                self._extend_range(np.array([float(value)]))

    def _check_missing(self, values: Sequence[Value], first: int) -> None:
        for row, value in enumerate(values, first):
            if value == "":
                self._errors.add(row, self.name, MISSING_VALUE_RULE, value)

    def _handle_text(self, row: int, text: str) -> None:
        """Treat a text that is no number: a missing value, an error, or the first of a category."""
        if text.strip().lower() in MISSING_MARKERS and self.is_number:
            if len(self._missing_markers) < 100:
                self._missing_markers.append((row, text))
        elif self.distinct is None:
            self._errors.add(row, self.name, TOO_MANY_TEXTS_RULE, text)
        elif self._first_text is None:
            self.is_number, self._first_text = False, (row, text)

    def _remember(self, values: Sequence[Value], first: int, *, is_checked: bool) -> None:
        assert self.distinct is not None
        new = set(values) - self.distinct
        if not self.is_number:
            unchecked = [value for value in new if not (is_checked and str(value).isspace())]
            self._check_texts(unchecked, values, first)
        self.distinct |= new
        if len(self.distinct) > MAX_CLASSES:
            self._overflow(values, first)

    def _check_texts(self, new: Sequence[Value], values: Sequence[Value], first: int) -> None:
        for value in sorted(map(str, new)):
            if value.isspace():
                row = first + values.index(value)
                self._errors.add(row, self.name, MISSING_VALUE_RULE, value)
            elif len(value) > MAX_CLASS_CHARACTERS:
                row = first + values.index(value)
                rule = f"a text of at most {MAX_CLASS_CHARACTERS} characters"
                self._errors.add(row, self.name, rule, value[:200])

    def _overflow(self, values: Sequence[Value], first: int) -> None:
        self.distinct = None
        if self.is_number:
            return
        self.is_rejected = True
        if self._first_text is not None:
            row, text = self._first_text
            self._errors.add(row, self.name, TOO_MANY_TEXTS_RULE, text)
        else:
            rule = f"at most {MAX_CLASSES:,} different texts in a column"
            self._errors.add(first, self.name, rule, str(values[0]))

    def _extend_range(self, numbers: NDArray[np.float64]) -> None:
        self._low = min(self._low, float(numbers.min()))
        self._high = max(self._high, float(numbers.max()))


class TableScanner:
    """Profiles all columns of a table, counts its rows and notes offsets to begin reading at."""

    def __init__(self, reader: TableReader, errors: DataErrors) -> None:
        self._reader, self._errors = reader, errors
        self._columns: list[ColumnProfile] = []
        self.rows = 0
        self.row_offsets = RowOffsets()

    def add(self, block: RowBlock) -> None:
        """Add a block of rows."""
        if not self._columns:
            self._columns = [
                ColumnProfile(name, self._errors, self._reader.type_of(at))
                for at, name in enumerate(self._reader.names)
            ]
        for column, values in zip(self._columns, block.columns, strict=True):
            column.add(values, block.first, is_plain=block.is_plain)
        self.rows = block.first + block.rows - 1
        self.row_offsets.add(block.first, block.offset)
        self._limit_memory()

    def finish(self) -> list[Column]:
        """Return the profiles of all columns. Raises BadData with every error."""
        for column in self._columns:
            column.finalize()
        if not self._columns and not self._errors.entries:
            self._errors.add(None, None, "at least one row below the header")
        self._errors.check()
        profiles = [column.build_profile() for column in self._columns]
        characters = sum(len(name) for column in profiles for name in column.classes or ())
        if characters > MAX_TOTAL_CLASS_CHARACTERS:
            rule = f"classes of at most {MAX_TOTAL_CLASS_CHARACTERS:,} characters in all"
            self._errors.add(None, None, rule)
        self._errors.check()
        return profiles

    def _limit_memory(self) -> None:
        """Drop the values of the largest number columns if all columns together hold too many."""
        num_values = sum(len(column.distinct or ()) for column in self._columns)
        if num_values <= MAX_DISTINCT_VALUES:
            return
        by_size = sorted(self._columns, key=lambda column: -len(column.distinct or ()))
        for column in by_size:
            if column.is_number and num_values > MAX_DISTINCT_VALUES // 2:
                num_values -= len(column.distinct or ())
                column.distinct = None
        if num_values > MAX_DISTINCT_VALUES:
            rule = f"at most {MAX_DISTINCT_VALUES:,} different texts over all columns"
            self._errors.add(self.rows, by_size[0].name, rule)
            self._errors.check()


class RowOffsets:
    """At most 512 rows and their byte offsets, evenly spread over a file of any length."""

    MAX_ENTRIES = 512

    def __init__(self) -> None:
        self.entries: list[tuple[int, int]] = []
        self._stride, self._count = 1, 0

    def add(self, row: int, offset: int) -> None:
        """Add a block's first row."""
        if self._count % self._stride == 0:
            self.entries.append((row, offset))
        self._count += 1
        if len(self.entries) > self.MAX_ENTRIES:
            self.entries, self._stride = self.entries[::2], 2 * self._stride


def to_floats(values: Sequence[Value]) -> NDArray[np.float64]:
    """Convert values to float64 [n]. Raises ValueError if one is no number."""
    return np.fromiter(map(float, values), np.float64, len(values))


def _is_plain(values: Sequence[Value]) -> bool:
    """Return False if float() might read a text that is no number here (1_000, ١٢)."""
    text = "".join(map(str, values))
    return text.isascii() and "_" not in text


def _try_floats(values: Sequence[Value]) -> NDArray[np.float64] | None:
    try:
        return to_floats(values)
    except ValueError:
        return None


def _fit_float32(numbers: NDArray[np.float64]) -> bool:
    return bool((np.abs(numbers) <= FLOAT32_MAX).all())  # False for NaN
