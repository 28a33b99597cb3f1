"""A pool child's wish to leave: set by a signal, read at chunk ends. Knows no job, no process."""

import time

#: seconds from the signal to the last moment at which a trainer may still answer; what is left of
#: the promised 10 s releases the lease
GRACE_SECONDS = 8.0


class Drain:
    """Whether this process should leave. One flag, set once, safe to set in a signal handler."""

    def __init__(self) -> None:
        self._requested_at: float | None = None

    def request(self, *_signal: object) -> None:
        """Ask for the drain; asking again changes nothing."""
        if self._requested_at is None:
            self._requested_at = time.monotonic()

    @property
    def is_requested(self) -> bool:
        """True from the first request on."""
        return self._requested_at is not None

    @property
    def is_overdue(self) -> bool:
        """True when the grace since the request is over: who has not answered is not waited for."""
        return (
            self._requested_at is not None and time.monotonic() - self._requested_at > GRACE_SECONDS
        )
