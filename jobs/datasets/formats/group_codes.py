"""Read columns of a table as groups of rows: cells that are written alike are one group."""

from array import array
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cells import spelling
from jobs.datasets.formats.damage import StoredPath
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.readers import read_table_blocks
from jobs.spec.dataset_binding import DataFile

GroupCodes = NDArray[np.int64]


def read_group_codes(
    file: StoredPath | BinaryIO, data_file: DataFile, columns: Sequence[str]
) -> dict[str, GroupCodes]:
    """Read each column's group of each row, int64 [rows], numbered from 0 as groups appear."""
    numbers: dict[str, dict[str, int]] = {name: {} for name in columns}
    codes = {name: array("q") for name in columns}
    blocks = read_table_blocks(file, data_file.type, data_file.parse_options, DataErrors())
    for names, block in blocks:
        for name in columns:
            known = numbers[name]
            values = block.columns[names.index(name)]
            codes[name].extend(
                known.setdefault(spelling(value).strip(), len(known)) for value in values
            )
    return {name: np.frombuffer(codes[name], dtype=np.int64) for name in columns}
