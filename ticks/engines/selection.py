"""Choose a job's engine before its first tick, and create it. Knows no stop rule and no file."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from jobs import fault_points
from jobs.spec.engines import ENGINES, choose_engine, count_trial_ticks, unsupported_reason
from jobs.spec.job_spec import JobSpec
from ticks import machine
from ticks.data.dataset_files import Announce
from ticks.engines import trial
from ticks.engines.chunk import Chunk, Engine, format_identity
from ticks.engines.eager import EagerEngine
from ticks.engines.graph import build_loop
from ticks.engines.graph.engine import GraphEngine
from ticks.engines.graph_trial import UNDO_ALL, GraphTrial, TrialRules
from ticks.engines.measured_costs import MeasuredCosts
from ticks.engines.native import compiler
from ticks.engines.native.engine import NativeEngine
from ticks.engines.object_cache import EngineUnavailable
from ticks.engines.proofs import is_retrial_due
from ticks.trainer import Trainer

VERSIONS = {engine.name: engine.version for engine in (EagerEngine, GraphEngine, NativeEngine)}
ENGINE_CLASSES: dict[str, Callable[[Trainer, Sequence[str]], Engine]] = {
    "eager": EagerEngine,
    "graph": GraphEngine,
    "native": NativeEngine,
}

#: whether this machine has an engine; native's check runs the compiler with --version
AVAILABILITY_CHECKS: dict[str, Callable[[], bool]] = {
    "eager": lambda: True,
    "graph": build_loop.is_possible,
    "native": lambda: compiler.find_compiler() is not None,
}


class MissingEngine(RuntimeError):
    """The job needs an engine that this machine does not have."""


class EngineChoice(NamedTuple):
    """An engine and the reason for it; `is_fallback`: it replaces one that could not be used.

    `trial_chunk`: the ticks that the trainer has run for the job, in so many seconds.
    """

    engine: Engine
    reason: str
    is_fallback: bool = False
    trial_chunk: Chunk | None = None
    trial_seconds: float = 0.0


def available_identities(device: str = "cpu") -> dict[str, str]:
    """Return {name: identity in fingerprints} of the engines of this machine for a device."""
    return {name: format_identity(name, VERSIONS[name]) for name in available_engines(device)}


def available_engines(device: str = "cpu") -> list[str]:
    """Return the names of the engines of this machine for a device."""
    if device != "cpu":
        return ["eager"]
    return [name for name, is_available in AVAILABILITY_CHECKS.items() if is_available()]


def ready_engines() -> list[str]:
    """Return the engines that need no compiler: eager, and graph once its loop is compiled."""
    return ["eager", *(["graph"] if build_loop.is_ready() else [])]


def make_engine(
    trainer: Trainer,
    device: torch.device,
    recorded: str | None,
    announce: Announce,
    rules: TrialRules = UNDO_ALL,
) -> EngineChoice:
    """Create the engine of a job.

    `recorded` is the engine of the job's history, if it has one; it never changes. Raises
    MissingEngine where the job needs an engine that is not available here.
    """
    name, reason = _choose_name(trainer.spec, device, recorded, rules)
    eager: Engine = EagerEngine(trainer, trainer.spec.record)
    if name == "eager":
        return EngineChoice(eager, reason)
    announce("compiling")
    fault_points.hit("compile")
    try:
        engine = _build_engine(trainer, name)
    except MissingEngine as error:
        if recorded is None and trainer.spec.compute.engine == "auto":
            return EngineChoice(eager, str(error), is_fallback=True)
        raise
    if recorded is not None:
        if isinstance(engine, GraphEngine):
            GraphTrial(engine, eager, trainer, rules).leave_out()
        return EngineChoice(engine, reason)
    if isinstance(engine, GraphEngine):
        return _try_graph(engine, eager, trainer, rules, reason)
    return _try_nearly(engine, eager, trainer, reason)


def _choose_name(
    spec: JobSpec, device: torch.device, recorded: str | None, rules: TrialRules
) -> tuple[str, str]:
    if recorded is not None:
        return recorded, "its history is of this engine"
    if device.type != "cpu":
        return "eager", "the only engine on a GPU"
    # a job that is tried whatever is proven is chosen by estimates, and its costs measured anew
    is_measured = rules.canary is not None and not is_retrial_due(rules.job)
    costs = MeasuredCosts().find(spec) if is_measured else None
    preferred = choose_engine(spec, ENGINES, ready_engines(), costs)
    if preferred.name == "eager" or spec.compute.engine != "auto":
        return preferred  # a short job is eager anyway and need not wait for a compiler's --version
    return choose_engine(spec, available_engines(), ready_engines(), costs)


def _build_engine(trainer: Trainer, name: str) -> Engine:
    spec = trainer.spec
    reason = unsupported_reason(spec, name) or (
        None if AVAILABILITY_CHECKS[name]() else "there is no compiler"
    )
    if reason is None:
        try:
            return ENGINE_CLASSES[name](trainer, spec.record)
        except EngineUnavailable as error:
            reason = str(error)
    raise MissingEngine(f"the engine {name} is not to be had here: {reason}")


def _try_graph(
    engine: GraphEngine, eager: Engine, trainer: Trainer, rules: TrialRules, reason: str
) -> EngineChoice:
    """Take graph if its bits are eager's; either goes on from the ticks that the trial kept."""
    outcome = GraphTrial(engine, eager, trainer, rules).run()
    remark = f"; {outcome.remark}" if outcome.remark else ""
    if outcome.difference is None:
        choice = EngineChoice(engine, reason + remark)
    else:
        machine.return_freed_memory()
        reason = f"graph was tried and not taken: {outcome.difference}{remark}"
        choice = EngineChoice(eager, reason, is_fallback=True)
    return choice._replace(trial_chunk=outcome.chunk, trial_seconds=outcome.seconds)


def _try_nearly(engine: Engine, eager: Engine, trainer: Trainer, reason: str) -> EngineChoice:
    """Take an engine of its own bits if its first ticks, which are undone, are near eager's."""
    ticks = count_trial_ticks(trainer.spec)
    with trial.dropout_disabled(trainer.net):
        difference = trial.compare_nearly(engine, eager, trainer, ticks)
    if difference is None:
        return EngineChoice(engine, reason)
    reason = f"{engine.name} was tried and not taken: {difference}"
    return EngineChoice(eager, reason, is_fallback=True)
