"""Plans a spec by arithmetic alone: exact counts, and estimates. Knows no torch and no store."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from jobs.spec.base import FieldError, InvalidSpec
from jobs.spec.data import DatasetData
from jobs.spec.engines import ENGINES, choose_engine, estimate_tick_seconds
from jobs.spec.job_spec import JobSpec
from jobs.spec.spec_warnings import find_warnings

WorkerInfo = Mapping[str, Any]  # as jobs/queries/worker_registry.py lists live ones

FLOAT_BYTES, DOUBLE_BYTES = 4, 8
#: memory of a trainer process without a model: mostly torch itself, shared by all trainers
PROCESS_BYTES = 300 << 20
#: bytes of headers, names, JSON and model.py of one checkpoint
CHECKPOINT_OVERHEAD = 24 << 10
#: of a value that the rule `converged` looks at: in memory, with room to grow and what a
#: checkpoint copies (measured: 33 to 37), and in a checkpoint's files
WINDOW_VALUE_BYTES, WINDOW_VALUE_FILE_BYTES = 36, 16
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
    memory_bytes: int = Field(description="estimate of the trainer's need while it runs")
    checkpoint_bytes: int = Field(description="estimate of one checkpoint's files")
    history_bytes: int | None = Field(description="estimate; null without a total of ticks")
    engine: LikelyEngine
    seconds: float | None = Field(description="estimate from measured rates; null where unknown")
    warnings: list[str]


def plan(spec: JobSpec, workers: Sequence[WorkerInfo]) -> Plan:
    """Plan a complete spec with the workers that live now."""
    queue_workers = _queue_workers(spec, workers)
    engine = _likely_engine(spec, queue_workers)
    return Plan(
        spec=spec,
        ticks_total=spec.ticks_total,
        ticks_per_epoch=spec.ticks_per_epoch,
        parameters=spec.parameters,
        memory_bytes=estimate_memory_bytes(spec),
        checkpoint_bytes=_checkpoint_bytes(spec),
        history_bytes=_history_bytes(spec),
        engine=engine,
        seconds=None,
        warnings=[*find_warnings(spec), *find_worker_warnings(spec, workers)],
    )


def estimate_memory_bytes(spec: JobSpec) -> int:
    """Estimate the peak memory of a trainer; tests compare it with what trainers take."""
    return PROCESS_BYTES + sum(_memory_parts(spec).values())


def check_memory(spec: JobSpec, workers: Sequence[WorkerInfo]) -> None:
    """Raise InvalidSpec for a spec that needs more memory than any live worker of its queue has.

    Raises nothing where no worker lives, or one of them does not announce its memory.
    """
    max_memory = _max_worker_memory(_queue_workers(spec, workers))
    needed = estimate_memory_bytes(spec)
    if max_memory is not None and needed > max_memory:
        parts = _memory_parts(spec)
        largest = max(parts, key=lambda part: parts[part])
        rule = f"takes most of the {needed} bytes of memory that a trainer would need (an estimate)"
        worker_limit = f"the largest live worker of the queue {spec.queue} has {max_memory}"
        raise InvalidSpec([FieldError(largest, f"{rule}; {worker_limit}", parts[largest])])


def _queue_workers(spec: JobSpec, workers: Sequence[WorkerInfo]) -> list[WorkerInfo]:
    """Return the live workers of the spec's queue that can use their device."""
    return [
        worker
        for worker in workers
        if worker.get("queue") == spec.queue and not worker.get("device_error")
    ]


def _max_worker_memory(queue_workers: Sequence[WorkerInfo]) -> int | None:
    announced: list[int | None] = [worker.get("memory_bytes") for worker in queue_workers]
    sizes = [size for size in announced if size is not None]
    return max(sizes) if sizes and len(sizes) == len(announced) else None


def _state_bytes(spec: JobSpec) -> int:
    """Return the bytes of the weights and of the optimizer's state for them."""
    optimizer_slots = 2
    if spec.optimizer.name == "sgd":
        optimizer_slots = 1 if spec.optimizer.momentum > 0 else 0
    return spec.parameters * FLOAT_BYTES * (1 + optimizer_slots)


def _best_weights_bytes(spec: JobSpec) -> int:
    """Return the bytes of the best weights that the test at the end reads."""
    is_kept = spec.test is not None and spec.validation is not None and spec.checkpoint.keep_best
    return spec.parameters * FLOAT_BYTES if is_kept else 0


def _checkpoint_bytes(spec: JobSpec) -> int:
    window = _window_values(spec) * WINDOW_VALUE_FILE_BYTES
    return _state_bytes(spec) + _best_weights_bytes(spec) + window + CHECKPOINT_OVERHEAD


def _window_values(spec: JobSpec) -> int:
    """Return how many values the rule `converged` looks at: those of its two windows."""
    rule = spec.stop.converged
    if rule is None:
        return 0
    ticks = min(2 * rule.window, spec.ticks_total or 2 * rule.window)
    every = 1 if rule.metric == "loss" or spec.validation is None else spec.validation.every_ticks
    return ticks // (every or 1)


def _memory_parts(spec: JobSpec) -> dict[str, int]:
    """Return the estimated bytes by the field of the spec that causes them."""
    gradients = spec.parameters * FLOAT_BYTES * (2 if spec.micro_batches > 1 else 1)
    test_weights = 2 * _best_weights_bytes(spec)  # beside the best ones, for a moment, the last
    rows = -(-spec.batch_size // spec.micro_batches)
    activations = spec.model.activation_count(spec.profile.features, spec.profile.outputs)
    return {
        # a checkpoint is written from a copy of the state
        "/model": 2 * _state_bytes(spec) + gradients + test_weights,
        "/batch_size": rows * activations * FLOAT_BYTES,
        "/data": _data_bytes(spec),
        "/stop/converged/window": _window_values(spec) * WINDOW_VALUE_BYTES,
    }


def _data_bytes(spec: JobSpec) -> int:
    """Return the peak bytes of the rows, while they are split and standardized."""
    profile, facts = spec.profile, spec.facts
    if profile.text is not None:
        return 0  # it is read from its file
    files = [] if facts is None else [facts.validation, facts.test]
    other_rows = [file.rows for file in files if file is not None]
    rows = profile.rows * (2 if spec.held_out_rows or spec.test_rows else 1) + sum(other_rows)
    float64_bytes = 0
    if facts is not None and isinstance(spec.data, DatasetData):
        columns = facts.numbers + len(facts.categories) + facts.outputs
        float64_bytes = max(facts.data.rows, *other_rows, 0) * columns * DOUBLE_BYTES
    return rows * (profile.features + profile.outputs) * FLOAT_BYTES + float64_bytes


def _history_bytes(spec: JobSpec) -> int | None:
    if spec.ticks_total is None:
        return None
    columns = len(set(spec.record) | {"loss"})
    points = 0
    if spec.validation is not None and spec.validation.every_ticks is not None:
        points = 3 * (spec.ticks_total // spec.validation.every_ticks + 1)
    return int(spec.ticks_total * columns * (FLOAT_BYTES + ROW_BYTES)) + points * DIGEST_BYTES


def _likely_engine(spec: JobSpec, queue_workers: Sequence[WorkerInfo]) -> LikelyEngine:
    """Choose among the engines that live workers announce; without workers, among all."""
    if spec.queue == "cuda":
        likely, why = "eager", "the only engine on a GPU"
    else:
        announced = {name for worker in queue_workers for name in worker.get("engines", [])}
        available = announced or set(ENGINES)
        likely, why = choose_engine(spec, available, ready=available)
    return LikelyEngine(likely=likely, why=why, workers=len(queue_workers))


def find_worker_warnings(spec: JobSpec, workers: Sequence[WorkerInfo]) -> list[str]:
    """Return what is doubtful about a spec on the workers that live now."""
    queue_workers = _queue_workers(spec, workers)
    if not queue_workers:
        waits = f"no live worker serves the queue {spec.queue}: the job would wait for one"
        return [waits, *_memory_warnings(queue_workers), *_row_warnings(spec)]
    return [
        *_engine_warnings(spec, queue_workers),
        *_memory_warnings(queue_workers),
        *_thread_warnings(spec, queue_workers),
        *_stall_warnings(spec, queue_workers),
        *_row_warnings(spec),
    ]


def _engine_warnings(spec: JobSpec, queue_workers: Sequence[WorkerInfo]) -> Iterator[str]:
    engine = spec.compute.engine
    is_offered = any(engine in worker.get("engines", [engine]) for worker in queue_workers)
    if engine != "auto" and not is_offered:
        yield f"no live worker has the engine {engine}: the job would wait for one"


def _memory_warnings(queue_workers: Sequence[WorkerInfo]) -> Iterator[str]:
    if _max_worker_memory(queue_workers) is None:
        yield "whether its memory suffices is not known: that is for live workers to tell"


def _thread_warnings(spec: JobSpec, queue_workers: Sequence[WorkerInfo]) -> Iterator[str]:
    cores, threads = _largest(queue_workers, "cores"), spec.compute.threads
    if cores is not None and threads > cores:
        yield (
            f"compute.threads is {threads}, and the live workers have {cores:.0f} cores at most: "
            "more threads than cores make a tick slower"
        )


def _stall_warnings(spec: JobSpec, queue_workers: Sequence[WorkerInfo]) -> Iterator[str]:
    """Yield the warning of a tick in which a trainer gives no sign of life for too long.

    With eager, each of its micro-batches is one.
    """
    limit = _largest(queue_workers, "stall_seconds")
    is_eager = _likely_engine(spec, queue_workers).likely == "eager"
    cores = min(spec.compute.threads, _largest(queue_workers, "cores") or 1)
    seconds = estimate_tick_seconds(spec) / (spec.micro_batches if is_eager else 1) / cores
    if limit is not None and seconds > limit and spec.queue == "cpu":
        part = "micro-batch" if is_eager and spec.micro_batches > 1 else "tick"
        more = "more micro_batches or a smaller batch_size" if is_eager else "compute.engine eager"
        yield (
            f"a {part} may take some {seconds:.0f} s, and a trainer that gives no sign of life "
            f"for {limit:.0f} s is killed (TICKFORGE_STALL_SECONDS): take {more}"
        )


def _largest(queue_workers: Sequence[WorkerInfo], name: str) -> float | None:
    """Return the largest number that a worker announces under a name; None if none does."""
    return max((worker[name] for worker in queue_workers if name in worker), default=None)


def _row_warnings(spec: JobSpec) -> Iterator[str]:
    for name, rows in (("validation", spec.held_out_rows), ("test", spec.test_rows)):
        if 0 < rows < MIN_MEASURED_ROWS:
            yield f"{name} looks at {rows} rows only"
