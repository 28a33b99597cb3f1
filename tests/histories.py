"""Whole columns of a history, for tests that compare them."""

from typing import Any

from jobs.history.history import HistoryReader
from jobs.job import Job

NO_LIMIT = 1 << 60


def recorded_bytes(history: HistoryReader, job: Job, column: str = "loss") -> bytes:
    """Read every accepted tick of a dense column as little-endian float32."""
    return b"".join(history.stream_binary(job, column).pieces)


def recorded_points(history: HistoryReader, job: Job, column: str = "state") -> Any:
    """Read all points of a sparse column: {"tick": [...], "value": [...]}."""
    return history.read(job, [column], limit=NO_LIMIT)[column]
