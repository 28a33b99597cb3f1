"""A job under way: runs chunks of ticks and decides what is decided between them.

Validation, the best, the stop rules and the end all happen at ticks the spec names, before `run`
returns: nothing depends on how many ticks the caller asked for. Knows no file, no process and no
clock.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import torch

from jobs import fault_points
from jobs.spec.job_spec import JobSpec
from ticks.data import load
from ticks.engines.choose import engine_of
from ticks.engines.chunk import Chunk, Engine
from ticks.engines.stepping import Stepping
from ticks.state import digest
from ticks.stopping import Rules
from ticks.trainer import Trainer

NO_TICK = 1 << 62  # later than any tick
Sparse = list[tuple[str, int, float | str]]  # (column, tick, value); "state" has 16 hex digits


class Best(TypedDict):
    """The tick whose validation loss was the lowest so far (the first of equals)."""

    metric: str
    tick: int
    value: float


class Failure(TypedDict):
    """Why a job cannot go on."""

    type: str
    detail: str
    tick: int


@dataclass
class Decided:
    """What was decided at a tick; all empty at most of them."""

    sparse: Sparse = field(default_factory=list)
    is_best: bool = False


@dataclass(frozen=True)
class Ran:
    """One run: its chunk, and what was decided at its last tick."""

    chunk: Chunk
    decided: Decided
    failed: Failure | None


def quiet(phase: str) -> None:
    """Announce a phase to nobody."""


class Training:
    """A trainer with its engine, its held-out rows and its rules.

    `ended` names the reason once the job has ended ("budget", "target", "patience", "converged");
    `metrics` are those of the newest validation, made at `validated_at`; `engine_note` says why the
    engine is which it is, and `instead` whether it stands in for another that was chosen. The
    argument `engine` names the one that the job's history is of, if any.
    """

    def __init__(
        self,
        spec: JobSpec,
        device: torch.device,
        announce: Callable[[str], None] = quiet,
        artifacts: Path | None = None,
        engine: str | None = None,
    ) -> None:
        data = load(spec, device, artifacts, announce)
        self.spec, self.announce = spec, announce
        self.held_out, self.scale, self.about = data.held_out, data.scale, data.about
        self.trainer = Trainer(spec, data.training, device)
        made = engine_of(self.trainer, device, engine, announce)
        self.engine_note, self.instead = made.why, made.instead
        self.engine: Engine = Stepping(made.engine) if fault_points.armed() else made.engine
        self.rules = Rules(spec.stop)
        self.ended: str | None = None
        self.best: Best | None = None
        self.metrics: dict[str, float] = {}
        self.validated_at: int | None = None

    @property
    def at(self) -> int:
        """The last tick whose update was applied or skipped."""
        return self.trainer.at

    @property
    def epoch(self) -> float:
        """How often every row has been trained on, in parts of an epoch."""
        return self.at / self.spec.ticks_per_epoch

    def run(self, k: int) -> Ran:
        """Run at most k ticks, ending at the next tick where something is decided, and decide it.

        After the end, no tick at all. A loss that is not finite ends a run too: with `failed` and
        `at` before it, or skipped, as the spec says.
        """
        chunk = self.engine.run(0 if self.ended else min(k, self._next_decision() - self.at))
        failed = self._failure(chunk) if chunk.nonfinite else None
        if chunk.nonfinite and failed is None:
            self.trainer.skip()
        accepted = chunk.columns["loss"][: self.at + 1 - chunk.first]
        self.rules.see(chunk.first, accepted)
        decided = Decided() if failed or not chunk.count else self._decide(float(accepted[-1]))
        return Ran(chunk, decided, failed)

    def validate(self) -> Decided:
        """Validate at the present tick, unless that was done or there is nothing to validate on."""
        decided = Decided()
        if self.held_out is not None and self.validated_at != self.at:
            self._validate(decided)
        return decided

    def _next_decision(self) -> int:
        """The first tick after `at` where something is decided; NO_TICK or later if none is."""
        periods = [self.spec.stop.check_every] if self.rules.read_loss else []
        if self.held_out is not None:
            periods.append(self._validate_every())
        ticks = [(self.at // period + 1) * period for period in periods]
        total = self.spec.ticks_total
        return min([*ticks, NO_TICK if total is None else total])

    def _decide(self, loss: float) -> Decided:
        decided = Decided()
        seen: dict[str, float] = {}
        over = self.at == self.spec.ticks_total
        if self.held_out is not None and (over or self.at % self._validate_every() == 0):
            seen |= self._validate(decided)
        if self.rules.read_loss and self.at % self.spec.stop.check_every == 0:
            seen["loss"] = loss
        self.ended = self.rules.decide(self.at, seen) or ("budget" if over else None)
        if self.ended and self.held_out is not None and self.validated_at != self.at:
            self._validate(decided)
        return decided

    def _validate(self, decided: Decided) -> dict[str, float]:
        """Validate now; note metrics, state digest and whether this is the best."""
        assert self.held_out is not None
        self.announce("validating")
        fault_points.point("validate", at=self.at)
        classes = self.spec.profile.classes
        self.metrics = self.engine.evaluate(self.held_out, classes)
        self.validated_at = self.at
        decided.sparse += [(name, self.at, value) for name, value in self.metrics.items()]
        decided.sparse.append(("state", self.at, digest(self.trainer)))
        decided.is_best = self._note_best(self.metrics["val_loss"])
        return self.metrics

    def _note_best(self, value: float) -> bool:
        better = math.isfinite(value) and (self.best is None or value < self.best["value"])
        if better:
            self.best = Best(metric="val_loss", tick=self.at, value=value)
        return better

    def _validate_every(self) -> int:
        assert self.spec.validation is not None and self.spec.validation.every_ticks is not None
        return self.spec.validation.every_ticks

    def _failure(self, chunk: Chunk) -> Failure | None:
        if self.spec.stop.on_nonfinite == "skip":
            return None
        tick = chunk.first + chunk.count - 1
        loss = float(chunk.columns["loss"][-1])
        return Failure(type="nonfinite", detail=f"the loss of tick {tick} is {loss}", tick=tick)
