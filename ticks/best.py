"""The best validation so far. Knows no net."""

import math
from typing import TypedDict

from jobs.spec.job_spec import JobSpec
from ticks.stopping import is_improvement


class BestMetric(TypedDict):
    """The tick of the best value of the spec's metric so far (the first of equals).

    `metrics` are all of that validation; None: not finite.
    """

    metric: str
    tick: int
    value: float
    metrics: dict[str, float | None]


def find_better(
    spec: JobSpec, best: BestMetric | None, metrics: dict[str, float], tick: int
) -> BestMetric | None:
    """Return the validation of a tick if it is better than the best so far, else None.

    A value that is undefined, or not finite, is never better.
    """
    metric, mode = spec.best_metric
    value = metrics[metric]
    if not math.isfinite(value):
        return None
    if best is not None and not is_improvement(value, best["value"], mode):
        return None
    shown = {name: number if math.isfinite(number) else None for name, number in metrics.items()}
    return BestMetric(metric=metric, tick=tick, value=value, metrics=shown)
