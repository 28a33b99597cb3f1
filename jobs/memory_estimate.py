"""Estimate the memory that a spec's trainer needs, on a CPU or of a GPU. Knows no torch."""

from jobs.spec.data import DatasetData
from jobs.spec.job_spec import JobSpec

FLOAT_BYTES, DOUBLE_BYTES, HALF_BYTES = 4, 8, 2
#: memory of a trainer process without a model: mostly torch itself, shared by all trainers
PROCESS_BYTES = 240 << 20
#: of a GPU's memory, without a model: context, kernels and workspaces. An allowance: not measured
GPU_PROCESS_BYTES = 768 << 20
#: of a value that the rule `converged` looks at, with room to grow and what a checkpoint copies
#: (measured: 33 to 37)
WINDOW_VALUE_BYTES = 36


def estimate_memory_bytes(spec: JobSpec) -> int:
    """Estimate the peak memory of a trainer; of a spec for cuda, that of the GPU.

    Tests compare it with what trainers on CPUs take.
    """
    process_bytes = GPU_PROCESS_BYTES if spec.queue == "cuda" else PROCESS_BYTES
    return process_bytes + sum(memory_parts(spec).values())


def memory_parts(spec: JobSpec) -> dict[str, int]:
    """Return the estimated bytes by the field of the spec that causes them."""
    return _gpu_parts(spec) if spec.queue == "cuda" else _cpu_parts(spec)


def state_bytes(spec: JobSpec) -> int:
    """Return the bytes of the weights and of the optimizer's state for them."""
    optimizer_slots = 2
    if spec.optimizer.name == "sgd":
        optimizer_slots = 1 if spec.optimizer.momentum > 0 else 0
    return spec.parameters * FLOAT_BYTES * (1 + optimizer_slots)


def best_weights_bytes(spec: JobSpec) -> int:
    """Return the bytes of the best weights that the test at the end reads."""
    is_kept = spec.test is not None and spec.validation is not None and spec.checkpoint.keep_best
    return spec.parameters * FLOAT_BYTES if is_kept else 0


def window_values(spec: JobSpec) -> int:
    """Return how many values the rule `converged` looks at: those of its two windows."""
    rule = spec.stop.converged
    if rule is None:
        return 0
    ticks = min(2 * rule.window, spec.ticks_total or 2 * rule.window)
    every = 1 if rule.metric == "loss" or spec.validation is None else spec.validation.every_ticks
    return ticks // (every or 1)


def _cpu_parts(spec: JobSpec) -> dict[str, int]:
    gradients = spec.parameters * FLOAT_BYTES * (2 if spec.micro_batches > 1 else 1)
    test_weights = 2 * best_weights_bytes(spec)  # beside the best ones, for a moment, the last
    return {
        # a checkpoint is written from a copy of the state
        "/model": 2 * state_bytes(spec) + gradients + test_weights,
        "/batch_size": _activation_bytes(spec),
        "/data": _data_bytes(spec),
        "/stop/converged/window": window_values(spec) * WINDOW_VALUE_BYTES,
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


def _gpu_parts(spec: JobSpec) -> dict[str, int]:
    """Return what of a trainer is in its GPU's memory.

    Weights, optimizer state, gradients, one more tensor of each parameter while an update is
    computed, and the weights in half precision with bfloat16; all rows of tables, but no file of a
    text. What is written of a state is copied to the CPU's memory.
    """
    copies = (2 if spec.micro_batches > 1 else 1) + 1
    halves = spec.parameters * HALF_BYTES if spec.compute.precision == "bfloat16" else 0
    weights = state_bytes(spec) + copies * spec.parameters * FLOAT_BYTES + halves
    return {
        "/model": weights + 2 * best_weights_bytes(spec),
        "/batch_size": _activation_bytes(spec),
        "/data": _row_bytes(spec),
    }


def _activation_bytes(spec: JobSpec) -> int:
    """Return the bytes of what a part of a tick keeps from its forward pass."""
    rows = -(-spec.batch_size // spec.micro_batches)
    activations = spec.model.activation_count(spec.profile.features, spec.profile.outputs)
    return rows * activations * FLOAT_BYTES


def _row_bytes(spec: JobSpec) -> int:
    """Return the bytes of all rows that are trained, validated or tested on."""
    profile, facts = spec.profile, spec.facts
    if profile.text is not None:
        return 0
    files = [] if facts is None else [facts.validation, facts.test]
    rows = profile.rows + sum(file.rows for file in files if file is not None)
    return rows * (profile.features + profile.outputs) * FLOAT_BYTES
