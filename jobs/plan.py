"""What a spec would mean, by arithmetic alone: exact counts, and estimates. Knows no torch."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from jobs.presence import About
from jobs.spec.data import DatasetData
from jobs.spec.engines import ENGINES, choose
from jobs.spec.faults import InvalidSpec
from jobs.spec.job_spec import JobSpec
from jobs.spec.rules import Fault

FLOAT, DOUBLE = 4, 8  # bytes
#: what a trainer process takes before it has a model: mostly torch itself, shared by all trainers
PROCESS_BYTES = 300 << 20
#: headers, names, JSON and model.py of one checkpoint
CHECKPOINT_OVERHEAD = 24 << 10
ROW_BYTES = 24 / 1024  # one summary row for 1,024 ticks of a column
DIGEST_BYTES = 16


class LikelyEngine(BaseModel):
    """How the ticks would be executed; the worker decides, before tick 1."""

    likely: str
    why: str
    workers: int = Field(description="live workers of the job's queue")


class Plan(BaseModel):
    """What a spec would mean. Nothing is stored."""

    spec: JobSpec
    ticks_total: int | None
    ticks_per_epoch: int
    parameters: int = Field(description="learnable numbers, exactly")
    memory_bytes: int = Field(description="estimate of the trainer's need while it runs")
    checkpoint_bytes: int = Field(description="estimate of one checkpoint's files")
    history_bytes: int | None = Field(description="estimate; null without a total of ticks")
    engine: LikelyEngine
    seconds: float | None = Field(description="estimate from measured rates; null where unknown")
    warnings: list[str]


def plan(spec: JobSpec, workers: Sequence[About]) -> Plan:
    """Plan a complete spec with the workers that live now."""
    mine = _serving(spec, workers)
    return Plan(
        spec=spec,
        ticks_total=spec.ticks_total,
        ticks_per_epoch=spec.ticks_per_epoch,
        parameters=spec.parameters,
        memory_bytes=memory_bytes(spec),
        checkpoint_bytes=_state(spec) + CHECKPOINT_OVERHEAD,
        history_bytes=_history(spec),
        engine=_engine(spec, mine),
        seconds=None,
        warnings=_warnings(spec, mine),
    )


def memory_bytes(spec: JobSpec) -> int:
    """Estimate what a trainer needs at its most; tests hold it near what trainers take."""
    return PROCESS_BYTES + sum(_parts(spec).values())


def check_memory(spec: JobSpec, workers: Sequence[About]) -> None:
    """Raise InvalidSpec for a spec too large for every live worker of its queue.

    Where none lives, or one does not tell what it has, nobody knows, and nothing is refused.
    """
    most = _most_memory(_serving(spec, workers))
    needed = memory_bytes(spec)
    if most is not None and needed > most:
        parts = _parts(spec)
        largest = max(parts, key=lambda part: parts[part])
        rule = f"takes most of the {needed} bytes of memory that a trainer would need (an estimate)"
        bound = f"the largest live worker of the queue {spec.queue} has {most}"
        raise InvalidSpec([Fault(largest, f"{rule}; {bound}", parts[largest])])


def _serving(spec: JobSpec, workers: Sequence[About]) -> list[About]:
    return [worker for worker in workers if worker.get("queue") == spec.queue]


def _most_memory(mine: Sequence[About]) -> int | None:
    told: list[int | None] = [worker.get("memory_bytes") for worker in mine]
    known = [each for each in told if each is not None]
    return max(known) if known and len(known) == len(told) else None


def _state(spec: JobSpec) -> int:
    """Bytes of weights and of what the optimizer keeps for each of them."""
    kept = 2
    if spec.optimizer.name == "sgd":
        kept = 1 if spec.optimizer.momentum > 0 else 0
    return spec.parameters * FLOAT * (1 + kept)


def _parts(spec: JobSpec) -> dict[str, int]:
    """Bytes by the field that they come from."""
    gradients = spec.parameters * FLOAT * (2 if spec.micro_batches > 1 else 1)
    rows = -(-spec.batch_size // spec.micro_batches)
    kept = spec.model.activation_count(spec.profile.features, spec.profile.outputs)
    return {
        "/model": 2 * _state(spec) + gradients,  # a checkpoint is written from a copy of the state
        "/batch_size": rows * kept * FLOAT,
        "/data": _data(spec),
    }


def _data(spec: JobSpec) -> int:
    """Bytes of the rows at their most: while they are split and standardised."""
    profile, facts = spec.profile, spec.facts
    if profile.text is not None:
        return 0  # it stays in its file
    other = 0 if facts is None or facts.validation is None else facts.validation.rows
    rows = profile.rows * (2 if spec.held_out_rows else 1) + other
    exact = 0
    if facts is not None and isinstance(spec.data, DatasetData) and spec.data.standardize:
        exact = max(profile.rows, other) * facts.numbers * DOUBLE
    return rows * (profile.features + profile.outputs) * FLOAT + exact


def _history(spec: JobSpec) -> int | None:
    if spec.ticks_total is None:
        return None
    columns = len(set(spec.record) | {"loss"})
    points = 0
    if spec.validation is not None and spec.validation.every_ticks is not None:
        points = 3 * (spec.ticks_total // spec.validation.every_ticks + 1)
    return int(spec.ticks_total * columns * (FLOAT + ROW_BYTES)) + points * DIGEST_BYTES


def _engine(spec: JobSpec, mine: Sequence[About]) -> LikelyEngine:
    """By what live workers announce; without any, by what a worker with a compiler would have."""
    if spec.queue == "cuda":
        likely, why = "eager", "the only engine on a GPU"
    else:
        have = {name for worker in mine for name in worker.get("engines", [])} or set(ENGINES)
        likely, why = choose(spec, have, ready=have)
    return LikelyEngine(likely=likely, why=why, workers=len(mine))


def _warnings(spec: JobSpec, mine: Sequence[About]) -> list[str]:
    found = []
    if not mine:
        found.append(f"no live worker serves the queue {spec.queue}: the job would wait for one")
    asked = spec.compute.engine
    if mine and asked != "auto" and all(asked not in each.get("engines", [asked]) for each in mine):
        found.append(f"no live worker has the engine {asked}: the job would wait for one")
    if _most_memory(mine) is None:
        found.append("whether its memory suffices is not known: that is for live workers to tell")
    if spec.held_out_rows and spec.held_out_rows < 10:
        found.append(f"validation looks at {spec.held_out_rows} rows only")
    return found
