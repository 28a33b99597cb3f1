"""A tick's gradient as a fixed balanced tree over its parts. Knows no optimizer and no spec.

The order of the additions depends on the number of rows and parts alone, so that whoever computes
the parts (one process or eight, each a subtree) gets the same bits.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ticks.data.batches import TensorRows

PartLoss = Callable[
    [TensorRows, int], Tensor
]  # the mean loss of a part's rows, given the part's number
LossAndGradients = list[Tensor]  # the loss, then each parameter's gradient


def compute_gradient(
    part_loss_of: PartLoss, batch: TensorRows, parts: int, parameters: Sequence[Tensor]
) -> LossAndGradients:
    """Compute the batch's mean loss (0-dim) and its gradient.

    One part is what loss.backward() computes and nothing else. More are computed one after another,
    so that only one part's activations are alive, each weighted by its share of the rows.
    """
    if parts == 1:
        mean_loss = part_loss_of(batch, 0)
        return [mean_loss.detach(), *torch.autograd.grad(mean_loss, parameters)]
    bounds = part_bounds(len(batch.inputs), parts)

    def weighted_part(index: int) -> LossAndGradients:
        first, last = bounds[index]
        part_loss = part_loss_of(batch.slice(first, last), index)
        sums = [part_loss.detach(), *torch.autograd.grad(part_loss, parameters)]
        weight = (last - first) / len(batch.inputs)
        return [tensor * weight for tensor in sums]  # fresh memory: autograd's may be shared

    return sum_tree(weighted_part, 0, len(bounds))


def sum_tree(
    compute_part: Callable[[int], LossAndGradients], first: int, last: int
) -> LossAndGradients:
    """Add parts first to last - 1 as a balanced tree, whose left half takes the odd one."""
    if last - first == 1:
        return compute_part(first)
    middle = first + (last - first + 1) // 2
    left, right = sum_tree(compute_part, first, middle), sum_tree(compute_part, middle, last)
    return [a.add_(b) for a, b in zip(left, right, strict=True)]


def part_bounds(rows: int, parts: int) -> list[tuple[int, int]]:
    """Cut rows into parts of equal length, the first rows % parts of them longer by one.

    A batch of fewer rows than parts (an epoch's last) has as many parts as rows.
    """
    parts = min(rows, parts)
    length, longer_parts = divmod(rows, parts)
    ends = [part * length + min(part, longer_parts) for part in range(parts + 1)]
    return list(zip(ends, ends[1:], strict=False))
