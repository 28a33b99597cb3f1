"""Find the cells of many rows of CSV at once, as positions in their bytes. Knows no type."""

import re
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
NEWLINE, QUOTE = 10, 34
PADDING = 16  # bytes before the first row, so that there are words before any position
BLANK_LINE = re.compile(r"^[ \t]*$", re.MULTILINE)


class CellGrid:
    """The cells of some rows: where each begins and ends, int64 [rows, columns].

    `points` is where the decimal sign of a cell is: its end where there is none, -1 where there
    are several. Quotes around a cell are no part of it.
    """

    def __init__(
        self, padded: bytes, starts: Positions, ends: Positions, points: Positions
    ) -> None:
        self.starts, self.ends, self.points = starts, ends, points
        self.bytes: Bytes = np.frombuffer(padded, np.uint8)
        self._padded, self._words = padded, self.bytes.view("<u8")
        self._text = padded.decode() if padded.isascii() else None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.starts)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return int(self.starts.shape[1])

    @cached_property
    def column_numbers(self) -> Positions:
        """The column of each cell of the flat grid."""
        return np.tile(np.arange(self.columns), self.rows)

    @cached_property
    def last_words(self) -> Words:
        """The 8 bytes before the end of each cell of the flat grid."""
        return self.words_before(self.ends.ravel())

    def words_before(self, positions: Positions) -> Words:
        """Return the 8 bytes before each position as a word, the nearest byte the highest."""
        first = positions - 8
        low, shift = first >> 3, ((first & 7) << 3).view(np.uint64)
        high_part = self._words.take(low + 1, mode="clip") << np.uint64(1)
        words: Words = self._words.take(low, mode="clip") >> shift
        words |= high_part << (np.uint64(63) - shift)
        return words

    def texts(self, cells: Positions) -> list[str]:
        """Return cells as texts; `cells` are their positions in the flat grid."""
        starts, ends = self.starts.ravel()[cells].tolist(), self.ends.ravel()[cells].tolist()
        if (text := self._text) is not None:
            return [text[start:end] for start, end in zip(starts, ends, strict=True)]
        padded = self._padded
        return [padded[start:end].decode() for start, end in zip(starts, ends, strict=True)]

    def all_texts(self) -> list[list[str]]:
        """Return the cells of all columns."""
        cells = np.arange(self.starts.size).reshape(-1, self.columns)
        return [self.texts(cells[:, column]) for column in range(self.columns)]


def find_cells(data: bytes, width: int, *, delimiter: str, decimal: str) -> CellGrid | None:
    """Find the cells of rows of `width` fields.

    None where a row has another width, uses quotes inside its cells or leaves one open: those must
    be read row by row. The data are UTF-8 without a carriage return before a newline, or a newline
    at the end.
    """
    if b"\0" in data or (width == 1 and BLANK_LINE.search(data.decode())):
        return None
    padded = b"\0" * PADDING + data + b"\n"
    padded += b"\0" * (16 - len(padded) % 8)
    raw = np.frombuffer(padded, np.uint8)
    separator, point = ord(delimiter), ord(decimal)
    signs = np.flatnonzero((raw == separator) | (raw == NEWLINE) | (raw == point))
    characters = raw[signs]
    is_end = (characters == separator) | (characters == NEWLINE)
    quotes = np.flatnonzero(raw == QUOTE) if b'"' in data else None
    if quotes is not None:
        if len(quotes) % 2:
            return None
        is_end &= np.searchsorted(quotes, signs) % 2 == 0
    at = np.flatnonzero(is_end)
    if not _is_regular(characters[at], width):
        return None
    ends = signs[at]
    starts = np.empty_like(ends)
    starts[0], starts[1:] = PADDING, ends[:-1] + 1
    points = _find_points(signs, characters == point, at, ends)
    if quotes is not None:
        is_quoted = _find_quoted(raw, quotes, starts, ends)
        if is_quoted is None:
            return None
        points = points - (is_quoted & (points == ends))
        starts, ends = starts + is_quoted, ends - is_quoted
    shape = (-1, width)
    return CellGrid(padded, starts.reshape(shape), ends.reshape(shape), points.reshape(shape))


def _find_points(
    signs: Positions, is_point: NDArray[np.bool_], at: Positions, ends: Positions
) -> Positions:
    """Return the decimal sign of each cell; `at` are those of the signs that end the cells."""
    if len(signs) == len(ends):
        return ends
    inner = at.copy()  # signs inside each cell
    inner[1:] -= at[:-1] + 1
    points = np.where(inner == 1, signs.take(at - 1, mode="wrap"), ends)
    is_end = np.zeros(len(signs), np.bool_)
    is_end[at] = True
    if inner.max() > 1 or not (is_point | is_end).all():
        points[(inner > 1) | ((inner == 1) & ~is_point[at - 1])] = -1
    return points


def _is_regular(ends: Bytes, width: int) -> bool:
    """Return whether the bytes after the cells are those of rows of `width` fields."""
    if len(ends) % width:
        return False
    is_newline = ends.reshape(-1, width) == NEWLINE
    return bool(is_newline[:, -1].all() and not is_newline[:, :-1].any())


def _find_quoted(
    raw: Bytes, quotes: Positions, starts: Positions, ends: Positions
) -> NDArray[np.bool_] | None:
    """Return which cells are in quotes; None if there are quotes anywhere else."""
    num_quotes = np.diff(np.searchsorted(quotes, ends), prepend=0)
    is_quoted = num_quotes > 0
    first, last = starts[is_quoted], ends[is_quoted] - 1
    is_around = (raw[first] == QUOTE) & (raw[last] == QUOTE) & (num_quotes[is_quoted] == 2)
    return is_quoted if is_around.all() else None
