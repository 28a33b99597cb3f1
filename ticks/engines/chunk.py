"""The interface of all engines, `Engine`, and the result of a run, `Chunk`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ticks.data.batches import Column, RowSource
from ticks.metrics.evaluation import HeldOutMetrics


@dataclass(frozen=True)
class Chunk:
    """Consecutive ticks from `first` on; each column ("loss" is the first) is float32 [ticks].

    `nonfinite`: the last tick's loss is not finite and its update was not applied.
    """

    first: int
    columns: dict[str, Column]
    nonfinite: bool

    @property
    def count(self) -> int:
        """The number of ticks, from 0."""
        return len(self.columns["loss"])


def concatenate(chunks: Sequence[Chunk]) -> Chunk:
    """Join consecutive chunks (at least one), all but the last with finite losses."""
    if len(chunks) == 1:
        return chunks[0]
    names = chunks[0].columns
    columns = {name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in names}
    return Chunk(chunks[0].first, columns, chunks[-1].nonfinite)


class Engine(Protocol):
    """A way to execute ticks; its name and version stand for the bits it computes.

    An engine works on the trainer's own state, which is up to date after every run, so that saving,
    validating and digesting do not depend on the engine. Between two runs the state may be replaced
    (a checkpoint was loaded) and its tensors may move.
    """

    name: str
    version: int

    def run(self, ticks: int) -> Chunk:
        """Run `ticks` ticks, fewer only when one has a loss that is not finite."""
        ...

    def evaluate(self, rows: RowSource, metrics: HeldOutMetrics) -> float:
        """Add all rows, with the net's outputs, to `metrics` and return their mean loss."""
        ...


def engine_identity(engine: Engine) -> str:
    """Return an engine's name in a fingerprint, such as "graph-1"."""
    return format_identity(engine.name, engine.version)


def format_identity(name: str, version: int) -> str:
    """Return the fingerprint's name of an engine; eager has no version, as its bits are torch's."""
    return name if name == "eager" else f"{name}-{version}"
