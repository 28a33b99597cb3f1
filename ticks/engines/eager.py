"""The eager engine: one tick after another through `Trainer.tick`. The reference for the others."""

from collections.abc import Sequence

import numpy as np

from ticks.data.batches import RowSource
from ticks.engines.chunk import Chunk
from ticks.metrics.evaluation import HeldOutMetrics
from ticks.trainer import Trainer
from ticks.validation import evaluate


class EagerEngine:
    """Runs ticks as a hand-written PyTorch loop does, operator by operator."""

    name = "eager"
    version = 1

    def __init__(self, trainer: Trainer, record: Sequence[str]) -> None:
        self.trainer, self.record = trainer, record

    def run(self, ticks: int) -> Chunk:
        """Run up to `ticks` ticks; ends early, with `nonfinite`, at a loss that is not finite."""
        trainer, first, ticks_run = self.trainer, self.trainer.ticks_done + 1, 0
        values = np.empty((ticks, 2), dtype=np.float32)
        is_applied = True
        while is_applied and ticks_run < ticks:
            result = trainer.tick(trainer.batches.batch(trainer.ticks_done + 1))
            values[ticks_run] = result.loss, result.grad_norm
            is_applied = result.applied
            ticks_run += 1
        columns = {"loss": values[:ticks_run, 0].copy()}
        if "grad_norm" in self.record:
            columns["grad_norm"] = values[:ticks_run, 1].copy()
        return Chunk(first, columns, nonfinite=not is_applied)

    def evaluate(self, rows: RowSource, metrics: HeldOutMetrics) -> float:
        """Add all rows to `metrics` and return their mean loss (ticks/validation.py)."""
        return evaluate(self.trainer, rows, metrics)
