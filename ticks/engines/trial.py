"""Compare an engine's first ticks with eager's before a job records anything.

torch's own compiler has two silent faults in this version (tests/test_ticks_miscompiles.py), so
each job checks on its own net, data and machine that its engine computes what eager does.
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

#: native's losses may differ from eager's by this share of max(|eager's loss|, first loss)
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
    """Run ticks by both engines, undo them, and return their first difference, or None.

    `is_exact`: the states must also be equal bit for bit.
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
    for name, column in expected.columns.items():
        indices = np.flatnonzero(is_different(actual.columns[name], column))
        if len(indices):
            index = int(indices[0])
            values = f"{float(actual.columns[name][index])!r}, eager's is {float(column[index])!r}"
            return f"{name} of tick {expected.first + index} is {values}"
    return None
