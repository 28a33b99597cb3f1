"""Stop rules: when a job ends before its budget. Decided at ticks the spec names; knows no net.

A validation metric is looked at at its validation ticks, training loss at ticks divisible by
`check_every`. A number that is not finite satisfies no rule and is never the best.
"""

import math

import numpy as np

from jobs.spec.training import Converged, Patience, Stop, Target
from ticks.engines.chunk import Column
from ticks.recent import Recent


class Rules:
    """The stop rules of one job and what they remember."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.best: float | None = None  # patience: the best value so far,
        self.best_tick = 0  # and its tick
        span = 2 * stop.converged.window if stop.converged else 0
        self.recent = Recent(span)  # converged: the values of its two windows

    @property
    def read_loss(self) -> bool:
        """Whether a rule looks at training loss."""
        rules = (self.stop.target, self.stop.patience, self.stop.converged)
        return any(rule is not None and rule.metric == "loss" for rule in rules)

    def see(self, first: int, losses: Column) -> None:
        """Take in the training losses of consecutive accepted ticks."""
        if self.stop.converged and self.stop.converged.metric == "loss":
            self.recent.add(np.arange(first, first + len(losses)), losses)

    def decide(self, tick: int, seen: dict[str, float]) -> str | None:
        """Look at the metrics seen at this tick; return the rule that ends the job, or None.

        Where several do at one tick, target comes before patience before converged.
        """
        reached = self._target(self.stop.target, seen)
        stale = self._patience(self.stop.patience, tick, seen)
        settled = self._converged(self.stop.converged, tick, seen)
        ends = {"target": reached, "patience": stale, "converged": settled}
        return next((name for name, true in ends.items() if true), None)

    def _target(self, rule: Target | None, seen: dict[str, float]) -> bool:
        if rule is None or rule.metric not in seen:
            return False
        value = seen[rule.metric]
        below = rule.below is not None and value < rule.below
        above = rule.above is not None and value > rule.above
        return math.isfinite(value) and (below or above)

    def _patience(self, rule: Patience | None, tick: int, seen: dict[str, float]) -> bool:
        if rule is None or rule.metric not in seen:
            return False
        value = seen[rule.metric]
        if math.isfinite(value) and self._improves(rule, value):
            self.best, self.best_tick = value, tick
        return tick - self.best_tick >= rule.ticks

    def _improves(self, rule: Patience, value: float) -> bool:
        if self.best is None:
            return True
        gain = value - self.best if rule.metric == "val_accuracy" else self.best - value
        return gain > rule.min_delta

    def _converged(self, rule: Converged | None, tick: int, seen: dict[str, float]) -> bool:
        if rule is None or rule.metric not in seen:
            return False
        if rule.metric != "loss":
            self.recent.add(tick, seen[rule.metric])
        if tick < 2 * rule.window:
            return False
        last = self.recent.mean(tick - rule.window, tick)
        before = self.recent.mean(tick - 2 * rule.window, tick - rule.window)
        finite = math.isfinite(last) and math.isfinite(before)
        return finite and abs(last - before) <= rule.rel_change * abs(before)
