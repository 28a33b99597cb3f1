"""A tick's gradient, summed over the parts of its batch in a fixed balanced tree.

The order of the additions depends only on the numbers of rows and parts, so one process and eight,
each computing a subtree, get the same bits. Knows no optimizer and no spec.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ticks.data.batches import TensorRows

#: (rows of a part, its number from 0) -> mean loss of these rows, 0-dim
PartLoss = Callable[[TensorRows, int], Tensor]
#: rows -> the weight (0-dim) that their mean loss has among others
Weigh = Callable[[TensorRows], Tensor]
LossAndGradients = list[Tensor]  # the loss (0-dim), then each parameter's gradient


def compute_gradient(
    part_loss_of: PartLoss,
    batch: TensorRows,
    parts: int,
    parameters: Sequence[Tensor],
    weigh: Weigh | None = None,
) -> LossAndGradients:
    """Return the batch's mean loss (0-dim) and its gradient for each parameter.

    With one part these are the numbers of loss.backward(). More parts are computed one after
    another, so that only one part's activations are in memory, and weighted by their shares of the
    rows, or of what `weigh` makes of the rows.
    """
    if parts == 1:
        mean_loss = part_loss_of(batch, 0)
        return [mean_loss.detach(), *torch.autograd.grad(mean_loss, parameters)]
    bounds = part_bounds(len(batch.inputs), parts)
    total = None if weigh is None else weigh(batch)

    def weighted_part(index: int) -> LossAndGradients:
        first, last = bounds[index]
        part = batch.slice(first, last)
        part_loss = part_loss_of(part, index)
        sums = [part_loss.detach(), *torch.autograd.grad(part_loss, parameters)]
        weight: Tensor | float = (last - first) / len(batch.inputs)
        if weigh is not None and total is not None:
            weight = weigh(part) / total
        return [tensor * weight for tensor in sums]  # a copy: autograd's tensors may share memory

    return sum_tree(weighted_part, 0, len(bounds))


def sum_tree(compute: Callable[[int], LossAndGradients], first: int, last: int) -> LossAndGradients:
    """Return the sum of parts first to last - 1 as a balanced tree; of an odd number the left
    half has one more.
    """
    if last - first == 1:
        return compute(first)
    middle = first + (last - first + 1) // 2
    left, right = sum_tree(compute, first, middle), sum_tree(compute, middle, last)
    return [a.add_(b) for a, b in zip(left, right, strict=True)]


def part_bounds(rows: int, parts: int) -> list[tuple[int, int]]:
    """Return (first row, last row + 1) of each part; the first rows % parts have one row more.

    A batch of fewer rows than parts (an epoch's last) has as many parts as rows.
    """
    parts = min(rows, parts)
    length, longer_parts = divmod(rows, parts)
    ends = [part * length + min(part, longer_parts) for part in range(parts + 1)]
    return list(zip(ends, ends[1:], strict=False))
