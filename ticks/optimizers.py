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
Numbers = tuple[float, ...]

OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


class Rule(Protocol):
    """How one update is made. `keeps`: the first update makes tensors, which it goes on with."""

    keeps: bool

    def numbers(self, rate: float, step: int) -> Numbers:
        """Return what changes from update to update, for the `step`th one (from 1)."""
        ...

    def steps(self, optimizer: Optimizer) -> int:
        """How many updates there were, where the numbers depend on that (else 0)."""
        ...

    def apply(self, optimizer: Optimizer, gradients: Tensors, numbers: Numbers) -> None:
        """Update all parameters."""
        ...


def make(asked: spec.OptimizerSpec, parameters: Iterable[Tensor]) -> Optimizer:
    """Make torch's optimizer of the spec, whose field names are torch's; it holds the state."""
    return OPTIMIZERS[asked.name](parameters, **asked.model_dump(exclude={"name"}))


def rule(asked: spec.OptimizerSpec) -> Rule:
    """Return the spec's way to update."""
    return SgdRule(asked) if isinstance(asked, spec.Sgd) else AdamRule(asked)


class SgdRule:
    """torch.optim.SGD: with weight decay, momentum, nesterov."""

    def __init__(self, asked: spec.Sgd) -> None:
        self.decay, self.momentum = asked.weight_decay, asked.momentum
        self.nesterov, self.keeps = asked.nesterov, asked.momentum > 0

    def numbers(self, rate: float, step: int) -> Numbers:
        """Return the rate, negated."""
        return (-rate,)

    def steps(self, optimizer: Optimizer) -> int:
        """Return 0: nothing depends on it."""
        return 0

    @torch.no_grad()
    def apply(self, optimizer: Optimizer, gradients: Tensors, numbers: Numbers) -> None:
        """Update all parameters; with momentum, the first update makes the buffers."""
        parameters = optimizer.param_groups[0]["params"]
        (minus_rate,) = numbers
        if self.decay:
            gradients = torch._foreach_add(gradients, parameters, alpha=self.decay)
        if self.momentum:
            gradients = self._moved(optimizer, parameters, gradients)
        torch._foreach_add_(parameters, gradients, alpha=minus_rate)

    def _moved(self, optimizer: Optimizer, parameters: Tensors, gradients: Tensors) -> Tensors:
        state = optimizer.state
        if state:
            buffers = [state[parameter]["momentum_buffer"] for parameter in parameters]
            torch._foreach_mul_(buffers, self.momentum)
            torch._foreach_add_(buffers, gradients)
        else:
            buffers = [gradient.clone() for gradient in gradients]
            for parameter, buffer in zip(parameters, buffers, strict=True):
                state[parameter]["momentum_buffer"] = buffer
        if not self.nesterov:
            return buffers
        return torch._foreach_add(gradients, buffers, alpha=self.momentum)


class AdamRule:
    """torch.optim.Adam and AdamW; they differ in where the weight decay goes."""

    keeps = True

    def __init__(self, asked: spec.Adam | spec.AdamW) -> None:
        self.decay, self.decoupled = asked.weight_decay, isinstance(asked, spec.AdamW)
        self.beta1, self.beta2 = asked.betas
        self.eps = asked.eps

    def numbers(self, rate: float, step: int) -> Numbers:
        """Return what decay leaves of a weight, the root of the second correction, the size."""
        size = rate / (1 - self.beta1**step)
        return 1 - rate * self.decay, (1 - self.beta2**step) ** 0.5, -size

    def steps(self, optimizer: Optimizer) -> int:
        """How many updates there were, as the state has it."""
        first = optimizer.state.get(optimizer.param_groups[0]["params"][0])
        return int(first["step"].item()) if first else 0

    @torch.no_grad()
    def apply(self, optimizer: Optimizer, gradients: Tensors, numbers: Numbers) -> None:
        """Update all parameters; the first update makes the averages, of zeros."""
        parameters = optimizer.param_groups[0]["params"]
        kept, root, size = numbers
        steps, averages, squares = self._tensors(optimizer, parameters)
        torch._foreach_add_(steps, 1)
        if self.decay and self.decoupled:
            torch._foreach_mul_(parameters, kept)
        elif self.decay:
            gradients = torch._foreach_add(gradients, parameters, alpha=self.decay)
        torch._foreach_lerp_(averages, gradients, 1 - self.beta1)
        torch._foreach_mul_(squares, self.beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.beta2)
        below = torch._foreach_sqrt(squares)
        torch._foreach_div_(below, root)
        torch._foreach_add_(below, self.eps)
        torch._foreach_addcdiv_(parameters, averages, below, size)

    def _tensors(
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
            [each["step"] for each in states],
            [each["exp_avg"] for each in states],
            [each["exp_avg_sq"] for each in states],
        )


def scalars(optimizer: Optimizer) -> dict[str, object]:
    """Return the settings that are no tensors, but not the rate, a function of the tick."""
    (group,) = optimizer.param_groups
    return {name: value for name, value in group.items() if name not in ("params", "lr")}
