"""How many ticks the next chunk runs. Knows time and tick numbers; no trainer, no ledger."""

from bisect import bisect_right
from collections.abc import Iterable

#: seconds a chunk should take: short enough that a request is acted on at once, long enough that
#: handing over (some 2 ms) is a small part of it
CHUNK_SECONDS = 0.05
#: most ticks in one chunk, so that what waits in memory stays small however fast a trainer is
CHUNK_TICKS = 1 << 19
#: seconds of a chunk up to which the trainer runs on while it is handed over: a request that comes
#: then waits for two
AHEAD_SECONDS = 0.25
#: a first chunk is slow (allocations, first calls), so a pace may grow but not leap
GROWTH = 8


class Pace:
    """The length of the next chunk, learnt from how long the last one took."""

    def __init__(self) -> None:
        self.ticks = 1
        self.may_go_on = (
            False  # whether the next chunk may be begun before the last is in the books
        )

    def learn(self, count: int, seconds: float) -> None:
        """Take in that `count` ticks took `seconds` s."""
        self.may_go_on = seconds <= AHEAD_SECONDS
        fitting = int(count * CHUNK_SECONDS / max(seconds, 1e-6))
        self.ticks = max(1, min(fitting, GROWTH * self.ticks, CHUNK_TICKS))


class Marks:
    """Ticks at which a chunk must end, in order; none of them is ever stepped over."""

    def __init__(self, ticks: Iterable[int]) -> None:
        self._ticks = sorted(set(ticks))

    def __contains__(self, tick: int) -> bool:
        at = bisect_right(self._ticks, tick)
        return at > 0 and self._ticks[at - 1] == tick

    def after(self, tick: int) -> int | None:
        """Return the first mark beyond `tick`, or None."""
        at = bisect_right(self._ticks, tick)
        return self._ticks[at] if at < len(self._ticks) else None


def until_multiple(tick: int, every: int | None) -> int | None:
    """Return the first multiple of `every` beyond `tick`, or None where there is no such rule."""
    return None if every is None else (tick // every + 1) * every


def length(tick: int, pace: Pace, *ends: int | None) -> int:
    """Return how many ticks to run from `tick`: the pace's, cut at the nearest of `ends`."""
    return min([pace.ticks, *(end - tick for end in ends if end is not None)])
