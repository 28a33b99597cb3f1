"""A replay of points costs the same for each of them, however many are recorded."""

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from jobs.errors import TickMismatch
from jobs.history.summary_rows import SEGMENT
from jobs.job import SparsePoint
from jobs.recording.writer import HistoryWriter
from tests.test_jobs_history_writer import HistoryHarness

FEW, MANY = 1_000, 60_000
REPLAYED = 60
MAX_RATIO = 4.0  # of the store's processor time for a point
OPENED: list[str] = []  # paths, while `IS_COUNTING` has an item
IS_COUNTING: list[bool] = []


def points(first: int, count: int, value: float = 0.5) -> list[SparsePoint]:
    ticks = range(first, first + count)
    bits = struct.pack("<d", value)
    return [SparsePoint(column, tick, bits) for tick in ticks for column in ("val_loss", "state")]


def record(recorder: HistoryWriter, count: int) -> None:
    for first in range(1, count, 5_000):
        length = min(5_000, count - first + 1)
        recorder.append(first, {"loss": np.ones(length, np.float32)}, points(first, length))


def replay(recorder: HistoryWriter, first: int, count: int = REPLAYED) -> None:
    for tick in range(first, first + count):
        one = np.ones(1, np.float32)
        recorder.append(tick, {"loss": one}, points(tick, 1), replayed=True)


def store_seconds(store: "redis.Redis") -> float:
    usage: Any = store.info("cpu")
    return float(usage["used_cpu_user"] + usage["used_cpu_sys"])


def replay_seconds(store: "redis.Redis", folder: Path, count: int) -> float:
    """Return the store's processor seconds for points in the middle of so many."""
    recorder = HistoryHarness(store, folder, 3_000_000).recorder()
    record(recorder, count)
    least = float("inf")
    for at in range(3):
        before = store_seconds(store)
        replay(recorder, count // 2 + at * REPLAYED)
        least = min(least, store_seconds(store) - before)
    recorder.close()
    return least


def test_a_point_in_the_store_is_compared_without_reading_all_of_them(
    store: "redis.Redis", tmp_path: Path
) -> None:
    few = replay_seconds(store, tmp_path / "few", FEW)
    many = replay_seconds(store, tmp_path / "many", MANY)
    assert many <= MAX_RATIO * few


def count_opened(event: str, arguments: tuple[Any, ...]) -> None:
    """Note the paths of files that are opened; an audit hook stays for the process's life."""
    if IS_COUNTING and event == "open":
        OPENED.append(str(arguments[0]))


def test_points_in_files_are_read_once_a_segment(store: "redis.Redis", tmp_path: Path) -> None:
    harness = HistoryHarness(store, tmp_path / "files", 3_000_000)
    recorder = harness.recorder()
    recorder.append(1, {"loss": np.ones(100, np.float32)}, points(1, 100))
    recorder.append(101, {"loss": np.ones(SEGMENT - 50, np.float32)})
    recorder.wait_idle()
    assert harness.stored("sparse") == 0
    sys.addaudithook(count_opened)
    IS_COUNTING.append(True)
    try:
        replay(recorder, 20)
    finally:
        IS_COUNTING.clear()
    assert 1 <= sum(path.endswith(".sparse") for path in OPENED) <= 4
    with pytest.raises(TickMismatch) as caught:
        recorder.append(90, {"loss": np.ones(1, np.float32)}, points(90, 1, 0.25), replayed=True)
    assert (caught.value.tick, caught.value.column) == (90, "val_loss")
    recorder.close()


def test_the_best_tick_is_the_first_of_the_best_finite_values(
    store: "redis.Redis", tmp_path: Path
) -> None:
    recorder = HistoryHarness(store, tmp_path / "files", 100).recorder()
    assert recorder.find_best_tick(10, "val_loss", "min") is None
    losses = [float("nan"), 0.5, 0.25, 0.75, 0.25, float("-inf"), 0.125]
    values = [
        SparsePoint("val_loss", tick, struct.pack("<d", loss))
        for tick, loss in enumerate(losses, 1)
    ]
    recorder.append(1, {"loss": np.ones(7, np.float32)}, values)
    ticks = [recorder.find_best_tick(upto, "val_loss", "min") for upto in (1, 2, 6, 7)]
    assert ticks == [None, 2, 3, 7] and recorder.find_best_tick(7, "val_loss", "max") == 4
    recorder.close()
