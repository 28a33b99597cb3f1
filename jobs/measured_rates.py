"""Rates at which workers trained, and what they let one expect of another job. Knows no store.

A job is expected to take the seconds of the measured one that resembles it most: of its engine,
family, precision and threads, scaled by what arithmetic says of both (jobs/spec/tick_costs.py).
"""

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import NamedTuple

from jobs.spec.job_spec import JobSpec
from jobs.spec.tick_costs import combine_costs, count_tick_flops, saved_seconds

#: a measured job resembles another no more, where calls and operations differ by such a factor
MAX_SIZE_FACTOR = 4.0
#: what another norm, optimizer or the like weighs beside the logarithms of these factors
TRAIT_DISTANCE = 0.3


@dataclass(frozen=True)
class MeasuredRate:
    """How fast one attempt of a job trained, and what tells it from other jobs."""

    engine: str
    setting: str  # family, precision, threads: a rate says nothing of another
    traits: tuple[str, ...]  # norm, optimizer and what else a tick does
    shape: str  # hash of all that a tick's time depends on
    call_seconds: float  # by arithmetic, of calls
    flops: int  # of a tick
    tick_seconds: float  # measured
    at_ms: int  # by the worker's clock

    def encode(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def decode_rate(text: str | bytes) -> MeasuredRate:
    """Return a rate of its JSON."""
    fields = json.loads(text)
    return MeasuredRate(**{**fields, "traits": tuple(fields["traits"])})


def make_rate(spec: JobSpec, engine: str, tick_seconds: float, at_ms: int) -> MeasuredRate:
    """Make the rate of a job that trained; with 0 seconds, what a job is compared by."""
    compute = spec.compute
    return MeasuredRate(
        engine=engine,
        setting=f"{spec.model.family} {compute.precision} {compute.threads}",
        traits=_traits(spec),
        shape=_job_shape(spec),
        call_seconds=saved_seconds(spec),
        flops=count_tick_flops(spec),
        tick_seconds=tick_seconds,
        at_ms=at_ms,
    )


class ExpectedTick(NamedTuple):
    """The seconds that a tick is expected to take, by a rate; `is_own`: of such a job itself."""

    seconds: float
    rate: MeasuredRate
    is_own: bool


def expect_tick(spec: JobSpec, engine: str, rates: Collection[MeasuredRate]) -> ExpectedTick | None:
    """Return what a tick takes by the rate that resembles the job most; None if none does."""
    planned = make_rate(spec, engine, 0.0, 0)
    near = [(distance, rate) for rate in rates
            if (distance := _distance(planned, rate)) <= math.log(MAX_SIZE_FACTOR)]  # fmt: skip
    if not near:
        return None
    _, nearest = min(near, key=lambda pair: (pair[0], -pair[1].at_ms))
    is_own = nearest.shape == planned.shape
    scale = 1.0 if is_own else _cost(planned) / _cost(nearest)
    return ExpectedTick(nearest.tick_seconds * scale, nearest, is_own)


def _job_shape(spec: JobSpec) -> str:
    """Return a hash of all that a tick's time depends on, beside engine and setting."""
    parts = spec.model_dump(
        mode="json",
        include={
            "model": True, "optimizer": {"name"}, "batch_size": True, "micro_batches": True,
            "clip_norm": True, "validation": True, "record": True, "objective": True,
        },
    )  # fmt: skip
    profile = spec.profile
    parts["profile"] = [profile.kind, profile.rows, profile.features, profile.outputs]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _distance(planned: MeasuredRate, rate: MeasuredRate) -> float:
    """Return how little a rate resembles what is planned; infinite where it says nothing of it."""
    if (planned.engine, planned.setting) != (rate.engine, rate.setting):
        return math.inf
    if planned.shape == rate.shape:
        return 0.0
    sizes = (planned.call_seconds / rate.call_seconds, planned.flops / rate.flops)
    others = len(set(planned.traits) ^ set(rate.traits))
    return sum(abs(math.log(size)) for size in sizes) + TRAIT_DISTANCE * others


def _cost(rate: MeasuredRate) -> float:
    return combine_costs(rate.engine, rate.call_seconds, rate.flops)


def _traits(spec: JobSpec) -> tuple[str, ...]:
    traits = [f"norm {spec.model.norm}", f"optimizer {spec.optimizer.name}"]
    traits += ["dropout"] if spec.model.dropout else []
    traits += ["clip"] if spec.clip_norm is not None else []
    traits += ["validation"] if spec.validation is not None else []
    return tuple([*traits, *sorted(spec.record)])
