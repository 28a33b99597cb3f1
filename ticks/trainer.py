"""The body of the training loop: one tick is one parameter update.

`Trainer.tick` is the loop of examples/layernorm_loop.py in torch's words: loss and gradients
(`forward_backward`), update (`optimizer_step`), count. A loss that is not finite is undone instead
(`restore_buffers`).

Everything random is a function of (seed, tick, part) or (seed, epoch), so `ticks_done` is the whole
position in a training. Knows no stop rule, no validation, no file and no process.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from jobs.sampling.seeds import derive_seed
from jobs.spec.job_spec import JobSpec
from models.build import build
from ticks.class_weights import fit_class_weights
from ticks.data.batches import RowSource, TensorRows
from ticks.micro_batches import compute_gradient
from ticks.objectives import make_criterion, weigh_rows
from ticks.optimizers import Tensors, make_optimizer, make_update_rule


class TickResult(NamedTuple):
    """One tick's mean loss, the gradient's L2 norm before clipping, and whether it was applied.

    `grad_norm` is NaN where the spec does not need it. `applied` is False after a loss that is not
    finite: then nothing has changed.
    """

    loss: float
    grad_norm: float
    applied: bool


class BackwardResult(NamedTuple):
    """Loss (0-dim), gradient norm (0-dim; None where the spec does not need it), clipped gradients.

    The gradients are in the order of the net's parameters and have their shapes.
    """

    loss: Tensor
    grad_norm: Tensor | None
    gradients: list[Tensor]


class SeedableGenerator(Protocol):
    """The part of torch.Generator that dropout needs; the graph engine substitutes a recorder."""

    def manual_seed(self, seed: int) -> object:
        """Restart the sequence of random numbers from a 64-bit seed."""
        ...


class Trainer:
    """A net under training. Its state is the net's, the optimizer's, and `ticks_done`."""

    def __init__(self, spec: JobSpec, rows: RowSource, device: torch.device) -> None:
        profile = spec.profile
        self.spec, self.ticks_done = spec, 0
        self.net = build(spec.model, profile.features, profile.outputs, spec.seed).to(device)
        self.parameters = list(self.net.parameters())
        self.optimizer = make_optimizer(spec.optimizer, self.parameters)
        self.update_rule = make_update_rule(spec.optimizer)
        self.class_weights = fit_class_weights(spec, rows)
        self.criterion = make_criterion(
            spec.objective, self.class_weights, spec.label_smoothing
        ).to(device)
        self.batches = rows.batches(
            spec.batch_size,
            seed=spec.seed,
            shuffle=spec.data.shuffle,
            drop_last=spec.data.drop_last,
        )
        self.generator: SeedableGenerator = dropout_generator(device)
        #: called once for each part of a tick and each block of an evaluation: a sign of life
        self.show_progress: Callable[[], None] = show_nothing
        #: called with what the job's owner should know of its ticks
        self.warn: Callable[[str], None] = print_warning
        self._buffers = [(buffer, buffer.clone()) for buffer in self.net.buffers()]
        self.has_dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.net.modules())
        self._is_bfloat16 = spec.compute.precision == "bfloat16"
        self._needs_grad_norm = "grad_norm" in spec.record or spec.clip_norm is not None

    def tick(self, batch: TensorRows) -> TickResult:
        """Make one parameter update from the batch of tick `ticks_done` + 1.

        A loss that is not finite leaves weights, buffers, optimizer and `ticks_done` as they were.
        """
        result = self.forward_backward(batch)
        # read once and before the update: a GPU's kernels of the update are not waited for
        loss = result.loss.item()
        grad_norm = math.nan if result.grad_norm is None else result.grad_norm.item()
        if applied := math.isfinite(loss):
            self.optimizer_step(result.gradients, self.spec.rate(self.ticks_done + 1))
            self.ticks_done += 1
        else:
            self.restore_buffers()
        return TickResult(loss, grad_norm, applied)

    def forward_backward(self, batch: TensorRows) -> BackwardResult:
        """Compute loss and clipped gradients of tick `ticks_done` + 1.

        Sets every parameter's `grad`, and moves BatchNorm's running averages (`restore_buffers`
        puts them back). Changes no parameter.
        """
        for buffer, backup in self._buffers:
            backup.copy_(buffer)
        parts = self.spec.micro_batches
        weigh = None if self.class_weights is None else self._weigh_rows
        loss, *gradients = compute_gradient(self.part_loss, batch, parts, self.parameters, weigh)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        grad_norm = self._clip_grad_norm(gradients) if self._needs_grad_norm else None
        return BackwardResult(loss, grad_norm, gradients)

    def optimizer_step(self, gradients: Tensors, rate: float) -> None:
        """Update all parameters by their gradients and a learning rate."""
        self.optimizer.param_groups[0]["lr"] = rate
        step = self.update_rule.count_steps(self.optimizer) + 1
        self.update_rule.apply(self.optimizer, gradients, self.update_rule.step_scalars(rate, step))

    def restore_buffers(self) -> None:
        """Put back the net's buffers as they were before the last `forward_backward`."""
        for buffer, backup in self._buffers:
            buffer.copy_(backup)

    def skip_tick(self) -> None:
        """Count tick `ticks_done` + 1 without an update: the way past a loss that is not finite."""
        self.ticks_done += 1

    def part_loss(self, part: TensorRows, part_number: int) -> Tensor:
        """Return the mean loss (0-dim) of part `part_number` (from 0) of tick `ticks_done` + 1."""
        self.show_progress()
        if self.has_dropout:
            self.generator.manual_seed(
                derive_seed("dropout", self.spec.seed, self.ticks_done + 1, part_number)
            )
        loss: Tensor = self.criterion(self.forward(part.inputs), part.targets)
        return loss

    def _weigh_rows(self, rows: TensorRows) -> Tensor:
        return weigh_rows(self.criterion, rows.targets)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the net's outputs for `inputs` [rows, ...], always float32.

        With the precision bfloat16 the net runs under torch.autocast.
        """
        if not self._is_bfloat16:
            outputs: Tensor = self.net(inputs)
            return outputs
        with torch.autocast(inputs.device.type, torch.bfloat16):
            outputs = self.net(inputs)
        return outputs.float()

    @torch.no_grad()
    def _clip_grad_norm(self, gradients: Tensors) -> Tensor:
        """Return the gradients' L2 norm (0-dim) before clipping them where the spec says so.

        The formula of torch.nn.utils.clip_grad_norm_, which takes parameters instead of gradients.
        """
        grad_norm = nn.utils.get_total_norm(gradients)
        if self.spec.clip_norm is not None:
            coefficient = torch.clamp(self.spec.clip_norm / (grad_norm + 1e-6), max=1.0)
            torch._foreach_mul_(gradients, coefficient)
        return grad_norm


def show_nothing() -> None:
    """Show no progress: nobody waits for signs of life."""


def print_warning(text: str) -> None:
    """Print a warning at once."""
    print(text, flush=True)


def dropout_generator(device: torch.device) -> torch.Generator:
    """Return the generator that dropout draws from on this device.

    Seeding it costs less than torch.manual_seed, which at every call also stores a seed, with a
    stack trace, for each kind of device that is not in use yet.
    """
    if device.type == "cpu":
        return torch.default_generator
    return torch.cuda.default_generators[device.index or 0]
