"""The rows of an uploaded dataset for a net that was trained on another one. Knows no spec.

What the columns mean to the net stands in its config; how cells are written, in the dataset's
options. A cell that the net cannot read stays as it is, so that the net's `encode` says why.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cells import CellParser, Kind
from jobs.datasets.formats.damage import StoredPath, report_damage
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.formats.table import Value
from jobs.spec.dataset_binding import DataFile
from ticks.answers.nets import LoadedNet
from ticks.answers.work import JsonDict, refuse
from ticks.data.batches import EVAL_BLOCK_ROWS
from ticks.data.dataset_files import Announce, read_with_checksum

NPZ_TYPE, TEXT_TYPE = "application/x-npz", "text/plain"
#: pieces of a file that are hashed in one step
HASHED_PIECES = 16


class RecordBlock(NamedTuple):
    """Rows in their order, with their numbers (from 1); `targets` are as they were written."""

    numbers: Sequence[int]
    records: Sequence[JsonDict]
    targets: Sequence[Value]

    def take(self, positions: Sequence[int]) -> "RecordBlock":
        """Return the rows at these positions."""
        return RecordBlock(
            [self.numbers[at] for at in positions],
            [self.records[at] for at in positions],
            [self.targets[at] for at in positions],
        )


def check_file(path: StoredPath, sha256: str, announce: Announce) -> Iterator[None]:
    """Hash a dataset's file, in steps. Raises DamagedDataset at its end."""
    for number, _ in enumerate(read_with_checksum(path, sha256, announce)):
        if number % HASHED_PIECES == HASHED_PIECES - 1:
            yield


def require_form(net: LoadedNet, file: DataFile) -> None:
    """Raise RefusedRequest where the dataset has another form than the data of the training."""
    is_text = net.config["objective"] == "language_model"
    has_names = net.config.get("columns") is not None
    needed = "a text" if is_text else "a table" if has_names else "an NPZ file"
    forms = {TEXT_TYPE: "a text", NPZ_TYPE: "an NPZ file"}
    if forms.get(file.type, "a table") != needed:
        raise refuse("/dataset", f"{needed}, as the data of the training", file.type)


def read_records(
    config: Mapping[str, Any],
    path: StoredPath,
    file: DataFile,
    target: str | None = None,
    *,
    drops_gaps: bool = False,
) -> Iterator[RecordBlock]:
    """Yield the rows of a table as records that the net's `encode` reads; a gap is None.

    Blocks have EVAL_BLOCK_ROWS rows or fewer. Without a `target`, targets are None. `drops_gaps`:
    rows that lack a value are left out. Raises RefusedRequest for a missing column.
    """
    parser, columns = CellParser(file.parse_options), config["columns"]
    with report_damage(path, file.sha256):
        for names, block in read_table_blocks(path, file.type, file.parse_options, DataErrors()):
            _require_columns(names, [*(column["name"] for column in columns), target])
            cells = dict(zip(names, block.columns, strict=True))
            values = {
                column["name"]: to_cells(parser, column, cells[column["name"]])
                for column in columns
            }
            targets = cells.get(target or "", [None] * block.rows)
            for start in range(0, block.rows, EVAL_BLOCK_ROWS):
                rows = slice(start, start + EVAL_BLOCK_ROWS)
                records = [
                    dict(zip(values, row, strict=True))
                    for row in zip(*(column[rows] for column in values.values()), strict=True)
                ]
                numbers = range(block.first + start, block.first + start + len(records))
                whole = RecordBlock(numbers, records, targets[rows])
                yield _without_gaps(whole, parser) if drops_gaps else whole


def _require_columns(names: Sequence[str], used: Sequence[str | None]) -> None:
    for name in used:
        if name is not None and name not in names:
            raise refuse("/dataset", f"a table with the column {name!r}", list(names[:20]))


def _without_gaps(block: RecordBlock, parser: CellParser) -> RecordBlock:
    pairs = enumerate(zip(block.records, block.targets, strict=True))
    return block.take(
        [
            at
            for at, (record, target) in pairs
            if None not in record.values() and not parser.is_missing(target)
        ]
    )


def to_cells(
    parser: CellParser, column: Mapping[str, Any], values: Sequence[Value]
) -> Sequence[Value]:
    """Return a column's cells: numbers as such, gaps as None, others as they were uploaded."""
    if column["type"] == "number" or column.get("by_value"):
        return [_to_number(parser, value) for value in values]
    return [None if parser.is_missing(value) else value for value in values]


def _to_number(parser: CellParser, value: Value) -> Value:
    kind, number = parser.classify(value)
    return {Kind.MISSING: None, Kind.NUMBER: number}.get(kind, value)


def read_arrays(
    net: LoadedNet, path: StoredPath, file: DataFile, role: Literal["inputs", "targets"]
) -> Iterator[NDArray[np.float64]]:
    """Yield the inputs or the targets of an NPZ file in pieces of rows, float64 [rows, columns]."""
    with (
        report_damage(path, file.sha256),
        path.open("rb") as opened,
        Npz(opened, file.parse_options) as npz,
    ):
        shape, inputs = npz.members["inputs"].shape, net.config["inputs"]
        if tuple(shape[1:]) != (inputs,):
            raise refuse("/dataset", f"inputs of {inputs} numbers a row", list(shape))
        for _, values in npz.read_pieces(role):
            yield values.reshape(len(values), -1).astype(np.float64)
