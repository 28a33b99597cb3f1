"""Load uploaded tables and arrays as rows: categories one-hot, numbers standardized.

Each file is hashed while it is read. Values and their order are those the API profiled, because
both read through jobs/datasets/formats. Knows no net.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.datasets.formats.class_codes import class_codes
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.formats.table import RowBlock, Value
from jobs.spec.data import DatasetData
from jobs.spec.dataset_binding import ClassNames, DataFile, DatasetBinding
from jobs.spec.job_spec import JobSpec
from ticks.data.batches import TensorRows
from ticks.data.splits import split_table, take_parts
from ticks.data.standardize import Floats, Scaling, fit_scaling, standardize

READ_SIZE = 1 << 20  # bytes read at a time
PROGRESS_EVERY = 64  # pieces of READ_SIZE between two announcements


#: called with the name of each phase that takes time
Announce = Callable[[str], None]


class DamagedDataset(Exception):
    """A dataset's file is missing or differs from what was uploaded."""


class TableData(NamedTuple):
    """Rows in memory, their scaling, and the entries of config.json about their columns."""

    training: TensorRows
    held_out: TensorRows | None
    test: TensorRows | None
    scaling: Scaling | None
    column_info: dict[str, Any]


def ignore_phase(phase: str) -> None:
    """Ignore a phase: the default where nothing displays it."""


def load_table(spec: JobSpec, artifacts: Path, announce: Announce) -> TableData:
    """Read the rows to train on and those to hold out; only the former decide the scaling.

    The others are a part of the file, or another dataset's. Raises DamagedDataset.
    """
    facts, data = spec.facts, spec.data
    assert facts is not None and isinstance(data, DatasetData), "read_spec has looked it up"
    loader = TableLoader(facts, data, facts.data).read(artifacts, announce)
    split = split_table(spec, loader.targets, artifacts)
    scaling = fit_scaling(loader.exact_numbers, split.training) if data.standardize else None
    training, held_out, test = take_parts(loader.build_rows(scaling), split)
    if facts.validation is not None:
        validation_loader = TableLoader(facts, data, facts.validation, names=loader.names)
        held_out = validation_loader.read(artifacts, announce).build_rows(scaling)
    if facts.test is not None:
        test_loader = TableLoader(facts, data, facts.test, names=loader.names)
        test = test_loader.read(artifacts, announce).build_rows(scaling)
    input_scaling = None if scaling is None else loader.expand_scaling(scaling)
    return TableData(training, held_out, test, input_scaling, loader.column_info())


class TableLoader:
    """Reads the rows of one file into tensors.

    Numbers to be standardized are first held in `exact_numbers`, float64 [rows, numbers]. `names`
    are the features in order: for a second dataset, those of the first.
    """

    def __init__(
        self, facts: DatasetBinding, data: DatasetData, file: DataFile, *, names: Sequence[str] = ()
    ) -> None:
        self.names = list(names or data.features or [])
        self._facts, self._data, self._file = facts, data, file
        self._inputs = torch.zeros(file.rows, facts.features)
        self.exact_numbers: Floats = np.empty((file.rows if data.standardize else 0, facts.numbers))
        self.targets: Tensor = torch.zeros(file.rows, facts.outputs)
        if facts.target is not None:
            self.targets = torch.zeros(file.rows, dtype=torch.int64)

    def read(self, artifacts: Path, announce: Announce) -> "TableLoader":
        """Read the file below `artifacts` and return self; raises DamagedDataset."""
        path = artifacts / self._file.path
        if self._file.type == "application/x-npz":
            self._read_arrays(path, announce)
        else:
            self._read_table(path, announce)
        return self

    def build_rows(self, scaling: Scaling | None) -> TensorRows:
        """Return the rows, standardizing their numbers if there is a scaling."""
        if scaling is not None:
            standardize(self.exact_numbers, scaling, self._inputs.numpy(), self._number_columns())
            self.exact_numbers = self.exact_numbers[:0]
        return TensorRows(self._inputs, self.targets)

    def expand_scaling(self, scaling: Scaling) -> Scaling:
        """Return the scaling of all inputs: (0, 1) for those of categories."""
        mean, deviation = np.zeros(self._facts.features), np.ones(self._facts.features)
        mean[self._number_columns()] = scaling.mean
        deviation[self._number_columns()] = scaling.deviation
        return Scaling(mean, deviation)

    def column_info(self) -> dict[str, Any]:
        """Return the entries of config.json: columns and target by name, names of the classes."""
        info: dict[str, Any] = {}
        if self.names:
            info["columns"] = [self._describe_column(name) for name in self.names]
            info["target"] = self._data.target
        if self._facts.target is not None:
            info["classes"] = list(self._facts.target.names)
        return info

    def _describe_column(self, name: str) -> dict[str, Any]:
        classes = self._facts.categories.get(name)
        if classes is None:
            return {"name": name, "type": "number"}
        return {"name": name, "type": "category", "classes": list(classes.names)}

    def _number_columns(self) -> list[int]:
        """Return the indices of the inputs that are numbers."""
        if not self.names:
            return list(range(self._facts.features))
        return [offset for offset, classes in self._feature_layout().values() if classes is None]

    def _feature_layout(self) -> dict[str, tuple[int, ClassNames | None]]:
        """Return each feature's first input, and its classes if it is a category."""
        layout, offset = {}, 0
        for name in self.names:
            classes = self._facts.categories.get(name)
            layout[name] = (offset, classes)
            offset += 1 if classes is None else len(classes.names)
        return layout

    def _read_table(self, path: Path, announce: Announce) -> None:
        pieces = read_with_checksum(path, self._file.sha256, announce)
        blocks = read_table_blocks(
            path, self._file.type, self._file.parse_options, DataErrors(), pieces=pieces
        )
        for names, table in blocks:
            if not self.names:
                self.names = [name for name in names if name != self._data.target]
            self._add_table(table, {name: index for index, name in enumerate(names)})

    def _add_table(self, table: RowBlock, columns: dict[str, int]) -> None:
        start, stop = table.first - 1, table.first - 1 + table.rows
        inputs, number_index = self._inputs.numpy()[start:stop], 0
        for name, (offset, classes) in self._feature_layout().items():
            values = table.columns[columns[name]]
            if classes is not None:
                inputs[np.arange(table.rows), offset + class_codes(values, classes)] = 1
                continue
            if self._data.standardize:
                self.exact_numbers[start:stop, number_index] = to_floats(values)
            else:
                inputs[:, offset] = to_floats(values)
            number_index += 1
        self._add_targets(table.columns[columns[self._data.target or ""]], start, stop)

    def _add_targets(self, values: Sequence[Value], start: int, stop: int) -> None:
        targets, classes = self.targets.numpy(), self._facts.target
        if classes is None:
            targets[start:stop, 0] = to_floats(values)
        else:
            targets[start:stop] = class_codes(values, classes)

    def _read_arrays(self, path: Path, announce: Announce) -> None:
        for _ in read_with_checksum(path, self._file.sha256, announce):
            pass
        with path.open("rb") as file, Npz(file, self._file.parse_options) as npz:
            for first, values in npz.read_pieces("inputs"):
                destination = self.exact_numbers if self._data.standardize else self._inputs.numpy()
                destination[first : first + len(values)] = values
            for first, values in npz.read_pieces("targets"):
                self._add_target_array(first, values)

    def _add_target_array(self, first: int, values: NDArray[np.generic]) -> None:
        targets, stop = self.targets.numpy(), first + len(values)
        if self._facts.target is None:
            targets[first:stop] = values.reshape(len(values), -1)
        else:
            targets[first:stop] = class_codes(values.tolist(), self._facts.target)


def to_floats(values: Sequence[Value]) -> Floats:
    """Convert values that are all numbers, float64 [values]."""
    return np.fromiter(map(float, values), np.float64, len(values))


def read_with_checksum(path: Path, sha256: str, announce: Announce) -> Iterator[bytes]:
    """Yield a file's bytes in pieces; raises DamagedDataset at its end if the hash differs."""
    sha, piece_count = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_SIZE):
                sha.update(piece)
                if piece_count % PROGRESS_EVERY == 0:
                    announce("loading")
                piece_count += 1
                yield piece
    except FileNotFoundError as error:
        raise DamagedDataset(f"{path.name} is missing") from error
    if sha.hexdigest() != sha256:
        raise DamagedDataset(f"{path.name} has other bytes than were uploaded")
