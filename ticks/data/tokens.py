"""The tokens of a text in a file: bytes, or characters as the profile numbers them.

Takes the same memory for a text of any length. Knows no row, no net and no spec.
"""

import codecs
import os
import weakref
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.spec.text import TextFacts, Vocabulary

Ids = NDArray[np.integer]

#: characters between two whose places are remembered: 8 bytes for each, and as many to skip
INDEX_STRIDE = 1024
#: bytes looked at in one go while an index is made
SCAN_BYTES = 1 << 20


class WrongText(ValueError):
    """A file that is not the text it was taken for."""


class FileReader:
    """A file's bytes, read from the places where they are asked for.

    Not memory-mapped: the system maps many pages around each byte that is touched, and a training
    on 2 GB then shows 1.9 GB of memory. Read like this they stay in the system's cache alone.
    """

    def __init__(self, file: Path, size: int) -> None:
        self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        if os.fstat(self._descriptor).st_size != size:
            raise WrongText(f"{file.name} has not the {size} bytes of its profile")

    def read(self, first: int, last: int) -> bytes:
        """Give bytes first to last - 1, fewer at the end."""
        return os.pread(self._descriptor, last - first, first)


class ByteTokens:
    """Tokens that are bytes."""

    def __init__(self, file: Path, facts: TextFacts, _vocabulary: Sequence[str]) -> None:
        self._file = FileReader(file, facts.bytes)

    def read(self, first: int, count: int) -> Ids:
        """Give `count` tokens from token `first` on."""
        return np.frombuffer(self._file.read(first, first + count), np.uint8)


class CharacterTokens:
    """Tokens that are characters, each its place in a vocabulary sorted by code point.

    In UTF-8 a character has one to four bytes: every 1,024th one's place is remembered. In a text
    of as many bytes as characters a character's number is its place.
    """

    def __init__(self, file: Path, facts: TextFacts, vocabulary: Sequence[str]) -> None:
        self._file = FileReader(file, facts.bytes)
        self._codes = np.array([ord(character) for character in vocabulary], np.uint32)
        is_single_byte = facts.bytes == facts.characters
        self._offsets = None if is_single_byte else character_offsets(self._file, facts)

    def read(self, first: int, count: int) -> Ids:
        """Give `count` tokens from token `first` on."""
        if self._offsets is None:
            codes = np.frombuffer(self._file.read(first, first + count), np.uint8)
            return self._numbers(codes.astype(np.uint32))
        start, skip = int(self._offsets[first // INDEX_STRIDE]), first % INDEX_STRIDE
        encoded = self._file.read(start, start + 4 * (skip + count))
        text, _ = codecs.utf_8_decode(encoded, "strict", False)  # the last one may be cut
        selected = text[skip : skip + count].encode("utf-32-le")
        return self._numbers(np.frombuffer(selected, "<u4"))

    def _numbers(self, codes: NDArray[np.uint32]) -> Ids:
        numbers = np.searchsorted(self._codes, codes)
        numbers[numbers == len(self._codes)] = 0
        if not np.array_equal(self._codes[numbers], codes):
            raise WrongText("the text has characters that are not in the vocabulary")
        return numbers


def character_offsets(file: FileReader, facts: TextFacts) -> NDArray[np.int64]:
    """Return the place (in bytes) of every 1,024th character."""
    offsets, character_count = [], 0
    ends = range(0, facts.bytes + SCAN_BYTES, SCAN_BYTES)
    for first, last in pairwise(min(end, facts.bytes) for end in ends):
        # every byte but those that go on with a character
        block = np.frombuffer(file.read(first, last), np.uint8)
        starts = np.flatnonzero((block & 0xC0) != 0x80)
        offsets.append(starts[-character_count % INDEX_STRIDE :: INDEX_STRIDE] + first)
        character_count += len(starts)
    if character_count != facts.characters:
        raise WrongText(
            f"the text has {character_count} characters, its profile says {facts.characters}"
        )
    return np.concatenate(offsets)


TOKENIZERS: dict[Vocabulary, type[ByteTokens] | type[CharacterTokens]] = {
    "bytes": ByteTokens,
    "characters": CharacterTokens,
}
