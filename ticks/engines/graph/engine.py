"""The graph engine: recorded ticks, run many at a time, with the bits of eager. Decides nothing."""

import operator
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ticks.batches import Source, Stretch
from ticks.engines.chunk import Chunk, joined
from ticks.engines.eager import Eager
from ticks.engines.graph import loop
from ticks.engines.graph.making import make
from ticks.seeds import derive
from ticks.state import optimizer_tensors
from ticks.trainer import Trainer

VERSION = 1  # of loop.cpp and of what programs are
MOST_BYTES = 8 << 20  # of rows gathered ahead
MOST_TICKS = 4096  # in one run of the loop


class Graph:
    """Runs ticks on the trainer's own tensors, through the kernels that eager calls.

    A program is recorded for each number of rows that a tick may have. Raises Unavailable where
    there is no loop, Untraceable where a tick does what no program can repeat.
    """

    name = "graph"
    version = VERSION

    def __init__(self, trainer: Trainer, record: Sequence[str]) -> None:
        self.trainer, self.record = trainer, record
        self._eager = Eager(trainer, record)
        self._programs: dict[int, loop.Loaded] = {}  # by the rows of a tick
        self._bound: list[Tensor] = []  # the optimizer's tensors that the programs use
        loop.library()

    def run(self, k: int) -> Chunk:
        """Run up to k ticks; ends early, with `nonfinite`, at a loss that is not finite."""
        chunks: list[Chunk] = []
        left = k
        while left > 0 and not (chunks and chunks[-1].nonfinite):
            chunks.append(self._some(left))
            left -= chunks[-1].count
        return joined(chunks) if chunks else self._eager.run(0)

    def evaluate(self, rows: Source, classes: int | None) -> dict[str, float]:
        """Compute val_loss and val_accuracy as eager does."""
        return self._eager.evaluate(rows, classes)

    def _some(self, k: int) -> Chunk:
        """Run some of k ticks."""
        trainer = self.trainer
        if trainer.rule.keeps and not trainer.optimizer.state:
            return self._eager.run(1)  # which makes the optimizer's tensors
        stretch = trainer.batches.stretch(trainer.at + 1, trainer.at + min(k, self._most))
        return self._run(stretch)

    @cached_property
    def _most(self) -> int:
        """How many ticks one run of the loop may have: a row is as large as any other."""
        tick = self.trainer.batches.of(self.trainer.at + 1)
        size = self.trainer.batches.size * (tick.inputs[0].nbytes + tick.targets[0].nbytes)
        return min(MOST_TICKS, max(1, MOST_BYTES // size))

    def _run(self, stretch: Stretch) -> Chunk:
        trainer, first, k = self.trainer, self.trainer.at + 1, len(stretch.counts)
        self._bind(stretch)
        sizes = sorted(self._programs)
        ticks = loop.Ticks(
            program=np.searchsorted(sizes, stretch.counts).astype(np.int64),
            first=stretch.firsts,
            rows=stretch.rows,
            seeds=self._seeds(first, k),
            numbers=self._numbers(first, k),
        )
        made = loop.run([self._programs[size] for size in sizes], ticks)
        losses = ticks.losses[:made]
        nonfinite = not np.isfinite(losses[-1])
        trainer.at += made - nonfinite
        columns = {"loss": losses}
        if "grad_norm" in self.record:
            columns["grad_norm"] = ticks.norms[:made]
        return Chunk(first, columns, bool(nonfinite))

    def _bind(self, stretch: Stretch) -> None:
        """Make the programs that are missing; all anew where the optimizer's tensors are others."""
        tensors = list(optimizer_tensors(self.trainer).values())
        same = len(tensors) == len(self._bound) and all(map(operator.is_, tensors, self._bound))
        if not same:
            self._programs, self._bound = {}, tensors
        for at, rows in enumerate(stretch.counts.tolist()):
            if rows not in self._programs:
                tick = self.trainer.at + 1 + at
                first = None if stretch.rows else int(stretch.firsts[at])
                self._programs[rows] = make(self.trainer, tick, first)

    def _numbers(self, first: int, k: int) -> NDArray[np.float64]:
        """What changes from update to update."""
        trainer = self.trainer
        rule, rate = trainer.rule, trainer.spec.rate
        step = rule.steps(trainer.optimizer) + 1
        return np.array([rule.numbers(rate(first + i), step + i) for i in range(k)])

    def _seeds(self, first: int, k: int) -> NDArray[np.uint64]:
        """Seeds of each tick's parts."""
        spec = self.trainer.spec
        if not self.trainer.is_random:
            return np.zeros((k, 1), np.uint64)
        parts = range(spec.micro_batches)
        ticks = range(first, first + k)
        seeds = [[derive("dropout", spec.seed, tick, part) for part in parts] for tick in ticks]
        return np.array(seeds, np.uint64)
