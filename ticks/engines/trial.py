"""Compare an engine's first ticks with eager's before a job records anything.

torch's own compiler has two silent faults in this version (tests/test_ticks_miscompiles.py), so
each job checks on its own net, data and machine that its engine computes what eager does. Where
both agree to the bit, the ticks of the trial are the job's first.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ticks.data.batches import Column
from ticks.engines.chunk import Chunk, Engine, concatenate
from ticks.engines.graph.encoding import Untraceable
from ticks.engines.graph.loop import BrokenProgram
from ticks.state import StateBackup, state_digest
from ticks.trainer import Trainer

Mask = NDArray[np.bool_]

#: native's losses may differ from eager's by this share of max(|eager's loss|, first loss)
RELATIVE_TOLERANCE = 1e-4


class ExactTrial(NamedTuple):
    """The outcome of a trial that both engines must pass with the same bits.

    `difference`: the first, None if there is none. `chunk`: the ticks that the trainer has run now.
    `compared`: how many ticks of both with finite losses there were, in `engine_seconds` and
    `eager_seconds` of the processor.
    """

    difference: str | None
    chunk: Chunk
    compared: int
    engine_seconds: float
    eager_seconds: float


def try_exactly(
    engine: Engine, eager: Engine, trainer: Trainer, ticks: int, kept_ticks: int
) -> ExactTrial:
    """Run `ticks` ticks by both engines, and keep the first `kept_ticks` of eager's.

    Keeps none where a bit differs, or where a loss among those to keep is not finite.
    """
    before = StateBackup(trainer)
    try:
        engine_chunk, engine_seconds = _run_from_cold(engine, ticks)
        engine_state = state_digest(trainer)
        before.restore()
        own_chunk, own_seconds = _run_timed(eager, kept_ticks)
        kept_state = StateBackup(trainer) if 0 < kept_ticks < ticks else None
        rest, rest_seconds = _run_timed(eager, 0 if own_chunk.nonfinite else ticks - kept_ticks)
    except BaseException:
        before.restore()
        raise
    eager_chunk = concatenate([own_chunk, rest])
    difference = _exact_difference(engine_chunk, eager_chunk, engine_state, trainer)
    if difference is not None or own_chunk.nonfinite or not kept_ticks:
        before.restore()
        own_chunk = eager.run(0)
    elif kept_state is not None:
        kept_state.restore()
    eager_seconds = own_seconds + rest_seconds
    compared = eager_chunk.count - eager_chunk.nonfinite
    return ExactTrial(difference, own_chunk, compared, engine_seconds, eager_seconds)


def explain_failure(error: Exception) -> str:
    """Return why an error keeps an engine from a trial; raises the error if it is no reason."""
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return f"there is not enough memory to try it: {error}"
    if isinstance(error, Untraceable | BrokenProgram):
        return f"its ticks cannot be repeated: {error}"
    raise error


def _run_timed(engine: Engine, ticks: int) -> tuple[Chunk, float]:
    started = time.thread_time()  # the processor's, which others on the machine do not change
    return engine.run(ticks), time.thread_time() - started


def _run_from_cold(engine: Engine, ticks: int) -> tuple[Chunk, float]:
    """Run ticks; return them and the seconds of so many that are like those after the first.

    The first tick of a program meets its memory for the first time.
    """
    first, first_seconds = _run_timed(engine, min(1, ticks))
    if ticks <= 1 or first.nonfinite:
        return first, first_seconds
    rest, seconds = _run_timed(engine, ticks - 1)
    return concatenate([first, rest]), seconds * ticks / (ticks - 1)


def _exact_difference(
    engine_chunk: Chunk, eager_chunk: Chunk, engine_state: str, trainer: Trainer
) -> str | None:
    """Return how an engine's ticks or the digest of its state differ from eager's."""
    difference = bit_difference(engine_chunk, eager_chunk)
    if difference is None and state_digest(trainer) != engine_state:
        return "equal losses, but another state than eager's"
    return difference


def compare_nearly(engine: Engine, eager: Engine, trainer: Trainer, ticks: int) -> str | None:
    """Run ticks by both engines, undo them, and return the first difference beyond the tolerance.

    None if there is none.
    """
    backup = StateBackup(trainer)
    try:
        eager_chunk = eager.run(ticks)
        backup.restore()
        engine_chunk = engine.run(ticks)
        return tolerance_difference(engine_chunk, eager_chunk)
    finally:
        backup.restore()


@contextmanager
def dropout_disabled(net: nn.Module) -> Iterator[None]:
    """Disable dropout inside the context, because native's masks differ from eager's by design.

    tests/test_ticks_native_dropout.py covers native's own masks.
    """
    probabilities = {module: module.p for module in net.modules() if isinstance(module, nn.Dropout)}
    try:
        for module in probabilities:
            module.p = 0.0
        yield
    finally:
        for module, probability in probabilities.items():
            module.p = probability


def bit_difference(actual: Chunk, expected: Chunk) -> str | None:
    """Describe the first value of two chunks whose bits differ; None if there is none."""

    def is_unequal(a: Column, b: Column) -> Mask:
        unequal: Mask = a.view(np.int32) != b.view(np.int32)
        return unequal

    return _first_difference(actual, expected, is_unequal)


def tolerance_difference(actual: Chunk, expected: Chunk) -> str | None:
    """Describe the first value of two chunks beyond RELATIVE_TOLERANCE; None if there is none."""
    scale = np.abs(expected.columns["loss"][0]) if expected.count else 0.0

    def is_beyond(a: Column, b: Column) -> Mask:
        is_near: Mask = np.abs(a - b) <= RELATIVE_TOLERANCE * np.maximum(np.abs(b), scale)
        return ~is_near & np.isfinite(b)

    return _first_difference(actual, expected, is_beyond)


def _first_difference(
    actual: Chunk, expected: Chunk, is_different: Callable[[Column, Column], Mask]
) -> str | None:
    if actual.count != expected.count:
        return f"{actual.count} ticks against {expected.count} of eager"
    for name, column in expected.columns.items():
        indices = np.flatnonzero(is_different(actual.columns[name], column))
        if len(indices):
            index = int(indices[0])
            values = f"{float(actual.columns[name][index])!r}, eager's is {float(column[index])!r}"
            return f"{name} of tick {expected.first + index} is {values}"
    return None
