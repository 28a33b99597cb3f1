"""Growing delays between retries. Knows no clock."""


class Backoff:
    """Delays in seconds, doubled from the first up to the longest."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest, self._delay = first, longest, first

    def next_delay(self) -> float:
        """Return the delay before the next retry."""
        delay, self._delay = self._delay, min(2 * self._delay, self._longest)
        return delay

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._delay = self._first
