"""The spec's optimizers: torch's own objects hold the state, and the update is written out here.

Each update is what torch.optim computes in its default form, number for number and bit for bit,
over all parameters at once (torch's foreach form, which on a CPU calls the same kernels one after
another). Written out since torch's `step` takes longer than the update of a small net, and since an
engine that runs many ticks at once has to know which of its numbers change from tick to tick.
torch's fused forms are not used: fused AdamW gives other bits.
"""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from jobs.spec import training as spec

Tensors = list[Tensor] | tuple[Tensor, ...]
StepScalars = tuple[float, ...]

OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


class UpdateRule(Protocol):
    """How one update is made. `keeps`: the first update makes tensors, which it goes on with."""

    has_state: bool

    def step_scalars(self, rate: float, step: int) -> StepScalars:
        """Return what changes from update to update, for the `step`th one (from 1)."""
        ...

    def count_steps(self, optimizer: Optimizer) -> int:
        """How many updates there were, where the numbers depend on that (else 0)."""
        ...

    def optimizer_step(
        self, optimizer: Optimizer, gradients: Tensors, scalars: StepScalars
    ) -> None:
        """Update all parameters."""
        ...


def make_optimizer(optimizer_spec: spec.OptimizerSpec, parameters: Iterable[Tensor]) -> Optimizer:
    """Make torch's optimizer of the spec, whose field names are torch's; it holds the state."""
    return OPTIMIZERS[optimizer_spec.name](
        parameters, **optimizer_spec.model_dump(exclude={"name"})
    )


def make_update_rule(optimizer_spec: spec.OptimizerSpec) -> UpdateRule:
    """Return the spec's way to update."""
    return (
        SgdRule(optimizer_spec)
        if isinstance(optimizer_spec, spec.Sgd)
        else AdamRule(optimizer_spec)
    )


class SgdRule:
    """torch.optim.SGD: with weight decay, momentum, nesterov."""

    def __init__(self, optimizer_spec: spec.Sgd) -> None:
        self.weight_decay, self.momentum = optimizer_spec.weight_decay, optimizer_spec.momentum
        self.is_nesterov, self.has_state = optimizer_spec.nesterov, optimizer_spec.momentum > 0

    def step_scalars(self, rate: float, step: int) -> StepScalars:
        """Return the rate, negated."""
        return (-rate,)

    def count_steps(self, optimizer: Optimizer) -> int:
        """Return 0: nothing depends on it."""
        return 0

    @torch.no_grad()
    def optimizer_step(
        self, optimizer: Optimizer, gradients: Tensors, scalars: StepScalars
    ) -> None:
        """Update all parameters; with momentum, the first update makes the buffers."""
        parameters = optimizer.param_groups[0]["params"]
        (negative_rate,) = scalars
        if self.weight_decay:
            gradients = torch._foreach_add(gradients, parameters, alpha=self.weight_decay)
        if self.momentum:
            gradients = self._apply_momentum(optimizer, parameters, gradients)
        torch._foreach_add_(parameters, gradients, alpha=negative_rate)

    def _apply_momentum(
        self, optimizer: Optimizer, parameters: Tensors, gradients: Tensors
    ) -> Tensors:
        state = optimizer.state
        if state:
            buffers = [state[parameter]["momentum_buffer"] for parameter in parameters]
            torch._foreach_mul_(buffers, self.momentum)
            torch._foreach_add_(buffers, gradients)
        else:
            buffers = [gradient.clone() for gradient in gradients]
            for parameter, buffer in zip(parameters, buffers, strict=True):
                state[parameter]["momentum_buffer"] = buffer
        if not self.is_nesterov:
            return buffers
        return torch._foreach_add(gradients, buffers, alpha=self.momentum)


class AdamRule:
    """torch.optim.Adam and AdamW; they differ in where the weight decay goes."""

    has_state = True

    def __init__(self, optimizer_spec: spec.Adam | spec.AdamW) -> None:
        self.weight_decay, self.is_decoupled = (
            optimizer_spec.weight_decay,
            isinstance(optimizer_spec, spec.AdamW),
        )
        self.beta1, self.beta2 = optimizer_spec.betas
        self.eps = optimizer_spec.eps

    def step_scalars(self, rate: float, step: int) -> StepScalars:
        """Return what decay leaves of a weight, the root of the second correction, the size."""
        step_size = rate / (1 - self.beta1**step)
        return 1 - rate * self.weight_decay, (1 - self.beta2**step) ** 0.5, -step_size

    def count_steps(self, optimizer: Optimizer) -> int:
        """How many updates there were, as the state has it."""
        state = optimizer.state.get(optimizer.param_groups[0]["params"][0])
        return int(state["step"].item()) if state else 0

    @torch.no_grad()
    def optimizer_step(
        self, optimizer: Optimizer, gradients: Tensors, scalars: StepScalars
    ) -> None:
        """Update all parameters; the first update makes the averages, of zeros."""
        parameters = optimizer.param_groups[0]["params"]
        decay_factor, correction_root, negative_step_size = scalars
        steps, averages, squares = self._state_tensors(optimizer, parameters)
        torch._foreach_add_(steps, 1)
        if self.weight_decay and self.is_decoupled:
            torch._foreach_mul_(parameters, decay_factor)
        elif self.weight_decay:
            gradients = torch._foreach_add(gradients, parameters, alpha=self.weight_decay)
        torch._foreach_lerp_(averages, gradients, 1 - self.beta1)
        torch._foreach_mul_(squares, self.beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.beta2)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_div_(denominators, correction_root)
        torch._foreach_add_(denominators, self.eps)
        torch._foreach_addcdiv_(parameters, averages, denominators, negative_step_size)

    def _state_tensors(
        self, optimizer: Optimizer, parameters: Tensors
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        state = optimizer.state
        if not state:
            for parameter in parameters:
                state[parameter] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        states = [state[parameter] for parameter in parameters]
        return (
            [entry["step"] for entry in states],
            [entry["exp_avg"] for entry in states],
            [entry["exp_avg_sq"] for entry in states],
        )


def hyperparameters(optimizer: Optimizer) -> dict[str, object]:
    """Return the settings that are no tensors, but not the rate, a function of the tick."""
    (group,) = optimizer.param_groups
    return {name: value for name, value in group.items() if name not in ("params", "lr")}
