"""Conditions against a spec: whether its columns are recorded, and which ticks it fixes itself.

Knows no store and no history.
"""

from collections.abc import Callable, Sequence

from jobs.spec.conditions import TICK, Condition
from jobs.spec.job_spec import JobSpec

RATE_COLUMN = "lr"  # computed from the schedule, for any job


def describe_missing_column(condition: Condition, spec: JobSpec) -> str | None:
    """Return the rule that a condition breaks whose column a job does not record, or None."""
    names = [*spec.record, RATE_COLUMN, *spec.metric_names]
    if condition.column in (TICK, *names):
        return None
    rule = f"of a column that this job records: {', '.join([TICK, *names])}"
    if condition.column.startswith("val_") and spec.validation is None:
        return f"{rule}; {condition.column} needs validation"
    if condition.column.startswith("test_") and spec.test is None:
        return f"{rule}; {condition.column} needs a test"
    return rule


def find_planned_tick(condition: Condition, spec: JobSpec, first_tick: int) -> int | None:
    """Return the first tick from `first_tick` on that meets a condition on `tick` or `lr`.

    None if none ever does, which no other column tells beforehand.
    """
    if condition.column == TICK:
        return max(first_tick, int(condition.threshold))
    warmup, total = spec.schedule.warmup_ticks, spec.ticks_total
    # the rate rises up to the end of the warmup, and is monotone, or constant, after it
    for first, last in ((1, warmup), (warmup + 1, total or max(warmup + 1, first_tick))):
        ticks = range(max(first, first_tick), last + 1)
        tick = _find_in_monotone(condition, spec.rate, ticks)
        if tick is not None:
            return tick
    return None


def is_planned(condition: Condition) -> bool:
    """Return whether the spec alone decides at which tick a condition is met."""
    return condition.column in (TICK, RATE_COLUMN)


def _find_in_monotone(
    condition: Condition, rate: Callable[[int], float], ticks: Sequence[int]
) -> int | None:
    """Return the first of some ticks, over which the rate is monotone, that meets a condition."""
    if not ticks:
        return None
    if condition.is_met(rate(ticks[0])):
        return ticks[0]
    if not condition.is_met(rate(ticks[-1])):
        return None
    low, high = 0, len(ticks) - 1  # not met at low, met at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if condition.is_met(rate(ticks[middle])) else (middle, high)
    return ticks[high]
