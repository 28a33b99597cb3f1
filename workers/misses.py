"""Saves in a row that the disk did not take: when to try again, and when that is enough.

Knows the clock; no file, no job.
"""

import time

#: seconds after a miss until the next try, doubled each time up to the longest
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: a job is not paused for fewer misses than this, however short the patience
LEAST = 3


class Misses:
    """Training goes on without checkpoints for `patience` seconds, and for LEAST tries."""

    def __init__(self, patience: float) -> None:
        self.count = 0
        self._patience = patience
        self._since = self._retry_at = 0.0

    def miss(self) -> None:
        """Note that a save came to nothing."""
        now = time.monotonic()
        if not self.count:
            self._since = now
        self._retry_at = now + min(FIRST_PAUSE * 2 ** min(self.count, 10), LONGEST_PAUSE)
        self.count += 1

    def clear(self) -> None:
        """Note that one was made."""
        self.count = 0

    @property
    def retry_is_due(self) -> bool:
        """Whether the pause after the last miss is over."""
        return time.monotonic() >= self._retry_at

    @property
    def are_enough(self) -> bool:
        """Whether going on without a checkpoint would risk too much work."""
        return self.count >= LEAST and time.monotonic() - self._since >= self._patience
