"""Compute the learning rates of many ticks at once, bit for bit those of the spec. Knows no torch.

The definition is `jobs.spec.training.Schedule`; a test compares both.
"""

import math

import numpy as np
from numpy.typing import NDArray

from jobs.spec.job_spec import JobSpec

Rates = NDArray[np.float64]


def learning_rates(spec: JobSpec, first: int, count: int) -> Rates:
    """Return the rates of `count` ticks from `first` on, [count]; [1] where all are equal."""
    schedule, warmup = spec.schedule, spec.schedule.warmup_ticks
    if schedule.name == "constant" and first > warmup:
        return np.array([spec.rate(first)])
    ticks = np.arange(first, first + count, dtype=np.float64)
    warmup_rates = spec.optimizer.lr * ticks / max(warmup, 1)
    rates = spec.optimizer.lr * _schedule_factors(spec, ticks)
    return np.where(ticks <= warmup, warmup_rates, rates)


def _schedule_factors(spec: JobSpec, ticks: Rates) -> Rates:
    schedule = spec.schedule
    if schedule.name == "constant":
        return np.ones_like(ticks)
    assert spec.ticks_total is not None, "only a constant schedule needs no total"
    progress = (ticks - 1 - schedule.warmup_ticks) / (spec.ticks_total - schedule.warmup_ticks)
    if schedule.name == "linear":
        return 1.0 - (1.0 - schedule.end_factor) * progress
    # math.cos, because the bits of numpy's depend on the processor
    cosines = np.fromiter(map(math.cos, (math.pi * progress).tolist()), np.float64, len(ticks))
    return schedule.end_factor + (1.0 - schedule.end_factor) * (1.0 + cosines) / 2.0
