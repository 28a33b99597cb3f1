"""Split streamed bytes into blocks of complete rows. Knows newlines and quotes only.

The cuts depend on the bytes alone, never on the pieces in which they came, so that decisions made
per block are the same for the same bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jobs.datasets.formats.data_errors import data_error

BLOCK_BYTES = 1 << 17  # approximate: what is computed of a block fits a processor's cache
MAX_ROW_BYTES = 1 << 20  # of a row, and of consecutive newlines
NEWLINE, QUOTE = 10, 34
BOM = b"\xef\xbb\xbf"


class ByteBlock(NamedTuple):
    """Complete rows without the last newline; `offset` is their first byte in the file."""

    offset: int
    data: bytes


class RowSplitter:
    """Cuts at newlines; with `has_quotes`, only at those outside quotes.

    Lines of nothing but `blanks` at the end of the file are no rows.
    """

    def __init__(self, *, has_quotes: bool, offset: int = 0, blanks: bytes = b" \t") -> None:
        self._has_quotes, self._offset, self._blanks = has_quotes, offset, blanks
        self._buffer = bytearray()
        self._window_bytes = BLOCK_BYTES  # buffered bytes from which the next cut is searched

    def feed(self, data: bytes) -> Iterator[ByteBlock]:
        """Add the next bytes and yield the complete blocks. Raises BadData for an overlong row."""
        self._buffer += data
        while len(self._buffer) >= self._window_bytes:
            stop = self._last_row_end(bytes(self._buffer[: self._window_bytes]))
            if stop:
                yield self._take_block(stop)
                self._window_bytes = BLOCK_BYTES
            elif self._window_bytes >= MAX_ROW_BYTES:
                raise data_error(f"rows of at most {MAX_ROW_BYTES:,} bytes; is a quote unclosed?")
            else:
                self._window_bytes *= 2

    def finish(self) -> Iterator[ByteBlock]:
        """Yield the rest after the last byte; blank lines at the end are no rows."""
        if end := self._end_of_rows(bytes(self._buffer)):
            yield self._take_block(end)
        self._buffer.clear()

    def _take_block(self, stop: int) -> ByteBlock:
        """Take the rows before `stop` with one newline; further newlines may be blank rows."""
        block = ByteBlock(self._offset, bytes(self._buffer[:stop]))
        newline = 2 if self._buffer[stop : stop + 2] == b"\r\n" else 1
        del self._buffer[: stop + newline]
        self._offset += stop + newline
        return block

    def _last_row_end(self, window: bytes) -> int:
        """Return the end of the last complete row, without its newline; 0 if there is none."""
        ends = np.flatnonzero(np.frombuffer(window, np.uint8) == NEWLINE)
        if self._has_quotes and QUOTE in window:
            quotes = np.flatnonzero(np.frombuffer(window, np.uint8) == QUOTE)
            ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if not len(ends):
            return 0
        return self._end_of_rows(window[: int(ends[-1])])

    def _end_of_rows(self, data: bytes) -> int:
        """Return where the last line ends that is not blank, without its newline."""
        last = len(data.rstrip(b"\r\n" + self._blanks))
        end = data.find(b"\n", last) if last else 0
        return len(data[: end if end >= 0 else len(data)].rstrip(b"\r"))
