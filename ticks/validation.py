"""What the net makes of the rows it never trains on. Changes nothing in the net."""

import torch
from torch import nn

from ticks.batches import Rows

SIZE = 1024  # rows at a time, always: the bits of a result must not hang on anything else


@torch.no_grad()
def evaluate(
    net: nn.Module, criterion: nn.Module, rows: Rows, classes: int | None
) -> dict[str, float]:
    """Compute val_loss over all rows and, where targets are classes, val_accuracy (0 to 1).

    The net runs in evaluation mode (no dropout, BatchNorm by its averages). Losses of blocks of
    1,024 rows are added in order in float64, weighted by rows.
    """
    net.eval()
    loss, right = 0.0, 0
    for first in range(0, len(rows.inputs), SIZE):
        block = rows.slice(first, first + SIZE)
        outputs = net(block.inputs)
        loss += criterion(outputs, block.targets).item() * len(block.inputs)
        if classes is not None:
            right += int((outputs.argmax(dim=1) == block.targets).sum().item())
    net.train()
    count = len(rows.inputs)
    accuracy = {} if classes is None else {"val_accuracy": right / count}
    return {"val_loss": loss / count} | accuracy
