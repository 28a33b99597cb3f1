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
    first = grid.bytes[starts]
    is_negative = first == MINUS
    whole = points - starts - (is_negative | (first == PLUS))  # digits before the sign
    fraction = np.maximum(ends - points - 1, 0)
    digits = whole + fraction
    is_read = (whole >= 0) & (digits > 0) & (digits <= 8)
    is_long = np.flatnonzero((whole >= 0) & (digits > 8) & (digits <= MAX_DIGITS))
    mantissa, is_decimal = _read_short(grid, points, ends, whole, fraction)
    is_read &= is_decimal
    if len(is_long):
        mantissa[is_long], is_read[is_long] = _read_long(
            grid, points[is_long], ends[is_long], whole[is_long], fraction[is_long]
        )
    values = mantissa / POWERS.take(fraction, mode="clip")
    np.negative(values, out=values, where=is_negative)
    return Decimals(values.reshape(shape), is_read.reshape(shape))


def _read_short(
    grid: CellGrid, points: Positions, ends: Positions, whole: Positions, fraction: Positions
) -> tuple[Words, NDArray[np.bool_]]:
    """Return the digits around each point as a whole number, and whether they are digits.

    The fraction's digits are the last before the end; those before the point are moved beside them.
    """
    words = grid.words_before(ends) & HIGH_BYTES.take(fraction, mode="clip")
    shift = (fraction << 2).view(np.uint64)  # twice, since 64 bits at once are no shift
    words |= ((grid.words_before(points) & HIGH_BYTES.take(whole, mode="clip")) >> shift) >> shift
    return _read_words(words, HIGH_BYTES.take(whole + fraction, mode="clip"))


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
        number, is_number = _read_words(grid.words_before(positions) & masks, masks)
        total += number * WHOLE_POWERS[done]
        is_decimal &= is_number
    return total, is_decimal


def _read_words(words: Words, masks: Words) -> tuple[Words, NDArray[np.bool_]]:
    """Return words of 8 characters as numbers, and whether those in the masks are digits.

    Neighbouring digits are joined to pairs, pairs to fours, fours to eight: all in one word.
    """
    digits = words ^ (ZEROS & masks)
    is_decimal = (((digits + SIXES) | digits) & HIGH_NIBBLES) == 0
    pairs = (digits * np.uint64(10 * 256 + 1)) >> np.uint64(8)
    fours = ((pairs & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * 65536 + 1)) >> np.uint64(16)
    eights = (fours & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * 2**32 + 1)
    return eights >> np.uint64(32), is_decimal
