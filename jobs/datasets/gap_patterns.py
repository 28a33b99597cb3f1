"""Count the rows of a table by the columns in which they lack a value. Knows no type."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from jobs.spec.profiles import GapPattern

MAX_PATTERNS = 4096
MAX_LISTED_COLUMNS = 65_536  # over all patterns


class GapPatterns:
    """Collects the patterns; gives up where there are too many."""

    def __init__(self) -> None:
        self._rows: Counter[bytes] | None = Counter()
        self._columns = 0

    def add(self, missing: NDArray[np.bool_]) -> None:
        """Add rows: a mask [rows, columns] of the missing cells."""
        self._columns = missing.shape[1]
        has_gaps = missing.any(axis=1)
        if self._rows is None or not has_gaps.any():
            return
        packed = np.packbits(missing[has_gaps], axis=1)
        self._rows.update(packed.view(f"V{packed.shape[1]}").ravel().tolist())
        if len(self._rows) > MAX_PATTERNS:
            self._rows = None

    def restore(self, patterns: list[tuple[list[int], int]] | None, columns: int) -> None:
        """Set the patterns of earlier rows, as (columns, rows); None if there were too many."""
        if patterns is None:
            self._rows = None
        self._columns = columns
        for listed, rows in patterns or ():
            mask = np.zeros((1, columns), np.bool_)
            mask[0, listed] = True
            packed = np.packbits(mask, axis=1)
            assert self._rows is not None, "they are known"
            self._rows[packed.tobytes()] += rows

    def build(self) -> list[GapPattern] | None:
        """Return the patterns, those of most rows first; None if there were too many."""
        if self._rows is None:
            return None
        patterns = [
            GapPattern(columns=self._unpack(pattern), rows=rows)
            for pattern, rows in self._rows.items()
        ]
        if sum(len(pattern.columns) for pattern in patterns) > MAX_LISTED_COLUMNS:
            return None
        return sorted(patterns, key=lambda pattern: (-pattern.rows, pattern.columns))

    def _unpack(self, pattern: bytes) -> list[int]:
        bits = np.unpackbits(np.frombuffer(pattern, np.uint8), count=self._columns)
        columns: list[int] = np.flatnonzero(bits).tolist()
        return columns
