"""Replayed chunks that are compared together: a job that validates at each tick has one a tick.

Each append waits for the store's disk, some milliseconds, whatever it holds.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from jobs.history.column_reader import segment_of
from workers.trainer_client import ChunkResult

BATCH_SECONDS = 0.1  # that a replayed tick may wait to be compared
MAX_BATCH_TICKS = 1 << 14


class ReplayBatch:
    """Joins consecutive chunks of one segment, and appends them together."""

    def __init__(
        self, append: Callable[[ChunkResult], None], batch_seconds: float = BATCH_SECONDS
    ) -> None:
        self._append, self._batch_seconds = append, batch_seconds
        self._chunks: list[ChunkResult] = []
        self._began_at = 0.0

    def add(self, chunk: ChunkResult) -> None:
        """Add the next chunk; append what waits once it is enough, or has waited long enough."""
        if self._chunks and segment_of(self._chunks[0].first) != segment_of(chunk.last):
            self.flush()
        if not self._chunks:
            self._began_at = time.monotonic()
        self._chunks.append(chunk)
        ticks = chunk.last - self._chunks[0].first
        if ticks >= MAX_BATCH_TICKS or time.monotonic() - self._began_at >= self._batch_seconds:
            self.flush()

    def flush(self) -> None:
        """Append what waits."""
        chunks, self._chunks = self._chunks, []
        if chunks:
            self._append(_join(chunks))


def _join(chunks: list[ChunkResult]) -> ChunkResult:
    """Return consecutive chunks as one, with the end of the last."""
    if len(chunks) == 1:
        return chunks[0]
    columns = {
        name: np.concatenate([chunk.columns[name] for chunk in chunks])
        for name in chunks[0].columns
    }
    return replace(
        chunks[-1],
        first=chunks[0].first,
        count=sum(chunk.count for chunk in chunks),
        columns=columns,
        sparse=[point for chunk in chunks for point in chunk.sparse],
    )
