"""The rows of each tick: a pure function of seed, epoch and tick. Knows no net and no spec.

The address of a batch decides some of a tick's bits (MKL sums an unaligned row in another order).
Hence two layouts, both functions of the tick: consecutive rows are a slice of the tensor that holds
all rows, as in a hand-written loop over inputs[i]; shuffled rows are gathered into the head of one
aligned buffer. torch's own tensors begin at multiples of 64 bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.sampling.batches import batch_bounds, count_epoch_rows
from jobs.sampling.seeds import derive_seed

#: one number of each tick of a run: [ticks]
Column = NDArray[np.float32]

EVAL_BLOCK_ROWS = 1024  # rows validated at a time: constant, because the result's bits depend on it


class TensorRows(NamedTuple):
    """Rows of inputs and targets.

    A table's: inputs [rows, features] float32; targets [rows, outputs] float32, or class numbers
    [rows] int64. A text's: both are tokens [rows, window] int64.
    """

    inputs: Tensor
    targets: Tensor

    def slice(self, first: int, last: int) -> "TensorRows":
        """Return rows first to last - 1, as views of the same memory."""
        return TensorRows(self.inputs[first:last], self.targets[first:last])

    def take(self, rows: Tensor) -> "TensorRows":
        """Copy the rows of these indices (int64 [n]) into fresh tensors, in this order."""
        return TensorRows(self.inputs[rows], self.targets[rows])

    def to(self, device: torch.device) -> "TensorRows":
        """Return the rows on a device; uncopied if they are there already."""
        return TensorRows(self.inputs.to(device), self.targets.to(device))

    def batches(
        self, size: int, *, seed: int, shuffle: bool, drop_last: bool = False
    ) -> "TensorBatches":
        """Return the batches of `size` rows of a training on these rows."""
        return TensorBatches(self, size, seed=seed, shuffle=shuffle, drop_last=drop_last)

    def blocks(self) -> Iterator["TensorRows"]:
        """Yield all rows in order, EVAL_BLOCK_ROWS at a time, as views."""
        for first in range(0, len(self.inputs), EVAL_BLOCK_ROWS):
            yield self.slice(first, first + EVAL_BLOCK_ROWS)


class BatchRange(NamedTuple):
    """The batches of consecutive ticks: the i-th has `counts[i]` rows from row `firsts[i]` on.

    Rows are counted in `rows`, copies made for these ticks, or, where that is None, in the tensor
    that holds all rows. `firsts` and `counts` are [ticks].
    """

    rows: TensorRows | None
    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]


class BatchSource(Protocol):
    """The batch of every tick."""

    size: int
    """Rows of a batch; the last batch of an epoch may have fewer, unless it is left out then."""

    def batch(self, tick: int) -> TensorRows:
        """Return the batch of a tick (from 1), valid until the next call."""
        ...

    def batch_range(self, first: int, last: int) -> BatchRange:
        """Return the batches of ticks first to last; an engine copies them to `batch`'s memory."""
        ...


class RowSource(Protocol):
    """Rows to train on or to validate on, in memory or in a file."""

    def batches(
        self, size: int, *, seed: int, shuffle: bool, drop_last: bool = False
    ) -> BatchSource:
        """Return the batches of `size` rows of a training on these rows.

        With `drop_last` an epoch's last batch is left out where it would have fewer.
        """
        ...

    def blocks(self) -> Iterator[TensorRows]:
        """Yield all rows in order in blocks of a constant size, each valid until the next."""
        ...


class TensorBatches:
    """The batches of rows in memory. An epoch has every row once; its last batch may be short.

    With `drop_last` a short one is left out: an epoch has `epoch_rows` of the rows, whole batches.
    """

    def __init__(
        self, rows: TensorRows, size: int, *, seed: int, shuffle: bool, drop_last: bool = False
    ) -> None:
        self.rows, self.size, self.seed, self.shuffle = rows, size, seed, shuffle
        self.row_count = len(rows.inputs)
        self.epoch_rows = count_epoch_rows(self.row_count, size, drop_last=drop_last)
        self.batches_per_epoch = -(-self.epoch_rows // size)
        self._order: tuple[int, Tensor] | None = None  # cache: an epoch and its order
        self._buffer = TensorRows(rows.inputs[:size].clone(), rows.targets[:size].clone())

    def batch(self, tick: int) -> TensorRows:
        """Return the batch of a tick (from 1); a shuffled one is valid until the next call."""
        epoch, position = divmod(tick - 1, self.batches_per_epoch)
        first = position * self.size
        last = min(first + self.size, self.epoch_rows)
        if not self.shuffle:
            return self.rows.slice(first, last)
        return self._gather(self.epoch_order(epoch)[first:last])

    def batch_range(self, first: int, last: int) -> BatchRange:
        """Return the batches of ticks first to last (from 1, both included)."""
        _, firsts, counts = batch_bounds(first, last, self.epoch_rows, self.size)
        if not self.shuffle:
            return BatchRange(None, firsts, counts)
        rows = self.rows.take(self.row_numbers(first, last))
        return BatchRange(rows, np.cumsum(counts) - counts, counts)

    def row_numbers(self, first: int, last: int) -> Tensor:
        """Return the row numbers of ticks first to last, int64 [rows of all their batches]."""
        pieces, tick_index = [torch.empty(0, dtype=torch.int64)], first - 1
        while tick_index < last:
            epoch, position = divmod(tick_index, self.batches_per_epoch)
            until = min(self.batches_per_epoch, position + last - tick_index)
            pieces.append(self.epoch_order(epoch)[position * self.size : until * self.size])
            tick_index += until - position
        return torch.cat(pieces)

    def epoch_order(self, epoch: int) -> Tensor:
        """Return the row numbers of an epoch (from 0) in training order, int64 [rows]."""
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derive_seed("order", self.seed, epoch))
            order = torch.randperm(self.row_count, generator=generator)
            self._order = (epoch, order.to(self.rows.inputs.device))
        return self._order[1]

    def _gather(self, rows: Tensor) -> TensorRows:
        batch = self._buffer.slice(0, len(rows))
        torch.index_select(self.rows.inputs, 0, rows, out=batch.inputs)
        torch.index_select(self.rows.targets, 0, rows, out=batch.targets)
        return batch
