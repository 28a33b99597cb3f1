"""Read the rows of one uploaded table or NPZ file as numbers, class codes and gaps.

Each file is hashed while it is read. Values and their order are those the API profiled, because
both read through jobs/datasets/formats. Knows no split, no scaling and no net.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cells import CellParser
from jobs.datasets.formats.class_codes import NO_CLASS, ClassEncoder
from jobs.datasets.formats.damage import DamagedDataset, StoredPath, report_damage
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.joined_file import locate
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.formats.table import RowBlock, Value
from jobs.spec.data import DatasetData
from jobs.spec.dataset_binding import DataFile, DatasetBinding
from ticks.data.dataset_files import Announce, read_with_checksum
from ticks.data.standardize import Floats

Codes = NDArray[np.int64]


class TableLoader:
    """Holds the rows of one file, dropped ones left out.

    `names` are the features in order (none for arrays): for a second dataset, those of the first.
    `numbers` are the features that are numbers or times, float64 [rows, numbers], NaN where one is
    missing; `codes` the class numbers of each category, int64 [rows]. `targets` are float64
    [rows, outputs] or, of classes, int64 [rows]. `row_numbers` are the rows of the file (from 0).
    """

    def __init__(
        self,
        binding: DatasetBinding,
        data: DatasetData,
        file: DataFile,
        *,
        names: Sequence[str] = (),
    ) -> None:
        self.names = list(names or data.features or [])
        self._binding, self._data, self._file = binding, data, file
        self._parser = CellParser(file.parse_options)
        self.numbers: Floats = np.empty((file.rows, binding.numbers))
        self.codes: dict[str, Codes] = {
            name: np.empty(file.rows, np.int64) for name in binding.categories
        }
        self.targets: Floats | Codes = np.empty((file.rows, binding.outputs))
        if binding.target is not None:
            self.targets = np.empty(file.rows, np.int64)
        parser, target = self._parser, binding.target
        self._encoders = {
            name: ClassEncoder(classes, parser) for name, classes in binding.categories.items()
        }
        self._target_encoder = None if target is None else ClassEncoder(target, parser)
        self._is_dropped = np.zeros(file.rows, np.bool_)
        self.row_numbers: Codes = np.arange(file.rows)

    def read(self, artifacts: Path, announce: Announce) -> "TableLoader":
        """Read the file below `artifacts` and return self; raises DamagedDataset."""
        path = locate(artifacts, self._file)
        with report_damage(path, self._file.sha256):
            if self._file.type == "application/x-npz":
                self._read_arrays(path, announce)
            else:
                self._read_table(path, announce)
                self._leave_out_dropped()
        return self

    @property
    def class_numbers(self) -> Codes | None:
        """The classes of the targets, int64 [rows]; None for numbers."""
        return self.targets.astype(np.int64) if self._target_encoder is not None else None

    @property
    def number_names(self) -> list[str]:
        """The features that are numbers or times, in the order of `numbers`."""
        return [name for name in self.names if name not in self._binding.categories]

    def _read_table(self, path: StoredPath, announce: Announce) -> None:
        file = self._file
        pieces = read_with_checksum(path, file.sha256, announce)
        for names, block in read_table_blocks(
            path, file.type, file.parse_options, DataErrors(), pieces=pieces
        ):
            self._add_block(block, names)

    def _add_block(self, block: RowBlock, file_names: Sequence[str]) -> None:
        if not self.names:
            left_out = {*self._binding.left_out, self._data.target}
            self.names = [name for name in file_names if name not in left_out]
        columns = dict(zip(file_names, block.columns, strict=True))
        rows = slice(block.first - 1, block.first - 1 + block.rows)
        for at, name in enumerate(self.number_names):
            read = self._parser.times if name in self._binding.time_names else self._parser.numbers
            self.numbers[rows, at] = read(columns[name])
        for name, encoder in self._encoders.items():
            self.codes[name][rows] = encoder.codes(columns[name])
        target = columns[self._data.target or ""]
        self._add_targets(target, rows)
        if self._file.dropped_rows:
            used_names = [*self.names, self._data.target or ""]
            self._is_dropped[rows] = self._parser.gap_mask([columns[name] for name in used_names])

    def _add_targets(self, values: Sequence[Value], rows: slice) -> None:
        if self._target_encoder is None:
            is_time = self._data.target in self._binding.time_names
            read = self._parser.times if is_time else self._parser.numbers
            self.targets[rows, 0] = read(values)
        else:
            self.targets[rows] = self._target_encoder.codes(values)

    def _leave_out_dropped(self) -> None:
        if int(self._is_dropped.sum()) != self._file.dropped_rows:
            raise DamagedDataset(f"{self._file.path}: other rows have gaps than its profile says")
        if not self._file.dropped_rows:
            return
        is_used = ~self._is_dropped
        self.numbers, self.targets = self.numbers[is_used], self.targets[is_used]
        self.codes = {name: codes[is_used] for name, codes in self.codes.items()}
        self.row_numbers = self.row_numbers[is_used]

    def _read_arrays(self, path: StoredPath, announce: Announce) -> None:
        for _ in read_with_checksum(path, self._file.sha256, announce):
            pass
        with path.open("rb") as file, Npz(file, self._file.parse_options) as npz:
            for first, values in npz.read_pieces("inputs"):
                self.numbers[first : first + len(values)] = values
            for first, values in npz.read_pieces("targets"):
                rows = slice(first, first + len(values))
                if self._target_encoder is None:
                    self.targets[rows] = values.reshape(len(values), -1)
                else:
                    self.targets[rows] = self._target_encoder.codes(values.reshape(-1).tolist())


def one_hot(codes: Codes, classes: int) -> NDArray[np.float32]:
    """Return codes [rows] as rows of zeros with a 1 at the code, float32 [rows, classes]."""
    matrix = np.zeros((len(codes), classes), np.float32)
    has_class = codes != NO_CLASS
    matrix[np.flatnonzero(has_class), codes[has_class]] = 1
    return matrix
