"""Chooses a job's engine, before its first tick, and makes it. Knows no stop rule and no file."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from jobs import fault_points
from jobs.spec.engines import ENGINES, GATED, choose, refusal
from jobs.spec.job_spec import JobSpec
from ticks.engines import gate
from ticks.engines.chunk import Engine, identity_of
from ticks.engines.compiled import Unavailable
from ticks.engines.eager import Eager
from ticks.engines.graph import compiling
from ticks.engines.graph.engine import Graph
from ticks.engines.graph.loop import BrokenProgram
from ticks.engines.graph.program import Untraceable
from ticks.engines.native import compiler
from ticks.engines.native.engine import Native
from ticks.trainer import Trainer

VERSIONS = {"eager": Eager.version, "graph": Graph.version, "native": Native.version}
MAKERS: dict[str, Callable[[Trainer, Sequence[str]], Engine]] = {
    "eager": Eager,
    "graph": Graph,
    "native": Native,
}

#: whether this machine has an engine; of native, its compiler is asked for its name
HAVE: dict[str, Callable[[], bool]] = {
    "eager": lambda: True,
    "graph": compiling.is_possible,
    "native": lambda: compiler.find() is not None,
}


class MissingEngine(RuntimeError):
    """A job must be trained by an engine that this machine does not have."""


class Made(NamedTuple):
    """An engine, and why it is that one; `instead`: of another that was chosen and not taken."""

    engine: Engine
    why: str
    instead: bool = False


def identities() -> dict[str, str]:
    """What fingerprints call the engines that this machine has, by name."""
    return {name: identity_of(name, VERSIONS[name]) for name in available()}


def available() -> list[str]:
    """Names of the engines that this machine has."""
    return [name for name, is_here in HAVE.items() if is_here()]


def ready() -> list[str]:
    """Names of those that need nothing compiled but what is the job's own."""
    return ["eager", *(["graph"] if compiling.is_ready() else [])]


def engine_of(
    trainer: Trainer, device: torch.device, recorded: str | None, announce: Callable[[str], None]
) -> Made:
    """Make the engine of a job, with the reason in words.

    `recorded` is the engine that its history has, if there is one: never changed under way. Raises
    MissingEngine where the job must have one that is not here.
    """
    name, why = _choice(trainer.spec, device, recorded)
    eager: Engine = Eager(trainer, trainer.spec.record)
    if name == "eager":
        return Made(eager, why)
    announce("compiling")
    fault_points.point("compile")
    try:
        engine = _make(trainer, name)
    except MissingEngine as error:
        if recorded is None and trainer.spec.compute.engine == "auto":
            return Made(eager, str(error), instead=True)
        raise
    if recorded is None and (differs := _differs(engine, eager, trainer)):
        return Made(eager, f"{name} was tried and not taken: {differs}", instead=True)
    return Made(engine, why)


def _choice(spec: JobSpec, device: torch.device, recorded: str | None) -> tuple[str, str]:
    if recorded is not None:
        return recorded, "its history is of this engine"
    if device.type != "cpu":
        return "eager", "the only engine on a GPU"
    found = choose(spec, ENGINES, ready())
    if found.name == "eager" or spec.compute.engine != "auto":
        return found  # a short job is eager anyway, and waits for no compiler to say its name
    return choose(spec, available(), ready())


def _make(trainer: Trainer, name: str) -> Engine:
    spec = trainer.spec
    why = refusal(spec, name) or (None if HAVE[name]() else "there is no compiler")
    if why is None:
        try:
            return MAKERS[name](trainer, spec.record)
        except Unavailable as error:
            why = str(error)
    raise MissingEngine(f"the engine {name} is not to be had here: {why}")


def _differs(engine: Engine, eager: Engine, trainer: Trainer) -> str | None:
    """Say why an engine may not own this history."""
    ticks = min(GATED, trainer.spec.ticks_total or GATED)
    exact = engine.name == "graph"
    try:
        if exact:
            return gate.compare(engine, eager, trainer, ticks, gate.other_bits, exact=True)
        with gate.nothing_dropped(trainer.net):
            return gate.compare(engine, eager, trainer, ticks, gate.beyond_bound, exact=False)
    except (Untraceable, BrokenProgram) as error:
        return f"its ticks cannot be repeated: {error}"
