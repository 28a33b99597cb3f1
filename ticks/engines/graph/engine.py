"""The graph engine: traced ticks, run many at a time, with the bits of eager."""

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jobs.sampling.seeds import derive_seed
from jobs.spec.tick_costs import estimate_tick_seconds
from ticks.data.batches import BatchRange, RowSource
from ticks.engines import trial
from ticks.engines.chunk import Chunk, concatenate
from ticks.engines.eager import EagerEngine
from ticks.engines.graph import loop
from ticks.engines.graph.encoding import Untraceable
from ticks.engines.graph.trace import trace_tick
from ticks.engines.proofs import PROOF_TICKS, JobProofs
from ticks.metrics.evaluation import HeldOutMetrics
from ticks.state import optimizer_tensors
from ticks.trainer import Trainer

VERSION = 1  # of loop.cpp and of the programs' format
MAX_GATHERED_BYTES = 8 << 20  # of rows copied for one run of the loop
MAX_TICKS = 4096  # in one run of the loop
MAX_RUN_SECONDS = 1.0  # of one run of the loop, as estimated: between two, a sign of life is shown


class GraphEngine:
    """Runs ticks on the trainer's own tensors, through the kernels that eager calls.

    A program is traced for each number of rows that a tick may have. Raises EngineUnavailable where
    there is no loop; a run raises Untraceable where a tick does something no program can repeat.
    """

    name = "graph"
    version = VERSION

    def __init__(self, trainer: Trainer, record: Sequence[str]) -> None:
        self.trainer, self.record = trainer, record
        self._eager = EagerEngine(trainer, record)
        self._programs: dict[int, loop.LoadedProgram] = {}  # by the rows of a tick
        self._bound: list[Tensor] = []  # the optimizer's tensors that the programs use
        #: ticks of each program, by rows, that were compared with eager; None: none need be
        self._compared: Counter[int] | None = None
        self._proofs = JobProofs()
        self._eager_rows: set[int] = set()  # rows of ticks whose program differed from eager
        loop.load_library()

    def run(self, ticks: int) -> Chunk:
        """Run up to `ticks` ticks; ends early, with `nonfinite`, at a loss that is not finite."""
        chunks: list[Chunk] = []
        remaining = ticks
        while remaining > 0 and not (chunks and chunks[-1].nonfinite):
            chunks.append(self._run_some(remaining))
            remaining -= chunks[-1].count
        return concatenate(chunks) if chunks else self._eager.run(0)

    def evaluate(self, rows: RowSource, metrics: HeldOutMetrics) -> float:
        """Add all rows to `metrics` and return their mean loss, computed by eager."""
        return self._eager.evaluate(rows, metrics)

    def create_optimizer_state(self) -> Chunk:
        """Run the next tick if the optimizer has no tensors yet, which programs need."""
        return self._eager.run(int(self._lacks_optimizer_state))

    def trace(self, ticks: int) -> list[int]:
        """Trace the programs of the next `ticks` ticks; return the rows of each tick.

        Raises Untraceable.
        """
        trainer, rows = self.trainer, list[int]()
        first, last = trainer.ticks_done + 1, trainer.ticks_done + ticks
        while first <= last:
            range_last = min(last, first + self._max_ticks - 1)
            batch_range = trainer.batches.batch_range(first, range_last)
            self._bind(batch_range)
            rows += batch_range.counts.tolist()
            first = range_last + 1
        return rows

    def count_program_ticks(self, rows: Iterable[int]) -> Counter[str]:
        """Return how many ticks each traced program runs of ticks of so many rows, by identity."""
        return Counter(self._programs[count].identity for count in rows)

    def require_trials(self, compared: Mapping[int, int], proofs: JobProofs) -> None:
        """Compare the first PROOF_TICKS ticks of each program with eager, if it is not proven.

        `compared` has how many were compared already, by rows. A program that differs is not used:
        eager runs its ticks, and `trainer.warn` is told.
        """
        self._compared, self._proofs = Counter(compared), proofs

    @property
    def _lacks_optimizer_state(self) -> bool:
        return self.trainer.update_rule.has_state and not self.trainer.optimizer.state

    def _run_some(self, ticks: int) -> Chunk:
        """Run at least one of `ticks` ticks."""
        trainer = self.trainer
        trainer.show_progress()
        if self._lacks_optimizer_state:
            return self.create_optimizer_state()
        first = trainer.ticks_done + 1
        batch_range = trainer.batches.batch_range(first, first + min(ticks, self._max_ticks) - 1)
        if (count := self._count_tried_ticks(batch_range)) == 0:
            return self._run_untried(batch_range.counts)
        if count < len(batch_range.counts):
            batch_range = trainer.batches.batch_range(first, first + count - 1)
        return self._run_range(batch_range)

    def _count_tried_ticks(self, batch_range: BatchRange) -> int:
        """Return how many ticks come before the first whose program must be compared."""
        if self._compared is None:
            return len(batch_range.counts)
        tried = [rows for rows, count in self._compared.items() if count >= PROOF_TICKS]
        return _count_leading(np.isin(batch_range.counts, tried))

    def _run_untried(self, counts: NDArray[np.int64]) -> Chunk:
        """Run ticks by eager from the next one on, and compare its program with it, if it may run.

        `counts`: the rows of the next ticks.
        """
        rows, compared = int(counts[0]), self._compared
        assert compared is not None
        if rows in self._eager_rows:
            return self._eager.run(1)
        if self._is_proven(rows):
            compared[rows] = PROOF_TICKS
            return self._eager.run(0)
        ticks = min(_count_leading(counts == rows), PROOF_TICKS - compared[rows])
        self._compared = None  # the program may run now
        try:
            difference, chunk = self._try_ticks(ticks)
        finally:
            self._compared = compared
        if difference is not None:
            self._eager_rows.add(rows)
            self._warn(rows, difference)
        if not chunk.count:  # a tick whose loss is not finite has no update to compare
            return self._eager.run(1)
        compared[rows] += chunk.count
        if difference is None:
            self._proofs.add({self._programs[rows].identity: chunk.count})
        return chunk

    def _is_proven(self, rows: int) -> bool:
        """Return whether the program of the next tick, which has so many rows, is proven."""
        tick = self.trainer.ticks_done + 1
        try:
            self._bind(self.trainer.batches.batch_range(tick, tick))
        except (Untraceable, RuntimeError, MemoryError):  # it is said when the tick is tried
            return False
        return self._proofs.covers([self._programs[rows].identity])

    def _warn(self, rows: int, difference: str) -> None:
        program = self._programs.get(rows)
        remark = self._proofs.discard([] if program is None else [program.identity])
        text = f"eager runs all ticks of {rows} rows: {difference}"
        self.trainer.warn(f"{text}; {remark}" if remark else text)

    def _try_ticks(self, ticks: int) -> tuple[str | None, Chunk]:
        """Run the next ticks by their program and by eager; return their difference and them."""
        try:
            outcome = trial.try_exactly(self, self._eager, self.trainer, ticks, kept_ticks=ticks)
        except (Untraceable, RuntimeError, MemoryError) as error:
            return trial.explain_failure(error), self._eager.run(0)
        return outcome.difference, outcome.chunk

    @cached_property
    def _max_ticks(self) -> int:
        """The most ticks of one run of the loop, by their seconds and the bytes of their rows."""
        tick = self.trainer.batches.batch(self.trainer.ticks_done + 1)
        size = self.trainer.batches.size * (tick.inputs[0].nbytes + tick.targets[0].nbytes)
        fitting_ticks = int(MAX_RUN_SECONDS / estimate_tick_seconds(self.trainer.spec, "graph"))
        return max(1, min(MAX_TICKS, MAX_GATHERED_BYTES // size, fitting_ticks))

    def _run_range(self, batch_range: BatchRange) -> Chunk:
        trainer, first, count = self.trainer, self.trainer.ticks_done + 1, len(batch_range.counts)
        self._bind(batch_range)
        sizes = sorted(self._programs)
        arguments = loop.TickArguments(
            program=np.searchsorted(sizes, batch_range.counts).astype(np.int64),
            first=batch_range.firsts,
            rows=batch_range.rows,
            seeds=self._seeds(first, count),
            numbers=self._numbers(first, count),
        )
        ticks_run = loop.run_programs([self._programs[size] for size in sizes], arguments)
        losses = arguments.losses[:ticks_run]
        nonfinite = not np.isfinite(losses[-1])
        trainer.ticks_done += ticks_run - nonfinite
        columns = {"loss": losses}
        if "grad_norm" in self.record:
            columns["grad_norm"] = arguments.norms[:ticks_run]
        return Chunk(first, columns, bool(nonfinite))

    def _bind(self, batch_range: BatchRange) -> None:
        """Trace the missing programs; trace all again if the optimizer's tensors were replaced."""
        tensors = list(optimizer_tensors(self.trainer).values())
        is_same = len(tensors) == len(self._bound) and all(map(operator.is_, tensors, self._bound))
        if not is_same:
            self._programs, self._bound = {}, tensors
        for index, rows in enumerate(batch_range.counts.tolist()):
            if rows not in self._programs:
                tick = self.trainer.ticks_done + 1 + index
                first = None if batch_range.rows else int(batch_range.firsts[index])
                self._programs[rows] = trace_tick(self.trainer, tick, first)

    def _numbers(self, first: int, count: int) -> NDArray[np.float64]:
        """Return the numbers that change from update to update, float64 [count, numbers]."""
        trainer = self.trainer
        rule, rate = trainer.update_rule, trainer.spec.rate
        step = rule.count_steps(trainer.optimizer) + 1
        return np.array([rule.step_scalars(rate(first + i), step + i) for i in range(count)])

    def _seeds(self, first: int, count: int) -> NDArray[np.uint64]:
        """Return the seeds of each tick's parts, uint64 [count, parts]."""
        spec, ticks = self.trainer.spec, range(first, first + count)
        if not self.trainer.has_dropout:
            return np.zeros((count, 1), np.uint64)
        parts = range(spec.micro_batches)
        seeds = [[derive_seed("dropout", spec.seed, tick, i) for i in parts] for tick in ticks]
        return np.array(seeds, np.uint64)


def _count_leading(is_true: NDArray[np.bool_]) -> int:
    """Return how many values come before the first that is false."""
    return len(is_true) if is_true.all() else int(np.argmin(is_true))
