"""Retries with exponential back-off and a time limit. Knows no HTTP."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Awaitable, Callable

from tickforge_client.errors import TickforgeError

#: seconds between the first two attempts, doubled each time, and its limit; jitter takes up to half
INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.2, 5.0


class Backoff:
    """The pauses between the attempts of one call.

    `time_limit` returns the seconds since the start after which no attempt begins; it is called
    before each pause, as the limit may grow. `on_retry` is called with one line, once.
    """

    def __init__(
        self,
        time_limit: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[None]],
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        self._started = time.monotonic()
        self._time_limit = time_limit
        self._pause = INITIAL_BACKOFF_SECONDS
        self._sleep = sleep
        self._on_retry = on_retry

    async def wait(self, error: TickforgeError, min_pause: float | None = None) -> None:
        """Sleep before the next attempt; raise `error` if the time limit forbids one.

        `min_pause` is a lower bound in seconds, the server's Retry-After.
        """
        pause = max(self._pause * random.uniform(0.5, 1), min_pause or 0.0)
        self._pause = min(2 * self._pause, MAX_BACKOFF_SECONDS)
        if time.monotonic() + pause > self._started + self._time_limit():
            raise error
        if self._on_retry is not None:
            self._on_retry(f"{str(error).splitlines()[0]}; trying again")
            self._on_retry = None  # one line per call
        await self._sleep(pause)


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header (a number or an HTTP date); None if unusable."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())
