"""Makes ticks: the net, its optimizer and its batches, one parameter update at a time.

Everything random is a function of (seed, tick, part) or (seed, epoch), so the position is one
number, `at`. Knows no stop rule, no validation, no file and nobody to report to.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from jobs.spec.job_spec import JobSpec
from models.build import build
from ticks.batches import Rows, Source
from ticks.objectives import OBJECTIVES
from ticks.optimizers import Tensors, make, rule
from ticks.parts import gradient
from ticks.seeds import derive


class Update(NamedTuple):
    """What one tick gave: its loss, the gradient's L2 norm before clipping, and whether it counted.

    `grad_norm` is NaN where nobody asked for it; not `applied` means a loss that is not finite.
    """

    loss: float
    grad_norm: float
    applied: bool


class Dice(Protocol):
    """What random numbers are drawn with."""

    def manual_seed(self, seed: int) -> object:
        """Begin the row of a seed."""
        ...


class Measured(NamedTuple):
    """What an update is made from: loss, norm (0-dim; None: not asked for), clipped gradients."""

    loss: Tensor
    norm: Tensor | None
    gradients: list[Tensor]


class Trainer:
    """A net under training, `at` ticks old. Its state is the net's, the optimizer's and `at`."""

    def __init__(self, spec: JobSpec, rows: Source, device: torch.device) -> None:
        profile = spec.profile
        self.spec, self.at = spec, 0
        self.net = build(spec.model, profile.features, profile.outputs, spec.seed).to(device)
        self.parameters = list(self.net.parameters())
        self.optimizer, self.rule = make(spec.optimizer, self.parameters), rule(spec.optimizer)
        self.criterion = OBJECTIVES[spec.objective]()
        self.batches = rows.batches(spec.batch_size, seed=spec.seed, shuffle=spec.data.shuffle)
        self.dice: Dice = dice(device)
        self._buffers = [(buffer, buffer.clone()) for buffer in self.net.buffers()]
        self.is_random = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.net.modules())
        self._half = spec.compute.precision == "bfloat16"
        self._wants_norm = "grad_norm" in spec.record or spec.clip_norm is not None

    def tick(self, batch: Rows) -> Update:
        """Make one parameter update from the batch of tick `at` + 1.

        A loss that is not finite leaves weights, buffers, optimizer and `at` as they were.
        """
        measured = self.measure(batch)
        loss = measured.loss.item()
        norm = math.nan if measured.norm is None else measured.norm.item()
        if not math.isfinite(loss):
            self.withdraw()
            return Update(loss, norm, applied=False)
        group, step = self.optimizer.param_groups[0], self.rule.steps(self.optimizer) + 1
        group["lr"] = rate = self.spec.rate(self.at + 1)
        self.rule.apply(self.optimizer, measured.gradients, self.rule.numbers(rate, step))
        self.at += 1
        return Update(loss, norm, applied=True)

    def measure(self, batch: Rows) -> Measured:
        """Compute what tick `at` + 1 goes by; `withdraw` undoes all that this changes."""
        for buffer, before in self._buffers:
            before.copy_(buffer)
        loss, *gradients = gradient(self.loss, batch, self.spec.micro_batches, self.parameters)
        for parameter, each in zip(self.parameters, gradients, strict=True):
            parameter.grad = each
        norm = self._norm_and_clip(gradients) if self._wants_norm else None
        return Measured(loss, norm, gradients)

    def withdraw(self) -> None:
        """Put the buffers back: the forward pass has moved BatchNorm's running averages."""
        for buffer, before in self._buffers:
            buffer.copy_(before)

    def loss(self, part: Rows, number: int) -> Tensor:
        """Compute the mean loss (0-dim) of one part of the batch of tick `at` + 1."""
        if self.is_random:
            self.dice.manual_seed(derive("dropout", self.spec.seed, self.at + 1, number))
        loss: Tensor = self.criterion(self.outputs(part.inputs), part.targets)
        return loss

    def outputs(self, inputs: Tensor) -> Tensor:
        """Run the net in the spec's precision; what it gives is float32 in any."""
        if not self._half:
            outputs: Tensor = self.net(inputs)
            return outputs
        with torch.autocast(inputs.device.type, torch.bfloat16):
            outputs = self.net(inputs)
        return outputs.float()

    def skip(self) -> None:
        """Go on to the next tick without an update: the way past a loss that is not finite."""
        self.at += 1

    @torch.no_grad()
    def _norm_and_clip(self, gradients: Tensors) -> Tensor:
        """Compute the gradients' L2 norm (0-dim), then clip them where the spec says so.

        As nn.utils.clip_grad_norm_ does it, which goes by parameters.
        """
        norm = nn.utils.get_total_norm(gradients)
        if self.spec.clip_norm is not None:
            share = torch.clamp(self.spec.clip_norm / (norm + 1e-6), max=1.0)
            torch._foreach_mul_(gradients, share)
        return norm


def dice(device: torch.device) -> torch.Generator:
    """Return the generator that dropout draws from on this device.

    Not torch.manual_seed, which would also note a seed for every kind of device that has not been
    used yet, with a stack trace, a tick.
    """
    if device.type == "cpu":
        return torch.default_generator
    return torch.cuda.default_generators[device.index or 0]
