"""A worker's request to stop after the current chunk, set by a signal. Knows no job."""

from time import monotonic

#: seconds from the signal after which a trainer is killed; the rest of the 8.5 s that serve.py
#: gives a worker is for releasing the job
GRACE_SECONDS = 6.0


class Drain:
    """A flag that is set once, and may be set in a signal handler."""

    def __init__(self) -> None:
        self._requested_at: float | None = None

    def request(self, *_signal: object) -> None:
        """Request the drain; a second request changes nothing."""
        if self._requested_at is None:
            self._requested_at = monotonic()

    @property
    def is_requested(self) -> bool:
        """Return whether a drain was requested."""
        return self._requested_at is not None

    @property
    def is_overdue(self) -> bool:
        """Return whether the grace after the request is over, so that nothing is waited for."""
        return self._requested_at is not None and monotonic() - self._requested_at > GRACE_SECONDS
