"""Makes ticks: the net, its optimizer and its batches, one parameter update at a time.

Everything random is a function of (seed, tick, part) or (seed, epoch), so the position is one
number, `at`. Knows no stop rule, no validation, no file and nobody to report to.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jobs.spec.job_spec import JobSpec
from models.build import build
from ticks.batches import Rows, Source
from ticks.objectives import OBJECTIVES
from ticks.optimizers import make
from ticks.parts import backward
from ticks.seeds import derive


class Update(NamedTuple):
    """What one tick gave: its loss, the gradient's L2 norm before clipping, and whether it counted.

    `grad_norm` is NaN where nobody asked for it; not `applied` means a loss that is not finite.
    """

    loss: float
    grad_norm: float
    applied: bool


class Trainer:
    """A net under training, `at` ticks old. Its state is the net's, the optimizer's and `at`."""

    def __init__(self, spec: JobSpec, rows: Source, device: torch.device) -> None:
        profile = spec.profile
        self.spec, self.at = spec, 0
        self.net = build(spec.model, profile.features, profile.outputs, spec.seed).to(device)
        self.parameters = list(self.net.parameters())
        self.optimizer = make(spec.optimizer, self.parameters)
        self.criterion = OBJECTIVES[spec.objective]()
        self.batches = rows.batches(spec.batch_size, seed=spec.seed, shuffle=spec.data.shuffle)
        self._dice = dice(device)
        self._buffers = [(buffer, buffer.clone()) for buffer in self.net.buffers()]
        self._random = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.net.modules())
        self._half = spec.compute.precision == "bfloat16"
        self._wants_norm = "grad_norm" in spec.record or spec.clip_norm is not None

    def tick(self, batch: Rows) -> Update:
        """Make one parameter update from the batch of tick `at` + 1.

        A loss that is not finite leaves weights, buffers, optimizer and `at` as they were.
        """
        self._begin()
        self.optimizer.zero_grad()
        loss = backward(self.loss, batch, self.spec.micro_batches, self.parameters).item()
        grad_norm = self._norm_and_clip() if self._wants_norm else math.nan
        if not math.isfinite(loss):
            self._withdraw()
            return Update(loss, grad_norm, applied=False)
        self.optimizer.step()
        self.at += 1
        return Update(loss, grad_norm, applied=True)

    def loss(self, part: Rows, number: int) -> Tensor:
        """Compute the mean loss (0-dim) of one part of the batch of tick `at` + 1."""
        if self._random:
            self._dice.manual_seed(derive("dropout", self.spec.seed, self.at + 1, number))
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

    def _begin(self) -> None:
        rate = self.spec.rate(self.at + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for buffer, before in self._buffers:
            before.copy_(buffer)

    def _withdraw(self) -> None:
        # The forward pass has already moved BatchNorm's running averages.
        for buffer, before in self._buffers:
            buffer.copy_(before)

    def _norm_and_clip(self) -> float:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.spec.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, self.spec.clip_norm, norm)
        return norm.item()


def dice(device: torch.device) -> torch.Generator:
    """Return the generator that dropout draws from on this device.

    Not torch.manual_seed, which would also note a seed for every kind of device that has not been
    used yet, with a stack trace, a tick.
    """
    if device.type == "cpu":
        return torch.default_generator
    return torch.cuda.default_generators[device.index or 0]
