"""Read tables of any format as blocks of rows. Knows no store and no type of a column."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, NamedTuple, cast

from jobs.datasets.formats.csv_format import CsvReader
from jobs.datasets.formats.damage import StoredPath, is_stream
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.jsonl import JsonlReader
from jobs.datasets.formats.parquet import PARQUET, ParquetReader
from jobs.datasets.formats.table import RowBlock, StreamedReader
from jobs.spec.profiles import MediaType, ParseOptions

READ_SIZE = 1 << 18  # bytes


class NamedBlock(NamedTuple):
    """Consecutive rows, with the names of all columns."""

    names: list[str]
    block: RowBlock


def read_table_blocks(
    file: StoredPath | BinaryIO,
    media_type: MediaType,
    options: ParseOptions,
    errors: DataErrors,
    *,
    pieces: Iterable[bytes] | None = None,
    names: list[str] | None = None,
    first: int = 1,
    offset: int = 0,
) -> Iterator[NamedBlock]:
    """Yield the rows of a table of any format; blocks of one table may differ in length.

    `pieces` are the bytes of the file from `offset` on, if the caller reads them anyway (to compute
    their checksum); they are consumed before the last block is yielded. With `names` the rows from
    number `first` (from 1) on are read: where a format is streamed, they begin at byte `offset`.
    Raises BadData; MissingExtra where the format needs a package that is not installed.
    """
    if media_type == PARQUET:
        for _ in pieces or ():
            pass
        with _opened(file) as whole_file:
            parquet = ParquetReader(whole_file, errors, names=names, first=first)
            yield from (NamedBlock(parquet.names, block) for block in parquet.finish())
        return
    reader = make_table_reader(media_type, options, errors, names=names, first=first, offset=offset)
    for piece in _read_bytes(file, offset) if pieces is None else pieces:
        yield from (NamedBlock(reader.names, block) for block in reader.feed(piece))
    yield from (NamedBlock(reader.names, block) for block in reader.finish())


def _read_bytes(file: StoredPath | BinaryIO, offset: int) -> Iterator[bytes]:
    with _opened(file) as opened:
        opened.seek(offset)
        yield from iter(partial(opened.read, READ_SIZE), b"")


@contextmanager
def _opened(file: StoredPath | BinaryIO) -> Iterator[BinaryIO]:
    """Open a path; a file is open already, and stays so."""
    if is_stream(file):
        yield file
    else:
        with cast(StoredPath, file).open("rb") as opened:
            yield opened


def make_table_reader(
    media_type: MediaType,
    options: ParseOptions,
    errors: DataErrors,
    *,
    names: list[str] | None = None,
    first: int = 1,
    offset: int = 0,
) -> StreamedReader:
    """Make the reader of a streamed table.

    With `names` the bytes begin with row `first` (from 1) at byte `offset` of the file.
    """
    if media_type == "application/x-ndjson":
        return JsonlReader(errors, names=names, first=first, offset=offset)
    return CsvReader(errors, options, names=names, first=first, offset=offset)
