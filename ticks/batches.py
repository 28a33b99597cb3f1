"""The rows of each tick: a pure function of seed, epoch and tick. Knows no net and no spec.

Where a batch lies in memory is part of a tick's bits (MKL sums an unaligned row in another order).
Hence two layouts, both functions of the tick: consecutive rows are a slice of the one tensor that
holds all rows, as in a hand-written loop over inputs[i]; shuffled rows are gathered into the head
of one aligned buffer. torch's own tensors begin at multiples of 64 bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticks.seeds import derive

SIZE = 1024  # rows validated at a time, always: the bits of a result must not hang on anything else


class Rows(NamedTuple):
    """Inputs [rows, features] and their targets ([rows, outputs], or [rows] of class numbers).

    Of a text both are tokens [rows, window], int64.
    """

    inputs: Tensor
    targets: Tensor

    def slice(self, first: int, last: int) -> "Rows":
        """Rows first to last - 1, as views of the same memory."""
        return Rows(self.inputs[first:last], self.targets[first:last])

    def take(self, rows: Tensor) -> "Rows":
        """Copy the rows of these indices into fresh tensors, in this order."""
        return Rows(self.inputs[rows], self.targets[rows])

    def to(self, device: torch.device) -> "Rows":
        """The rows on a device; these ones where they lie there."""
        return Rows(self.inputs.to(device), self.targets.to(device))

    def batches(self, size: int, *, seed: int, shuffle: bool) -> "Batches":
        """Return the batches of a training on these rows."""
        return Batches(self, size, seed=seed, shuffle=shuffle)

    def blocks(self) -> Iterator["Rows"]:
        """All rows in order, 1,024 at a time."""
        for first in range(0, len(self.inputs), SIZE):
            yield self.slice(first, first + SIZE)


class Stretch(NamedTuple):
    """The batches of consecutive ticks: tick i has `counts[i]` rows from `firsts[i]` on.

    Of `rows`, copies made for this stretch; None: of the one tensor that holds all rows.
    """

    rows: Rows | None
    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]


class ByTick(Protocol):
    """The batch of every tick."""

    size: int
    """Rows of a batch; an epoch's last may have fewer."""

    def of(self, tick: int) -> Rows:
        """Return the batch of a tick (from 1), valid until the next call."""
        ...

    def stretch(self, first: int, last: int) -> Stretch:
        """Return the batches of ticks first to last, to be copied to where `of` has them."""
        ...


class Source(Protocol):
    """Rows to train on or to look at, wherever they lie."""

    def batches(self, size: int, *, seed: int, shuffle: bool) -> ByTick:
        """Return the batches of a training on these rows."""
        ...

    def blocks(self) -> Iterator[Rows]:
        """All rows in order, some at a time; each block is valid until the next."""
        ...


class Batches:
    """The batch of every tick. An epoch is every row once; its last batch may be short."""

    def __init__(self, rows: Rows, size: int, *, seed: int, shuffle: bool) -> None:
        self.rows, self.size, self.seed = rows, size, seed
        self.count = len(rows.inputs)
        self.per_epoch = -(-self.count // size)
        self._order: tuple[int, Tensor] | None = None  # the epoch whose order is at hand
        self._buffer = Rows(rows.inputs[:size].clone(), rows.targets[:size].clone())
        self.shuffle = shuffle

    def of(self, tick: int) -> Rows:
        """Return the batch of a tick (from 1); a shuffled one is valid until the next call."""
        epoch, position = divmod(tick - 1, self.per_epoch)
        first = position * self.size
        last = min(first + self.size, self.count)
        if not self.shuffle:
            return self.rows.slice(first, last)
        return self._gather(self.order(epoch)[first:last])

    def stretch(self, first: int, last: int) -> Stretch:
        """Return the batches of ticks first to last."""
        _, firsts, counts = spans(first, last, self.count, self.size)
        if not self.shuffle:
            return Stretch(None, firsts, counts)
        rows = self.rows.take(self.numbers(first, last))
        return Stretch(rows, np.cumsum(counts) - counts, counts)

    def numbers(self, first: int, last: int) -> Tensor:
        """Return the row numbers of ticks first to last, one batch after another."""
        found, at = [torch.empty(0, dtype=torch.int64)], first - 1
        while at < last:
            epoch, position = divmod(at, self.per_epoch)
            until = min(self.per_epoch, position + last - at)
            found.append(self.order(epoch)[position * self.size : until * self.size])
            at += until - position
        return torch.cat(found)

    def order(self, epoch: int) -> Tensor:
        """Return the row numbers of an epoch (from 0) in the order they are trained on."""
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derive("order", self.seed, epoch))
            order = torch.randperm(self.count, generator=generator)
            self._order = (epoch, order.to(self.rows.inputs.device))
        return self._order[1]

    def _gather(self, rows: Tensor) -> Rows:
        batch = self._buffer.slice(0, len(rows))
        torch.index_select(self.rows.inputs, 0, rows, out=batch.inputs)
        torch.index_select(self.rows.targets, 0, rows, out=batch.targets)
        return batch


def spans(
    first: int, last: int, rows: int, size: int
) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64]]:
    """Return epoch, first row and number of rows of each tick from first to last."""
    epochs, positions = np.divmod(np.arange(first - 1, last), -(-rows // size))
    firsts = positions * size
    return epochs.tolist(), firsts, np.minimum(size, rows - firsts)


def hold_out(rows: Rows, count: int, seed: int) -> tuple[Rows, Rows]:
    """Split off `count` rows chosen by the seed: (training, held out), each in the rows' order."""
    chosen = held_out_rows(len(rows.inputs), count, seed)
    return rows.take(torch.nonzero(~chosen).flatten()), rows.take(torch.nonzero(chosen).flatten())


def held_out_rows(rows: int, count: int, seed: int) -> Tensor:
    """Choose `count` of so many rows by the seed: true where a row is held out."""
    generator = torch.Generator().manual_seed(derive("validation", seed))
    chosen = torch.zeros(rows, dtype=torch.bool)
    chosen[torch.randperm(rows, generator=generator)[:count]] = True
    return chosen
