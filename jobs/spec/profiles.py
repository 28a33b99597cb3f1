"""The profile of an uploaded dataset, which is all that checks of a spec read of it.

Knows no file and no tensor. jobs/datasets makes it once, while the upload streams by.
"""

from typing import Literal

from jobs.spec.base import SpecModel
from jobs.spec.text import TextFacts

MediaType = Literal["text/csv", "application/x-ndjson", "text/plain", "application/x-npz"]
Delimiter = Literal["comma", "semicolon", "tab", "pipe"]
ColumnType = Literal["number", "category"]

MAX_CLASSES = 1000  # distinct values of a column that can serve as classes


class Column(SpecModel):
    """A column of an uploaded table."""

    name: str
    type: ColumnType
    min: float | None = None
    max: float | None = None
    distinct: int | None = None
    """Number of distinct values; null for more than 1,000 numbers."""
    classes: list[str] | None = None
    """The values of a category, sorted."""
    whole: list[int] | None = None
    """The distinct values of a number column, sorted, if all are whole and at most 1,000."""


class Array(SpecModel):
    """An array of an NPZ file."""

    shape: list[int]
    dtype: str


class DatasetProfile(SpecModel):
    """Everything measured of an uploaded dataset: a table's columns, NPZ arrays, or a text."""

    rows: int | None = None
    columns: list[Column] | None = None
    inputs: Array | None = None
    targets: Array | None = None
    target_classes: list[int] | None = None
    """The distinct targets of an NPZ file, sorted, if all are whole and at most 1,000."""
    text: TextFacts | None = None

    def column(self, name: str) -> Column | None:
        """Find a column by name."""
        return next((column for column in self.columns or [] if column.name == name), None)
