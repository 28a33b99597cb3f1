"""What is wrong in a dataset, by row and column. Knows no format."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST = 100  # that one refusal lists


class DataFault(NamedTuple):
    """One thing wrong: the row (from 1, without the header), the column's name, rule and value."""

    row: int | None
    column: str | None
    detail: str
    value: Any = None


class BadData(Exception):
    """A dataset that is refused; `faults` has what was found, the first ones first."""

    def __init__(self, faults: list[DataFault]) -> None:
        super().__init__(faults[0].detail)
        self.faults = faults


def refuse(row: int | None, column: str | None, detail: str, value: Any = None) -> BadData:
    """Make the refusal of what cannot be read any further."""
    return BadData([DataFault(row, column, detail, value)])


@dataclass
class Faults:
    """Faults as they are found. Looking further is no use once there are as many as are told."""

    found: list[DataFault] = field(default_factory=list)

    def add(self, row: int | None, column: str | None, detail: str, value: Any = None) -> None:
        """Note one; raises BadData when no more would be told."""
        self.found.append(DataFault(row, column, detail, value))
        if len(self.found) >= MOST:
            self.check()

    def check(self) -> None:
        """Raise BadData if there is one."""
        if self.found:
            listed = sorted(self.found, key=lambda fault: (fault.row is None, fault.row or 0))
            raise BadData(listed)
