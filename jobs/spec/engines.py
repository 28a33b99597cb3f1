"""The rule that chooses the engine of a spec. Knows no torch and no machine: callers pass both.

`eager` and `graph` compute the same bits, so that anything may decide between them: the number of
ticks, or what is compiled already. `native` has bits of its own, so the spec alone decides: it is
chosen for very long jobs of its class wherever there is a C compiler, whatever the caches hold.
The baseline loop (10,000 ticks) therefore has torch's bits.
"""

from collections.abc import Collection
from typing import Literal, NamedTuple

from jobs.spec.job_spec import JobSpec
from jobs.spec.native_limits import is_worthwhile, native_unsupported_reason
from jobs.spec.tick_costs import estimate_tick_seconds

EngineName = Literal["eager", "graph", "native"]
ENGINES: tuple[EngineName, ...] = ("eager", "graph", "native")

#: from here native trains a job of its class; shorter ones take graph a minute at most
MIN_NATIVE_TICKS = 1_000_000
#: ticks of an engine's trial, run by it and by eager before it may train: so many, but no more than
#: take some TRIAL_SECONDS, unless these are fewer than the least
MIN_TRIAL_TICKS, MAX_TRIAL_TICKS, TRIAL_SECONDS = 9, 64, 1.0
#: of a trial's cost, the share that one job must save: later jobs of its programs need none
TRIAL_SHARE = 0.25
COMPILE_SECONDS = 15.0  # of the loop, once per machine
#: of a tick that is traced: seconds, and ticks of eager
TRACE_SECONDS, TRACE_TICKS = 0.008, 2.5
#: graph must save this many times its cost
MIN_SAVING_RATIO = 1.5


class TickCosts(NamedTuple):
    """Seconds of one tick by eager and by graph; `is_proven`: graph needs no trial."""

    eager: float
    graph: float
    is_proven: bool = False


class EngineDecision(NamedTuple):
    """An engine, and the reason in words."""

    name: EngineName
    reason: str


def unsupported_reason(spec: JobSpec, engine: str) -> str | None:
    """Return why an engine cannot train a spec, or None if it can; `auto` always can."""
    if engine in ("eager", "auto"):
        return None
    if spec.compute.device == "cuda":
        return f"{engine} runs on a CPU; device is cuda"
    return native_unsupported_reason(spec) if engine == "native" else None


def is_portable(spec: JobSpec, engine: str) -> bool:
    """Return whether a resume from a saved state gives the same bits on every processor.

    Only native computes them itself. Synthetic rows are drawn by torch, and so are the first
    weights: from tick 0 on, no job is portable.
    """
    return engine == "native" and spec.data.source != "synthetic"


def count_trial_ticks(spec: JobSpec) -> int:
    """Return how many ticks of a spec are the trial of an engine."""
    fitting_ticks = int(TRIAL_SECONDS / estimate_tick_seconds(spec, "graph"))
    ticks = max(MIN_TRIAL_TICKS, min(fitting_ticks, MAX_TRIAL_TICKS))
    return min(ticks, spec.ticks_total or ticks)


def count_kept_ticks(spec: JobSpec) -> int:
    """Return how many ticks of an exact trial are the job's own, rather than undone.

    All up to the first tick at which the job validates, decides or saves, and no more than fit
    into the seconds of its budget.
    """
    if spec.checkpoint.at_start:
        return 0
    periods = [spec.checkpoint.every_ticks]
    if spec.validation is not None:
        periods.append(spec.validation.every_ticks)
    if spec.stop.reads_loss:
        periods.append(spec.stop.check_every)
    if spec.budget.seconds is not None:
        periods.append(int(spec.budget.seconds / estimate_tick_seconds(spec)) or 1)
    return min([count_trial_ticks(spec), *(period for period in periods if period is not None)])


def estimate_costs(spec: JobSpec) -> TickCosts:
    """Estimate the seconds of a tick by both engines."""
    return TickCosts(estimate_tick_seconds(spec), estimate_tick_seconds(spec, "graph"))


def choose_engine(
    spec: JobSpec,
    available: Collection[str],
    ready: Collection[str],
    costs: TickCosts | None = None,
) -> EngineDecision:
    """Choose among the engines of a CPU worker; those in `ready` need no compilation.

    `costs` are what the worker has measured; None: they are estimated. An engine named in the spec
    is returned even if it is not available: such a worker must not train the spec.
    """
    requested = spec.compute.engine
    if requested != "auto":
        return EngineDecision(requested, "the spec names it")
    is_long = (spec.ticks_total or 0) >= MIN_NATIVE_TICKS and "native" in available
    if is_long and native_unsupported_reason(spec) is None and is_worthwhile(spec):
        return EngineDecision("native", f"{MIN_NATIVE_TICKS:,} ticks or more of a small net")
    if "graph" not in available:
        return EngineDecision("eager", "nothing else can run it here")
    saved, cost = estimate_saving(spec, costs or estimate_costs(spec), is_ready="graph" in ready)
    basis = "" if costs is None else ", as measured here"
    if saved < MIN_SAVING_RATIO * cost:
        return EngineDecision(
            "eager", f"graph would save {saved:.2g} s and cost {cost:.2g} s first{basis}"
        )
    return EngineDecision(
        "graph", f"saves about {saved:.2g} s for {cost:.2g} s of preparation{basis}"
    )


def estimate_saving(spec: JobSpec, costs: TickCosts, *, is_ready: bool) -> tuple[float, float]:
    """Estimate the seconds that graph saves over the whole job, and those it costs before."""
    ticks = spec.ticks_total or int((spec.budget.seconds or 0) / costs.eager)
    # of the trial, eager's ticks up to the first decision are the job's own
    tried = 0 if costs.is_proven else count_trial_ticks(spec)
    own_ticks = min(tried, count_kept_ticks(spec))
    cost = TRACE_SECONDS + TRACE_TICKS * costs.eager + (0 if is_ready else COMPILE_SECONDS)
    cost += TRIAL_SHARE * (tried * costs.graph + (tried - own_ticks) * costs.eager)
    return (ticks - own_ticks) * (costs.eager - costs.graph), cost
