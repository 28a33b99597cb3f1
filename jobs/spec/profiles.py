"""What is known of an uploaded dataset: its profile, the only thing that checks of a spec read.

Made once, while the upload streams by (jobs/datasets). Knows no file and no tensor.
"""

from typing import Literal

from jobs.spec.base import SpecModel
from jobs.spec.text import TextFacts

MediaType = Literal["text/csv", "application/x-ndjson", "text/plain", "application/x-npz"]
Delimiter = Literal["comma", "semicolon", "tab", "pipe"]
ColumnType = Literal["number", "category"]

MAX_CLASSES = 1000  # different values of a column that can be told apart as classes


class Column(SpecModel):
    """A column of a table."""

    name: str
    type: ColumnType
    min: float | None = None
    max: float | None = None
    distinct: int | None = None
    """How many different values; null for more than 1,000 numbers."""
    classes: list[str] | None = None
    """The values of a category, sorted."""
    whole: list[int] | None = None
    """The values of a number column, sorted, if all are whole and few: it can serve as classes."""


class Array(SpecModel):
    """An array of an NPZ file."""

    shape: list[int]
    dtype: str


class DatasetProfile(SpecModel):
    """What is known of a dataset. A table has columns, an NPZ file arrays, a text characters."""

    rows: int | None = None
    columns: list[Column] | None = None
    inputs: Array | None = None
    targets: Array | None = None
    target_classes: list[int] | None = None
    """The values of an NPZ file's targets, sorted, if all are whole and few."""
    text: TextFacts | None = None

    def column(self, name: str) -> Column | None:
        """Find a column by name."""
        return next((column for column in self.columns or [] if column.name == name), None)
