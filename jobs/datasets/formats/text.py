"""Plain text in UTF-8: its bytes, characters, and which characters there are. Keeps none of it."""

import codecs

import numpy as np

from jobs.datasets.formats.faults import refuse
from jobs.spec.text import TextFacts

CODES = 0x110000  # of Unicode
MOST_DISTINCT = 65_536


class TextProfile:
    """What is known of a text as it streams by."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bytes, self._characters, self._lines = 0, 0, 0
        self._seen = np.zeros(CODES, np.bool_)

    def feed(self, data: bytes) -> None:
        """Take some more bytes; raises BadData where they are no UTF-8."""
        self._take(data, final=False)
        self._bytes += len(data)

    def finish(self) -> TextFacts:
        """Say what is known; raises BadData for a text that ends within a character, or is none."""
        self._take(b"", final=True)
        codes = np.flatnonzero(self._seen)
        if not len(codes):
            raise refuse(None, None, "at least one character")
        if len(codes) > MOST_DISTINCT:
            raise refuse(None, None, f"at most {MOST_DISTINCT:,} different characters", len(codes))
        return TextFacts(
            bytes=self._bytes,
            characters=self._characters,
            vocabulary=[chr(code) for code in codes],
        )

    def _take(self, data: bytes, *, final: bool) -> None:
        held = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            line = self._lines + 1 + error.object[: error.start].count(b"\n")
            at = self._bytes - held + error.start
            raise refuse(line, None, f"UTF-8; byte {at} of the file is none") from None
        self._characters += len(text)
        self._lines += text.count("\n")
        self._seen[np.frombuffer(text.encode("utf-32-le"), "<u4")] = True
