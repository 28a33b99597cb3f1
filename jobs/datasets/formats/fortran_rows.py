"""Read rows of a matrix whose columns lie one after another, in bounded memory. Knows no zip."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 23  # of rows in memory at a time


class FortranRows:
    """The rows of a matrix [rows, columns] that begins at byte `offset` of a file."""

    def __init__(
        self, file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]
    ) -> None:
        self._file, self._offset, self._dtype = file, offset, dtype
        self._rows, self._columns = shape

    def read_pieces(self, row: int = 0) -> Iterator[tuple[int, NDArray[np.generic]]]:
        """Yield (first row, rows) from a row (from 0) on. Raises EOFError for a short file."""
        num_rows = max(1, BLOCK_BYTES // (self._columns * self._dtype.itemsize))
        while row < self._rows:
            values = self._read(row, min(num_rows, self._rows - row))
            yield row, values
            row += len(values)

    def _read(self, first: int, count: int) -> NDArray[np.generic]:
        """Read rows column by column: each is one run of bytes in the file."""
        values = np.empty((self._columns, count), self._dtype)
        size = self._dtype.itemsize
        for column in range(self._columns):
            offset = self._offset + (column * self._rows + first) * size
            target = memoryview(values[column].view(np.uint8))
            if os.preadv(self._file.fileno(), [target], offset) < len(target):
                raise EOFError("it ends early")
        return values.T


@contextmanager
def unpacked_file(pieces: Iterable[bytes], size: int) -> Iterator[BinaryIO]:
    """Write `size` bytes to a temporary file, which is gone after the block.

    Raises OSError (ENOSPC) where there is no room for them.
    """
    if shutil.disk_usage(tempfile.gettempdir()).free < size:
        raise OSError(errno.ENOSPC, "no room to unpack an array", tempfile.gettempdir())
    with tempfile.TemporaryFile(buffering=0) as file:
        for piece in pieces:
            file.write(piece)
        yield file
