"""A token bucket of one process, for the key that is checked without the store."""

import threading
import time
from collections.abc import Callable

from jobs.access import burst_size
from jobs.errors import RateLimitExceeded


class Bucket:
    """Lets `rate` requests a second pass, and a burst after a quiet time; 0 lets all pass."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst_size(rate), clock
        self._left, self._at = self._burst, clock()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Take one token. Raises RateLimited."""
        if self._rate <= 0:
            return
        with self._lock:
            now = self._clock()
            left = min(self._burst, self._left + (now - self._at) * self._rate)
            if left < 1:
                raise RateLimitExceeded((1 - left) / self._rate)
            self._left, self._at = left - 1, now
