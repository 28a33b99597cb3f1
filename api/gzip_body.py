"""Decode gzip while it streams in. Knows no request."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, cast

from api.errors import Problem

GZIP_MAGIC = b"\x1f\x8b"
DECODED_PIECE_BYTES = 1 << 18


class PieceReader:
    """Reads an iterable of pieces as a file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._piece, self._position = iter(pieces), b"", 0
        self.has_read = False  # any byte

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, and none at the end alone.

        gzip asks for some parts byte by byte, so the rest of a piece is not copied.
        """
        while self._position == len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._piece, self._position = piece, 0
        data = self._piece[self._position : self._position + size]
        self._position += len(data)
        self.has_read = True
        return data


def decode_gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what was compressed, in pieces of at most DECODED_PIECE_BYTES.

    Several members follow each other, zeros may follow the last. Raises Problem (400).
    """
    reader = PieceReader(pieces)
    try:
        with gzip.GzipFile(fileobj=cast(IO[bytes], reader), mode="rb") as file:
            while piece := file.read(DECODED_PIECE_BYTES):
                yield piece
    except EOFError:
        raise _cut_short() from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Problem("bad-request", f"the body is not gzip as it should be: {error}") from None
    if not reader.has_read:
        raise _cut_short()


def _cut_short() -> Problem:
    return Problem("bad-request", "the gzip'd body ended before its end: it was cut short")


def refuse_gzip(pieces: Iterable[bytes], way_out: str) -> Iterator[bytes]:
    """Pass pieces on that are not gzip'd. Raises Problem (400), which names the `way_out`."""
    iterator = iter(pieces)
    first = next(iterator, b"")
    if first.startswith(GZIP_MAGIC):
        raise Problem("bad-request", f"the bytes are gzip'd: {way_out}")
    if first:
        yield first
    yield from iterator
