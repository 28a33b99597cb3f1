"""Evaluate the net on rows it is not trained on. Changes no weight and no buffer."""

import torch

from ticks.data.batches import RowSource
from ticks.metrics.evaluation import HeldOutMetrics
from ticks.objectives import LossSum
from ticks.trainer import Trainer


@torch.no_grad()
def evaluate(trainer: Trainer, rows: RowSource, metrics: HeldOutMetrics) -> float:
    """Add all rows to `metrics` and return their mean loss.

    The net runs in evaluation mode (no dropout, BatchNorm with its running averages) and in the
    spec's precision.
    """
    trainer.net.eval()
    loss = LossSum(trainer.criterion)
    for block in rows.blocks():
        trainer.show_progress()
        outputs = trainer.forward(block.inputs)
        loss.add(outputs, block.targets)
        metrics.add(outputs, block.targets)
    trainer.net.train()
    return loss.mean
