"""Tell what is doubtful about the columns of an uploaded table."""

from collections.abc import Iterator, Sequence

from jobs.datasets.formats.cells import CellParser, Kind
from jobs.datasets.table_scanner import TableScanner
from jobs.spec.profiles import Column, Note


def find_notes(
    scanner: TableScanner, columns: Sequence[Column], parser: CellParser
) -> Iterator[Note]:
    """Yield the notes of a table, in the order of its columns."""
    for at, column in enumerate(columns):
        if column.missing:
            row = int(scanner.first_rows[Kind.MISSING, at])
            yield Note(code="missing", column=column.name, detail=f"{column.missing} {row}")
