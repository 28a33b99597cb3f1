"""Evaluate the net on rows it is not trained on. Changes no weight and no buffer."""

import torch
from torch import Tensor, nn

from ticks.data.batches import RowSource
from ticks.trainer import Trainer


@torch.no_grad()
def evaluate(trainer: Trainer, rows: RowSource, classes: int | None) -> dict[str, float]:
    """Return val_loss, the mean over all rows, and, for class targets, val_accuracy (0 to 1).

    The net runs in evaluation mode (no dropout, BatchNorm with its running averages) and in the
    spec's precision.
    """
    trainer.net.eval()
    sums = MetricSums(trainer.criterion, has_classes=classes is not None)
    for block in rows.blocks():
        trainer.show_progress()
        sums.add(trainer.forward(block.inputs), block.targets)
    trainer.net.train()
    return {f"val_{name}": value for name, value in sums.metrics().items()}


class MetricSums:
    """The sums that metrics are the means of, over blocks of rows.

    The losses of constant blocks of rows are added in order in float64, weighted by their numbers
    of rows.
    """

    def __init__(self, criterion: nn.Module, *, has_classes: bool) -> None:
        self.criterion, self.has_classes = criterion, has_classes
        self.loss, self.correct, self.count = 0.0, 0, 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a block of rows: the net's outputs, and the targets as its objective needs them."""
        self.count += len(outputs)
        self.loss += self.criterion(outputs, targets).item() * len(outputs)
        if self.has_classes:
            self.correct += int((outputs.argmax(dim=1) == targets).sum().item())

    def metrics(self) -> dict[str, float]:
        """Return the loss and, for class targets, the accuracy (0 to 1) of all rows so far."""
        accuracy = {"accuracy": self.correct / self.count} if self.has_classes else {}
        return {"loss": self.loss / self.count, **accuracy}
