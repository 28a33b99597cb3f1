"""How many ticks the next chunk runs. Knows time and tick numbers; no trainer, no ledger."""

from bisect import bisect_right
from collections.abc import Iterable

#: seconds a chunk should take: short enough that a request is acted on at once, long enough that
#: handing over (some 2 ms) is a small part of it
TARGET_CHUNK_SECONDS = 0.05
#: most ticks in one chunk, so that what waits in memory stays small however fast a trainer is
MAX_CHUNK_TICKS = 1 << 19
#: seconds of a chunk up to which the trainer runs on while it is handed over: a request that comes
#: then waits for two
MAX_RUN_AHEAD_SECONDS = 0.25
#: a first chunk is slow (allocations, first calls), so a pace may grow but not leap
MAX_GROWTH_FACTOR = 8


class ChunkSizer:
    """The length of the next chunk, learnt from how long the last one took."""

    def __init__(self) -> None:
        self.ticks = 1
        self.can_run_ahead = (
            False  # whether the next chunk may be begun before the last is in the books
        )

    def observe(self, count: int, seconds: float) -> None:
        """Take in that `count` ticks took `seconds` s."""
        self.can_run_ahead = seconds <= MAX_RUN_AHEAD_SECONDS
        fitting_ticks = int(count * TARGET_CHUNK_SECONDS / max(seconds, 1e-6))
        self.ticks = max(1, min(fitting_ticks, MAX_GROWTH_FACTOR * self.ticks, MAX_CHUNK_TICKS))


class StopTicks:
    """Ticks at which a chunk must end, in order; none of them is ever stepped over."""

    def __init__(self, ticks: Iterable[int]) -> None:
        self._ticks = sorted(set(ticks))

    def __contains__(self, tick: int) -> bool:
        index = bisect_right(self._ticks, tick)
        return index > 0 and self._ticks[index - 1] == tick

    def next_after(self, tick: int) -> int | None:
        """Return the first mark beyond `tick`, or None."""
        index = bisect_right(self._ticks, tick)
        return self._ticks[index] if index < len(self._ticks) else None


def next_multiple(tick: int, every: int | None) -> int | None:
    """Return the first multiple of `every` beyond `tick`, or None where there is no such rule."""
    return None if every is None else (tick // every + 1) * every


def chunk_length(tick: int, chunk_sizer: ChunkSizer, *end_ticks: int | None) -> int:
    """Return how many ticks to run from `tick`: the pace's, cut at the nearest of `ends`."""
    return min(
        [chunk_sizer.ticks, *(end_tick - tick for end_tick in end_ticks if end_tick is not None)]
    )
