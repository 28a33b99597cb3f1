"""Uploaded tables and arrays as rows: categories one input a class, numbers by mean and deviation.

Reads each file once, hashing it on the way. Values and their order are those that the service
profiled: both read through jobs/datasets/formats. Knows no net.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.datasets.formats.csv_format import CsvReader
from jobs.datasets.formats.faults import Faults
from jobs.datasets.formats.jsonl import JsonlReader
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.table import Reader, Table, Value
from jobs.spec.data import DatasetData
from jobs.spec.facts import Classes, Facts, Source
from jobs.spec.job_spec import JobSpec
from ticks.batches import Rows, held_out_rows
from ticks.scale import Floats, Scale, measure, standardise

PIECE = 1 << 20  # bytes read at a time
LOUD = 64  # pieces between two signs of life


class DamagedDataset(Exception):
    """A dataset's file is not what was uploaded."""


class Loaded(NamedTuple):
    """A dataset's rows. `about` is what config.json says of the columns."""

    training: Rows
    held_out: Rows | None
    scale: Scale | None
    about: dict[str, Any]


def load(spec: JobSpec, artifacts: Path, announce: Callable[[str], None]) -> Loaded:
    """Read the rows to train on and those to look at; the first alone decide the scale."""
    facts, data = spec.facts, spec.data
    assert facts is not None and isinstance(data, DatasetData), "read_spec has looked it up"
    filled = Filling(facts, data, facts.data).read(artifacts, announce)
    chosen = held_out_rows(facts.data.rows, spec.held_out_rows, spec.seed)
    scale = measure(filled.exact, ~chosen.numpy()) if data.standardize else None
    rows = filled.rows(scale)
    training, held_out = rows, None
    if spec.held_out_rows:
        training = rows.take(torch.nonzero(~chosen).flatten())
        held_out = rows.take(torch.nonzero(chosen).flatten())
    if facts.validation is not None:
        other = Filling(facts, data, facts.validation, names=filled.names)
        held_out = other.read(artifacts, announce).rows(scale)
    wide = None if scale is None else filled.spread(scale)
    return Loaded(training, held_out, wide, filled.about())


class Filling:
    """The rows of one file on their way into tensors: inputs, exact numbers beside, targets.

    `names` are the features, in their order; those of the first file where this is the second.
    """

    def __init__(
        self, facts: Facts, data: DatasetData, source: Source, *, names: Sequence[str] = ()
    ) -> None:
        self.names = list(names or data.features or [])
        self._facts, self._data, self._source = facts, data, source
        self._inputs = torch.zeros(source.rows, facts.features)
        as_float64 = source.rows if data.standardize else 0
        self.exact: Floats = np.empty((as_float64, facts.numbers))
        self._targets: Tensor = torch.zeros(source.rows, facts.outputs)
        if facts.target is not None:
            self._targets = torch.zeros(source.rows, dtype=torch.int64)

    def read(self, artifacts: Path, announce: Callable[[str], None]) -> "Filling":
        """Fill from the file below `artifacts`; raises DamagedDataset."""
        path = artifacts / self._source.path
        if self._source.type == "application/x-npz":
            self._read_arrays(path, announce)
        else:
            self._read_table(path, announce)
        return self

    def rows(self, scale: Scale | None) -> Rows:
        """Give the rows, their numbers standardised where there is a scale."""
        if scale is not None:
            standardise(self.exact, scale, self._inputs.numpy(), self._number_columns())
            self.exact = self.exact[:0]
        return Rows(self._inputs, self._targets)

    def spread(self, scale: Scale) -> Scale:
        """Give the scale of all inputs: those of categories stay as they are."""
        mean, deviation = np.zeros(self._facts.features), np.ones(self._facts.features)
        mean[self._number_columns()] = scale.mean
        deviation[self._number_columns()] = scale.deviation
        return Scale(mean, deviation)

    def about(self) -> dict[str, Any]:
        """Say what the inputs are, and the names of the classes."""
        told: dict[str, Any] = {}
        if self.names:
            told["columns"] = [self._column(name) for name in self.names]
            told["target"] = self._data.target
        if self._facts.target is not None:
            told["classes"] = list(self._facts.target.names)
        return told

    def _column(self, name: str) -> dict[str, Any]:
        classes = self._facts.categories.get(name)
        if classes is None:
            return {"name": name, "type": "number"}
        return {"name": name, "type": "category", "classes": list(classes.names)}

    def _number_columns(self) -> list[int]:
        """Which inputs are numbers, in their order."""
        if not self.names:
            return list(range(self._facts.features))
        return [at for at, classes in self._places().values() if classes is None]

    def _places(self) -> dict[str, tuple[int, Classes | None]]:
        """Where each feature's inputs begin, and its classes if it is a category."""
        places, at = {}, 0
        for name in self.names:
            classes = self._facts.categories.get(name)
            places[name] = (at, classes)
            at += 1 if classes is None else len(classes.names)
        return places

    def _read_table(self, path: Path, announce: Callable[[str], None]) -> None:
        reader: Reader = JsonlReader(Faults())
        if self._source.type == "text/csv":
            reader = CsvReader(Faults(), self._source.delimiter)
        for table in _tables(reader, path, self._source.sha256, announce):
            if not self.names:
                self.names = [name for name in reader.names if name != self._data.target]
            self._take(table, {name: at for at, name in enumerate(reader.names)})

    def _take(self, table: Table, columns: dict[str, int]) -> None:
        start, stop = table.first - 1, table.first - 1 + table.rows
        inputs, number = self._inputs.numpy()[start:stop], 0
        for name, (at, classes) in self._places().items():
            values = table.columns[columns[name]]
            if classes is not None:
                inputs[np.arange(table.rows), at + codes(values, classes)] = 1
                continue
            if self._data.standardize:
                self.exact[start:stop, number] = floats(values)
            else:
                inputs[:, at] = floats(values)
            number += 1
        self._take_targets(table.columns[columns[self._data.target or ""]], start, stop)

    def _take_targets(self, values: Sequence[Value], start: int, stop: int) -> None:
        targets, classes = self._targets.numpy(), self._facts.target
        if classes is None:
            targets[start:stop, 0] = floats(values)
        else:
            targets[start:stop] = codes(values, classes)

    def _read_arrays(self, path: Path, announce: Callable[[str], None]) -> None:
        for _ in pieces(path, self._source.sha256, announce):
            pass
        with path.open("rb") as file:
            npz = Npz(file)
            for first, values in npz.pieces("inputs"):
                where = self.exact if self._data.standardize else self._inputs.numpy()
                where[first : first + len(values)] = values
            for first, values in npz.pieces("targets"):
                self._take_array(first, values)

    def _take_array(self, first: int, values: NDArray[np.generic]) -> None:
        targets, stop = self._targets.numpy(), first + len(values)
        if self._facts.target is None:
            targets[first:stop] = values.reshape(len(values), -1)
        else:
            targets[first:stop] = codes(values.tolist(), self._facts.target)


def floats(values: Sequence[Value]) -> Floats:
    """Read values that are all numbers."""
    return np.fromiter(map(float, values), np.float64, len(values))


def codes(values: Sequence[Value], classes: Classes) -> NDArray[np.int64]:
    """Number values by their classes."""
    if classes.numbers:
        ordered = np.array([float(name) for name in classes.names])
        return np.searchsorted(ordered, floats(values)).astype(np.int64)
    number = {name: at for at, name in enumerate(classes.names)}
    return np.fromiter((number[str(value)] for value in values), np.int64, len(values))


def _tables(
    reader: Reader, path: Path, sha256: str, announce: Callable[[str], None]
) -> Iterator[Table]:
    for piece in pieces(path, sha256, announce):
        yield from reader.feed(piece)
    yield from reader.finish()


def pieces(path: Path, sha256: str, announce: Callable[[str], None]) -> Iterator[bytes]:
    """Read a whole file; raises DamagedDataset at its end if it has other bytes."""
    sha, number = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                sha.update(piece)
                if number % LOUD == 0:
                    announce("loading")
                number += 1
                yield piece
    except FileNotFoundError as error:
        raise DamagedDataset(f"{path.name} is missing") from error
    if sha.hexdigest() != sha256:
        raise DamagedDataset(f"{path.name} has other bytes than were uploaded")
