"""The columns of a table as they stream by: types, ranges, classes, in bounded memory.

A column is numbers until a text that is none comes; from then on it is a category. A category has
at most 1,000 different values, so a number column remembers as many texts in case one comes later.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.faults import Faults
from jobs.datasets.formats.table import Reader, Table, Value
from jobs.spec.base import FLOAT32_MAX
from jobs.spec.profiles import MOST_CLASSES, Column

LONGEST_CLASS = 255  # characters
MOST_KEPT = 65_536  # different values kept over all columns
MOST_TEXT = 262_144  # characters of all classes
#: what tables write where a number is missing; a column of numbers and these is no category
MISSING = {"na", "n/a", "nan", "null", "none", "nil", "-", "?", ".", "inf", "-inf", "+inf",
           "infinity", "-infinity", "+nan", "-nan"}  # fmt: skip
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
WHOLE = 2.0**53  # beyond it float64 has no longer every whole number
FITTING = "a finite number that fits float32"
MISSED = "a value: it is missing"
TOO_MANY = (
    f"a number: it is the first value that is none, and a column of texts may have "
    f"{MOST_CLASSES:,} different ones at most, which this one exceeds"
)


class ColumnProfile:
    """One column. `kept` are its different values; None once there were too many of them."""

    def __init__(self, name: str, faults: Faults, forced: str | None) -> None:
        self.name, self._faults = name, faults
        self.is_number = forced != "category"
        self.kept: set[Value] | None = set()
        self.over = False  # nothing more is looked at: it has been refused
        self._forced = forced
        self._text: tuple[int, str] | None = None  # the first text that is no number, and its row
        self._odd: list[tuple[int, str]] = []  # stand for a missing number, if all others are some
        self._low, self._high = np.inf, -np.inf

    def add(self, values: Sequence[Value], first: int, *, plain: bool) -> None:
        """Look at the values of some rows, of which `first` is the number of the first."""
        if self.over:
            return
        was_number = self.is_number
        if was_number:
            numbers = _numbers(values) if plain or _plain(values) else None
            if numbers is not None and _fit(numbers):
                self._widen(numbers)
            else:
                self._look(values, first)
        elif "" in values:
            self._look_for_gaps(values, first)
        if self.kept is not None:
            self._keep(values, first, looked=was_number)

    def profile(self) -> Column:
        """Say what the column is; only of one without faults."""
        if not self.is_number:
            names = sorted(str(value) for value in self.kept or ())
            return Column(name=self.name, type="category", distinct=len(names), classes=names)
        number = Column(name=self.name, type="number", min=float(self._low), max=float(self._high))
        if self.kept is None:
            return number
        numbers = sorted({float(value) for value in self.kept})
        whole = all(each.is_integer() and abs(each) <= WHOLE for each in numbers)
        values = [int(each) for each in numbers] if whole else None
        return number.model_copy(update={"distinct": len(numbers), "whole": values})

    def settle(self) -> None:
        """Note what is only known to be a fault now that all rows are seen."""
        if self.is_number:
            for row, text in self._odd:
                self._faults.add(row, self.name, f"{FITTING}, and not missing", text)

    def forget(self) -> None:
        """Keep no values any longer."""
        self.kept = None

    def _look(self, values: Sequence[Value], first: int) -> None:
        """Look at each value by itself, for some are no numbers."""
        for row, value in enumerate(values, first):
            text = str(value)
            if not text.strip():
                self._faults.add(row, self.name, MISSED, text)
            elif isinstance(value, str) and not NUMBER.fullmatch(value):
                self._meet(row, value)
            elif not _fit(np.array([float(value)])):
                self._faults.add(row, self.name, FITTING, text)
            else:
                self._widen(np.array([float(value)]))

    def _look_for_gaps(self, values: Sequence[Value], first: int) -> None:
        for row, value in enumerate(values, first):
            if value == "":
                self._faults.add(row, self.name, MISSED, value)

    def _meet(self, row: int, text: str) -> None:
        """Meet a text that is no number."""
        if text.strip().lower() in MISSING and self.is_number:
            if len(self._odd) < 100:
                self._odd.append((row, text))
        elif self.kept is None:
            self._faults.add(row, self.name, TOO_MANY, text)
        elif self._text is None:
            self.is_number, self._text = False, (row, text)

    def _keep(self, values: Sequence[Value], first: int, *, looked: bool) -> None:
        assert self.kept is not None
        new = set(values) - self.kept
        if not self.is_number:
            self._check([value for value in new if not (looked and str(value).isspace())],
                        values, first)  # fmt: skip
        self.kept |= new
        if len(self.kept) > MOST_CLASSES:
            self._overflow(values, first)

    def _check(self, new: Sequence[Value], values: Sequence[Value], first: int) -> None:
        for value in sorted(map(str, new)):
            if value.isspace():
                row = first + values.index(value)
                self._faults.add(row, self.name, MISSED, value)
            elif len(value) > LONGEST_CLASS:
                row = first + values.index(value)
                rule = f"a text of at most {LONGEST_CLASS} characters"
                self._faults.add(row, self.name, rule, value[:200])

    def _overflow(self, values: Sequence[Value], first: int) -> None:
        self.kept = None
        if self.is_number:
            return
        self.over = True
        if self._text is not None:
            row, text = self._text
            self._faults.add(row, self.name, TOO_MANY, text)
        else:
            rule = f"at most {MOST_CLASSES:,} different texts in a column"
            self._faults.add(first, self.name, rule, str(values[0]))

    def _widen(self, numbers: NDArray[np.float64]) -> None:
        self._low = min(self._low, float(numbers.min()))
        self._high = max(self._high, float(numbers.max()))


class TableProfile:
    """All columns of a table that a reader gives, its rows counted, and places to begin reading."""

    def __init__(self, reader: Reader, faults: Faults) -> None:
        self._reader, self._faults = reader, faults
        self._columns: list[ColumnProfile] = []
        self.rows = 0
        self.marks = Marks()

    def add(self, table: Table) -> None:
        """Look at some more rows."""
        if not self._columns:
            self._columns = [
                ColumnProfile(name, self._faults, self._reader.type_of(at))
                for at, name in enumerate(self._reader.names)
            ]
        for column, values in zip(self._columns, table.columns, strict=True):
            column.add(values, table.first, plain=table.plain)
        self.rows = table.first + table.rows - 1
        self.marks.add(table.first, table.offset)
        self._spare()

    def finish(self) -> list[Column]:
        """Say what the columns are; raises BadData with what is wrong."""
        for column in self._columns:
            column.settle()
        if not self._columns and not self._faults.found:
            self._faults.add(None, None, "at least one row below the header")
        self._faults.check()
        made = [column.profile() for column in self._columns]
        if sum(len(name) for column in made for name in column.classes or ()) > MOST_TEXT:
            self._faults.add(None, None, f"classes of at most {MOST_TEXT:,} characters in all")
        self._faults.check()
        return made

    def _spare(self) -> None:
        """Forget the values of the number columns that have most, if all have too many."""
        kept = sum(len(column.kept or ()) for column in self._columns)
        if kept <= MOST_KEPT:
            return
        by_size = sorted(self._columns, key=lambda column: -len(column.kept or ()))
        for column in by_size:
            if column.is_number and kept > MOST_KEPT // 2:
                kept -= len(column.kept or ())
                column.forget()
        if kept > MOST_KEPT:
            rule = f"at most {MOST_KEPT:,} different texts over all columns"
            self._faults.add(self.rows, by_size[0].name, rule)
            self._faults.check()


class Marks:
    """Rows and where they begin in the file: few of them, evenly spread however long it is."""

    MOST = 512

    def __init__(self) -> None:
        self.found: list[tuple[int, int]] = []
        self._every = 1
        self._seen = 0

    def add(self, row: int, offset: int) -> None:
        """Note the first row of a block."""
        if self._seen % self._every == 0:
            self.found.append((row, offset))
        self._seen += 1
        if len(self.found) > self.MOST:
            self.found = self.found[::2]
            self._every *= 2


def floats(values: Sequence[Value]) -> NDArray[np.float64]:
    """Read values that are all numbers."""
    return np.fromiter(map(float, values), np.float64, len(values))


def _plain(values: Sequence[Value]) -> bool:
    """Whether float() takes none of these texts for a number that JSON would not (1_000, ١٢)."""
    text = "".join(map(str, values))
    return text.isascii() and "_" not in text


def _numbers(values: Sequence[Value]) -> NDArray[np.float64] | None:
    try:
        return floats(values)
    except ValueError:
        return None


def _fit(numbers: NDArray[np.float64]) -> bool:
    return bool((np.abs(numbers) <= FLOAT32_MAX).all())  # false where one is NaN
