"""Read Parquet files: row groups in batches of bounded memory. Knows no store.

Needs pyarrow, which is an extra; only what is called here imports it. Sizes in a file are not
trusted: those of its metadata and pages are checked before pyarrow reads them.
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO

from jobs.datasets.formats.data_errors import (
    BadData,
    DataError,
    DataErrors,
    MissingExtra,
    data_error,
)
from jobs.datasets.formats.parquet_footer import (
    DELTA_LENGTHS,
    DELTA_PREFIXES,
    FILE_RULE,
    MAX_FOOTER_BYTES,
    RowGroup,
    read_row_groups,
)
from jobs.datasets.formats.parquet_pages import GroupSize, PageScanner
from jobs.datasets.formats.table import (
    MAX_NAME_CHARACTERS,
    RowBlock,
    TableReader,
    Value,
    check_names,
)
from jobs.spec.profiles import MAX_COLUMNS, MediaType

if TYPE_CHECKING:
    import pyarrow.parquet

PARQUET: MediaType = "application/vnd.apache.parquet"
REQUIREMENTS = "requirements-parquet.txt"
MAX_LIST_LENGTH = 1_000_000  # in the metadata
MAX_SCHEMA_DEPTH = 32
MIN_STREAM_BYTES, MAX_STREAM_BYTES = 1 << 12, 1 << 16  # read at a time from a column
TOTAL_STREAM_BYTES = 1 << 25  # of all columns, as far as the least allows
USUAL_BLOCK_CELLS, MAX_BLOCK_CELLS = 1 << 17, 1 << 20
MIN_BLOCK_ROWS = 100  # each column of each block has its price, so wide tables have larger ones
MAX_BLOCK_BYTES = 1 << 25
#: runs of one value are packed into some bytes, and each of its cells costs its time
MIN_CELLS, MAX_CELLS_PER_BYTE = 1 << 22, 128
MIN_CELL_BYTES = 2  # of a cell of a CSV, its separator included
PANDAS_INDEX = "__index_level_0__"


def require_pyarrow() -> None:
    """Raise MissingExtra where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra(PARQUET, "pyarrow", REQUIREMENTS)


class ParquetReader(TableReader):
    """Reads a Parquet file; with `names`, its columns as read before, from row `first` on.

    `max_bytes` bounds its cells: a CSV of as many bytes could have them.
    """

    file_rule = f"{FILE_RULE} that can be read"

    def __init__(
        self,
        file: BinaryIO,
        errors: DataErrors,
        *,
        names: list[str] | None = None,
        first: int = 1,
        max_bytes: int | None = None,
    ) -> None:
        require_pyarrow()
        super().__init__(errors, names, first)
        self._file, self._max_bytes = file, max_bytes
        self._widths: list[int] = []  # columns of each field; 0: one, which is no list
        self._num_cells = 0

    def _read_piece(self, data: bytes) -> Iterator[RowBlock]:
        """Ignore the bytes: the file is read as a whole."""
        return iter(())

    def _read_rest(self) -> Iterator[RowBlock]:
        groups = read_row_groups(self._file)
        table = _open(self._file)
        self._check_sizes(table.metadata, groups)
        check_fields(table.schema_arrow)
        stream_bytes = TOTAL_STREAM_BYTES // table.metadata.num_columns
        stream_bytes = min(max(stream_bytes, MIN_STREAM_BYTES), MAX_STREAM_BYTES)
        table = _open(self._file, _dictionary_columns(table, groups), stream_bytes)
        pages, start = PageScanner(self._file), 1
        for at, group in enumerate(groups):
            stop = start + group.rows
            if stop > self._next_row:
                size = pages.measure(group)
                self._num_cells += size.cells
                self._check_cells(self._num_cells)
                rows = _batch_rows(size, group.rows)
                batches = table.iter_batches(rows, row_groups=[at], use_threads=False)
                yield from self._read_batches(batches, start)
                if self._next_row != stop:
                    raise data_error(f"{FILE_RULE} with as many rows as it says", group.rows)
            start = stop

    def _check_sizes(self, metadata: Any, groups: list[RowGroup]) -> None:
        if metadata.num_columns > MAX_COLUMNS:
            raise data_error(f"at most {MAX_COLUMNS:,} columns", metadata.num_columns)
        if metadata.num_rows < 1 or metadata.num_columns < 1:
            raise data_error("at least one row and one column")
        rows = sum(group.rows for group in groups)
        if (metadata.num_row_groups, metadata.num_rows) != (len(groups), rows):
            raise data_error(f"{FILE_RULE} with as many rows as it says", metadata.num_rows)
        self._check_cells(metadata.num_rows * metadata.num_columns)

    def _check_cells(self, cells: int) -> None:
        if self._max_bytes is None:
            return
        by_bytes = MIN_CELLS + MAX_CELLS_PER_BYTE * self._file.seek(0, os.SEEK_END)
        max_cells = min(self._max_bytes // MIN_CELL_BYTES, by_bytes)
        if cells > max_cells:
            raise data_error(f"at most {max_cells:,} cells in a file of this size", cells)

    def _read_batches(self, batches: Iterator[Any], row: int) -> Iterator[RowBlock]:
        """Yield the rows of a row group that begins with row number `row`."""
        for batch in batches:
            skip = min(max(self._next_row - row, 0), batch.num_rows)
            if skip < batch.num_rows:
                yield self._make_block(batch.slice(skip), row + skip)
            row += batch.num_rows
        self._next_row = row

    def _make_block(self, batch: Any, first: int) -> RowBlock:
        from jobs.datasets.formats.arrow_cells import BadCell, read_cells, read_vectors

        if not self._widths:
            self._set_names(batch)
        columns: list[list[Value]] = []
        for name, array, width in zip(batch.schema.names, batch.columns, self._widths, strict=True):
            try:
                columns += read_vectors(array, width) if width else [read_cells(array)]
            except BadCell as error:
                raise data_error(error.rule, row=first + error.row, column=name) from None
        return RowBlock(first, columns, 0)

    def _set_names(self, batch: Any) -> None:
        """Name the columns; the first list of each field of lists says how many it becomes."""
        from jobs.datasets.formats.arrow_cells import list_width

        if self.names:
            known = set(self.names)
            self._widths = [_named_width(field, known) for field in batch.schema.names]
            return
        self._widths = [list_width(array) for array in batch.columns]
        for name, width in zip(batch.schema.names, self._widths, strict=True):
            self.names += [f"{name}[{at}]" for at in range(width)] if width else [name]
        check_names(self.names, self._errors)
        if PANDAS_INDEX in self.names:
            self.index_column = self.names.index(PANDAS_INDEX)


def _named_width(field: str, names: set[str]) -> int:
    """Return the number of columns that a field became; 0 if it is one, which is no list."""
    if field in names:
        return 0
    return next(at for at in count() if f"{field}[{at}]" not in names)


def _batch_rows(size: GroupSize, num_rows: int) -> int:
    """Return how many rows are read at a time."""
    cells = max(size.cells / max(num_rows, 1), 1)  # of a row
    by_cells = int(max(USUAL_BLOCK_CELLS / cells, min(MIN_BLOCK_ROWS, MAX_BLOCK_CELLS / cells)))
    by_bytes = int(MAX_BLOCK_BYTES / max(size.row_bytes, 1))
    return max(1, min(by_cells, by_bytes))


def check_fields(schema: Any) -> None:
    """Raise BadData with every field whose values are no cells."""
    from jobs.datasets.formats.arrow_types import COLUMN_RULE, is_readable

    errors = [
        DataError(None, field.name[:MAX_NAME_CHARACTERS], COLUMN_RULE, str(field.type)[:200])
        for field in schema
        if not is_readable(field.type)
    ]
    if errors:
        raise BadData(errors)


def _open(
    file: BinaryIO, dictionary_columns: Sequence[str] = (), stream_bytes: int = MIN_STREAM_BYTES
) -> "pyarrow.parquet.ParquetFile":
    import pyarrow.parquet

    file.seek(0)
    return pyarrow.parquet.ParquetFile(
        file,
        read_dictionary=list(dictionary_columns),
        buffer_size=stream_bytes,
        pre_buffer=False,
        coerce_int96_timestamp_unit="us",
        thrift_string_size_limit=MAX_FOOTER_BYTES,
        thrift_container_size_limit=MAX_LIST_LENGTH,
        page_checksum_verification=True,
        schema_depth_limit=MAX_SCHEMA_DEPTH,
    )


def _dictionary_columns(table: "pyarrow.parquet.ParquetFile", groups: list[RowGroup]) -> list[str]:
    """Return the columns to read as dictionaries, in which repeated texts take no memory.

    pyarrow cannot do that with texts in a delta encoding.
    """
    from jobs.datasets.formats.arrow_types import is_text

    delta_columns = {
        chunk.column
        for group in groups
        for chunk in group.chunks
        if chunk.encodings & {DELTA_LENGTHS, DELTA_PREFIXES}
    }
    texts = (field.name for field in table.schema_arrow if is_text(field.type))
    return [name for name in texts if name not in delta_columns]
