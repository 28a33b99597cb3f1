"""The spec's optimizers: torch's own objects hold the state, and the update is written out here.

Each update computes what torch.optim's default form does, bit for bit, over all parameters at once
(torch's foreach form, which on a CPU calls the same kernels one after another). It is written out
because torch's `step` takes longer than the update of a small net, and because an engine that runs
many ticks at once must know which numbers change from tick to tick. torch's fused forms are not
used: fused AdamW gives other bits.

Gradients and state tensors are in the order of the net's parameters and have their shapes. The
formulas are those of the "Algorithm" boxes in torch's documentation of SGD, Adam and AdamW.

Where weights alone decay (`decay`), an update is that of two of torch's parameter groups, the other
one with weight_decay 0: biases and the parameters of norms, which have one dimension.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from jobs.spec import training as spec

Tensors = list[Tensor] | tuple[Tensor, ...]
StepScalars = tuple[float, ...]


def _without_dynamo(optimizer: type[Optimizer]) -> type[Optimizer]:
    """Return torch's class with a constructor that does not import torch._dynamo.

    torch wraps `add_param_group` to switch its compiler off inside it, and imports the compiler for
    that: 1.6 s of processor time and 90 MB for each fork server. We never compile with it.
    """
    plain: Any = Optimizer.add_param_group
    return type(optimizer.__name__, (optimizer,), {"add_param_group": plain.__wrapped__})


OPTIMIZERS = {
    name: _without_dynamo(optimizer)
    for name, optimizer in (("sgd", SGD), ("adam", Adam), ("adamw", AdamW))
}


class UpdateRule(Protocol):
    """How one update of all parameters is computed."""

    has_state: bool
    """Whether the first update creates state tensors that later ones need."""

    def step_scalars(self, rate: float, step: int) -> StepScalars:
        """Return the numbers that change from update to update, for update `step` (from 1)."""
        ...

    def count_steps(self, optimizer: Optimizer) -> int:
        """Return the number of updates so far; 0 where `step_scalars` does not depend on it."""
        ...

    def apply(self, optimizer: Optimizer, gradients: Tensors, scalars: StepScalars) -> None:
        """Update the optimizer's parameters and state in place."""
        ...


def make_optimizer(settings: spec.OptimizerSpec, parameters: Iterable[Tensor]) -> Optimizer:
    """Make torch's optimizer, which holds the state; the spec's field names are torch's."""
    return OPTIMIZERS[settings.name](parameters, **settings.model_dump(exclude={"name", "decay"}))


def make_update_rule(settings: spec.OptimizerSpec) -> UpdateRule:
    """Return the rule by which the spec's optimizer updates."""
    if isinstance(settings, spec.Sgd):
        return SgdRule(settings)
    return AdamRule(settings)


class WeightDecay:
    """Which parameters decay, and by how much; 0 for none."""

    def __init__(self, settings: spec.OptimizerSpec) -> None:
        self.amount, self.is_for_all = settings.weight_decay, settings.decay == "all"

    def add_to(self, gradients: Tensors, parameters: Tensors) -> Tensors:
        """Return the gradients of an L2 penalty too; those of the parameters that decay are new."""
        decaying = self._find_decaying(parameters)
        if not decaying:
            return gradients
        added = list(gradients)
        penalized = torch._foreach_add(
            [gradients[at] for at in decaying],
            [parameters[at] for at in decaying],
            alpha=self.amount,
        )
        for at, gradient in zip(decaying, penalized, strict=True):
            added[at] = gradient
        return added

    def multiply(self, parameters: Tensors, factor: float) -> None:
        """Multiply the parameters that decay by 1 - rate * amount, in place."""
        if decaying := self._find_decaying(parameters):
            torch._foreach_mul_([parameters[at] for at in decaying], factor)

    def _find_decaying(self, parameters: Tensors) -> list[int]:
        """Return the places of the parameters that decay."""
        if not self.amount:
            return []
        return [at for at, p in enumerate(parameters) if self.is_for_all or p.ndim > 1]


class SgdRule:
    """torch.optim.SGD with weight decay, momentum and Nesterov momentum (dampening 0).

    Nesterov momentum: Sutskever et al. 2013, "On the importance of initialization and momentum in
    deep learning", in torch's form.
    """

    def __init__(self, settings: spec.Sgd) -> None:
        self.weight_decay, self.momentum = WeightDecay(settings), settings.momentum
        self.is_nesterov, self.has_state = settings.nesterov, settings.momentum > 0

    def step_scalars(self, rate: float, step: int) -> StepScalars:
        """Return (-rate,)."""
        return (-rate,)

    def count_steps(self, optimizer: Optimizer) -> int:
        """Return 0: the scalars do not depend on it."""
        return 0

    @torch.no_grad()
    def apply(self, optimizer: Optimizer, gradients: Tensors, scalars: StepScalars) -> None:
        """Update in place; with momentum, the first update creates the buffers."""
        parameters = optimizer.param_groups[0]["params"]
        (negative_rate,) = scalars
        gradients = self.weight_decay.add_to(gradients, parameters)
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
    """torch.optim.Adam and AdamW: weight decay is added to the gradient, or applied to the weights.

    Kingma and Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv:1711.05101,
    algorithm 2, with the decay multiplied by the learning rate as torch does.
    """

    has_state = True

    def __init__(self, settings: spec.Adam | spec.AdamW) -> None:
        self.weight_decay, self.eps = WeightDecay(settings), settings.eps
        self.is_decoupled = isinstance(settings, spec.AdamW)
        self.beta1, self.beta2 = settings.betas

    def step_scalars(self, rate: float, step: int) -> StepScalars:
        """Return (1 - rate * weight_decay, sqrt(1 - beta2^step), -rate / (1 - beta1^step))."""
        step_size = rate / (1 - self.beta1**step)
        return 1 - rate * self.weight_decay.amount, (1 - self.beta2**step) ** 0.5, -step_size

    def count_steps(self, optimizer: Optimizer) -> int:
        """Return the number of updates so far, from the state's counter."""
        state = optimizer.state.get(optimizer.param_groups[0]["params"][0])
        return int(state["step"].item()) if state else 0

    @torch.no_grad()
    def apply(self, optimizer: Optimizer, gradients: Tensors, scalars: StepScalars) -> None:
        """Update in place; the first update creates the averages as zeros."""
        parameters = optimizer.param_groups[0]["params"]
        decay_factor, correction_root, negative_step_size = scalars
        steps, averages, squares = self._state_tensors(optimizer, parameters)
        torch._foreach_add_(steps, 1)
        if self.is_decoupled:
            self.weight_decay.multiply(parameters, decay_factor)
        else:
            gradients = self.weight_decay.add_to(gradients, parameters)
        torch._foreach_lerp_(averages, gradients, 1 - self.beta1)
        torch._foreach_mul_(squares, self.beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.beta2)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_div_(denominators, correction_root)
        torch._foreach_add_(denominators, self.eps)
        torch._foreach_addcdiv_(parameters, averages, denominators, negative_step_size)

    def _state_tensors(self, optimizer: Optimizer, parameters: Tensors) -> list[list[Tensor]]:
        state = optimizer.state
        if not state:
            for parameter in parameters:
                state[parameter] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        states = [state[parameter] for parameter in parameters]
        return [[entry[key] for entry in states] for key in ("step", "exp_avg", "exp_avg_sq")]


def hyperparameters(optimizer: Optimizer) -> dict[str, object]:
    """Return torch's settings that are not tensors, without the learning rate.

    The rate is left out because it is a function of the tick. Values are numbers, booleans, tuples
    or None, by torch's names.
    """
    (group,) = optimizer.param_groups
    return {name: value for name, value in group.items() if name not in ("params", "lr")}
