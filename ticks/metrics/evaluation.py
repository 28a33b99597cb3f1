"""The metrics of a net's kind, by its config.json, and their values over some rows.

A training and an evaluation of its checkpoint have the same metrics, since both read that config.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ticks.metrics.classes import ClassMetrics
from ticks.metrics.numbers import NumberMetrics
from ticks.metrics.tokens import TokenMetrics


class HeldOutMetrics(Protocol):
    """Metrics beside the loss, summed over blocks of rows."""

    count: int
    """Rows so far."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a block of rows: the net's outputs, and the targets as its objective needs them."""
        ...

    def compute(self, loss: float) -> dict[str, float]:
        """Return the metrics of all rows so far, whose mean loss is given; NaN: undefined."""
        ...

    def report(self) -> dict[str, Any]:
        """Return what else is to be said of these rows; NaN: undefined."""
        ...


@dataclass(frozen=True)
class RowEvaluation:
    """The mean loss of some rows, and their sums for all else."""

    loss: float
    sums: HeldOutMetrics

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics by name, the loss first; NaN: undefined."""
        return {"loss": self.loss, **self.sums.compute(self.loss)}


def make_metrics(config: Mapping[str, Any]) -> HeldOutMetrics:
    """Return the metrics of a net of this config.json, of no rows yet."""
    if config["objective"] == "language_model":
        return TokenMetrics(config.get("vocabulary"))
    if config["objective"] == "cross_entropy":
        return ClassMetrics(config.get("classes") or list(map(str, range(config["outputs"]))))
    scale = config.get("target_scale")
    return NumberMetrics(None if scale is None else np.array(scale["deviation"]))
