"""Profile the rows of an append as they come: the parent's scan goes on, and every row must fit.

A cell fits what its column is; a category may get new classes, an empty column becomes what its
first values are. No other type of a column changes, whatever the whole would be read as.
"""

from collections.abc import Iterator
from pathlib import Path

from jobs.datasets.column_notes import find_notes
from jobs.datasets.column_profiles import build_columns
from jobs.datasets.formats.cells import Cell, CellParser, Kind
from jobs.datasets.formats.data_errors import MAX_ERRORS, BadData, DataError, DataErrors, data_error
from jobs.datasets.formats.readers import make_table_reader
from jobs.datasets.formats.table import RowBlock, StreamedReader, Value
from jobs.datasets.formats.text_scanner import BOM, MAX_DISTINCT_CHARACTERS, TextScanner
from jobs.datasets.profiling import TableProfiler
from jobs.datasets.scan_state import resume_scan, save_scan
from jobs.spec.profiles import MAX_CLASSES, Column, DatasetProfile, MediaType, ParseOptions

#: notes that a reader makes of a header; they stay as they are
READER_NOTES = ("index", "nameless", "sep_line", "one_column", "text_rows")
#: kinds of cells that a column of a type has, beside missing ones
FITTING_KINDS = {"number": (Kind.NUMBER,), "datetime": (Kind.TIME,)}
FIT_RULES = {
    "number": "a number or a missing value, as in the other rows of the column",
    "datetime": "a date or time or a missing value, as in the other rows of the column",
}
OVERFLOW_RULES = {
    "many": f"one of at most {MAX_CLASSES:,} different texts: the column is a category",
    "long": "a text of at most 255 characters: the column is a category",
    "memory": "fewer different texts in all columns together: the column is a category",
}


class AppendedTable(TableProfiler):
    """Profiles the whole from the parent's profile and the new rows, numbered from 1 in errors."""

    def __init__(self, kind: MediaType, options: ParseOptions, parent: DatasetProfile) -> None:
        assert parent.columns is not None and parent.rows is not None, "a table"
        errors, parser = DataErrors(), CellParser(options)
        names = [column.name for column in parent.columns]
        has_header = kind == "text/csv" and options.header == "present"
        reader = make_table_reader(kind, options, errors, names=None if has_header else names)
        super().__init__(reader, parser, errors)
        self._table: StreamedReader = reader
        self._parent, self._columns, self._first_row = parent, parent.columns, parent.rows
        self._errors, self._names = errors, names
        self._resumed = resume_scan(parent, parser, has_typed_cells=reader.has_typed_cells)
        #: bytes before the first row, known once that has come
        self.header_bytes: int | None = None

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile of the whole. Raises BadData, also where no row came."""
        for block in self._table.finish():
            self._add(block)
        self._errors.check()
        if self.header_bytes is None:
            raise data_error("at least one row to append")
        scanner = self._resumed
        index = next((at for at, column in enumerate(self._columns) if column.index), None)
        columns = build_columns(scanner, self._names, index)
        reader_notes = [note for note in self._parent.notes if note.code in READER_NOTES]
        return self._parent.model_copy(
            update={
                "rows": scanner.rows,
                "columns": columns,
                "notes": [*reader_notes, *find_notes(scanner, columns)],
                "gaps": scanner.gaps.build(),
                "scan": save_scan(scanner),
            }
        )

    def _add(self, block: RowBlock) -> None:
        if self.header_bytes is None:
            self._check_names()
            self.header_bytes = block.offset
        known = [texts for texts in self._resumed.spellings.texts]
        moved = RowBlock(
            self._first_row + block.first,
            None if block.grid is not None else block.columns,
            block.offset,
            block.grid,
        )
        self._resumed.add(moved)
        self.row_offsets = self._resumed.row_offsets.entries
        if errors := list(self._find_misfits(block, known)):
            raise BadData(sorted(errors, key=lambda error: error.row or 0)[:MAX_ERRORS])

    def _check_names(self) -> None:
        if self._table.names != self._names:
            names = ", ".join(self._names[:20]) + (", …" if len(self._names) > 20 else "")
            given = ", ".join(self._table.names)[:200]
            raise data_error(f"the columns of the dataset, in its order: {names}", given)

    def _find_misfits(self, block: RowBlock, known: list[dict[str, Cell]]) -> Iterator[DataError]:
        """Yield the first cell of each column that does not fit it; all rows before do."""
        scanner = self._resumed
        for at, column in enumerate(self._columns):
            row = self._first_misfit(block, at, column)
            if row is not None:
                value = block.columns[at][row - block.first]
                yield DataError(row, column.name, FIT_RULES[column.type], value)
            elif column.type == "category" and not scanner.spellings.is_kept[at]:
                reason = scanner.spellings.given_up[at]
                text = next(reversed(known[at]), None)
                yield DataError(_row_of(block, at, text), column.name, OVERFLOW_RULES[reason], text)

    def _first_misfit(self, block: RowBlock, at: int, column: Column) -> int | None:
        """Return the row (from 1, of the append) of the first cell that does not fit, or None."""
        if column.type not in FITTING_KINDS:
            return None
        scanner, fitting = self._resumed, FITTING_KINDS[column.type]
        others = [kind for kind in Kind if kind not in (Kind.MISSING, *fitting)]
        rows = [int(row) for row in scanner.first_rows[others, at] if row]
        if column.type == "number" and scanner.has_texts[at]:
            rows += [self._first_row + row for row in _text_rows(block, at, scanner.parser)]
        return min(rows) - self._first_row if rows else None


def _text_rows(block: RowBlock, at: int, parser: CellParser) -> list[int]:
    """Return the first row of a block whose cell is a text though it is a number, if any."""
    texts = (
        block.first + place
        for place, value in enumerate(block.columns[at])
        if isinstance(value, str) and not parser.is_missing(value)
    )
    return [row for row in [next(texts, None)] if row is not None]


def _row_of(block: RowBlock, at: int, text: str | None) -> int | None:
    """Return the first row of a block with this text."""
    values: list[Value] = block.columns[at]
    return block.first + values.index(text) if text in values else None


class AppendedText:
    """Scans text that follows another; a byte-order mark before it is left out by the caller."""

    def __init__(self, parent: DatasetProfile) -> None:
        self._parent, self._scanner = parent, TextScanner()
        self.feed = self._scanner.feed
        self.row_offsets: list[tuple[int, int]] = []
        self.header_bytes = 0

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile of the whole. Raises BadData."""
        facts, before = self._scanner.finish(), self._parent.text
        assert before is not None, "a text"
        mark = {BOM} if facts.skipped else set()  # in the middle it is a character
        vocabulary = sorted({*before.vocabulary, *facts.vocabulary, *mark})
        if len(vocabulary) > MAX_DISTINCT_CHARACTERS:
            rule = f"at most {MAX_DISTINCT_CHARACTERS:,} different characters in all"
            raise data_error(rule, len(vocabulary))
        whole = before.model_copy(
            update={
                "bytes": before.bytes + facts.bytes + facts.skipped,
                "characters": before.characters + facts.characters + len(mark),
                "vocabulary": vocabulary,
            }
        )
        return self._parent.model_copy(update={"text": whole})
