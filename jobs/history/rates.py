"""The `lr` column: computed from the spec's rate function, never stored. Knows no store.

A rate rises up to the end of its warmup and is monotone behind it, so the extremes of a range lie
at its ends or at those two ticks (the knees): a view of 10^9 ticks asks for some thousand rates.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jobs.history.rows import TALLY, Edges, Tallies, tally

Rate = Callable[[int], float]  # tick from 1 -> learning rate used in it

MOST_EACH = 1 << 15  # ticks up to which a view asks for the rate of each one
NODES = 33  # rates asked for in a longer view's bucket


def rates(rate: Rate, first: int, last: int) -> npt.NDArray[np.float64]:
    """Rates of the ticks first…last -> float64 [last - first + 1]."""
    return np.fromiter(map(rate, range(first, last + 1)), np.float64, last - first + 1)


def rate_view(rate: Rate, edges: Edges, warmup: int) -> Tallies:
    """Summarize rates in the buckets of `borders` -> TALLY [len(edges) - 1].

    Extremes are exact. So is the mean up to 32,768 ticks; beyond, it is the trapezoid rule over
    33 ticks a bucket.
    """
    first, last = int(edges[0]), int(edges[-1]) - 1
    if last - first < MOST_EACH:
        return tally(rates(rate, first, last), edges[:-1] - first)
    out = np.zeros(edges.size - 1, TALLY)
    for at, (start, stop) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        out[at] = _bucket(rate, start, stop - 1, warmup)
    return out


def _bucket(rate: Rate, first: int, last: int, warmup: int) -> tuple[float, float, float, int, int]:
    knees = [tick for tick in (warmup, warmup + 1) if first <= tick <= last]
    ticks = np.union1d(np.linspace(first, last, NODES).astype(np.int64), np.array(knees, np.int64))
    found = np.array([rate(tick) for tick in ticks.tolist()])
    total = np.trapezoid(found, ticks) + (found[0] + found[-1]) / 2
    return found.min(), found.max(), total, last - first + 1, 0
