"""The gate: a fast engine's first ticks beside eager's, before anything is shown.

torch's own compiler has two silent faults on this version (tests/test_miscompiles.py). So
whether an engine computes what eager does is measured for every job, on its own net, data, machine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ticks.engines.chunk import Chunk, Column, Engine
from ticks.state import Snapshot, digest
from ticks.trainer import Trainer

Differ = Callable[[Chunk, Chunk], str | None]
Mask = NDArray[np.bool_]

#: native's losses may differ from eager's by so much of the larger of the two and the first loss
BOUND = 1e-4


def compare(
    engine: Engine, eager: Engine, trainer: Trainer, ticks: int, differ: Differ, *, exact: bool
) -> str | None:
    """Run ticks by both engines and undo them; return how they differ, None if they do not.

    `exact`: the state too must be the same bits.
    """
    before = Snapshot(trainer)
    try:
        theirs = eager.run(ticks)
        state = digest(trainer) if exact else None
        before.put_back()
        ours = engine.run(ticks)
        if ours.count != theirs.count:
            return f"{ours.count} ticks against {theirs.count} of eager"
        found = differ(ours, theirs)
        if exact and found is None and digest(trainer) != state:
            return "equal losses, but another state than eager's"
        return found
    finally:
        before.put_back()


@contextmanager
def nothing_dropped(net: nn.Module) -> Iterator[None]:
    """Inside, dropout drops nothing: native's masks are others than eager's, by design.

    What native does with a mask is held by tests/test_native_dropout.py.
    """
    before = {each: each.p for each in net.modules() if isinstance(each, nn.Dropout)}
    try:
        for each in before:
            each.p = 0.0
        yield
    finally:
        for each, p in before.items():
            each.p = p


def other_bits(ours: Chunk, theirs: Chunk) -> str | None:
    """Say where two chunks are not the same bits."""

    def differ(a: Column, b: Column) -> Mask:
        unequal: Mask = a.view(np.int32) != b.view(np.int32)
        return unequal

    return _first(ours, theirs, differ)


def beyond_bound(ours: Chunk, theirs: Chunk) -> str | None:
    """Say where two chunks differ by more than rounding."""
    scale = np.abs(theirs.columns["loss"][0]) if theirs.count else 0.0

    def far(a: Column, b: Column) -> Mask:
        room = BOUND * np.maximum(np.abs(b), scale)
        near: Mask = np.abs(a - b) <= room
        return ~near & np.isfinite(b)

    return _first(ours, theirs, far)


def _first(ours: Chunk, theirs: Chunk, differ: Callable[[Column, Column], Mask]) -> str | None:
    for name, column in theirs.columns.items():
        found = np.flatnonzero(differ(ours.columns[name], column))
        if len(found):
            at = int(found[0])
            values = f"{float(ours.columns[name][at])!r}, eager's is {float(column[at])!r}"
            return f"{name} of tick {theirs.first + at} is {values}"
    return None
