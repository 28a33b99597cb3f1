"""Specs of the native class, drawn from a seed; and their ticks in float64, by torch."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.spec.job_spec import JobSpec
from tests.training_records import read_small_spec, start_training
from ticks.data.batches import TensorRows
from ticks.micro_batches import PartLoss, compute_gradient
from ticks.optimizers import make_optimizer
from ticks.trainer import Trainer

NORMS = ("layer", "rms", "group", "none")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "sigmoid")


def backward(loss: PartLoss, batch: TensorRows, parts: int, parameters: Sequence[Tensor]) -> Tensor:
    """Leave the gradient of the batch's mean loss in `.grad`; return that loss (0-dim)."""
    mean_loss, *gradients = compute_gradient(loss, batch, parts, parameters)
    for parameter, value in zip(parameters, gradients, strict=True):
        parameter.grad = value
    return mean_loss


def draw_spec(number: int, **changes: Any) -> JobSpec:
    """Draw a spec: widths, norm, activation, batch, parts, optimizer, clip, schedule, loss."""
    rng = random.Random(number)
    rows, features = rng.randint(3, 40), rng.randint(1, 21)
    batch = rng.choice([1, rng.randint(1, rows)])
    body = {
        "model": {
            "family": "mlp",
            "hidden": [rng.randint(2, 40) for _ in range(rng.randint(1, 3))],
            "norm": NORMS[number % 4],
            "activation": ACTIVATIONS[number % 5],
        },
        **_draw_data(rng, rows, features, number % 3 == 0, drop_last=number % 5 == 2),
        "optimizer": _draw_optimizer(rng),
        "schedule": {
            "name": (name := rng.choice(["constant", "linear", "cosine"])),
            "warmup_ticks": rng.choice([0, 7]),
            "end_factor": rng.choice([0, 0.5 * (name != "constant")]),
        },
        "budget": {"ticks": 64},
        "batch_size": batch,
        "micro_batches": rng.randint(1, min(batch, 6)),
        "clip_norm": rng.choice([None, None, 0.5]),
        "record": rng.choice([["loss"], ["loss", "grad_norm"]]),
        "seed": number,
    }
    return read_small_spec(**(body | changes))


def _draw_data(
    rng: random.Random, rows: int, features: int, classes: bool, *, drop_last: bool
) -> dict[str, Any]:
    array_rng = np.random.default_rng(rng.randint(0, 10**9))
    inputs = array_rng.standard_normal((rows, features)).round(3).tolist()
    shuffle = rng.random() < 0.5
    if classes:
        targets: Any = array_rng.integers(0, rng.randint(2, 12), rows).tolist()
    elif rng.random() < 0.5:
        targets = (array_rng.standard_normal(rows) + 0.001).round(3).tolist()
    else:
        targets = array_rng.standard_normal((rows, rng.randint(2, 25))).round(3).tolist()
    data = {
        "source": "inline", "inputs": inputs, "targets": targets,
        "shuffle": shuffle, "drop_last": drop_last,
    }  # fmt: skip
    return {"data": data, "objective": "cross_entropy" if classes else "mse"}


def _draw_optimizer(rng: random.Random) -> dict[str, Any]:
    decay = {
        "weight_decay": rng.choice([0, 0.01, 0.01]),
        "decay": rng.choice(["weights", "all"]),
    }
    if rng.random() < 0.5:
        momentum = rng.choice([0, 0.9])
        nesterov = momentum > 0 and rng.random() < 0.5
        sgd = {"name": "sgd", "lr": 0.01, "momentum": momentum, "nesterov": nesterov}
        return {**sgd, **decay}
    name = rng.choice(["adam", "adamw"])
    return {"name": name, "lr": 0.002, "betas": [rng.choice([0.9, 0.3]), 0.99],
            "eps": 1e-3, **decay}  # fmt: skip


class Float64Training:
    """The spec's ticks in float64: the same operators of torch, on the same rows and weights."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.spec = trainer, trainer.spec
        self.net = trainer.net.double()
        self.parameters = list(self.net.parameters())
        self.optimizer = make_optimizer(self.spec.optimizer, self.parameters)
        if self.spec.optimizer.decay == "weights":
            self._exempt_from_decay([p for p in self.parameters if p.ndim == 1])

    def _exempt_from_decay(self, parameters: list[Tensor]) -> None:
        """Move parameters to a group of torch's without weight decay."""
        (group,) = self.optimizer.param_groups
        group["params"] = [p for p in group["params"] if p.ndim > 1]
        self.optimizer.add_param_group({"params": parameters, "weight_decay": 0.0})

    def losses(self, ticks: int) -> NDArray[np.float64]:
        """Run some ticks from the first."""
        return np.array([self._tick(tick) for tick in range(1, ticks + 1)])

    def _tick(self, tick: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.spec.rate(tick)
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


def make_trainer(spec: JobSpec) -> Trainer:
    """Build the spec's trainer."""
    return start_training(spec).trainer


def max_difference(first: "NDArray[Any]", second: "NDArray[Any]") -> float:
    """Return the largest difference of two loss sequences, relative to losses above 1."""
    return float(np.max(np.abs(first - second) / np.maximum(1.0, np.abs(second))))
