"""Scan streamed UTF-8 text: count bytes and characters, list distinct ones. Keeps no text.

A byte-order mark at the beginning is no part of the text.
"""

import codecs

import numpy as np

from jobs.datasets.formats.data_errors import data_error
from jobs.spec.text import TextFacts

BOM = "\ufeff"
NUM_CODE_POINTS = 0x110000  # in Unicode
MAX_DISTINCT_CHARACTERS = 65_536


class TextScanner:
    """Collects the facts of a text as it streams by."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bytes, self._characters, self._lines, self._skipped = 0, 0, 0, 0
        self._is_present = np.zeros(NUM_CODE_POINTS, np.bool_)

    def feed(self, data: bytes) -> None:
        """Add the next bytes. Raises BadData if they are not UTF-8."""
        self._decode(data, final=False)
        self._bytes += len(data)

    def finish(self) -> TextFacts:
        """Return the facts. Raises BadData for an empty text or an incomplete last character."""
        self._decode(b"", final=True)
        codes = np.flatnonzero(self._is_present)
        if not len(codes):
            raise data_error("at least one character")
        if len(codes) > MAX_DISTINCT_CHARACTERS:
            raise data_error(
                f"at most {MAX_DISTINCT_CHARACTERS:,} different characters", len(codes)
            )
        return TextFacts(
            bytes=self._bytes - self._skipped,
            characters=self._characters,
            vocabulary=[chr(code) for code in codes],
            skipped=self._skipped,
        )

    def _decode(self, data: bytes, *, final: bool) -> None:
        num_pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            line = self._lines + 1 + error.object[: error.start].count(b"\n")
            byte_offset = self._bytes - num_pending + error.start
            raise data_error(f"UTF-8; byte {byte_offset} of the file is none", row=line) from None
        if not (self._characters or self._skipped) and text.startswith(BOM):
            text, self._skipped = text[len(BOM) :], len(BOM.encode())
        self._characters += len(text)
        self._lines += text.count("\n")
        self._is_present[np.frombuffer(text.encode("utf-32-le"), "<u4")] = True
