"""The test at the end: rows that are evaluated once, on the best state or else on the last one."""

import torch

from ticks.data.batches import RowSource
from ticks.engines.chunk import Engine
from ticks.state import Tensors, weights
from ticks.trainer import Trainer


class FinalTest:
    """The rows of the test and, where the best state is kept, a copy of its weights.

    `best_weights` are those of the best validation so far, with buffers; empty before the first.
    They are replaced, never changed, so that a state may be written beside the training.
    """

    def __init__(self, rows: RowSource, trainer: Trainer, *, keeps_best: bool) -> None:
        self.rows, self.best_weights = rows, Tensors()
        self._trainer, self._keeps_best = trainer, keeps_best

    def keep_best(self) -> None:
        """Copy the trainer's weights: they are the best so far."""
        if self._keeps_best:
            self.best_weights = _copy(weights(self._trainer))

    def restore_best(self, best_weights: Tensors) -> None:
        """Take the best weights that were saved; they are copied to the trainer's device."""
        device = self._trainer.parameters[0].device
        self.best_weights = {name: tensor.to(device) for name, tensor in best_weights.items()}

    def evaluate(self, engine: Engine, classes: int | None) -> dict[str, float]:
        """Return test_loss and, for class targets, test_accuracy; the trainer's state stays."""
        if not self.best_weights:
            return _as_test(engine.evaluate(self.rows, classes))
        last_weights = _copy(weights(self._trainer))
        try:
            self._trainer.net.load_state_dict(self.best_weights)
            return _as_test(engine.evaluate(self.rows, classes))
        finally:
            self._trainer.net.load_state_dict(last_weights)


@torch.no_grad()
def _copy(tensors: Tensors) -> Tensors:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _as_test(metrics: dict[str, float]) -> dict[str, float]:
    return {"test_" + name.removeprefix("val_"): value for name, value in metrics.items()}
