"""The gate: a fast engine's first ticks beside eager's, before anything is shown.

torch's own compiler has two silent faults on this version (tests/test_ticks_miscompiles.py). So
whether an engine computes what eager does is measured for every job, on its own net, data, machine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ticks.data.batches import Column
from ticks.engines.chunk import Chunk, Engine
from ticks.state import StateBackup, state_digest
from ticks.trainer import Trainer

DifferenceFinder = Callable[[Chunk, Chunk], str | None]
Mask = NDArray[np.bool_]

#: native's losses may differ from eager's by so much of the larger of the two and the first loss
RELATIVE_TOLERANCE = 1e-4


def compare_with_eager(
    engine: Engine,
    eager: Engine,
    trainer: Trainer,
    ticks: int,
    find_difference: DifferenceFinder,
    *,
    is_exact: bool,
) -> str | None:
    """Run ticks by both engines and undo them; return how they differ, None if they do not.

    `exact`: the state too must be the same bits.
    """
    backup = StateBackup(trainer)
    try:
        eager_chunk = eager.run(ticks)
        state = state_digest(trainer) if is_exact else None
        backup.restore()
        engine_chunk = engine.run(ticks)
        if engine_chunk.count != eager_chunk.count:
            return f"{engine_chunk.count} ticks against {eager_chunk.count} of eager"
        difference = find_difference(engine_chunk, eager_chunk)
        if is_exact and difference is None and state_digest(trainer) != state:
            return "equal losses, but another state than eager's"
        return difference
    finally:
        backup.restore()


@contextmanager
def dropout_disabled(net: nn.Module) -> Iterator[None]:
    """Inside, dropout drops nothing: native's masks are others than eager's, by design.

    What native does with a mask is held by tests/test_ticks_native_dropout.py.
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
    """Say where two chunks are not the same bits."""

    def is_unequal(a: Column, b: Column) -> Mask:
        unequal: Mask = a.view(np.int32) != b.view(np.int32)
        return unequal

    return _first_difference(actual, expected, is_unequal)


def tolerance_difference(actual: Chunk, expected: Chunk) -> str | None:
    """Say where two chunks differ by more than rounding."""
    scale = np.abs(expected.columns["loss"][0]) if expected.count else 0.0

    def is_beyond(a: Column, b: Column) -> Mask:
        tolerance = RELATIVE_TOLERANCE * np.maximum(np.abs(b), scale)
        is_near: Mask = np.abs(a - b) <= tolerance
        return ~is_near & np.isfinite(b)

    return _first_difference(actual, expected, is_beyond)


def _first_difference(
    actual: Chunk, expected: Chunk, is_different: Callable[[Column, Column], Mask]
) -> str | None:
    for name, column in expected.columns.items():
        indices = np.flatnonzero(is_different(actual.columns[name], column))
        if len(indices):
            index = int(indices[0])
            values = f"{float(actual.columns[name][index])!r}, eager's is {float(column[index])!r}"
            return f"{name} of tick {expected.first + index} is {values}"
    return None
