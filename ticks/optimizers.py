"""torch's optimizers by the spec's names. Knows no tick and no schedule."""

from collections.abc import Iterable

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from jobs.spec.training import OptimizerSpec

OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def make(spec: OptimizerSpec, parameters: Iterable[Tensor]) -> Optimizer:
    """Make the spec's optimizer in torch's default form, which a hand-written loop would use.

    The spec's field names are torch's. The faster forms (foreach, fused) are not asked for: fused
    AdamW gives other bits.
    """
    return OPTIMIZERS[spec.name](parameters, **spec.model_dump(exclude={"name"}))


def scalars(optimizer: Optimizer) -> dict[str, object]:
    """Return the settings that are no tensors, but not the rate, a function of the tick."""
    (group,) = optimizer.param_groups
    return {name: value for name, value in group.items() if name not in ("params", "lr")}
