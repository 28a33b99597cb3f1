"""Which engine trains a spec: the written rule. Knows no torch and no machine; told what there is.

Between different bits the spec alone chooses. `eager` and `graph` give the same bits, so that
anything may choose between them: the number of ticks, what is compiled already. `native` has bits
of its own: it is chosen for very long jobs of its class wherever there is a C compiler, whatever
lies in a cache. So the article's own programs (10,000 ticks) have torch's bits.
"""

from collections.abc import Collection
from typing import Literal, NamedTuple

from jobs.spec.job_spec import JobSpec
from jobs.spec.native_limits import is_worthwhile, native_unsupported_reason
from models.mlp.config import MlpConfig

EngineName = Literal["eager", "graph", "native"]
ENGINES: tuple[EngineName, ...] = ("eager", "graph", "native")

#: ticks from which on a job of its class is trained by native (graph: a minute or less up to there)
MIN_NATIVE_TICKS = 1_000_000
#: ticks that are run twice before a fast engine is trusted, beside as many by eager
TRIAL_TICKS = 64
#: seconds that graph saves a tick, for every part of a batch: for each layer, and for the rest
SAVED_SECONDS_PER_LAYER = 60e-6
SAVED_SECONDS = 60e-6
EAGER_OVERHEAD_RATIO = 1.5  # what eager's calls take, in what graph saves
FLOPS_PER_SECOND = 2e10  # floating-point operations a second
COMPILE_SECONDS = 15.0  # of the loop, once a machine
TRACE_SECONDS = 0.05  # of a tick, beside its own time
#: graph must save so many times what it costs
MIN_SAVING_RATIO = 2.0


class EngineDecision(NamedTuple):
    """An engine, and why, in words."""

    name: EngineName
    reason: str


def unsupported_reason(spec: JobSpec, engine: str) -> str | None:
    """Say why an engine cannot train a spec; None if it can. `auto` always finds one."""
    if engine in ("eager", "auto"):
        return None
    if spec.compute.device == "cuda":
        return f"{engine} runs on a CPU; device is cuda"
    return native_unsupported_reason(spec) if engine == "native" else None


def is_portable(spec: JobSpec, engine: str) -> bool:
    """Whether, from a state on, the spec alone decides every bit, whatever the processor.

    Only native's own arithmetic does that; rows from a seed are drawn by torch's. First weights are
    too: from tick 0 on, nothing is portable.
    """
    return engine == "native" and spec.data.source != "synthetic"


def choose_engine(
    spec: JobSpec, available: Collection[str], ready: Collection[str]
) -> EngineDecision:
    """Choose among the engines that a CPU worker has; `ready` need nothing compiled.

    Of the spec's own engine, the name alone counts: a worker that lacks it must not train it.
    """
    requested = spec.compute.engine
    if requested != "auto":
        return EngineDecision(requested, "the spec names it")
    ticks = spec.ticks_total
    is_long = ticks is not None and ticks >= MIN_NATIVE_TICKS
    if (
        is_long
        and "native" in available
        and native_unsupported_reason(spec) is None
        and is_worthwhile(spec)
    ):
        return EngineDecision("native", f"{MIN_NATIVE_TICKS:,} ticks or more of a small net")
    if "graph" not in available:
        return EngineDecision("eager", "nothing else can run it here")
    saved, cost = _estimate_saving(spec, "graph" in ready)
    if saved < MIN_SAVING_RATIO * cost:
        return EngineDecision(
            "eager", f"graph would save {saved:.1f} s and cost {cost:.1f} s first"
        )
    return EngineDecision("graph", f"saves about {saved:.0f} s for {cost:.1f} s of preparation")


def _estimate_saving(spec: JobSpec, is_ready: bool) -> tuple[float, float]:
    """Estimate the seconds that graph saves in the whole job, and those that it costs first."""
    layers = len(spec.model.hidden) if isinstance(spec.model, MlpConfig) else 5 * spec.model.layers
    saving_per_tick = (SAVED_SECONDS + SAVED_SECONDS_PER_LAYER * layers) * spec.micro_batches
    tokens = 1 if spec.profile.text is None else spec.profile.features
    tick_seconds = (
        EAGER_OVERHEAD_RATIO * saving_per_tick
        + 6 * spec.parameters * spec.batch_size * tokens / FLOPS_PER_SECOND
    )
    ticks = spec.ticks_total or int((spec.budget.seconds or 0) / tick_seconds)
    cost = 2 * TRIAL_TICKS * tick_seconds + TRACE_SECONDS + (0 if is_ready else COMPILE_SECONDS)
    return ticks * saving_per_tick, cost
