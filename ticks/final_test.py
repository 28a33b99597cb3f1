"""The test at the end: rows that are evaluated once, on the best state or else on the last one."""

from collections.abc import Callable

import torch

from ticks.data.batches import RowSource
from ticks.metrics.evaluation import RowEvaluation
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

    def evaluate(self, evaluate_rows: Callable[[RowSource], RowEvaluation]) -> RowEvaluation:
        """Evaluate the rows of the test on the best weights; the trainer's state stays."""
        if not self.best_weights:
            return evaluate_rows(self.rows)
        last_weights = _copy(weights(self._trainer))
        try:
            self._trainer.net.load_state_dict(self.best_weights)
            return evaluate_rows(self.rows)
        finally:
            self._trainer.net.load_state_dict(last_weights)


@torch.no_grad()
def _copy(tensors: Tensors) -> Tensors:
    return {name: tensor.clone() for name, tensor in tensors.items()}
