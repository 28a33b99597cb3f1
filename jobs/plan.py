"""Plans a spec by arithmetic alone: exact counts, and estimates. Knows no torch and no store."""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, Field

from jobs.device_choice import (
    DeviceChoice,
    WorkerInfo,
    describe_device,
    max_worker_memory,
    queue_workers,
    resolve_device,
)
from jobs.measured_rates import MeasuredRate, expect_tick
from jobs.memory_estimate import (
    FLOAT_BYTES,
    best_weights_bytes,
    estimate_memory_bytes,
    memory_parts,
    state_bytes,
    window_values,
)
from jobs.spec.base import FieldError, InvalidSpec
from jobs.spec.engines import ENGINES, choose_engine
from jobs.spec.job_spec import JobSpec
from jobs.spec.spec_warnings import find_warnings
from jobs.spec.tick_costs import estimate_tick_seconds

#: bytes of headers, names, JSON and model.py of one checkpoint
CHECKPOINT_OVERHEAD = 24 << 10
#: of a value that the rule `converged` looks at, in a checkpoint's files
WINDOW_VALUE_FILE_BYTES = 16
MIN_MEASURED_ROWS = 10  # metrics of fewer say little
ROW_BYTES = 24 / 1024  # of a column and tick: a summary row for 1,024 ticks
DIGEST_BYTES = 16


class LikelyEngine(BaseModel):
    """The engine that would train; the worker decides before tick 1."""

    likely: str
    why: str
    workers: int = Field(description="live workers of the job's queue")


class Plan(BaseModel):
    """What a spec would do, and need. Nothing is stored."""

    spec: JobSpec
    ticks_total: int | None
    ticks_per_epoch: int
    parameters: int = Field(description="learnable numbers, exactly")
    memory_bytes: int = Field(
        description="estimate of the trainer's need while it runs; on cuda, of the GPU's memory"
    )
    checkpoint_bytes: int = Field(description="estimate of one checkpoint's files")
    history_bytes: int | None = Field(description="estimate; null without a total of ticks")
    device: DeviceChoice
    engine: LikelyEngine
    metrics: list[str] = Field(description="the columns that validation and test record")
    seconds: float | None = Field(
        description="training time at most, by a rate that a live worker measured; null: unknown"
    )
    seconds_why: str = Field(description="which rate that is, or what is lacking")
    warnings: list[str]


def plan(
    spec: JobSpec,
    workers: Sequence[WorkerInfo],
    rates: Sequence[MeasuredRate] = (),
    other_warnings: Sequence[str] = (),
    first_tick: int = 1,
) -> Plan:
    """Plan a complete spec, from `first_tick` on, with the workers that live now.

    `rates` are what these measured; `other_warnings` come from elsewhere.
    """
    serving = queue_workers(spec, workers)
    engine = _likely_engine(spec, serving)
    seconds, seconds_why = _expect_seconds(spec, engine.likely, rates, first_tick)
    return Plan(
        spec=spec,
        ticks_total=spec.ticks_total,
        ticks_per_epoch=spec.ticks_per_epoch,
        parameters=spec.parameters,
        memory_bytes=estimate_memory_bytes(spec),
        checkpoint_bytes=_checkpoint_bytes(spec),
        history_bytes=_history_bytes(spec),
        device=describe_device(spec),
        engine=engine,
        metrics=spec.metric_names,
        seconds=seconds,
        seconds_why=seconds_why,
        warnings=[*find_warnings(spec), *find_worker_warnings(spec, workers), *other_warnings],
    )


def place_spec(spec: JobSpec, workers: Sequence[WorkerInfo]) -> JobSpec:
    """Return a new spec with its device decided. Raises InvalidSpec if it is too large for all."""
    placed = resolve_device(spec, workers)
    check_memory(placed, workers)
    return placed


def check_memory(spec: JobSpec, workers: Sequence[WorkerInfo]) -> None:
    """Raise InvalidSpec for a spec that needs more memory than any live worker of its queue has.

    Raises nothing where no worker lives, or one of them does not announce its memory.
    """
    max_memory = max_worker_memory(queue_workers(spec, workers))
    needed = estimate_memory_bytes(spec)
    if max_memory is not None and needed > max_memory:
        parts = memory_parts(spec)
        largest = max(parts, key=lambda part: parts[part])
        memory = "a GPU's memory" if spec.queue == "cuda" else "memory"
        rule = (
            f"takes most of the {needed} bytes of {memory} that a trainer would need (an estimate)"
        )
        worker_limit = f"the largest live worker of the queue {spec.queue} has {max_memory}"
        raise InvalidSpec([FieldError(largest, f"{rule}; {worker_limit}", parts[largest])])


def _checkpoint_bytes(spec: JobSpec) -> int:
    window = window_values(spec) * WINDOW_VALUE_FILE_BYTES
    return state_bytes(spec) + best_weights_bytes(spec) + window + CHECKPOINT_OVERHEAD


def _history_bytes(spec: JobSpec) -> int | None:
    if spec.ticks_total is None:
        return None
    columns = len(set(spec.record) | {"loss"})
    points = 0
    if spec.validation is not None and spec.validation.every_ticks is not None:
        columns_of_points = len(spec.metric_names) + 2  # the state digest, and the time
        points = columns_of_points * (spec.ticks_total // spec.validation.every_ticks + 1)
    return int(spec.ticks_total * columns * (FLOAT_BYTES + ROW_BYTES)) + points * DIGEST_BYTES


def _likely_engine(spec: JobSpec, serving: Sequence[WorkerInfo]) -> LikelyEngine:
    """Choose among the engines that live workers announce; without workers, among all."""
    if spec.queue == "cuda":
        likely, why = "eager", "the only engine on a GPU"
    else:
        announced = {name for worker in serving for name in worker.get("engines", [])}
        available = announced or set(ENGINES)
        likely, why = choose_engine(spec, available, ready=available)
    return LikelyEngine(likely=likely, why=why, workers=len(serving))


def _expect_seconds(
    spec: JobSpec, engine: str, rates: Sequence[MeasuredRate], first_tick: int
) -> tuple[float | None, str]:
    """Return how long the ticks from `first_tick` on train at most, and why one thinks so."""
    limit = spec.budget.seconds
    tick = expect_tick(spec, engine, rates)
    seconds = None
    if spec.ticks_total is not None and tick is not None:
        seconds = (spec.ticks_total - first_tick + 1) * tick.seconds
    if limit is not None and (seconds is None or limit < seconds):
        return limit, "the budget's seconds"
    if seconds is None or tick is None:
        return None, f"no live worker has trained such a job with {engine} yet"
    like = "such a job" if tick.is_own else "the most similar job"
    measured = f"a live worker's {1 / tick.rate.tick_seconds:,.0f} ticks a second of {like}"
    return seconds, f"by {measured} with {engine}"


def find_worker_warnings(spec: JobSpec, workers: Sequence[WorkerInfo]) -> list[str]:
    """Return what is doubtful about a spec on the workers that live now."""
    serving = queue_workers(spec, workers)
    if not serving:
        waits = f"no live worker serves the queue {spec.queue}: the job would wait for one"
        return [
            waits,
            *_device_warnings(spec, workers),
            *_memory_warnings(serving),
            *_row_warnings(spec),
        ]
    return [
        *_engine_warnings(spec, serving),
        *_memory_warnings(serving),
        *_thread_warnings(spec, serving),
        *_stall_warnings(spec, serving),
        *_row_warnings(spec),
    ]


def _device_warnings(spec: JobSpec, workers: Sequence[WorkerInfo]) -> Iterator[str]:
    """Yield why a worker of the spec's queue takes no job."""
    for worker in workers:
        if worker.get("queue") == spec.queue and worker.get("device_error"):
            yield f"the worker {worker['name']} takes no job: {worker['device_error']}"


def _engine_warnings(spec: JobSpec, serving: Sequence[WorkerInfo]) -> Iterator[str]:
    engine = spec.compute.engine
    is_offered = any(engine in worker.get("engines", [engine]) for worker in serving)
    if engine != "auto" and not is_offered:
        yield f"no live worker has the engine {engine}: the job would wait for one"


def _memory_warnings(serving: Sequence[WorkerInfo]) -> Iterator[str]:
    if max_worker_memory(serving) is None:
        yield "whether its memory suffices is not known: that is for live workers to tell"


def _thread_warnings(spec: JobSpec, serving: Sequence[WorkerInfo]) -> Iterator[str]:
    cores, threads = _largest(serving, "cores"), spec.compute.threads
    if cores is not None and threads > cores:
        yield (
            f"compute.threads is {threads}, and the live workers have {cores:.0f} cores at most: "
            "more threads than cores make a tick slower"
        )


def _stall_warnings(spec: JobSpec, serving: Sequence[WorkerInfo]) -> Iterator[str]:
    """Yield the warning of a tick in which a trainer gives no sign of life for too long.

    With eager, each of its micro-batches is one.
    """
    limit = _largest(serving, "stall_seconds")
    is_eager = _likely_engine(spec, serving).likely == "eager"
    cores = min(spec.compute.threads, _largest(serving, "cores") or 1)
    seconds = estimate_tick_seconds(spec) / (spec.micro_batches if is_eager else 1) / cores
    if limit is not None and seconds > limit and spec.queue == "cpu":
        part = "micro-batch" if is_eager and spec.micro_batches > 1 else "tick"
        more = "more micro_batches or a smaller batch_size" if is_eager else "compute.engine eager"
        yield (
            f"a {part} may take some {seconds:.0f} s, and a trainer that gives no sign of life "
            f"for {limit:.0f} s is killed (TICKFORGE_STALL_SECONDS): take {more}"
        )


def _largest(serving: Sequence[WorkerInfo], name: str) -> float | None:
    """Return the largest number that a worker announces under a name; None if none does."""
    return max((worker[name] for worker in serving if name in worker), default=None)


def _row_warnings(spec: JobSpec) -> Iterator[str]:
    for name, rows in (("validation", spec.held_out_rows), ("test", spec.test_rows)):
        if 0 < rows < MIN_MEASURED_ROWS:
            yield f"{name} looks at {rows} rows only"
