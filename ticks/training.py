"""A job's training: run chunks of ticks, and validate and apply the stop rules between them.

Validation, the best, the stop rules and the end happen at ticks the spec names, before `run`
returns: nothing depends on how many ticks the caller asked for. Knows no file, no process and no
clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import torch

from jobs import fault_points
from jobs.spec.job_spec import JobSpec
from ticks.best import BestMetric, find_better
from ticks.data.batches import RowSource
from ticks.data.dataset_files import Announce, ignore_phase
from ticks.data.load import load_data
from ticks.data.row_warnings import find_row_warnings
from ticks.engines.chunk import Chunk, Engine, concatenate
from ticks.engines.graph_trial import UNDO_ALL, TrialRules
from ticks.engines.selection import make_engine
from ticks.engines.single_tick import SingleTickEngine
from ticks.final_test import FinalTest
from ticks.initial_weights import load_initial_weights
from ticks.metrics.evaluation import RowEvaluation, make_metrics
from ticks.net_config import describe_net
from ticks.nonfinite import Failure, NonfiniteRule
from ticks.reports import TEST, VALIDATION, Reports
from ticks.state import state_digest
from ticks.stopping import StopRules
from ticks.trainer import Trainer, show_nothing

NO_TICK = 1 << 62  # later than any tick
#: (column, tick, value); the values of "state" are digests of 16 hex digits
SparseValues = list[tuple[str, int, float | str]]


class OpenState(TypedDict):
    """What a training had decided before a validation that only its end asked for.

    Whoever goes on from there had no validation at this tick. `rules`: the best value of the rule
    `patience` and its tick.
    """

    best: BestMetric | None
    metrics: dict[str, float]
    validated_at: int | None
    rules: tuple[float | None, int]


@dataclass
class Decisions:
    """The outcome of validation and stop rules at a tick; empty at most ticks."""

    sparse: SparseValues = field(default_factory=list)
    is_best: bool = False


@dataclass(frozen=True)
class RunResult:
    """One run: its chunk, the decisions at its last tick, and the failure that ended it, if any."""

    chunk: Chunk
    decisions: Decisions
    failure: Failure | None


class TrainingRun:
    """A trainer with its engine, its held-out rows, its test and its stop rules.

    `end_reason` is set once the job has ended: "budget", "target", "patience" or "converged".
    `warnings` tell what is doubtful about the training rows.
    `metrics` are those of the newest validation, at tick `validated_at`, and of the test, at tick
    `tested_at`. `engine_note` says why
    this engine was chosen, and `is_fallback` whether it replaces one that could not be used.
    `open_state` is None unless the last validation was one that only the end asked for.

    `trial_chunk` are the ticks that the engine's trial has run for the job: the first `run` returns
    them with its own, and must ask for at least as many; they took `trial_seconds`.

    The argument `engine` names the engine of the job's recorded history, if it has one; `announce`
    is called with the name of each phase that takes time, `show_progress` within ticks and
    evaluations. Raises DamagedDataset, WrongText, MissingWeights
    or MissingEngine.
    """

    def __init__(
        self,
        spec: JobSpec,
        device: torch.device,
        announce: Announce = ignore_phase,
        artifacts: Path | None = None,
        engine: str | None = None,
        show_progress: Callable[[], None] = show_nothing,
        trial_rules: TrialRules = UNDO_ALL,
    ) -> None:
        data = load_data(spec, device, artifacts, announce)
        self.spec, self.announce, self.held_out = spec, announce, data.held_out
        self.scaling, self.target_scaling = data.scaling, data.target_scaling
        self.warnings = find_row_warnings(spec, data.training)
        self.trainer = Trainer(spec, data.training, device)
        self.net_config = describe_net(spec, data, self.trainer)
        load_initial_weights(self.trainer.net, spec, artifacts)
        self.trainer.show_progress = show_progress
        choice = make_engine(self.trainer, device, engine, announce, trial_rules)
        self.engine_note, self.is_fallback = choice.reason, choice.is_fallback
        self.engine: Engine = choice.engine
        self.trial_chunk: Chunk | None = choice.trial_chunk
        self.trial_seconds = choice.trial_seconds
        if fault_points.is_armed():
            self.engine = SingleTickEngine(choice.engine)
        self.stop_rules = StopRules(spec.stop, reads_mean_loss=spec.reads_mean_loss)
        self.nonfinite_rule = NonfiniteRule(spec.stop, needs_finite_loss=spec.needs_finite_loss)
        self.end_reason: str | None = None
        self.best: BestMetric | None = None
        self.metrics: dict[str, float] = {}
        self.reports = Reports()
        self.validated_at: int | None = None
        self.tested_at: int | None = None
        self.open_state: OpenState | None = None
        self.final_test: FinalTest | None = None
        if data.test is not None:
            keeps_best = spec.checkpoint.keep_best
            self.final_test = FinalTest(data.test, self.trainer, keeps_best=keeps_best)

    @property
    def ticks_done(self) -> int:
        """The last tick whose update was applied or skipped; 0 before the first."""
        return self.trainer.ticks_done

    @property
    def trial_ticks(self) -> int:
        """How many ticks of the trial the next `run` returns with its own."""
        return 0 if self.trial_chunk is None else self.trial_chunk.count

    @property
    def epoch(self) -> float:
        """The number of passes over the training rows so far, with its fraction."""
        return self.ticks_done / self.spec.ticks_per_epoch

    @property
    def end_failure(self) -> Failure | None:
        """Why the job could not succeed if it ended now, by whatever rule or request."""
        return self.nonfinite_rule.find_end_failure(self.ticks_done)

    def run(self, ticks: int) -> RunResult:
        """Run up to `ticks` ticks, at most to the next decision, and make that decision.

        Runs no tick once the job has ended. A loss that is not finite also ends the run: either
        with a failure and `ticks_done` before that tick, or with that tick skipped (the spec's
        `on_nonfinite` and `max_skips`).
        """
        before = self.ticks_done - self.trial_ticks
        count = 0 if self.end_reason else min(ticks, self._next_decision(before) - before)
        chunk = self._run_ticks(count)
        failure = self.nonfinite_rule.find_failure(chunk)
        if chunk.nonfinite and failure is None:
            self.trainer.skip_tick()
        losses = chunk.columns["loss"][: self.ticks_done + 1 - chunk.first]
        self.stop_rules.observe(chunk.first, losses)
        decisions = Decisions() if failure or not chunk.count else self._decide(float(losses[-1]))
        return RunResult(chunk, decisions, failure)

    def _run_ticks(self, count: int) -> Chunk:
        if (tried := self.trial_chunk) is None:
            return self.engine.run(count)
        assert count >= tried.count, "the first run has all ticks that the trial kept"
        self.forget_trial()
        for tick in range(tried.first, tried.first + tried.count):
            fault_points.hit("tick", number=tick)
        return concatenate([tried, self.engine.run(count - tried.count)])

    def forget_trial(self) -> None:
        """Return no ticks of the trial with the next `run`: they are returned, or replaced."""
        self.trial_chunk, self.trial_seconds = None, 0.0

    def validate(self) -> Decisions:
        """Validate and test after the current tick, which is the last, unless done already.

        Does nothing without held-out rows.
        """
        decisions = Decisions()
        self._end(decisions)
        return decisions

    def _next_decision(self, tick: int) -> int:
        """Return the first tick after `tick` with a decision; NO_TICK where there is none."""
        periods = [self.spec.stop.check_every] if self.spec.stop.reads_loss else []
        if self.held_out is not None:
            periods.append(self._validate_every())
        ticks = [(tick // period + 1) * period for period in periods]
        total = self.spec.ticks_total
        return min([*ticks, NO_TICK if total is None else total])

    def _decide(self, loss: float) -> Decisions:
        decisions = Decisions()
        metrics: dict[str, float] = {}
        is_over = self.ticks_done == self.spec.ticks_total
        if self.held_out is not None and (is_over or self.ticks_done % self._validate_every() == 0):
            metrics |= self._validate(decisions)
        if self.spec.stop.reads_loss and self.ticks_done % self.spec.stop.check_every == 0:
            metrics["loss"] = self.stop_rules.read_loss(loss)
        budget_reason = "budget" if is_over else None
        self.end_reason = self.stop_rules.check(self.ticks_done, metrics) or budget_reason
        if self.open_state and self.stop_rules.reads_loss_for_patience:
            self.open_state["rules"] = self.stop_rules.best, self.stop_rules.best_tick
        if self.end_reason:
            self._end(decisions)
        return decisions

    def _end(self, decisions: Decisions) -> None:
        """Validate the last state, and test the best one; what is done already stays."""
        if self.held_out is not None and self.validated_at != self.ticks_done:
            self._validate(decisions)
        if self.final_test is not None and self.tested_at != self.ticks_done:
            self._test(self.final_test, decisions)

    def _test(self, final_test: FinalTest, decisions: Decisions) -> None:
        """Evaluate the rows of the test, and add the metrics to `decisions`."""
        self.announce("validating")
        has_best = self.best is not None and bool(final_test.best_weights)
        tick = self.best["tick"] if self.best is not None and has_best else self.ticks_done
        evaluation = final_test.evaluate(self._evaluate)
        metrics = self._name_metrics("test", evaluation)
        self.reports.add(TEST, tick, evaluation)
        self.metrics, self.tested_at = {**self.metrics, **metrics}, self.ticks_done
        decisions.sparse += [(name, self.ticks_done, value) for name, value in metrics.items()]

    def _validate(self, decisions: Decisions) -> dict[str, float]:
        """Validate now; add metrics, state digest and whether this is the best to `decisions`."""
        assert self.held_out is not None
        self.announce("validating")
        fault_points.hit("validate", number=self.ticks_done)
        self.open_state = self._capture_open_state()
        evaluation = self._evaluate(self.held_out)
        self.metrics = self._name_metrics("val", evaluation)
        self.reports.add(VALIDATION, self.ticks_done, evaluation)
        self.validated_at = self.ticks_done
        decisions.sparse += [(name, self.ticks_done, value) for name, value in self.metrics.items()]
        decisions.sparse.append(("state", self.ticks_done, state_digest(self.trainer)))
        decisions.is_best = self._update_best(self.metrics)
        return self.metrics

    def _evaluate(self, rows: RowSource) -> RowEvaluation:
        sums = make_metrics(self.net_config)
        return RowEvaluation(self.engine.evaluate(rows, sums), sums)

    def _name_metrics(self, part: str, evaluation: RowEvaluation) -> dict[str, float]:
        """Return the metrics that the spec records of `val` or `test`, by name."""
        named = {f"{part}_{name}": value for name, value in evaluation.metrics.items()}
        return {name: named[name] for name in self.spec.metric_names if name in named}

    def _capture_open_state(self) -> OpenState | None:
        """Return what is decided before a validation of the end; None if it comes by the period."""
        if self.ticks_done % self._validate_every() == 0:
            return None
        rules = self.stop_rules.best, self.stop_rules.best_tick
        return OpenState(
            best=self.best, metrics=self.metrics, validated_at=self.validated_at, rules=rules
        )

    def _update_best(self, metrics: dict[str, float]) -> bool:
        better = find_better(self.spec, self.best, metrics, self.ticks_done)
        if better is None:
            return False
        self.best = better
        if self.final_test is not None:
            self.final_test.keep_best()
            self.open_state = None  # the weights of the best before are gone
        return True

    def _validate_every(self) -> int:
        assert self.spec.validation is not None and self.spec.validation.every_ticks is not None
        return self.spec.validation.every_ticks
