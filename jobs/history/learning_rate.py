"""The `lr` column: computed from the spec's rate function, never stored. Knows no store.

A rate rises up to the end of its warmup and is monotone behind it, so the extremes of a range lie
at its ends or at those two ticks (the knees): a view of 10^9 ticks asks for some thousand rates.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jobs.history.summary_rows import SUMMARY, Edges, Summaries, summarize_runs

RateFunction = Callable[[int], float]  # tick from 1 -> learning rate used in it

MAX_EXACT_TICKS = 1 << 15  # ticks up to which a view asks for the rate of each one
NODES_PER_BUCKET = 33  # rates asked for in a longer view's bucket


def compute_rates(rate: RateFunction, first: int, last: int) -> npt.NDArray[np.float64]:
    """Rates of the ticks first…last -> float64 [last - first + 1]."""
    return np.fromiter(map(rate, range(first, last + 1)), np.float64, last - first + 1)


def downsample_rates(rate: RateFunction, edges: Edges, warmup: int) -> Summaries:
    """Summarize rates in the buckets of `borders` -> TALLY [len(edges) - 1].

    Extremes are exact. So is the mean up to 32,768 ticks; beyond, it is the trapezoid rule over
    33 ticks a bucket.
    """
    first, last = int(edges[0]), int(edges[-1]) - 1
    if last - first < MAX_EXACT_TICKS:
        return summarize_runs(compute_rates(rate, first, last), edges[:-1] - first)
    out = np.zeros(edges.size - 1, SUMMARY)
    for at, (start, stop) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        out[at] = _summarize_bucket(rate, start, stop - 1, warmup)
    return out


def _summarize_bucket(
    rate: RateFunction, first: int, last: int, warmup: int
) -> tuple[float, float, float, int, int]:
    knees = [tick for tick in (warmup, warmup + 1) if first <= tick <= last]
    ticks = np.union1d(
        np.linspace(first, last, NODES_PER_BUCKET).astype(np.int64), np.array(knees, np.int64)
    )
    samples = np.array([rate(tick) for tick in ticks.tolist()])
    total = np.trapezoid(samples, ticks) + (samples[0] + samples[-1]) / 2
    return samples.min(), samples.max(), total, last - first + 1, 0
