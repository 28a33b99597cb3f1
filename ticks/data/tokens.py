"""The tokens of a text in a file: its bytes, or its characters by their place in a vocabulary.

The memory needed does not grow with the text (but for an index of 8 bytes per 1,024 characters).
Knows no row, no net and no spec.
"""

import codecs
import os
import weakref
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.damage import StoredPath
from jobs.datasets.formats.joined_file import JoinedFile
from jobs.spec.text import TextFacts, Vocabulary

Ids = NDArray[np.integer]

#: characters from one indexed offset to the next; an offset takes 8 bytes
INDEX_STRIDE = 1024
#: bytes read at a time while the index is built
SCAN_BYTES = 1 << 20


class WrongText(ValueError):
    """A file that does not match its profile: another size, other characters."""


class FileReader:
    """Reads the bytes of a text in a file; raises WrongText where the file has another size.

    Not memory-mapped: the kernel maps many pages around each byte that is read, so that a training
    on 2 GB shows 1.9 GB of memory. With pread the pages stay in the kernel's cache.
    """

    def __init__(self, file: StoredPath, facts: TextFacts) -> None:
        self._file, self._skipped = file.open("rb"), facts.skipped
        weakref.finalize(self, self._file.close)
        size = facts.skipped + facts.bytes
        if self._file.seek(0, os.SEEK_END) != size:
            raise WrongText(f"{file.name} has not the {size} bytes of its profile")

    def read(self, first: int, last: int) -> bytes:
        """Return bytes first to last - 1 of the text, fewer at its end."""
        if isinstance(self._file, JoinedFile):
            return self._file.read_range(self._skipped + first, last - first)
        return os.pread(self._file.fileno(), last - first, self._skipped + first)


class ByteTokens:
    """Tokens that are bytes, 0 … 255."""

    def __init__(self, file: StoredPath, facts: TextFacts, _vocabulary: Sequence[str]) -> None:
        self._file = FileReader(file, facts)

    def read(self, first: int, count: int) -> Ids:
        """Return `count` tokens from token `first` (from 0) on, uint8 [count]."""
        return np.frombuffer(self._file.read(first, first + count), np.uint8)


class CharacterTokens:
    """Tokens that are characters, numbered by their place in a vocabulary sorted by code point.

    In UTF-8 a character has one to four bytes, so the offset of every 1,024th character is indexed.
    A text with as many bytes as characters needs no index.
    """

    def __init__(self, file: StoredPath, facts: TextFacts, vocabulary: Sequence[str]) -> None:
        self._file = FileReader(file, facts)
        self._codes = np.array([ord(character) for character in vocabulary], np.uint32)
        is_single_byte = facts.bytes == facts.characters
        self._offsets = None if is_single_byte else character_offsets(self._file, facts)

    def read(self, first: int, count: int) -> Ids:
        """Return `count` tokens from token `first` (from 0) on, int64 [count].

        Raises WrongText for a character that is not in the vocabulary.
        """
        if self._offsets is None:
            codes = np.frombuffer(self._file.read(first, first + count), np.uint8)
            return self._numbers(codes.astype(np.uint32))
        start, skip = int(self._offsets[first // INDEX_STRIDE]), first % INDEX_STRIDE
        encoded = self._file.read(start, start + 4 * (skip + count))
        text, _ = codecs.utf_8_decode(encoded, "strict", False)  # the last may be incomplete
        return self._numbers(np.frombuffer(text[skip : skip + count].encode("utf-32-le"), "<u4"))

    def _numbers(self, codes: NDArray[np.uint32]) -> Ids:
        numbers = np.searchsorted(self._codes, codes)
        numbers[numbers == len(self._codes)] = 0
        if not np.array_equal(self._codes[numbers], codes):
            raise WrongText("the text has characters that are not in the vocabulary")
        return numbers


def character_offsets(file: FileReader, facts: TextFacts) -> NDArray[np.int64]:
    """Return the offset in bytes of every 1,024th character, int64; raises WrongText."""
    offsets, count = [], 0
    ends = range(0, facts.bytes + SCAN_BYTES, SCAN_BYTES)
    for first, last in pairwise(min(end, facts.bytes) for end in ends):
        # a character starts at every byte that is not a UTF-8 continuation byte
        starts = np.flatnonzero((np.frombuffer(file.read(first, last), np.uint8) & 0xC0) != 0x80)
        offsets.append(starts[-count % INDEX_STRIDE :: INDEX_STRIDE] + first)
        count += len(starts)
    if count != facts.characters:
        raise WrongText(f"the text has {count} characters, its profile says {facts.characters}")
    return np.concatenate(offsets)


TOKENIZERS: dict[Vocabulary, type[ByteTokens] | type[CharacterTokens]] = {
    "bytes": ByteTokens,
    "characters": CharacterTokens,
}
