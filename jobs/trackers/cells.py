"""Many byte strings at once, as an array: what a record a tick is assembled from.

A protobuf field begins with the byte `number << 3 | type` (more bytes from number 16 on); types: 0
varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
VARINT_BITS = 7
DIGIT_ZERO = ord("0")


@dataclass(frozen=True)
class Piece:
    """A part of n byte strings, one a row: where `used` is false, a byte belongs to none of them.

    bytes: [n, width]; used: [n, width], or None where every byte is used.
    """

    bytes: Bytes
    used: Mask | None = None

    @property
    def lengths(self) -> Integers:
        """The length of each -> [n], or a single number for all."""
        if self.used is None:
            return np.array(self.bytes.shape[1])
        return np.asarray(np.count_nonzero(self.used, axis=1))

    @property
    def mask(self) -> Mask:
        """Which bytes are used -> [n, width]."""
        return np.ones(self.bytes.shape, np.bool_) if self.used is None else self.used


@dataclass(frozen=True)
class Cells:
    """n byte strings, each the concatenation of its parts; nothing is copied before `tobytes`."""

    pieces: tuple[Piece, ...]

    @property
    def count(self) -> int:
        """How many strings there are."""
        return len(self.pieces[0].bytes)

    @cached_property
    def lengths(self) -> Integers:
        """The length of each string -> [n]."""
        lengths = np.zeros(self.count, np.int64)
        for piece in self.pieces:
            lengths += piece.lengths
        return lengths

    def only_where(self, present: Mask | None) -> "Cells":
        """Return these strings, empty where `present` [n] is false."""
        if present is None:
            return self
        chosen = present[:, None]
        return Cells(tuple(Piece(piece.bytes, piece.mask & chosen) for piece in self.pieces))

    def tobytes(self) -> bytes:
        """Return the strings one after another."""
        contents = np.concatenate([piece.bytes for piece in self.pieces], axis=1)
        if all(piece.used is None for piece in self.pieces):
            return contents.tobytes()
        mask = np.concatenate([piece.mask for piece in self.pieces], axis=1)
        return bytes(contents[mask].data)


def join_cells(*parts: Cells) -> Cells:
    """Return each string as the concatenation of those of the parts."""
    return Cells(tuple(piece for part in parts for piece in part.pieces))


def repeat(text: bytes, n: int) -> Cells:
    """Return n times the same string."""
    return _single(np.broadcast_to(np.fromiter(text, np.uint8, len(text)), (n, len(text))))


def little_endian(values: npt.NDArray[Any]) -> Cells:
    """Return the bytes of numbers of one width."""
    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return _single(plain.view(np.uint8).reshape(plain.size, -1))


def varints(values: Integers) -> Cells:
    """Encode numbers that are not negative, as protobuf does: 7 bits a byte, the lowest first."""
    narrowest, widest = (max(1, -(-int(end).bit_length() // VARINT_BITS)) for end in ends(values))
    shifted = values[:, None] >> np.arange(0, VARINT_BITS * widest, VARINT_BITS)
    is_followed = shifted >> VARINT_BITS > 0
    contents = ((shifted & 0x7F) | is_followed << VARINT_BITS).astype(np.uint8)
    if narrowest == widest:
        return _single(contents)
    is_first = np.ones((values.size, 1), np.bool_)
    return _single(contents, np.concatenate([is_first, is_followed[:, :-1]], axis=1))


def digits(values: Integers) -> Cells:
    """Encode whole numbers that are not negative in decimal."""
    narrowest, widest = (len(str(end)) for end in ends(values))
    powers = 10 ** np.arange(widest - 1, -1, -1)
    quotients = values[:, None] // powers
    contents = (quotients % 10 + DIGIT_ZERO).astype(np.uint8)
    if narrowest == widest:
        return _single(contents)
    return _single(contents, (quotients > 0) | (powers == 1))


def fixed_digits(values: Integers, width: int) -> Cells:
    """Encode whole numbers below 10^width in decimal, with zeros in front."""
    quotients = values[:, None] // 10 ** np.arange(width - 1, -1, -1)
    return _single((quotients % 10 + DIGIT_ZERO).astype(np.uint8))


def texts(values: Sequence[bytes]) -> Cells:
    """Return strings none of which has a NUL."""
    table = np.array(values, "S")
    contents = table.view(np.uint8).reshape(len(values), table.itemsize)
    return _single(contents, contents != 0)


def message(field: bytes, *parts: Cells) -> Cells:
    """Return a field of bytes (type 2): its first byte or bytes, its length, its content."""
    content = join_cells(*parts)
    lengths = content.lengths
    return join_cells(repeat(field, lengths.size), varints(lengths), content)


def _single(contents: Bytes, used: Mask | None = None) -> Cells:
    return Cells((Piece(contents, used),))


def ends(values: Integers) -> tuple[int, int]:
    """Return the least and the greatest of some numbers; 0 and 0 of none."""
    return (int(values.min()), int(values.max())) if values.size else (0, 0)
