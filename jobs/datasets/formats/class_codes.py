"""The class numbers of values, the same for all formats, and those of a dataset's targets."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.formats.table import Value
from jobs.spec.dataset_binding import ClassNames, DataFile

ClassCodes = NDArray[np.int64]


def class_codes(values: Sequence[Value], classes: ClassNames) -> ClassCodes:
    """Return the class number of each value, int64 [values].

    Raises KeyError for a value that is not a class (of classes that are names).
    """
    if classes.numbers:
        ordered = np.array([float(name) for name in classes.names])
        numbers = np.fromiter((float(value or 0) for value in values), np.float64, len(values))
        return np.searchsorted(ordered, numbers).astype(np.int64)
    code_by_name = {name: code for code, name in enumerate(classes.names)}
    return np.fromiter((code_by_name[str(value)] for value in values), np.int64, len(values))


def read_class_codes(
    file: BinaryIO, data_file: DataFile, target: str | None, classes: ClassNames
) -> ClassCodes:
    """Read the class number of each row's target, int64 [rows]; `target` is a table's column."""
    pieces = [class_codes(values, classes) for values in _read_targets(file, data_file, target)]
    return np.concatenate([np.empty(0, dtype=np.int64), *pieces])


def _read_targets(
    file: BinaryIO, data_file: DataFile, target: str | None
) -> Iterator[Sequence[Value]]:
    if target is None:
        yield from (values.tolist() for _, values in Npz(file).read_pieces("targets"))
        return
    options = data_file.parse_options
    for names, block in read_table_blocks(file, data_file.type, options, DataErrors()):
        yield block.columns[names.index(target)]
