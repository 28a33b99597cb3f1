"""How a job trains: optimizer, schedule, budget, stop rules, checkpoints, compute.

Each part is checked alone; the rules between them are in `jobs/spec/rules.py`.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from jobs.spec.base import MAX_TICKS, Finite, NonNegative, Share, Ticks
from jobs.spec.metrics import Metric, Mode, ValidationMetric
from models.strict_models import StrictModel
from models.strict_numbers import FINITE, INTEGRAL

LearningRate = Annotated[float, Field(gt=0, le=10), FINITE]
Decay = Annotated[float, Field(ge=0, le=1), FINITE]
Beta = Annotated[float, Field(ge=0, lt=1), FINITE]
DecayedParameters = Annotated[
    Literal["weights", "all"],
    Field(description="what weight_decay applies to: weights alone, or biases and norms too"),
]


class Sgd(StrictModel):
    """Stochastic gradient descent, as torch.optim.SGD computes it."""

    name: Literal["sgd"]
    lr: LearningRate = 0.001
    weight_decay: Decay = 0.0
    decay: DecayedParameters = "weights"
    momentum: Share = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class _Adaptive(StrictModel):
    lr: LearningRate = 0.001
    # not strict: JSON has lists only, and strict pydantic accepts no list as a tuple
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0, le=1), FINITE] = 1e-8


class Adam(_Adaptive):
    """Adam with L2 regularisation in the gradient, as torch.optim.Adam computes it."""

    name: Literal["adam"]
    weight_decay: Decay = 0.0
    decay: DecayedParameters = "weights"


class AdamW(_Adaptive):
    """Adam with decoupled weight decay, as torch.optim.AdamW computes it."""

    name: Literal["adamw"] = "adamw"
    weight_decay: Decay = 0.01
    decay: DecayedParameters = "weights"


def _optimizer_name(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("name", "adamw")
    return getattr(value, "name", None)


OptimizerSpec = Annotated[
    Annotated[Sgd, Tag("sgd")] | Annotated[Adam, Tag("adam")] | Annotated[AdamW, Tag("adamw")],
    Discriminator(
        _optimizer_name,
        custom_error_type="unknown_optimizer",
        custom_error_message="an object whose name is one of sgd, adam, adamw",
    ),
]


class Schedule(StrictModel):
    """The learning rate by tick: a linear warmup, then constant, linear or cosine.

    `ticks/engines/native/rates.py` computes the same rates for many ticks at once.
    """

    name: Literal["constant", "linear", "cosine"] = "constant"
    warmup_ticks: Annotated[int, Field(ge=0, le=MAX_TICKS), INTEGRAL] = 0
    end_factor: Annotated[float, Field(ge=0, le=1), FINITE] = 0.0
    """The rate that linear and cosine fall to, as a share of lr: reached one tick after the last,
    whose own rate is above it. 0 with constant, which does not fall."""

    def rate(self, lr: float, tick: int, total: int | None) -> float:
        """Return the learning rate of `tick` (from 1) of `total`, in float64."""
        warmup = self.warmup_ticks
        if tick <= warmup:
            return lr * tick / warmup
        return lr * self._share(tick, total)

    def _share(self, tick: int, total: int | None) -> float:
        if self.name == "constant":
            return 1.0
        assert total is not None, "only constant can do without the total"
        progress = (tick - 1 - self.warmup_ticks) / (total - self.warmup_ticks)
        if self.name == "linear":
            return 1.0 - (1.0 - self.end_factor) * progress
        return (
            self.end_factor + (1.0 - self.end_factor) * (1.0 + math.cos(math.pi * progress)) / 2.0
        )


class Budget(StrictModel):
    """The limits of a job: the first one reached ends it."""

    ticks: Ticks | None = None
    epochs: Annotated[int, Field(ge=1, le=1_000_000), INTEGRAL] | None = None
    seconds: Annotated[float, Field(ge=1, le=2_592_000), FINITE] | None = None
    """Training time, without waiting in the queue and pauses."""

    @model_validator(mode="after")
    def _at_least_one(self) -> "Budget":
        if self.ticks is None and self.epochs is None and self.seconds is None:
            raise ValueError("at least one of ticks, epochs and seconds is needed")
        return self


class Patience(StrictModel):
    """Ends the job when a metric has not improved for `ticks` ticks."""

    metric: Metric = "val_loss"
    ticks: Ticks
    min_delta: NonNegative = 0.0


class Target(StrictModel):
    """Ends the job when a metric falls below or rises above a value."""

    metric: Metric = "val_loss"
    below: Finite | None = None
    above: Finite | None = None

    @model_validator(mode="after")
    def _one_side(self) -> "Target":
        if (self.below is None) == (self.above is None):
            raise ValueError("exactly one of below and above is needed")
        return self


class Converged(StrictModel):
    """Ends the job when a metric's means over its last two windows differ by no more."""

    metric: Metric = "loss"
    window: Ticks
    rel_change: NonNegative


class Stop(StrictModel):
    """Rules that end a job early; any of them does."""

    patience: Patience | None = None
    converged: Converged | None = None
    target: Target | None = None
    on_nonfinite: Literal["fail", "skip"] = "fail"
    max_skips: Ticks | None = 100
    """So many ticks in a row that on_nonfinite skips fail the job; null: any number may be."""
    check_every: Ticks = 100
    """Rules on the training loss are checked at ticks divisible by this; patience and target read
    the mean of the losses since the last such tick (of the finite ones)."""

    @property
    def reads_loss(self) -> bool:
        """Whether a rule reads the training loss."""
        rules = (self.patience, self.target, self.converged)
        return any(rule is not None and rule.metric == "loss" for rule in rules)

    def rules_that_begin_anew(self, before: "Stop") -> set[str]:
        """Return the rules that look at something else than those of a spec before.

        `patience` at another metric, `converged` at another metric or over other windows.
        """
        renewed = set()
        if self.patience and (
            not before.patience or before.patience.metric != self.patience.metric
        ):
            renewed.add("patience")
        old, new = before.converged, self.converged
        if new and (not old or (old.metric, old.window) != (new.metric, new.window)):
            renewed.add("converged")
        return renewed


class BestRule(StrictModel):
    """The metric whose best value makes a checkpoint the best."""

    metric: ValidationMetric = "val_loss"
    mode: Mode | None = None
    """Whether the least or the greatest value is the best; null: as the metric is meant, max for
    val_r2, val_accuracy, val_macro_f1 and val_auc, min for all others."""


class CheckpointRules(StrictModel):
    """When checkpoints are saved (beside the end, a pause and a drain), and how many are kept."""

    every_seconds: Annotated[float, Field(ge=1, le=86_400), FINITE] | None = 30
    every_ticks: Ticks | None = None
    keep: Annotated[int, Field(ge=1, le=100), INTEGRAL] = 2
    keep_best: bool = True
    best: BestRule | None = None
    """null: by the metric of held-out rows that `stop.patience` names, else by val_loss."""
    at_start: bool = False


class Compute(StrictModel):
    """The device and engine of a job, and how exact a resume must be."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto is decided when a job is submitted, by a rule (see plan), and stored as cpu or cuda."""
    threads: Annotated[int, Field(ge=1, le=256), INTEGRAL] = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of products; weights, optimizer state and losses are always float32."""
    engine: Literal["auto", "eager", "graph", "native"] = "auto"
    """How ticks are executed. eager and graph give the same bits, native its own; auto chooses by a
    rule (see plan), which takes native for a million ticks or more of a small net."""
    processes: Annotated[int, Field(ge=1, le=1), INTEGRAL] = 1
    exact: Literal["required", "best_effort"] = "required"
