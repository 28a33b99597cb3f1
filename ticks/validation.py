"""Evaluate the net on rows it is not trained on. Changes no weight and no buffer."""

import torch

from ticks.data.batches import RowSource
from ticks.trainer import Trainer


@torch.no_grad()
def evaluate(trainer: Trainer, rows: RowSource, classes: int | None) -> dict[str, float]:
    """Return val_loss, the mean over all rows, and, for class targets, val_accuracy (0 to 1).

    The net runs in evaluation mode (no dropout, BatchNorm with its running averages) and in the
    spec's precision. The losses of constant blocks of rows are added in order in float64, weighted
    by their numbers of rows.
    """
    trainer.net.eval()
    loss, correct, count = 0.0, 0, 0
    for block in rows.blocks():
        trainer.show_progress()
        count += len(block.inputs)
        outputs = trainer.forward(block.inputs)
        loss += trainer.criterion(outputs, block.targets).item() * len(block.inputs)
        if classes is not None:
            correct += int((outputs.argmax(dim=1) == block.targets).sum().item())
    trainer.net.train()
    accuracy = {} if classes is None else {"val_accuracy": correct / count}
    return {"val_loss": loss / count} | accuracy
