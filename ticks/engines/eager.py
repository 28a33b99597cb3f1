"""The eager engine: one tick after another through the trainer's own `tick`. Decides nothing."""

from collections.abc import Sequence

import numpy as np

from ticks.batches import Source
from ticks.engines.chunk import Chunk
from ticks.trainer import Trainer
from ticks.validation import evaluate


class Eager:
    """Runs ticks as a hand-written PyTorch loop would, operator by operator."""

    name = "eager"
    version = 1

    def __init__(self, trainer: Trainer, record: Sequence[str]) -> None:
        self.trainer, self.record = trainer, record

    def run(self, k: int) -> Chunk:
        """Run up to k ticks; ends early, with `nonfinite`, at a loss that is not finite."""
        trainer, first, made = self.trainer, self.trainer.at + 1, 0
        values = np.empty((k, 2), dtype=np.float32)
        applied = True
        while applied and made < k:
            update = trainer.tick(trainer.batches.of(trainer.at + 1))
            values[made] = update.loss, update.grad_norm
            applied = update.applied
            made += 1
        columns = {"loss": values[:made, 0].copy()}
        if "grad_norm" in self.record:
            columns["grad_norm"] = values[:made, 1].copy()
        return Chunk(first, columns, nonfinite=not applied)

    def evaluate(self, rows: Source, classes: int | None) -> dict[str, float]:
        """Compute val_loss and val_accuracy by torch."""
        return evaluate(self.trainer, rows, classes)
