"""Bytes that come in any pieces, cut into blocks of whole rows. Knows newlines and quotes only.

Where it cuts depends on the bytes alone, never on the pieces in which they came: so whatever is
decided a block at a time is decided alike for the same bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jobs.datasets.formats.data_errors import data_error

BLOCK_BYTES = 1 << 18  # bytes of one block, about
MAX_ROW_BYTES = 1 << 20  # bytes of one row, and of newlines in a row
NEWLINE, QUOTE = 10, 34


class ByteBlock(NamedTuple):
    """Whole rows, without the newline after the last; `offset` is where they begin in the file."""

    offset: int
    data: bytes


class RowSplitter:
    """Cuts at newlines; with `quotes`, not at those between quotes."""

    def __init__(self, *, has_quotes: bool, offset: int = 0) -> None:
        self._has_quotes, self._offset = has_quotes, offset
        self._buffer = bytearray()
        self._window_bytes = (
            BLOCK_BYTES  # bytes that must be there before the next cut is looked for
        )

    def feed(self, data: bytes) -> Iterator[ByteBlock]:
        """Take some more bytes; give the blocks that are whole now."""
        self._buffer += data
        while len(self._buffer) >= self._window_bytes:
            stop = self._last_row_end(bytes(self._buffer[: self._window_bytes]))
            if stop:
                yield self._take_block(stop)
                self._window_bytes = BLOCK_BYTES
            elif self._window_bytes >= MAX_ROW_BYTES:
                raise data_error(
                    None, None, f"rows of at most {MAX_ROW_BYTES:,} bytes; is a quote unclosed?"
                )
            else:
                self._window_bytes *= 2

    def finish(self) -> Iterator[ByteBlock]:
        """Give what is left when all bytes have come; newlines at the end are no rows."""
        end = len(bytes(self._buffer).rstrip(b"\r\n"))
        if end:
            yield self._take_block(end)
        self._buffer.clear()

    def _take_block(self, stop: int) -> ByteBlock:
        """Take the rows before `stop`; more newlines behind them stay: they may be blank rows."""
        block = ByteBlock(self._offset, bytes(self._buffer[:stop]))
        newline = 2 if self._buffer[stop : stop + 2] == b"\r\n" else 1
        del self._buffer[: stop + newline]
        self._offset += stop + newline
        return block

    def _last_row_end(self, window: bytes) -> int:
        """Where the last whole row of a window ends, its newline left out; 0 if none does."""
        ends = np.flatnonzero(np.frombuffer(window, np.uint8) == NEWLINE)
        if self._has_quotes and QUOTE in window:
            quotes = np.flatnonzero(np.frombuffer(window, np.uint8) == QUOTE)
            ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if not len(ends):
            return 0
        return len(window[: int(ends[-1])].rstrip(b"\r\n"))
