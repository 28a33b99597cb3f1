"""Specs of the native class, drawn by a seed; and the same ticks in float64, by torch."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.spec.job_spec import JobSpec
from tests.trainings import begin, read
from ticks.data.batches import TensorRows
from ticks.micro_batches import PartLoss, compute_gradient
from ticks.optimizers import make_optimizer
from ticks.trainer import Trainer

NORMS = ("layer", "rms", "group", "none")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "sigmoid")


def backward(loss: PartLoss, batch: TensorRows, parts: int, parameters: Sequence[Tensor]) -> Tensor:
    """Leave the gradient of the batch's mean loss in `.grad`; return that loss (0-dim)."""
    whole, *gradients = compute_gradient(loss, batch, parts, parameters)
    for parameter, each in zip(parameters, gradients, strict=True):
        parameter.grad = each
    return whole


def drawn(number: int, **changes: Any) -> JobSpec:
    """Draw a spec: widths, norm, activation, batch, parts, optimizer, clip, schedule, loss."""
    dice = random.Random(number)
    rows, features = dice.randint(3, 40), dice.randint(1, 21)
    batch = dice.choice([1, dice.randint(1, rows)])
    body = {
        "model": {
            "family": "mlp",
            "hidden": [dice.randint(2, 40) for _ in range(dice.randint(1, 3))],
            "norm": NORMS[number % 4],
            "activation": ACTIVATIONS[number % 5],
        },
        **_data(dice, rows, features, number % 3 == 0),
        "optimizer": _optimizer(dice),
        "schedule": {
            "name": dice.choice(["constant", "linear", "cosine"]),
            "warmup_ticks": dice.choice([0, 7]),
            "end_factor": dice.choice([0, 0.5]),
        },
        "budget": {"ticks": 64},
        "batch_size": batch,
        "micro_batches": dice.randint(1, min(batch, 6)),
        "clip_norm": dice.choice([None, None, 0.5]),
        "record": dice.choice([["loss"], ["loss", "grad_norm"]]),
        "seed": number,
    }
    return read(**(body | changes))


def _data(dice: random.Random, rows: int, features: int, classes: bool) -> dict[str, Any]:
    source = np.random.default_rng(dice.randint(0, 10**9))
    inputs = source.standard_normal((rows, features)).round(3).tolist()
    shuffle = dice.random() < 0.5
    if classes:
        targets: Any = source.integers(0, dice.randint(2, 12), rows).tolist()
    elif dice.random() < 0.5:
        targets = (source.standard_normal(rows) + 0.001).round(3).tolist()
    else:
        targets = source.standard_normal((rows, dice.randint(2, 25))).round(3).tolist()
    data = {"source": "inline", "inputs": inputs, "targets": targets, "shuffle": shuffle}
    return {"data": data, "objective": "cross_entropy" if classes else "mse"}


def _optimizer(dice: random.Random) -> dict[str, Any]:
    decay = dice.choice([0, 0.01])
    if dice.random() < 0.5:
        momentum = dice.choice([0, 0.9])
        nesterov = momentum > 0 and dice.random() < 0.5
        sgd = {"name": "sgd", "lr": 0.01, "momentum": momentum, "nesterov": nesterov}
        return {**sgd, "weight_decay": decay}
    name = dice.choice(["adam", "adamw"])
    return {"name": name, "lr": 0.002, "betas": [dice.choice([0.9, 0.3]), 0.99],
            "eps": 1e-3, "weight_decay": decay}  # fmt: skip


class Doubles:
    """The spec's ticks in float64: the same operators of torch, on the same rows and weights."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.spec = trainer, trainer.spec
        self.net = trainer.net.double()
        self.parameters = list(self.net.parameters())
        self.optimizer = make_optimizer(self.spec.optimizer, self.parameters)

    def losses(self, ticks: int) -> NDArray[np.float64]:
        """Run so many ticks from the first."""
        return np.array([self._tick(tick) for tick in range(1, ticks + 1)])

    def _tick(self, tick: int) -> float:
        self.optimizer.param_groups[0]["lr"] = self.spec.rate(tick)
        self.optimizer.zero_grad()
        inputs, targets = self.trainer.batches.batch(tick)
        batch = TensorRows(
            inputs.double(), targets if targets.dtype == torch.int64 else targets.double()
        )
        loss = backward(self._loss, batch, self.spec.micro_batches, self.parameters)
        if self.spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.clip_norm)
        self.optimizer.step()
        return loss.item()

    def _loss(self, part: TensorRows, number: int) -> Tensor:
        loss: Tensor = self.trainer.criterion(self.net(part.inputs), part.targets)
        return loss


def trainer_of(spec: JobSpec) -> Trainer:
    """Build the spec's trainer."""
    return begin(spec).trainer


def apart(one: "NDArray[Any]", other: "NDArray[Any]") -> float:
    """The largest difference of two loss sequences, relative to losses above 1."""
    return float(np.max(np.abs(one - other) / np.maximum(1.0, np.abs(other))))
