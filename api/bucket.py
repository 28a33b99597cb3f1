"""A token bucket of one process, for the key that is checked without the store."""

import threading
import time
from collections.abc import Callable

from jobs.errors import RateLimitExceeded
from jobs.ledger.access_keys import burst_size


class TokenBucket:
    """Lets `rate` requests a second pass, and a burst after a quiet time; 0 lets all pass."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst_size(rate), clock
        self._tokens, self._updated_at = self._burst, clock()
        self._lock = threading.Lock()

    def consume(self) -> None:
        """Take one token. Raises RateLimitExceeded."""
        if self._rate <= 0:
            return
        with self._lock:
            now = self._clock()
            tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
            if tokens < 1:
                raise RateLimitExceeded((1 - tokens) / self._rate)
            self._tokens, self._updated_at = tokens - 1, now
