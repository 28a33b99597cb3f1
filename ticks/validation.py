"""What the net makes of the rows it never trains on. Changes nothing in the net."""

import torch

from ticks.data.batches import RowSource
from ticks.trainer import Trainer


@torch.no_grad()
def evaluate(trainer: Trainer, rows: RowSource, classes: int | None) -> dict[str, float]:
    """Compute val_loss over all rows and, where targets are classes, val_accuracy (0 to 1).

    The net runs in evaluation mode (no dropout, BatchNorm by its averages), as in training in the
    spec's precision. Losses of blocks of rows
    (always the same ones) are added in order in float64, weighted by rows.
    """
    trainer.net.eval()
    loss, correct, count = 0.0, 0, 0
    for block in rows.blocks():
        count += len(block.inputs)
        outputs = trainer.forward(block.inputs)
        loss += trainer.criterion(outputs, block.targets).item() * len(block.inputs)
        if classes is not None:
            correct += int((outputs.argmax(dim=1) == block.targets).sum().item())
    trainer.net.train()
    accuracy = {} if classes is None else {"val_accuracy": correct / count}
    return {"val_loss": loss / count} | accuracy
