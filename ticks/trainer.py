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
from ticks.data.batches import RowSource, TensorRows
from ticks.micro_batches import compute_gradient
from ticks.objectives import OBJECTIVES
from ticks.optimizers import Tensors, make_optimizer, make_update_rule
from ticks.seeds import derive_seed


class TickResult(NamedTuple):
    """What one tick gave: its loss, the gradient's L2 norm before clipping, and whether it counted.

    `grad_norm` is NaN where nobody asked for it; not `applied` means a loss that is not finite.
    """

    loss: float
    grad_norm: float
    applied: bool


class SeedableGenerator(Protocol):
    """What random numbers are drawn with."""

    def manual_seed(self, seed: int) -> object:
        """Begin the row of a seed."""
        ...


class BackwardResult(NamedTuple):
    """What an update is made from: loss, norm (0-dim; None: not asked for), clipped gradients."""

    loss: Tensor
    grad_norm: Tensor | None
    gradients: list[Tensor]


class Trainer:
    """A net under training, `at` ticks old. Its state is the net's, the optimizer's and `at`."""

    def __init__(self, spec: JobSpec, rows: RowSource, device: torch.device) -> None:
        profile = spec.profile
        self.spec, self.ticks_done = spec, 0
        self.net = build(spec.model, profile.features, profile.outputs, spec.seed).to(device)
        self.parameters = list(self.net.parameters())
        self.optimizer, self.update_rule = (
            make_optimizer(spec.optimizer, self.parameters),
            make_update_rule(spec.optimizer),
        )
        self.criterion = OBJECTIVES[spec.objective]()
        self.batches = rows.batches(spec.batch_size, seed=spec.seed, shuffle=spec.data.shuffle)
        self.generator: SeedableGenerator = dropout_generator(device)
        self._buffers = [(buffer, buffer.clone()) for buffer in self.net.buffers()]
        self.has_dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.net.modules())
        self._is_bfloat16 = spec.compute.precision == "bfloat16"
        self._needs_grad_norm = "grad_norm" in spec.record or spec.clip_norm is not None

    def tick(self, batch: TensorRows) -> TickResult:
        """Make one parameter update from the batch of tick `at` + 1.

        A loss that is not finite leaves weights, buffers, optimizer and `at` as they were.
        """
        result = self.forward_backward(batch)
        loss = result.loss.item()
        grad_norm = math.nan if result.grad_norm is None else result.grad_norm.item()
        if not math.isfinite(loss):
            self.restore_buffers()
            return TickResult(loss, grad_norm, applied=False)
        group, step = (
            self.optimizer.param_groups[0],
            self.update_rule.count_steps(self.optimizer) + 1,
        )
        group["lr"] = rate = self.spec.rate(self.ticks_done + 1)
        self.update_rule.optimizer_step(
            self.optimizer, result.gradients, self.update_rule.step_scalars(rate, step)
        )
        self.ticks_done += 1
        return TickResult(loss, grad_norm, applied=True)

    def forward_backward(self, batch: TensorRows) -> BackwardResult:
        """Compute what tick `at` + 1 goes by; `withdraw` undoes all that this changes."""
        for buffer, backup in self._buffers:
            backup.copy_(buffer)
        loss, *gradients = compute_gradient(
            self.part_loss, batch, self.spec.micro_batches, self.parameters
        )
        for parameter, grad in zip(self.parameters, gradients, strict=True):
            parameter.grad = grad
        grad_norm = self._clip_grad_norm(gradients) if self._needs_grad_norm else None
        return BackwardResult(loss, grad_norm, gradients)

    def restore_buffers(self) -> None:
        """Put the buffers back: the forward pass has moved BatchNorm's running averages."""
        for buffer, backup in self._buffers:
            buffer.copy_(backup)

    def part_loss(self, part: TensorRows, part_number: int) -> Tensor:
        """Compute the mean loss (0-dim) of one part of the batch of tick `at` + 1."""
        if self.has_dropout:
            self.generator.manual_seed(
                derive_seed("dropout", self.spec.seed, self.ticks_done + 1, part_number)
            )
        loss: Tensor = self.criterion(self.forward(part.inputs), part.targets)
        return loss

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the net in the spec's precision; what it gives is float32 in any."""
        if not self._is_bfloat16:
            outputs: Tensor = self.net(inputs)
            return outputs
        with torch.autocast(inputs.device.type, torch.bfloat16):
            outputs = self.net(inputs)
        return outputs.float()

    def skip_tick(self) -> None:
        """Go on to the next tick without an update: the way past a loss that is not finite."""
        self.ticks_done += 1

    @torch.no_grad()
    def _clip_grad_norm(self, gradients: Tensors) -> Tensor:
        """Compute the gradients' L2 norm (0-dim), then clip them where the spec says so.

        As nn.utils.clip_grad_norm_ does it, which goes by parameters.
        """
        grad_norm = nn.utils.get_total_norm(gradients)
        if self.spec.clip_norm is not None:
            coefficient = torch.clamp(self.spec.clip_norm / (grad_norm + 1e-6), max=1.0)
            torch._foreach_mul_(gradients, coefficient)
        return grad_norm


def dropout_generator(device: torch.device) -> torch.Generator:
    """Return the generator that dropout draws from on this device.

    Not torch.manual_seed, which would also note a seed for every kind of device that has not been
    used yet, with a stack trace, a tick.
    """
    if device.type == "cpu":
        return torch.default_generator
    return torch.cuda.default_generators[device.index or 0]
