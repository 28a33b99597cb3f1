"""Stop rules: when a job ends before its budget. Knows no net.

A rule reads a validation metric at its validation ticks, and the training loss at ticks divisible
by `check_every`: `patience` and `target` its mean since the last such tick, `converged` all of its
window. A number that is not finite meets no rule and is never the best.
"""

import math

import numpy as np

from jobs.spec.metrics import Mode, better_mode
from jobs.spec.training import Converged, Patience, Stop, Target
from ticks.data.batches import Column
from ticks.loss_mean import LossMean
from ticks.rolling_window import RollingWindow


class StopRules:
    """The stop rules of one job and their state."""

    def __init__(self, stop: Stop, *, reads_mean_loss: bool = True) -> None:
        """Without `reads_mean_loss`, as in earlier specs, a rule reads the loss of its tick."""
        self.stop = stop
        #: the losses since the last look; None where no rule reads their mean
        self.loss_mean = LossMean() if reads_mean_loss and self._compares_loss else None
        self.best: float | None = None  # patience: the best value so far,
        self.best_tick = 0  # and its tick
        self.converged_after = 0  # converged: it looks at values of later ticks alone
        span = 2 * stop.converged.window if stop.converged else 0
        self.rolling_window = RollingWindow(span)  # converged: the values of its two windows

    @property
    def _compares_loss(self) -> bool:
        """Whether `target` or `patience` reads the training loss."""
        rules = (self.stop.target, self.stop.patience)
        return any(rule is not None and rule.metric == "loss" for rule in rules)

    @property
    def reads_loss_for_patience(self) -> bool:
        """Whether the rule `patience` reads the training loss."""
        return self.stop.patience is not None and self.stop.patience.metric == "loss"

    def observe(self, first: int, losses: Column) -> None:
        """Record the training losses [n] of consecutive ticks from `first` on, skipped ones too."""
        if self.stop.converged and self.stop.converged.metric == "loss":
            self.rolling_window.add(np.arange(first, first + len(losses)), losses)
        if self.loss_mean is not None:
            self.loss_mean.add(losses)

    def read_loss(self, loss: float) -> float:
        """Return what rules read at a look at the training loss, which is `loss` at this tick."""
        return loss if self.loss_mean is None else self.loss_mean.take()

    def check(self, tick: int, metrics: dict[str, float]) -> str | None:
        """Return the rule that ends the job at this tick, or None.

        `metrics` are the values read at this tick. Of several rules that are met, target comes
        before patience before converged.
        """
        is_target_met = self._check_target(self.stop.target, metrics)
        is_stale = self._check_patience(self.stop.patience, tick, metrics)
        is_converged = self._check_converged(self.stop.converged, tick, metrics)
        outcomes = {"target": is_target_met, "patience": is_stale, "converged": is_converged}
        return next((name for name, is_met in outcomes.items() if is_met), None)

    def _check_target(self, rule: Target | None, metrics: dict[str, float]) -> bool:
        if rule is None or rule.metric not in metrics:
            return False
        value = metrics[rule.metric]
        is_below = rule.below is not None and value < rule.below
        is_above = rule.above is not None and value > rule.above
        return math.isfinite(value) and (is_below or is_above)

    def _check_patience(self, rule: Patience | None, tick: int, metrics: dict[str, float]) -> bool:
        if rule is None or rule.metric not in metrics:
            return False
        value = metrics[rule.metric]
        mode, best = better_mode(rule.metric), self.best
        is_better = best is None or is_improvement(value, best, mode, rule.min_delta)
        if math.isfinite(value) and is_better:
            self.best, self.best_tick = value, tick
        return tick - self.best_tick >= rule.ticks

    def _check_converged(
        self, rule: Converged | None, tick: int, metrics: dict[str, float]
    ) -> bool:
        if rule is None or rule.metric not in metrics:
            return False
        if rule.metric != "loss":
            self.rolling_window.add(tick, metrics[rule.metric])
        if tick - self.converged_after < 2 * rule.window:
            return False
        last = self.rolling_window.mean(tick - rule.window, tick)
        previous = self.rolling_window.mean(tick - 2 * rule.window, tick - rule.window)
        is_finite = math.isfinite(last) and math.isfinite(previous)
        return is_finite and abs(last - previous) <= rule.rel_change * abs(previous)


def is_improvement(value: float, best: float, mode: Mode, min_delta: float = 0.0) -> bool:
    """Return whether a finite value is better than the best so far by more than `min_delta`."""
    gain = value - best if mode == "max" else best - value
    return gain > min_delta
