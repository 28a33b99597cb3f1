"""The profile of an uploaded dataset, which is all that checks of a spec read of it.

Knows no file and no tensor. jobs/datasets makes it once, while the upload streams by.
"""

from typing import Literal

from jobs.spec.base import SpecModel
from jobs.spec.text import TextFacts

MediaType = Literal[
    "text/csv",
    "application/x-ndjson",
    "text/plain",
    "application/x-npz",
    "application/vnd.apache.parquet",
]
Delimiter = Literal["comma", "semicolon", "tab", "space", "pipe"]
Header = Literal["present", "absent"]
Decimal = Literal["point", "comma"]
Thousands = Literal["none", "comma", "point", "space"]
ColumnType = Literal["number", "category", "text", "datetime", "empty"]

MAX_COLUMNS = 10_000  # of a table
MAX_CLASSES = 1000  # distinct values of a column that can serve as classes


class ParseOptions(SpecModel):
    """How the bytes of a dataset are read: options of its upload."""

    delimiter: Delimiter = "comma"
    """Separator of the fields of a CSV."""
    header: Header = "present"
    """Whether the first row of a CSV names its columns; absent: they are c1, c2, ..."""
    decimal: Decimal = "point"
    """The sign before the fraction of a number in a CSV."""
    thousands: Thousands = "none"
    """The sign between groups of three digits of a number in a CSV."""
    missing: list[str] = []
    """Cells that mean a missing value, beside those of the documented list."""
    inputs: str = "inputs"
    """The array of an NPZ file that holds the inputs."""
    targets: str = "targets"
    """The array of an NPZ file that holds the targets."""


class Note(SpecModel):
    """What is doubtful about a dataset, in a column or (null) in the whole."""

    code: str
    column: str | None = None
    detail: str


class Column(SpecModel):
    """A column of an uploaded table. Records of earlier builds lack the fields after `whole`."""

    name: str
    type: ColumnType
    min: float | None = None
    """The least number, or second since 1970 of a datetime."""
    max: float | None = None
    distinct: int | None = None
    """Number of distinct values beside missing ones; null for more than 1,000."""
    classes: list[str] | None = None
    """The values of a category, sorted."""
    whole: list[int] | None = None
    """The distinct values of a number column, sorted, if all are whole and at most 1,000."""
    missing: int = 0
    """Number of missing cells."""
    spellings: list[str] | None = None
    """The distinct texts of a column that is no category, sorted, if they are at most 1,000; null
    for numbers where they are the decimals of `whole`."""
    non_numbers: int | None = None
    """Cells that are neither missing nor numbers; null where that was not counted."""
    non_times: int | None = None
    """Cells that are neither missing nor dates or times; null where that was not counted."""
    mean: float | None = None
    """Mean of the numbers of all rows, as far as they are not missing."""
    deviation: float | None = None
    """Their (biased) standard deviation."""
    index: bool = False
    """Whether it is the unnamed row index that a tool wrote beside the data; no feature."""


class GapPattern(SpecModel):
    """Rows of a table with gaps in exactly these columns (numbers from 0)."""

    columns: list[int]
    rows: int


class ColumnScan(SpecModel):
    """What the scan of a column's cells had counted at its end, so that an append can go on."""

    counts: list[int]
    """Cells that are missing, numbers, times, texts."""
    first_rows: list[int]
    """The first row of each of these kinds, from 1; 0: there is none."""
    texts: list[str] = []
    """The first different texts, at most five; `times` likewise."""
    times: list[str] = []
    numbers: list[float] | None = None
    """The different numbers, where texts were too many but numbers were not."""
    given_up: Literal["many", "long", "memory"] | None = None
    """Why its different texts are not known."""
    has_texts: bool = False
    """Whether all are numbers, but some are texts of a format that tells the two apart."""
    is_settled: bool = False
    """Whether it is a text for good, so that numbers and times were no longer counted."""


class NpzArray(SpecModel):
    """An array of an NPZ file."""

    shape: list[int]
    dtype: str


class DatasetProfile(SpecModel):
    """Everything measured of an uploaded dataset: a table's columns, NPZ arrays, or a text."""

    rows: int | None = None
    columns: list[Column] | None = None
    inputs: NpzArray | None = None
    targets: NpzArray | None = None
    target_classes: list[int] | None = None
    """The distinct targets of an NPZ file, sorted, if all are whole and at most 1,000."""
    target_mean: list[float] | None = None
    """Mean of each of the numbers of an NPZ file's targets; null for more than 1,000."""
    target_deviation: list[float] | None = None
    """Their (biased) standard deviations."""
    text: TextFacts | None = None
    notes: list[Note] = []
    """What is doubtful, in the order of the columns."""
    gaps: list[GapPattern] | None = None
    """The rows with missing cells, by the columns that lack one; null for too many patterns."""
    scan: list[ColumnScan] | None = None
    """The state of the scan of each column; null in records of earlier builds."""
    options: ParseOptions = ParseOptions()
    """How the bytes were read. Records of earlier builds have their delimiter beside this."""

    def column(self, name: str) -> Column | None:
        """Find a column by name."""
        return next((column for column in self.columns or [] if column.name == name), None)
