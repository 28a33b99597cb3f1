"""Some rows of a dataset, read from its file: begins at the nearest known row before them."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from jobs.datasets.columns import floats
from jobs.datasets.dataset import Stored
from jobs.datasets.formats.csv_format import CsvReader
from jobs.datasets.formats.faults import Faults
from jobs.datasets.formats.jsonl import JsonlReader
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.table import Reader, Table
from jobs.spec.profiles import Column

PIECE = 1 << 16


def rows(file: BinaryIO, stored: Stored, after: int, limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` rows behind row `after` (0: from the first)."""
    if stored.profile.columns is None:
        return _of_arrays(file, after, limit)
    found: list[dict[str, Any]] = []
    for table in _tables(file, stored, after):
        skip = max(0, after + 1 - table.first)
        found += _objects(table, stored.profile.columns, skip, limit - len(found))
        if len(found) == limit:
            break
    return found


def _tables(file: BinaryIO, stored: Stored, after: int) -> Iterator[Table]:
    columns = stored.profile.columns or []
    row, offset = max((mark for mark in stored.marks if mark[0] <= after + 1), default=(1, 0))
    names = [column.name for column in columns]
    faults = Faults()
    reader: Reader = JsonlReader(faults, names=names, first=row, offset=offset)
    if stored.dataset.type == "text/csv":
        delimiter = stored.dataset.delimiter or "comma"
        reader = CsvReader(faults, delimiter, names=names, first=row, offset=offset)
    file.seek(offset)
    while piece := file.read(PIECE):
        yield from reader.feed(piece)
    yield from reader.finish()


def _objects(
    table: Table, columns: list[Column], skip: int, limit: int
) -> Iterator[dict[str, Any]]:
    names = [column.name for column in columns]
    shown: list[list[Any]] = []
    for column, values in zip(columns, table.columns, strict=True):
        some = values[skip : skip + limit]
        shown.append(floats(some).tolist() if column.type == "number" else list(some))
    for row in zip(*shown, strict=True):
        yield dict(zip(names, row, strict=True))


def _of_arrays(file: BinaryIO, after: int, limit: int) -> list[dict[str, Any]]:
    npz = Npz(file)
    parts = {name: _values(npz, name, after, limit) for name in ("inputs", "targets")}
    return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]


def _values(npz: Npz, name: str, after: int, limit: int) -> list[Any]:
    found: list[Any] = []
    if after >= npz.members[name].rows:
        return found
    for _, values in npz.pieces(name, after):
        found += values[: limit - len(found)].tolist()
        if len(found) == limit:
            break
    return found
