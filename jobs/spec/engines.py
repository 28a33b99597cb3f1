"""Which engine trains a spec: the written rule. Knows no torch and no machine; told what there is.

Between different bits the spec alone chooses. `eager` and `graph` give the same bits, so that
anything may choose between them: the number of ticks, what is compiled already. `native` has bits
of its own: it is chosen for very long jobs of its class wherever there is a C compiler, whatever
lies in a cache. So the article's own programs (10,000 ticks) have torch's bits.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, NamedTuple

from jobs.spec.native_class import is_worth, unfit
from models.mlp.config import MlpConfig

if TYPE_CHECKING:
    from jobs.spec.job_spec import JobSpec

EngineName = Literal["eager", "graph", "native"]
ENGINES: tuple[EngineName, ...] = ("eager", "graph", "native")

#: ticks from which on a job of its class is trained by native (graph: a minute or less up to there)
NATIVE_FROM = 1_000_000
#: ticks that are run twice before a fast engine is trusted, beside as many by eager
GATED = 64
#: seconds that graph saves a tick, for every part of a batch: for each layer, and for the rest
SAVED_A_LAYER = 60e-6
SAVED = 60e-6
OVERHEAD = 1.5  # what eager's calls take, in what graph saves
FLOPS = 2e10  # floating-point operations a second
COMPILING = 15.0  # of the loop, once a machine
RECORDING = 0.05  # of a tick, beside its own time
#: graph must save so many times what it costs
MARGIN = 2.0


class Choice(NamedTuple):
    """An engine, and why, in words."""

    name: EngineName
    why: str


def refusal(spec: "JobSpec", engine: str) -> str | None:
    """Say why an engine cannot train a spec; None if it can. `auto` always finds one."""
    if engine in ("eager", "auto"):
        return None
    if spec.compute.device == "cuda":
        return f"{engine} runs on a CPU; device is cuda"
    return unfit(spec) if engine == "native" else None


def is_portable(spec: "JobSpec", engine: str) -> bool:
    """Whether, from a state on, the spec alone decides every bit, whatever the processor.

    Only native's own arithmetic does that; rows from a seed are drawn by torch's. First weights are
    too: from tick 0 on, nothing is portable.
    """
    return engine == "native" and spec.data.source != "synthetic"


def choose(spec: "JobSpec", have: Collection[str], ready: Collection[str]) -> Choice:
    """Choose among the engines that a CPU worker has; `ready` need nothing compiled.

    Of the spec's own engine, the name alone counts: a worker that lacks it must not train it.
    """
    asked = spec.compute.engine
    if asked != "auto":
        return Choice(asked, "the spec names it")
    ticks = spec.ticks_total
    long = ticks is not None and ticks >= NATIVE_FROM
    if long and "native" in have and unfit(spec) is None and is_worth(spec):
        return Choice("native", f"{NATIVE_FROM:,} ticks or more of a small net")
    if "graph" not in have:
        return Choice("eager", "nothing else can run it here")
    saved, cost = _balance(spec, "graph" in ready)
    if saved < MARGIN * cost:
        return Choice("eager", f"graph would save {saved:.1f} s and cost {cost:.1f} s first")
    return Choice("graph", f"saves about {saved:.0f} s for {cost:.1f} s of preparation")


def _balance(spec: "JobSpec", ready: bool) -> tuple[float, float]:
    """Estimate the seconds that graph saves in the whole job, and those that it costs first."""
    layers = len(spec.model.hidden) if isinstance(spec.model, MlpConfig) else 5 * spec.model.layers
    gain = (SAVED + SAVED_A_LAYER * layers) * spec.micro_batches
    tokens = 1 if spec.profile.text is None else spec.profile.features
    tick = OVERHEAD * gain + 6 * spec.parameters * spec.batch_size * tokens / FLOPS
    ticks = spec.ticks_total or int((spec.budget.seconds or 0) / tick)
    cost = 2 * GATED * tick + RECORDING + (0 if ready else COMPILING)
    return ticks * gain, cost
