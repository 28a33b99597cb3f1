"""Make the reader of a table's format. Knows no store and no type of a column."""

from jobs.datasets.formats.csv_format import CsvReader
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.jsonl import JsonlReader
from jobs.datasets.formats.table import TableReader
from jobs.spec.profiles import MediaType, ParseOptions


def make_table_reader(
    media_type: MediaType,
    options: ParseOptions,
    errors: DataErrors,
    *,
    names: list[str] | None = None,
    first: int = 1,
    offset: int = 0,
) -> TableReader:
    """Make the reader of a streamed table.

    With `names` the bytes begin with row `first` (from 1) at byte `offset` of the file.
    """
    if media_type == "application/x-ndjson":
        return JsonlReader(errors, names=names, first=first, offset=offset)
    return CsvReader(errors, options.delimiter, names=names, first=first, offset=offset)
