"""The `lr` column: computed from the spec's rate function, never stored. Knows no store.

The rate rises to the end of the warmup and is monotone afterwards, so the extremes of a range are
at its ends or at those two ticks (the knees); in a fork's line also where one job follows another.
A view of 10^9 ticks computes a few thousand rates.
The function itself is `jobs.spec.training.Schedule`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from jobs.history.summary_rows import SUMMARY, Edges, Summaries, summarize_runs

RateFunction = Callable[[int], float]  # tick (from 1) -> its learning rate

MAX_EXACT_TICKS = 1 << 15  # up to here a view computes every rate
NODES_PER_BUCKET = 33  # rates computed per bucket of a longer view


def compute_rates(rate: RateFunction, first: int, last: int) -> npt.NDArray[np.float64]:
    """Compute the rates of the ticks first…last -> float64 [last - first + 1]."""
    return np.fromiter(map(rate, range(first, last + 1)), np.float64, last - first + 1)


def downsample_rates(rate: RateFunction, edges: Edges, knees: Sequence[int]) -> Summaries:
    """Summarize rates in the buckets of `edges` -> SUMMARY [len(edges) - 1].

    Extremes are exact. The mean is exact up to 32,768 ticks; beyond, it comes from the trapezoid
    rule over 33 ticks per bucket.
    """
    first, last = int(edges[0]), int(edges[-1]) - 1
    if last - first < MAX_EXACT_TICKS:
        return summarize_runs(compute_rates(rate, first, last), edges[:-1] - first)
    out = np.zeros(edges.size - 1, SUMMARY)
    for at, (start, stop) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        out[at] = _summarize_bucket(rate, start, stop - 1, knees)
    return out


def _summarize_bucket(
    rate: RateFunction, first: int, last: int, knees: Sequence[int]
) -> tuple[float, float, float, int, int]:
    inside = [tick for tick in knees if first <= tick <= last]
    nodes = np.linspace(first, last, NODES_PER_BUCKET).astype(np.int64)
    ticks = np.union1d(nodes, np.array(inside, np.int64))
    samples = np.array([rate(tick) for tick in ticks.tolist()])
    total = np.trapezoid(samples, ticks) + (samples[0] + samples[-1]) / 2
    return samples.min(), samples.max(), total, last - first + 1, 0
