"""The targets of another dataset as a net's objective needs them. Knows no file."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.datasets.formats.cells import CellParser, Kind
from jobs.datasets.formats.class_codes import NO_CLASS, ClassEncoder
from jobs.datasets.formats.table import Value
from jobs.spec.dataset_binding import ClassNames
from jobs.spec.profiles import ParseOptions
from ticks.answers.nets import LoadedNet
from ticks.answers.work import refuse
from ticks.data.standardize import Scaling, to_float32


class TargetReader:
    """Reads targets as cells are written in a dataset. `classes` are their names; none of numbers.

    Raises RefusedRequest for a target that the training cannot have had.
    """

    def __init__(self, net: LoadedNet, options: ParseOptions) -> None:
        self.classes: list[str] = []
        self._parser, self._outputs = CellParser(options), net.config["outputs"]
        scale = net.config.get("target_scale")
        self._scaling = scale and Scaling(np.array(scale["mean"]), np.array(scale["deviation"]))
        if net.config["objective"] == "cross_entropy":
            self.classes = net.module.class_list()
            are_numbers = all(name.removeprefix("-").isdecimal() for name in self.classes)
            class_names = ClassNames(names=self.classes, numbers=are_numbers)
            self._encoder = ClassEncoder(class_names, self._parser)

    def read_cells(self, values: Sequence[Value], row_numbers: Sequence[int]) -> Tensor:
        """Return class numbers, int64 [rows], or scaled numbers, float32 [rows, 1]."""
        if self.classes:
            return self._read_classes(values, row_numbers)
        numbers = list(map(self._to_number, values, row_numbers))
        return to_float32(np.array(numbers, np.float64).reshape(-1, 1), self._scaling)

    def read_array(self, values: NDArray[np.float64], row_numbers: Sequence[int]) -> Tensor:
        """Return class numbers, int64 [rows], or scaled numbers, float32 [rows, outputs]."""
        columns = 1 if self.classes else self._outputs
        if values.shape[1] != columns:
            raise refuse("/dataset", f"targets of {columns} numbers a row", values.shape[1])
        if self.classes:
            return self._read_classes(values[:, 0].tolist(), row_numbers)
        return to_float32(values, self._scaling)

    def _read_classes(self, values: Sequence[Value], row_numbers: Sequence[int]) -> Tensor:
        codes = self._encoder.codes(values)
        if len(unknown := np.flatnonzero(codes == NO_CLASS)):
            at = int(unknown[0])
            rule = f"row {row_numbers[at]}: a target that is a class of the training's"
            raise refuse("/dataset", rule, values[at])
        return torch.from_numpy(codes)

    def _to_number(self, value: Value, row_number: int) -> float:
        kind, number = self._parser.classify(value)
        if kind not in (Kind.NUMBER, Kind.TIME):
            raise refuse("/dataset", f"row {row_number}: a number as the target", value)
        return number
