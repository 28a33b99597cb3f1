"""Read the plain decimals of a grid of cells, all at once: an optional sign, digits, a fraction.

Every result is the float64 nearest to the text, as float() gives it: whole numbers below 2**53,
divided by a power of ten that float64 holds exactly. Other cells are left to CellParser.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cell_grid import CellGrid, Positions, Words

MAX_MANTISSA = 2.0**53
MAX_DIGITS = 18  # so that they fit 64 bits
POWERS = 10.0 ** np.arange(MAX_DIGITS + 1)
WHOLE_POWERS = np.array([10**exponent for exponent in range(MAX_DIGITS + 1)], np.uint64)
#: the highest 0 to 8 bytes of a word: the last characters before a position
HIGH_BYTES = np.array([0, *((1 << 64) - (1 << 64 - 8 * n) for n in range(1, 9))], np.uint64)
#: by the length of the decimal sign and what follows: the bytes of what follows (of a cell without
#: a sign, all bytes), and the power of ten to divide by
TAIL_BYTES = np.array([(1 << 64) - 1, *HIGH_BYTES[:8].tolist()], np.uint64)
TAIL_POWERS = np.array([1.0, *POWERS])
SIGNS = np.array([1.0, -1.0])
PLUS, MINUS = 43, 45
ZEROS = np.uint64(0x3030303030303030)  # eight characters 0
SIXES = np.uint64(0x0606060606060606)
HIGH_NIBBLES = np.uint64(0xF0F0F0F0F0F0F0F0)


class Decimals(NamedTuple):
    """Numbers float64 [rows, columns], and which cells were read; the others' numbers mean
    nothing."""

    values: NDArray[np.float64]
    is_read: NDArray[np.bool_]


def read_decimals(grid: CellGrid) -> Decimals:
    """Read the cells that are plain decimals."""
    shape = grid.starts.shape
    starts, ends, points = grid.starts.ravel(), grid.ends.ravel(), grid.points.ravel()
    first = grid.bytes.take(starts)
    is_negative = first == MINUS
    characters = ends - starts
    characters -= is_negative | (first == PLUS)
    tail = ends - points  # from the decimal sign on
    digits = characters - (tail > 0)
    mantissa, is_read = _read_short(grid.last_words, tail, digits)
    is_read &= (characters <= 8) & (digits > 0) & (points > 0)
    is_long = np.flatnonzero((characters > 8) & (digits <= MAX_DIGITS) & (points > 0))
    if len(is_long):
        fraction = np.maximum(tail[is_long] - 1, 0)
        mantissa[is_long], is_read[is_long] = _read_long(
            grid, points[is_long], ends[is_long], digits[is_long] - fraction, fraction
        )
    values = mantissa / TAIL_POWERS.take(tail, mode="clip")
    values *= SIGNS.take(is_negative.view(np.uint8))
    return Decimals(values.reshape(shape), is_read.reshape(shape))


def _read_short(
    words: Words, tail: Positions, digits: Positions
) -> tuple[Words, NDArray[np.bool_]]:
    """Return cells of at most 8 characters as whole numbers without their decimal sign.

    A word ends with the cell, so what is before the sign moves up by one byte, over it.
    """
    after = TAIL_BYTES.take(tail, mode="clip")
    joined = (words & after) | ((words << np.uint64(8)) & ~after)
    return _read_words(joined, HIGH_BYTES.take(digits, mode="clip"))


def _read_long(
    grid: CellGrid, points: Positions, ends: Positions, whole: Positions, fraction: Positions
) -> tuple[Words, NDArray[np.bool_]]:
    """Read up to 18 digits in words of 8; more than 2**53 is not read."""
    before, is_whole = _read_digits(grid, points, whole)
    after, is_fraction = _read_digits(grid, ends, fraction)
    mantissa = before * WHOLE_POWERS[fraction] + after
    return mantissa, is_whole & is_fraction & (mantissa <= MAX_MANTISSA)


def _read_digits(
    grid: CellGrid, ends: Positions, digits: Positions
) -> tuple[Words, NDArray[np.bool_]]:
    """Return the last `digits` (0 to 18) characters before `ends` as whole numbers."""
    total, is_decimal = np.zeros(len(ends), np.uint64), np.ones(len(ends), np.bool_)
    for done in (0, 8, 16):
        masks = HIGH_BYTES.take(digits - done, mode="clip")
        positions = np.maximum(ends - done, 8)
        number, is_number = _read_words(grid.words_before(positions), masks)
        total += number * WHOLE_POWERS[done]
        is_decimal &= is_number
    return total, is_decimal


def _read_words(words: Words, masks: Words) -> tuple[Words, NDArray[np.bool_]]:
    """Return the characters in the masks as numbers, and whether they are digits.

    Neighbouring digits are joined to pairs, pairs to fours, fours to eight: all in one word.
    """
    digits = (words ^ ZEROS) & masks
    is_decimal = (((digits + SIXES) | digits) & HIGH_NIBBLES) == 0
    pairs = (digits * np.uint64(10 * 256 + 1)) >> np.uint64(8)
    fours = ((pairs & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * 65536 + 1)) >> np.uint64(16)
    eights = (fours & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * 2**32 + 1)
    return eights >> np.uint64(32), is_decimal
