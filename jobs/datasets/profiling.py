"""Profile an upload while it streams by, with one class per kind of file. Keeps no row."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from jobs.datasets.array_profiles import profile_npz
from jobs.datasets.column_notes import find_notes
from jobs.datasets.column_profiles import build_columns
from jobs.datasets.formats.cells import CellParser
from jobs.datasets.formats.data_errors import DataErrors, data_error
from jobs.datasets.formats.parquet import PARQUET, ParquetReader, require_pyarrow
from jobs.datasets.formats.readers import make_table_reader
from jobs.datasets.formats.table import RowBlock, TableReader
from jobs.datasets.formats.text_scanner import TextScanner
from jobs.datasets.scan_state import save_scan
from jobs.datasets.table_scanner import TableScanner
from jobs.spec.profiles import DatasetProfile, MediaType, ParseOptions

UNLIMITED = 1 << 62  # bytes
#: JSON lines may leave names out: a table of more cells is refused, since each costs its time
MIN_CELLS, MAX_CELLS_PER_BYTE = 1 << 23, 64
OffsetList = Sequence[tuple[int, int]]  # row (from 1), byte offset in the file


class Profiler(ABC):
    """Takes all bytes of a file once, in pieces of any size."""

    row_offsets: OffsetList = ()

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Add the next bytes. Raises BadData once the list of errors is full."""

    @abstractmethod
    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile; all bytes are in the file at `path`. Raises BadData."""


def make_profiler(
    kind: MediaType, options: ParseOptions, *, max_bytes: int = UNLIMITED
) -> Profiler:
    """Create the profiler for a kind of file, which may have `max_bytes` when it is unpacked.

    Raises MissingExtra where the kind needs a package that is not installed.
    """
    errors = DataErrors()
    if kind in ("text/csv", "application/x-ndjson"):
        reader = make_table_reader(kind, options, errors)
        return TableProfiler(reader, CellParser(options), errors, MAX_CELLS_PER_BYTE)
    if kind == PARQUET:
        return ParquetProfiler(CellParser(options), errors, max_bytes)
    return TextProfiler() if kind == "text/plain" else NpzProfiler(options, max_bytes)


class TableProfiler(Profiler):
    """Profiles tables: CSV and JSON lines as they come, a Parquet file at its end."""

    def __init__(
        self,
        reader: TableReader,
        parser: CellParser,
        errors: DataErrors,
        max_cells_per_byte: int | None = None,
    ) -> None:
        self._reader, self._parser, self._errors = reader, parser, errors
        self._max_cells_per_byte = max_cells_per_byte
        self._scanner: TableScanner | None = None

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        for block in self._reader.feed(data):
            self._add(block)

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile."""
        for block in self._reader.finish():
            self._add(block)
        self._errors.check()
        if self._scanner is None:
            raise data_error("at least one row below the header")
        scanner, reader = self._scanner, self._reader
        self.row_offsets = scanner.row_offsets.entries
        columns = build_columns(scanner, reader.names, reader.index_column)
        notes = [*reader.notes, *find_notes(scanner, columns)]
        return DatasetProfile(
            rows=scanner.rows,
            columns=columns,
            notes=notes,
            gaps=scanner.gaps.build(),
            scan=save_scan(scanner),
        )

    def _add(self, block: RowBlock) -> None:
        if self._scanner is None:
            self._scanner = TableScanner(
                self._parser,
                len(self._reader.names),
                has_typed_cells=self._reader.has_typed_cells,
            )
        self._check_cells(block)
        self._scanner.add(block)

    def _check_cells(self, block: RowBlock) -> None:
        """Refuse rows that lack so many names that their cells cost more than their bytes."""
        rows, columns = block.first + block.rows - 1, len(self._reader.names)
        if self._max_cells_per_byte is None:
            return
        if rows * columns > MIN_CELLS + self._max_cells_per_byte * block.offset:
            rule = f"at most {self._max_cells_per_byte} cells a byte: name fewer columns in row 1"
            raise data_error(rule, f"{columns:,} columns", row=rows)


class ParquetProfiler(Profiler):
    """Profiles Parquet, which can only be read as a whole file."""

    def __init__(self, parser: CellParser, errors: DataErrors, max_bytes: int) -> None:
        require_pyarrow()
        self._parser, self._errors, self._max_bytes = parser, errors, max_bytes

    def feed(self, data: bytes) -> None:
        """Ignore the bytes: `finish` reads the file."""

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile."""
        with path.open("rb") as file:
            reader = ParquetReader(file, self._errors, max_bytes=self._max_bytes)
            profiler = TableProfiler(reader, self._parser, self._errors)
            profile = profiler.finish(path)
        self.row_offsets = profiler.row_offsets
        return profile


class TextProfiler(Profiler):
    """Profiles plain text."""

    def __init__(self) -> None:
        self._scanner = TextScanner()

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        self._scanner.feed(data)

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile."""
        return DatasetProfile(text=self._scanner.finish())


class NpzProfiler(Profiler):
    """Profiles NPZ, which can only be read as a whole file."""

    def __init__(self, options: ParseOptions, max_bytes: int) -> None:
        self._options, self._max_bytes = options, max_bytes

    def feed(self, data: bytes) -> None:
        """Ignore the bytes: `finish` reads the file."""

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile."""
        return profile_npz(path, self._options, self._max_bytes)
