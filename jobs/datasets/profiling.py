"""Profile an upload while it streams by, with one class per kind of file. Keeps no row."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from jobs.datasets.array_profiles import profile_npz
from jobs.datasets.column_profiles import TableScanner
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.readers import make_table_reader
from jobs.datasets.formats.table import TableReader
from jobs.datasets.formats.text_scanner import TextScanner
from jobs.spec.profiles import DatasetProfile, MediaType, ParseOptions

UNLIMITED = 1 << 62  # bytes
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
    """Create the profiler for a kind of file, which may have `max_bytes` when it is unpacked."""
    errors = DataErrors()
    if kind in ("text/csv", "application/x-ndjson"):
        return TableProfiler(make_table_reader(kind, options, errors), errors)
    return TextProfiler() if kind == "text/plain" else NpzProfiler(options, max_bytes)


class TableProfiler(Profiler):
    """Profiles CSV and JSON lines."""

    def __init__(self, reader: TableReader, errors: DataErrors) -> None:
        self._reader, self._scanner = reader, TableScanner(reader, errors)

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        for block in self._reader.feed(data):
            self._scanner.add(block)

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile."""
        for block in self._reader.finish():
            self._scanner.add(block)
        columns = self._scanner.finish()
        self.row_offsets = self._scanner.row_offsets.entries
        return DatasetProfile(rows=self._scanner.rows, columns=columns)


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
