"""Bytes that come in any pieces, cut into blocks of whole rows. Knows newlines and quotes only.

Where it cuts depends on the bytes alone, never on the pieces in which they came: so whatever is
decided a block at a time is decided alike for the same bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jobs.datasets.formats.faults import refuse

BLOCK = 1 << 18  # bytes of one block, about
LONGEST = 1 << 20  # bytes of one row, and of newlines in a row
NEWLINE, QUOTE = 10, 34


class Block(NamedTuple):
    """Whole rows, without the newline after the last; `offset` is where they begin in the file."""

    offset: int
    data: bytes


class Cutter:
    """Cuts at newlines; with `quotes`, not at those between quotes."""

    def __init__(self, *, quotes: bool, offset: int = 0) -> None:
        self._quotes, self._offset = quotes, offset
        self._held = bytearray()
        self._wanted = BLOCK  # bytes that must be there before the next cut is looked for

    def feed(self, data: bytes) -> Iterator[Block]:
        """Take some more bytes; give the blocks that are whole now."""
        self._held += data
        while len(self._held) >= self._wanted:
            stop = self._last_row_end(bytes(self._held[: self._wanted]))
            if stop:
                yield self._cut(stop)
                self._wanted = BLOCK
            elif self._wanted >= LONGEST:
                raise refuse(None, None, f"rows of at most {LONGEST:,} bytes; is a quote unclosed?")
            else:
                self._wanted *= 2

    def finish(self) -> Iterator[Block]:
        """Give what is left when all bytes have come; newlines at the end are no rows."""
        end = len(bytes(self._held).rstrip(b"\r\n"))
        if end:
            yield self._cut(end)
        self._held.clear()

    def _cut(self, stop: int) -> Block:
        """Take the rows before `stop`; more newlines behind them stay: they may be blank rows."""
        block = Block(self._offset, bytes(self._held[:stop]))
        newline = 2 if self._held[stop : stop + 2] == b"\r\n" else 1
        del self._held[: stop + newline]
        self._offset += stop + newline
        return block

    def _last_row_end(self, window: bytes) -> int:
        """Where the last whole row of a window ends, its newline left out; 0 if none does."""
        ends = np.flatnonzero(np.frombuffer(window, np.uint8) == NEWLINE)
        if self._quotes and QUOTE in window:
            quotes = np.flatnonzero(np.frombuffer(window, np.uint8) == QUOTE)
            ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if not len(ends):
            return 0
        return len(window[: int(ends[-1])].rstrip(b"\r\n"))
