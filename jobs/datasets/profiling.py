"""A profile made while an upload streams by, one class a kind of file. Keeps no row."""

from pathlib import Path
from typing import Protocol

import numpy as np

from jobs.datasets.columns import TableProfile
from jobs.datasets.formats.csv_format import CsvReader
from jobs.datasets.formats.faults import Faults
from jobs.datasets.formats.jsonl import JsonlReader
from jobs.datasets.formats.npz import Npz, check_values
from jobs.datasets.formats.table import Reader
from jobs.datasets.formats.text import TextProfile
from jobs.spec.profiles import MOST_CLASSES, Array, DatasetProfile, Delimiter, MediaType

Marks = list[tuple[int, int]]  # rows, and the byte of the file where each begins


class Profiler(Protocol):
    """Sees all bytes once, in any pieces."""

    marks: Marks

    def feed(self, data: bytes) -> None:
        """Take some more bytes; raises BadData as soon as no more faults would be told."""
        ...

    def finish(self, path: Path) -> DatasetProfile:
        """Say what is known, of a file that lies at `path` by now; raises BadData."""
        ...


def profiler(kind: MediaType, delimiter: Delimiter) -> Profiler:
    """Make the profiler of a kind of file."""
    faults = Faults()
    if kind == "text/csv":
        return OfTable(CsvReader(faults, delimiter), faults)
    if kind == "application/x-ndjson":
        return OfTable(JsonlReader(faults), faults)
    return OfText() if kind == "text/plain" else OfArrays()


class OfTable:
    """Profiles CSV and JSON lines."""

    def __init__(self, reader: Reader, faults: Faults) -> None:
        self._reader, self._table = reader, TableProfile(reader, faults)
        self.marks: Marks = []

    def feed(self, data: bytes) -> None:
        """Take some more bytes."""
        for table in self._reader.feed(data):
            self._table.add(table)

    def finish(self, path: Path) -> DatasetProfile:
        """Say what is known."""
        for table in self._reader.finish():
            self._table.add(table)
        columns = self._table.finish()
        self.marks = self._table.marks.found
        return DatasetProfile(rows=self._table.rows, columns=columns)


class OfText:
    """Profiles plain text."""

    def __init__(self) -> None:
        self._text = TextProfile()
        self.marks: Marks = []

    def feed(self, data: bytes) -> None:
        """Take some more bytes."""
        self._text.feed(data)

    def finish(self, path: Path) -> DatasetProfile:
        """Say what is known."""
        return DatasetProfile(text=self._text.finish())


class OfArrays:
    """Profiles NPZ, which can be read only once it is whole."""

    def __init__(self) -> None:
        self.marks: Marks = []

    def feed(self, data: bytes) -> None:
        """Wait for the rest."""

    def finish(self, path: Path) -> DatasetProfile:
        """Say what is known."""
        with path.open("rb") as file:
            npz = Npz(file)
            check_values(npz, Faults())
            inputs, targets = (
                Array(shape=list(npz.members[name].shape), dtype=npz.members[name].dtype.str)
                for name in ("inputs", "targets")
            )
            return DatasetProfile(
                rows=inputs.shape[0],
                inputs=inputs,
                targets=targets,
                target_classes=_classes(npz),
            )


def _classes(npz: Npz) -> list[int] | None:
    """The different targets, if each is one whole number and they are few."""
    if len(npz.members["targets"].shape) > 1:
        return None
    found: set[float] = set()
    for _, values in npz.pieces("targets"):
        numbers = values.astype(np.float64)
        if (numbers != np.round(numbers)).any() or (np.abs(numbers) > 2.0**53).any():
            return None
        found.update(np.unique(numbers).tolist())
        if len(found) > MOST_CLASSES:
            return None
    return [int(each) for each in sorted(found)]
