"""The rows of a table that a job uses: those without a gap in the columns it uses."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cells import CellParser
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.readers import read_table_blocks
from jobs.spec.dataset_binding import DataFile


def read_names(file: BinaryIO, data_file: DataFile) -> list[str]:
    """Return the names of a table's columns."""
    blocks = read_table_blocks(file, data_file.type, data_file.parse_options, DataErrors())
    return next(iter(blocks)).names


def read_kept_rows(
    file: BinaryIO, data_file: DataFile, used_columns: Sequence[str]
) -> NDArray[np.int64]:
    """Return the numbers (from 0) of the rows without a gap in these columns, int64 [rows]."""
    options, is_kept = data_file.parse_options, np.ones(data_file.rows, np.bool_)
    parser = CellParser(options)
    for names, block in read_table_blocks(file, data_file.type, options, DataErrors()):
        rows = slice(block.first - 1, block.first - 1 + block.rows)
        is_kept[rows] = ~parser.gap_mask(
            [block.columns[names.index(name)] for name in used_columns]
        )
    return np.flatnonzero(is_kept)
