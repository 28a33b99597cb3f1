"""Read some rows of a dataset from its file, from the nearest noted offset before them."""

from collections.abc import Iterator
from math import isnan
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.dataset import DatasetRecord
from jobs.datasets.formats.cells import CellParser
from jobs.datasets.formats.data_errors import DataErrors, data_error
from jobs.datasets.formats.npz import ROLES, Npz
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.formats.table import RowBlock, Value
from jobs.spec.profiles import Column

CELLS_AT_ONCE = 1 << 12  # that become values at a time


def iter_rows(file: BinaryIO, record: DatasetRecord, after: int) -> Iterator[dict[str, Any]]:
    """Yield the rows after row `after` (0: from the first), as they are asked for."""
    for columns in _iter_columns(file, record, after):
        yield from (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )


def _iter_columns(
    file: BinaryIO, record: DatasetRecord, after: int
) -> Iterator[dict[str, list[Any]]]:
    """Yield the values of some consecutive rows at a time by column."""
    if record.profile.columns is None:
        yield from _iter_arrays(file, record, after)
        return
    if after >= (record.profile.rows or 0):
        return
    parser, rows = CellParser(record.known_dataset.file.parse_options), 0
    step = max(1, CELLS_AT_ONCE // len(record.profile.columns))
    for block in _read_blocks(file, record, after):
        for start in range(max(0, after + 1 - block.first), block.rows, step):
            columns = zip(record.profile.columns, block.columns, strict=True)
            yield {
                column.name: _to_cells(parser, column, values[start : start + step])
                for column, values in columns
            }
        rows = block.first + block.rows - 1
    if rows != record.profile.rows:
        raise data_error(f"{record.profile.rows} rows, not {rows}")


def _read_blocks(file: BinaryIO, record: DatasetRecord, after: int) -> Iterator[RowBlock]:
    offsets = (entry for entry in record.row_offsets if entry[0] <= after + 1)
    first_row, offset = max(offsets, default=(1, 0))
    return (
        block
        for _, block in read_table_blocks(
            file,
            record.dataset.type,
            record.known_dataset.file.parse_options,
            DataErrors(),
            names=[column.name for column in record.profile.columns or []],
            first=first_row,
            offset=offset,
        )
    )


def _to_cells(parser: CellParser, column: Column, values: list[Value]) -> list[Any]:
    """Return numbers as such, null where one is missing, and other cells as they were uploaded.

    So are the numbers of a column that has one in two spellings (1 and 1.0), since they would be
    two classes to a job that reads the column as a category.
    """
    is_ambiguous = column.spellings is not None and len(column.spellings) != column.distinct
    if column.type != "number" or is_ambiguous:
        return values
    return [None if isnan(number) else number for number in parser.numbers(values).tolist()]


def _iter_arrays(
    file: BinaryIO, record: DatasetRecord, after: int
) -> Iterator[dict[str, list[Any]]]:
    with Npz(file, record.known_dataset.file.parse_options) as npz:
        if after >= npz.members["inputs"].rows:
            return
        inputs, targets = (_iter_array_rows(npz, role, after) for role in ROLES)
        for pair in zip(inputs, targets, strict=True):
            yield {role: [values.tolist()] for role, values in zip(ROLES, pair, strict=True)}


def _iter_array_rows(npz: Npz, role: str, after: int) -> Iterator[NDArray[np.generic]]:
    for _, values in npz.read_pieces(role, after):
        yield from values
