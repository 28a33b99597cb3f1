"""The rows of uploaded tables and arrays as a net takes them.

Categories become one input per class, numbers are filled and standardized; only the training rows
decide by what. Knows no net.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.spec.data import FIRST_REVISION, DatasetData
from jobs.spec.dataset_binding import DataFile, DatasetBinding
from jobs.spec.job_spec import JobSpec
from jobs.spec.missing_values import FILLING
from ticks.data.batches import TensorRows
from ticks.data.column_config import describe_columns
from ticks.data.dataset_files import Announce
from ticks.data.filling import fill, fit_fills
from ticks.data.splits import split_table, take_parts
from ticks.data.standardize import Floats, Scaling, fit_scaling, standardize, to_float32
from ticks.data.table_loader import TableLoader, one_hot


class TableData(NamedTuple):
    """Rows in memory, how they were scaled, and the entries of config.json about their columns."""

    training: TensorRows
    held_out: TensorRows | None
    test: TensorRows | None
    scaling: Scaling | None
    target_scaling: Scaling | None
    column_info: dict[str, Any]


def load_table(spec: JobSpec, artifacts: Path, announce: Announce) -> TableData:
    """Read the rows to train on and those to hold out; only the former decide fills and scaling.

    The others are a part of the file, or another dataset's. Raises DamagedDataset.
    """
    binding, data = spec.facts, spec.data
    assert binding is not None and isinstance(data, DatasetData), "read_spec has looked it up"
    loader = TableLoader(binding, data, binding.data).read(artifacts, announce)
    split = split_table(spec, loader.class_numbers, artifacts, loader.row_numbers)
    columns = TableColumns(spec, loader, split.training)
    training, held_out, test = take_parts(columns.build_rows(loader), split)

    def read_other(file: DataFile) -> TensorRows:
        other = TableLoader(binding, data, file, names=loader.names)
        return columns.build_rows(other.read(artifacts, announce))

    if binding.validation is not None:
        held_out = read_other(binding.validation)
    if binding.test is not None:
        test = read_other(binding.test)
    info = describe_columns(binding, data, loader.names, columns.fills)
    scalings = (columns.input_scaling(), columns.target_scaling)
    return TableData(training, held_out, test, *scalings, info)


class TableColumns:
    """How the columns of a table become inputs and targets: fitted on its training rows.

    `fills` (of the numbers that may be missing), `scaling` (of the numbers) and `target_scaling`
    are None where the spec asks for none.
    """

    def __init__(self, spec: JobSpec, loader: TableLoader, training: NDArray[np.bool_]) -> None:
        binding, data = spec.facts, spec.data
        assert binding is not None and isinstance(data, DatasetData)
        self._binding, self._first_inputs = binding, _input_numbers(binding, loader)
        self.fills: Floats | None = None
        numbers = loader.numbers
        if data.missing in FILLING and loader.names:
            is_mean = data.missing == "mean"
            self.fills = fit_fills(numbers, training, "mean" if is_mean else "median")
            numbers = np.where(np.isnan(numbers), self.fills, numbers)
        is_exact = spec.revision != FIRST_REVISION
        self.scaling = self.target_scaling = None
        if data.standardize:
            self.scaling = fit_scaling(numbers, training, has_exact_constants=is_exact)
        if data.standardize_target:
            self.target_scaling = fit_scaling(loader.targets, training)

    def build_rows(self, loader: TableLoader) -> TensorRows:
        """Return the rows of a file as tensors; the loader's numbers are filled in place."""
        inputs = torch.zeros(len(loader.row_numbers), self._binding.features)
        self._set_numbers(loader, inputs.numpy())
        for name, codes in loader.codes.items():
            first, width = self._first_inputs[name], len(self._binding.categories[name].names)
            inputs.numpy()[:, first : first + width] = one_hot(codes, width)
        return TensorRows(inputs, self._build_targets(loader))

    def input_scaling(self) -> Scaling | None:
        """Return the scaling of all inputs: (0, 1) for those that are not numbers."""
        if self.scaling is None:
            return None
        mean, deviation = np.zeros(self._binding.features), np.ones(self._binding.features)
        mean[self._number_inputs()] = self.scaling.mean
        deviation[self._number_inputs()] = self.scaling.deviation
        return Scaling(mean, deviation)

    def _set_numbers(self, loader: TableLoader, inputs: NDArray[np.float32]) -> None:
        for at, name in enumerate(loader.number_names):
            if name in self._binding.gap_names:
                inputs[:, self._first_inputs[name] + 1] = np.isnan(loader.numbers[:, at])
        if self.fills is not None:
            fill(loader.numbers, self.fills)
        if self.scaling is not None:
            standardize(loader.numbers, self.scaling, inputs, self._number_inputs())
        else:
            inputs[:, self._number_inputs()] = loader.numbers

    def _build_targets(self, loader: TableLoader) -> torch.Tensor:
        if self._binding.target is not None:
            return torch.tensor(loader.targets)
        return to_float32(loader.targets, self.target_scaling)

    def _number_inputs(self) -> list[int]:
        """Return the inputs that are numbers, in the order of the loader's numbers."""
        categories = self._binding.categories
        return [at for name, at in self._first_inputs.items() if name not in categories]


def _input_numbers(binding: DatasetBinding, loader: TableLoader) -> dict[str, int]:
    """Return the first input of each feature; arrays have features without names."""
    if not loader.names:
        return {str(at): at for at in range(binding.features)}
    first_inputs, at = {}, 0
    for name in loader.names:
        first_inputs[name] = at
        classes = binding.categories.get(name)
        at += len(classes.names) if classes is not None else 1 + (name in binding.gap_names)
    return first_inputs
