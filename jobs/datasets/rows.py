"""Read some rows of a dataset from its file, from the nearest noted offset before them."""

from collections.abc import Iterator
from math import isnan
from typing import Any, BinaryIO

from jobs.datasets.dataset import DatasetRecord
from jobs.datasets.formats.cells import CellParser
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.npz import ROLES, Npz
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.formats.table import RowBlock, Value
from jobs.spec.profiles import Column


def read_rows(
    file: BinaryIO, record: DatasetRecord, after: int, limit: int
) -> list[dict[str, Any]]:
    """Return up to `limit` rows after row `after` (0: from the first)."""
    if record.profile.columns is None:
        options = record.known_dataset.file.parse_options
        with Npz(file, options) as npz:
            return _to_objects({role: _read_array(npz, role, after, limit) for role in ROLES})
    rows: list[dict[str, Any]] = []
    parser = CellParser(record.known_dataset.file.parse_options)
    for block in _read_blocks(file, record, after):
        skip = max(0, after + 1 - block.first)
        stop = skip + limit - len(rows)
        columns = zip(record.profile.columns, block.columns, strict=True)
        cells = {
            column.name: _to_cells(parser, column, values[skip:stop]) for column, values in columns
        }
        rows += _to_objects(cells)
        if len(rows) == limit:
            break
    return rows


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


def _to_objects(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return an object for each row of some columns."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _read_array(npz: Npz, role: str, after: int, limit: int) -> list[Any]:
    rows: list[Any] = []
    if after >= npz.members[role].rows:
        return rows
    for _, values in npz.read_pieces(role, after):
        rows += values[: limit - len(rows)].tolist()
        if len(rows) == limit:
            break
    return rows
