"""Profile an upload while it streams by, with one class per kind of file. Keeps no row."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jobs.datasets.column_profiles import TableScanner
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.npz import Npz, check_values
from jobs.datasets.formats.readers import make_table_reader
from jobs.datasets.formats.table import TableReader
from jobs.datasets.formats.text_scanner import TextScanner
from jobs.spec.profiles import MAX_CLASSES, Array, DatasetProfile, MediaType, ParseOptions

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


def make_profiler(kind: MediaType, options: ParseOptions) -> Profiler:
    """Create the profiler for a kind of file."""
    errors = DataErrors()
    if kind in ("text/csv", "application/x-ndjson"):
        return TableProfiler(make_table_reader(kind, options, errors), errors)
    return TextProfiler() if kind == "text/plain" else NpzProfiler()


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

    def feed(self, data: bytes) -> None:
        """Ignore the bytes: `finish` reads the file."""

    def finish(self, path: Path) -> DatasetProfile:
        """Return the profile."""
        with path.open("rb") as file:
            npz = Npz(file)
            check_values(npz, DataErrors())
            members = (npz.members[name] for name in ("inputs", "targets"))
            inputs, targets = (Array(shape=list(m.shape), dtype=m.dtype.str) for m in members)
            rows, classes = inputs.shape[0], _target_classes(npz)
            return DatasetProfile(rows=rows, inputs=inputs, targets=targets, target_classes=classes)


def _target_classes(npz: Npz) -> list[int] | None:
    """Return the distinct targets, sorted, if they are at most 1,000 whole numbers, else None."""
    if len(npz.members["targets"].shape) > 1:
        return None
    distinct: set[float] = set()
    for _, values in npz.read_pieces("targets"):
        numbers = values.astype(np.float64)
        if (numbers != np.round(numbers)).any() or (np.abs(numbers) > 2.0**53).any():
            return None
        distinct.update(np.unique(numbers).tolist())
        if len(distinct) > MAX_CLASSES:
            return None
    return [int(number) for number in sorted(distinct)]
