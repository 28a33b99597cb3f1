"""Saves in a row that the disk did not take: when to try again, and when that is enough.

Knows the clock; no file, no job.
"""

import time

#: seconds after a miss until the next try, doubled each time up to the longest
INITIAL_RETRY_DELAY_SECONDS, MAX_RETRY_DELAY_SECONDS = 1.0, 30.0
#: a job is not paused for fewer misses than this, however short the patience
MIN_FAILURES = 3


class FailureTracker:
    """Training goes on without checkpoints for `patience` seconds, and for LEAST tries."""

    def __init__(self, max_seconds: float) -> None:
        self.count = 0
        self._max_seconds = max_seconds
        self._first_failure_at = self._retry_at = 0.0

    def record(self) -> None:
        """Note that a save came to nothing."""
        now = time.monotonic()
        if not self.count:
            self._first_failure_at = now
        self._retry_at = now + min(
            INITIAL_RETRY_DELAY_SECONDS * 2 ** min(self.count, 10), MAX_RETRY_DELAY_SECONDS
        )
        self.count += 1

    def reset(self) -> None:
        """Note that one was made."""
        self.count = 0

    @property
    def is_retry_due(self) -> bool:
        """Whether the pause after the last miss is over."""
        return time.monotonic() >= self._retry_at

    @property
    def is_limit_reached(self) -> bool:
        """Whether going on without a checkpoint would risk too much work."""
        return (
            self.count >= MIN_FAILURES
            and time.monotonic() - self._first_failure_at >= self._max_seconds
        )
