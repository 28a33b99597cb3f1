"""Errors in the bytes of a dataset, by row and column. Knows no format."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_ERRORS = 100  # in one response
FITS_FLOAT32_RULE = "a finite number that fits float32"
MISSING_VALUE_RULE = "a value: it is missing"


class DataError(NamedTuple):
    """One error: row (from 1, header not counted), column name, broken rule, value."""

    row: int | None
    column: str | None
    detail: str
    value: Any = None


class BadData(Exception):
    """A dataset was refused; `errors` lists what was found, by row."""

    def __init__(self, errors: list[DataError]) -> None:
        super().__init__(errors[0].detail)
        self.errors = errors


class MissingExtra(Exception):
    """A format needs a package that is not installed here; the text says how to install it."""

    def __init__(self, media_type: str, package: str, requirements: str) -> None:
        super().__init__(f"{media_type} needs {package}: pip install -r {requirements}")
        self.media_type, self.package = media_type, package


def data_error(
    detail: str, value: Any = None, *, row: int | None = None, column: str | None = None
) -> BadData:
    """Build the BadData of one error after which reading cannot go on."""
    return BadData([DataError(row, column, detail, value)])


@dataclass
class DataErrors:
    """Collects errors; raises BadData once it holds MAX_ERRORS."""

    entries: list[DataError] = field(default_factory=list)

    def add(self, row: int | None, column: str | None, detail: str, value: Any = None) -> None:
        """Add an error. Raises BadData if the list is full."""
        self.entries.append(DataError(row, column, detail, value))
        if len(self.entries) >= MAX_ERRORS:
            self.check()

    def check(self) -> None:
        """Raise BadData if there is any error."""
        if self.entries:
            errors = sorted(self.entries, key=lambda error: (error.row is None, error.row or 0))
            raise BadData(errors)
