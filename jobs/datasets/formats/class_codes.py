"""The class numbers of cells, the same for all formats, and those of a dataset's targets."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cells import CellParser, spelling
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.formats.table import Value
from jobs.spec.dataset_binding import GAP_CLASS, ClassNames, DataFile

ClassCodes = NDArray[np.int64]
NO_CLASS = -1  # of a gap, or of a value that is no class


class ClassEncoder:
    """Turns the cells of one column into the numbers of their classes."""

    def __init__(self, classes: ClassNames, parser: CellParser) -> None:
        self._parser = parser
        self._by_text = {name: code for code, name in enumerate(classes.names)}
        names = [name for name in classes.names if name != GAP_CLASS]
        self._values = np.array([float(name) for name in names]) if classes.numbers else None

    def codes(self, values: Sequence[Value]) -> ClassCodes:
        """Return the class number of each cell, int64 [values]; NO_CLASS where it has none."""
        if self._values is None:
            return np.fromiter(map(self._text_code, values), np.int64, len(values))
        try:
            return self._number_codes(self._parser.numbers(values))
        except ValueError:  # a second dataset has a text in a column of numbers
            return np.array([self._number_code(value) for value in values], np.int64)

    def _text_code(self, value: Value) -> int:
        if self._parser.is_missing(value):
            return self._by_text.get(GAP_CLASS, NO_CLASS)
        return self._by_text.get(spelling(value), NO_CLASS)

    def _number_code(self, value: Value) -> int:
        try:
            return int(self._number_codes(self._parser.numbers([value]))[0])
        except ValueError:
            return NO_CLASS

    def _number_codes(self, numbers: NDArray[np.float64]) -> ClassCodes:
        assert self._values is not None, "the classes are numbers"
        is_gap, gap = np.isnan(numbers), self._by_text.get(GAP_CLASS, NO_CLASS)
        codes = np.minimum(np.searchsorted(self._values, numbers), len(self._values) - 1)
        codes = np.where(self._values[codes] == numbers, codes, NO_CLASS)
        return np.where(is_gap, gap, codes).astype(np.int64)


def read_class_codes(
    file: BinaryIO, data_file: DataFile, target: str | None, classes: ClassNames
) -> ClassCodes:
    """Read the class number of each row's target, int64 [rows]; `target` is a table's column."""
    encoder = ClassEncoder(classes, CellParser(data_file.parse_options))
    pieces = [encoder.codes(values) for values in _read_targets(file, data_file, target)]
    return np.concatenate([np.empty(0, dtype=np.int64), *pieces])


def _read_targets(
    file: BinaryIO, data_file: DataFile, target: str | None
) -> Iterator[Sequence[Value]]:
    options = data_file.parse_options
    if target is None:
        with Npz(file, options) as npz:
            yield from (values.tolist() for _, values in npz.read_pieces("targets"))
        return
    for names, block in read_table_blocks(file, data_file.type, options, DataErrors()):
        yield block.columns[names.index(target)]
