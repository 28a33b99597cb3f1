"""What is wrong in a dataset, by row and column. Knows no format."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_ERRORS = 100  # that one refusal lists


class DataError(NamedTuple):
    """One thing wrong: the row (from 1, without the header), the column's name, rule and value."""

    row: int | None
    column: str | None
    detail: str
    value: Any = None


class BadData(Exception):
    """A dataset that is refused; `faults` has what was found, the first ones first."""

    def __init__(self, errors: list[DataError]) -> None:
        super().__init__(errors[0].detail)
        self.errors = errors


def data_error(row: int | None, column: str | None, detail: str, value: Any = None) -> BadData:
    """Make the refusal of what cannot be read any further."""
    return BadData([DataError(row, column, detail, value)])


@dataclass
class DataErrors:
    """Faults as they are found. Looking further is no use once there are as many as are told."""

    entries: list[DataError] = field(default_factory=list)

    def add(self, row: int | None, column: str | None, detail: str, value: Any = None) -> None:
        """Note one; raises BadData when no more would be told."""
        self.entries.append(DataError(row, column, detail, value))
        if len(self.entries) >= MAX_ERRORS:
            self.check()

    def check(self) -> None:
        """Raise BadData if there is one."""
        if self.entries:
            errors = sorted(self.entries, key=lambda error: (error.row is None, error.row or 0))
            raise BadData(errors)
