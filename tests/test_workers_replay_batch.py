"""Replayed chunks are compared together, in order, and none is left."""

import numpy as np

from jobs.history.summary_rows import SEGMENT
from jobs.job import SparsePoint
from workers.replay_batch import MAX_BATCH_TICKS, ReplayBatch
from workers.trainer_client import ChunkResult

HOUR = 3600.0


def chunk(first: int, count: int = 1) -> ChunkResult:
    losses = np.arange(first, first + count, dtype=np.float32)
    point = SparsePoint("state", first + count - 1, b"12345678")
    return ChunkResult(first, count, {"loss": losses}, [point], {}, None, False)


def append_all(chunks: list[ChunkResult], seconds: float = HOUR) -> list[ChunkResult]:
    appended: list[ChunkResult] = []
    batch = ReplayBatch(appended.append, seconds)
    for one in chunks:
        batch.add(one)
    batch.flush()
    batch.flush()
    return appended


def test_chunks_of_single_ticks_are_appended_together_with_all_their_points() -> None:
    (whole,) = append_all([chunk(tick) for tick in range(5, 1005)])
    assert (whole.first, whole.count, whole.last) == (5, 1000, 1004)
    assert whole.columns["loss"].tolist() == list(range(5, 1005))
    assert [point.tick for point in whole.sparse] == list(range(5, 1005))


def test_a_batch_ends_with_its_time_its_size_and_its_segment() -> None:
    assert [one.first for one in append_all([chunk(1), chunk(2)], seconds=0.0)] == [1, 2]
    large = [chunk(1, MAX_BATCH_TICKS - 1), chunk(MAX_BATCH_TICKS, 2), chunk(MAX_BATCH_TICKS + 2)]
    assert [one.count for one in append_all(large)] == [MAX_BATCH_TICKS + 1, 1]
    border = [chunk(SEGMENT - 1), chunk(SEGMENT), chunk(SEGMENT + 1), chunk(SEGMENT + 2)]
    assert [(one.first, one.count) for one in append_all(border)] == [
        (SEGMENT - 1, 2), (SEGMENT + 1, 2)
    ]  # fmt: skip
