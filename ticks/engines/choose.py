"""Chooses a job's engine, before its first tick, and makes it. Knows no stop rule and no file."""

from collections.abc import Callable, Sequence

import torch

from jobs.spec.engines import ENGINES, GATED, choose, refusal
from jobs.spec.job_spec import JobSpec
from ticks.engines import gate
from ticks.engines.chunk import Engine
from ticks.engines.eager import Eager
from ticks.engines.graph import compiling
from ticks.engines.graph.engine import Graph
from ticks.engines.graph.loop import BrokenProgram
from ticks.engines.graph.program import Untraceable
from ticks.engines.native import compiler
from ticks.engines.native.engine import Native
from ticks.trainer import Trainer

MAKERS: dict[str, Callable[[Trainer, Sequence[str]], Engine]] = {
    "eager": Eager,
    "graph": Graph,
    "native": Native,
}


class MissingEngine(RuntimeError):
    """A job must be trained by an engine that this machine does not have."""


def available() -> list[str]:
    """Names of the engines that this machine has."""
    has = {"graph": compiling.is_possible(), "native": compiler.find() is not None}
    return ["eager", *(name for name, there in has.items() if there)]


def ready() -> list[str]:
    """Names of those that need nothing compiled but what is the job's own."""
    return ["eager", *(["graph"] if compiling.is_ready() else [])]


def engine_of(
    trainer: Trainer, device: torch.device, recorded: str | None, announce: Callable[[str], None]
) -> tuple[Engine, str]:
    """Make the engine of a job, with the reason in words.

    `recorded` is the engine that its history has, if there is one: never changed under way. Raises
    MissingEngine where the job must have one that is not here.
    """
    name, why = _choice(trainer.spec, device, recorded)
    eager: Engine = Eager(trainer, trainer.spec.record)
    if name == "eager":
        return eager, why
    announce("compiling")
    try:
        engine = _make(trainer, name)
    except MissingEngine as error:
        if recorded is None and trainer.spec.compute.engine == "auto":
            return eager, str(error)
        raise
    if recorded is None and (differs := _differs(engine, eager, trainer)):
        return eager, f"{name} was tried and not taken: {differs}"
    return engine, why


def _choice(spec: JobSpec, device: torch.device, recorded: str | None) -> tuple[str, str]:
    if recorded is not None:
        return recorded, "its history is of this engine"
    if device.type != "cpu":
        return "eager", "the only engine on a GPU"
    found = choose(spec, ENGINES, ready())
    # a short job is eager anyway, and waits for no compiler to say its name
    return found if found.name == "eager" else choose(spec, available(), ready())


def _make(trainer: Trainer, name: str) -> Engine:
    spec = trainer.spec
    why = refusal(spec, name) or (None if name in available() else "there is no compiler")
    if why is None:
        try:
            return MAKERS[name](trainer, spec.record)
        except (compiling.Unavailable, compiler.Unavailable) as error:
            why = str(error)
    raise MissingEngine(f"the engine {name} is not to be had here: {why}")


def _differs(engine: Engine, eager: Engine, trainer: Trainer) -> str | None:
    """Say why an engine may not own this history."""
    ticks = min(GATED, trainer.spec.ticks_total or GATED)
    exact = engine.name == "graph"
    differ = gate.other_bits if exact else gate.beyond_bound
    try:
        return gate.compare(engine, eager, trainer, ticks, differ, exact=exact)
    except (Untraceable, BrokenProgram) as error:
        return f"its ticks cannot be repeated: {error}"
