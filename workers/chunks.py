"""How many ticks the next chunk runs. Knows durations and ticks; no trainer, no ledger."""

from bisect import bisect_right
from collections.abc import Iterable

#: seconds a chunk should take: short, so that requests are acted on at once, and long enough that
#: recording it (some 2 ms) is a small part
TARGET_CHUNK_SECONDS = 0.05
#: ticks in one chunk, so that buffered chunks stay small however fast a trainer is
MAX_CHUNK_TICKS = 1 << 19
#: seconds of a chunk up to which the next may start before it is recorded: a request then waits
#: for both
MAX_RUN_AHEAD_SECONDS = 0.25
#: growth from one chunk to the next: after a slow first chunk (allocations) it must not leap
MAX_GROWTH_FACTOR = 8


class ChunkSizer:
    """The length of the next chunk, estimated from the duration of the last one."""

    def __init__(self) -> None:
        self.ticks = 1
        self.can_run_ahead = False  # whether the next chunk may start before the last is recorded

    def observe(self, count: int, seconds: float) -> None:
        """Update the estimate: `count` ticks took `seconds`."""
        self.can_run_ahead = seconds <= MAX_RUN_AHEAD_SECONDS
        fitting_ticks = int(count * TARGET_CHUNK_SECONDS / max(seconds, 1e-6))
        self.ticks = max(1, min(fitting_ticks, MAX_GROWTH_FACTOR * self.ticks, MAX_CHUNK_TICKS))


class StopTicks:
    """Ticks that no chunk may run across: each must be the last of its chunk."""

    def __init__(self, ticks: Iterable[int]) -> None:
        self._ticks = sorted(set(ticks))

    def next_after(self, tick: int) -> int | None:
        """Return the first stop tick after `tick`, or None."""
        index = bisect_right(self._ticks, tick)
        return self._ticks[index] if index < len(self._ticks) else None


def next_multiple(tick: int, every: int | None) -> int | None:
    """Return the first multiple of `every` after `tick`; None if `every` is None."""
    return None if every is None else (tick // every + 1) * every


def chunk_length(tick: int, chunk_sizer: ChunkSizer, *end_ticks: int | None) -> int:
    """Return how many ticks to run after `tick`: the sizer's, cut at the nearest end tick."""
    return min([chunk_sizer.ticks, *(end - tick for end in end_ticks if end is not None)])
