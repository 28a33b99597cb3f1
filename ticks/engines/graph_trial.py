"""Decide whether the graph engine may train a job: its programs are proven, or tried now.

The ticks that are run for that are the job's first, where the caller can take them.
"""

import time
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from jobs.spec.engines import count_kept_ticks, count_trial_ticks
from ticks.engines import trial
from ticks.engines.chunk import Chunk, Engine, concatenate, engine_identity
from ticks.engines.graph.encoding import Untraceable
from ticks.engines.graph.engine import GraphEngine
from ticks.engines.measured_costs import MeasuredCosts
from ticks.engines.proofs import (
    PROOF_TICKS,
    JobProofs,
    Proofs,
    current_context,
    is_retrial_due,
)
from ticks.state import StateBackup
from ticks.trainer import Trainer

#: keeping a part of a trial takes one more copy of the state: of larger nets all or none is kept
MAX_COPIED_PARAMETERS = 1 << 20
PROVEN = "its programs are proven"


class TrialRules(NamedTuple):
    """What a trial may leave behind, and what may replace it.

    `keeps_ticks`: the trainer may be left after ticks of the trial. `canary`: this machine's;
    without it no proof is read or recorded. `job`: the job's id. `compares_recorded`: programs of
    an engine that the job's history names, which is not tried, are compared at their first ticks.
    """

    keeps_ticks: bool = False
    canary: str | None = None
    job: str = ""
    compares_recorded: bool = False


#: tried whatever is proven, and the trainer left where it was
UNDO_ALL = TrialRules()


class TrialOutcome(NamedTuple):
    """What a trial found: the first difference, or None, and a remark.

    `chunk`: the ticks that the trainer has run for the job, in `seconds`; None if there are none.
    """

    difference: str | None
    remark: str = ""
    chunk: Chunk | None = None
    seconds: float = 0.0


class GraphTrial:
    """The trial of one job's graph engine."""

    def __init__(
        self, engine: GraphEngine, eager: Engine, trainer: Trainer, rules: TrialRules
    ) -> None:
        self._engine, self._eager, self._trainer, self._rules = engine, eager, trainer, rules
        spec = trainer.spec
        self._ticks = count_trial_ticks(spec)
        self._programs: Mapping[str, int] = {}  # the ticks of the trial by program
        self._compared: Mapping[int, int] = {}  # the ticks of each program, by rows
        kept_ticks = count_kept_ticks(spec) if rules.keeps_ticks else 0
        is_large = spec.parameters > MAX_COPIED_PARAMETERS
        self._kept_ticks = 0 if is_large and kept_ticks < self._ticks else kept_ticks

    def run(self) -> TrialOutcome:
        """Compare, unless the programs are proven.

        Where those that an earlier trial of such a spec ran are proven, none is traced now: the
        engine looks each up where it is first needed, so that the first tick is shown sooner.
        """
        has_proofs = self._rules.canary is not None
        programs = MeasuredCosts().find_programs(self._trainer.spec) if has_proofs else []
        if self._proofs.covers(programs):
            self._engine.require_trials({}, self._proofs)
            return TrialOutcome(None, PROVEN)
        try:
            before = None if self._kept_ticks else StateBackup(self._trainer)
        except (RuntimeError, MemoryError) as error:
            return TrialOutcome(trial.explain_failure(error))
        try:
            started = time.monotonic()
            first = self._engine.create_optimizer_state()
            outcome = self._compare(first, time.monotonic() - started)
            if outcome.difference is None:  # the engine is used, and not freed with its memory
                self._engine.require_trials(self._compared, self._proofs)
        finally:
            if before is not None:
                before.restore()
        has_ticks = before is None and outcome.chunk is not None and outcome.chunk.count
        return outcome if has_ticks else outcome._replace(chunk=None, seconds=0.0)

    def leave_out(self) -> None:
        """Try nothing now: programs are compared at their first ticks, if the rules say it."""
        if self._rules.compares_recorded:
            self._engine.require_trials({}, self._proofs)

    def _compare(self, first: Chunk, seconds: float) -> TrialOutcome:
        """Try the ticks after `first`, which took so many seconds."""
        if first.nonfinite:
            return TrialOutcome(None)  # an update that was not applied: there is nothing to trace
        ticks = self._ticks - first.count
        kept_ticks = max(0, self._kept_ticks - first.count)
        try:
            rows = self._engine.trace(ticks)
            self._programs = self._engine.count_program_ticks(rows)
            if self._proofs.covers(self._programs):
                self._compared = dict.fromkeys(rows, PROOF_TICKS)
                return TrialOutcome(None, PROVEN, first, seconds)
            tried = trial.try_exactly(self._engine, self._eager, self._trainer, ticks, kept_ticks)
        except (Untraceable, RuntimeError, MemoryError) as error:
            return TrialOutcome(trial.explain_failure(error), chunk=first, seconds=seconds)
        self._compared = Counter(rows[: tried.compared])
        chunk = concatenate([first, tried.chunk])
        seconds += tried.eager_seconds * tried.chunk.count / max(1, ticks)
        if tried.difference is None:
            self._record(tried)
            return TrialOutcome(None, "", chunk, seconds)
        MeasuredCosts().discard(self._trainer.spec)
        remark = self._proofs.discard(self._programs)
        return TrialOutcome(tried.difference, remark, chunk, seconds)

    def _record(self, tried: trial.ExactTrial) -> None:
        """Record what a trial has shown; nothing of one that a loss that is not finite ended."""
        ticks = sum(self._programs.values())
        if self._rules.canary is not None and ticks and tried.compared == ticks:
            is_proven = self._proofs.add(self._programs)
            MeasuredCosts().add(
                self._trainer.spec, tried.eager_seconds / ticks, tried.engine_seconds / ticks,
                list(self._programs) if is_proven else [],
            )  # fmt: skip

    @cached_property
    def _proofs(self) -> JobProofs:
        if self._rules.canary is None:
            return JobProofs()
        context = current_context(engine_identity(self._engine), self._rules.canary)
        return JobProofs(Proofs(context), is_retried=is_retrial_due(self._rules.job))
