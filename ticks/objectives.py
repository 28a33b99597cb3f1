"""The loss functions a net is trained to minimize, by the spec's names. Knows no tick."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class NextTokenLoss(nn.Module):
    """Mean cross entropy of the next token, in nats per token.

    Logits are [rows, window, vocabulary], targets [rows, window] int64.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss (0-dim) over all tokens of all rows."""
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


OBJECTIVES: dict[str, type[nn.Module]] = {
    "mse": nn.MSELoss,  # outputs and targets [rows, outputs]: mean (output - target)^2
    "cross_entropy": nn.CrossEntropyLoss,  # outputs [rows, classes], targets [rows] int64
    "language_model": NextTokenLoss,
}


def make_criterion(
    objective: str, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0
) -> nn.Module:
    """Return the loss function of an objective; weights and smoothing are for cross_entropy.

    With class weights the mean is torch's: by the sum of the rows' weights.
    """
    if class_weights is None and not label_smoothing:
        return OBJECTIVES[objective]()
    weight = None if class_weights is None else torch.tensor(class_weights)
    return nn.CrossEntropyLoss(weight, label_smoothing=label_smoothing)


def weigh_rows(criterion: nn.Module, targets: Tensor) -> Tensor:
    """Return the sum (0-dim) of the rows' class weights, which the mean loss is divided by."""
    weights: Tensor = criterion.weight  # type: ignore[assignment]
    return weights.index_select(0, targets).sum()


class LossSum:
    """The mean loss over blocks of rows.

    The losses of constant blocks are added in order in float64, weighted by their numbers of rows,
    or by the sums of their rows' class weights.
    """

    def __init__(self, criterion: nn.Module) -> None:
        self._criterion, self._loss, self._weight = criterion, 0.0, 0.0
        weights = getattr(criterion, "weight", None)
        self._class_weights = None if weights is None else weights.double().cpu().numpy()

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a block of rows."""
        weight = self._weigh(targets)
        self._loss += self._criterion(outputs, targets).item() * weight
        self._weight += weight

    @property
    def mean(self) -> float:
        """The mean loss of all rows so far."""
        return self._loss / self._weight

    def _weigh(self, targets: Tensor) -> float:
        weights = self._class_weights
        if weights is None:
            return len(targets)
        counts = np.bincount(targets.cpu().numpy(), minlength=len(weights))
        return float(np.cumsum(counts * weights)[-1])
