"""Seconds of one call, and values of several measurements that are taken in turn."""

import time
from collections.abc import Callable, Mapping


def time_call(action: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure_in_turn(
    measurements: Mapping[str, Callable[[], float]], rounds: int, *, warmup_rounds: int = 0
) -> dict[str, list[float]]:
    """Take every measurement once a round; return the values of the rounds after the warm-up."""
    values: dict[str, list[float]] = {name: [] for name in measurements}
    for _ in range(warmup_rounds + rounds):
        for name, measure in measurements.items():
            values[name].append(measure())
    return {name: taken[warmup_rounds:] for name, taken in values.items()}
