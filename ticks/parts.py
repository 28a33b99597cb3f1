"""A tick's gradient as a fixed balanced tree over its parts. Knows no optimizer and no spec.

The order of the additions depends on the number of rows and parts alone, so that whoever computes
the parts (one process or eight, each a subtree) gets the same bits.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ticks.batches import Rows

Loss = Callable[[Rows, int], Tensor]  # the mean loss of a part's rows, given the part's number
Sums = list[Tensor]  # the loss, then each parameter's gradient


def gradient(loss: Loss, batch: Rows, parts: int, parameters: Sequence[Tensor]) -> Sums:
    """Compute the batch's mean loss (0-dim) and its gradient.

    One part is what loss.backward() computes and nothing else. More are computed one after another,
    so that only one part's activations are alive, each weighted by its share of the rows.
    """
    if parts == 1:
        whole = loss(batch, 0)
        return [whole.detach(), *torch.autograd.grad(whole, parameters)]
    shares = split(len(batch.inputs), parts)

    def part(number: int) -> Sums:
        first, last = shares[number]
        value = loss(batch.slice(first, last), number)
        sums = [value.detach(), *torch.autograd.grad(value, parameters)]
        weight = (last - first) / len(batch.inputs)
        return [each * weight for each in sums]  # fresh memory: autograd's may be shared

    return tree(part, 0, len(shares))


def tree(part: Callable[[int], Sums], first: int, last: int) -> Sums:
    """Add parts first to last - 1 as a balanced tree, whose left half takes the odd one."""
    if last - first == 1:
        return part(first)
    middle = first + (last - first + 1) // 2
    left, right = tree(part, first, middle), tree(part, middle, last)
    return [a.add_(b) for a, b in zip(left, right, strict=True)]


def split(rows: int, parts: int) -> list[tuple[int, int]]:
    """Cut rows into parts of equal length, the first rows % parts of them longer by one.

    A batch of fewer rows than parts (an epoch's last) has as many parts as rows.
    """
    parts = min(rows, parts)
    length, longer = divmod(rows, parts)
    ends = [part * length + min(part, longer) for part in range(parts + 1)]
    return list(zip(ends, ends[1:], strict=False))
