"""What every engine does and gives: k ticks in one go, and their columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ticks.data.batches import Column, RowSource


@dataclass(frozen=True)
class Chunk:
    """Consecutive ticks from `first` on, one float32 a tick in every column ("loss" first).

    `nonfinite`: the last tick's loss is not finite, and its update was not applied.
    """

    first: int
    columns: dict[str, Column]
    nonfinite: bool

    @property
    def count(self) -> int:
        """The number of ticks; 0 if there were none to run."""
        return len(self.columns["loss"])


def concatenate(chunks: Sequence[Chunk]) -> Chunk:
    """Join chunks that follow one another; all but the last have finite losses."""
    if len(chunks) == 1:
        return chunks[0]
    names = chunks[0].columns
    columns = {name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in names}
    return Chunk(chunks[0].first, columns, chunks[-1].nonfinite)


class Engine(Protocol):
    """How ticks are executed. Every engine gives the bits that its name and version promise.

    Works on the trainer's own state, which is exact after every run, so that whoever saves,
    validates or digests it need not know the engine. Between two runs the state may be another one
    (a checkpoint was loaded), and lie elsewhere.
    """

    name: str
    version: int

    def run(self, ticks: int) -> Chunk:
        """Run k ticks, fewer only when one has a non-finite loss; nothing is decided here."""
        ...

    def evaluate(self, rows: RowSource, classes: int | None) -> dict[str, float]:
        """Compute val_loss over all rows and, where targets are classes, val_accuracy."""
        ...


def engine_identity(engine: Engine) -> str:
    """What a fingerprint calls an engine. The bits of eager are torch's: no version of ours."""
    return format_identity(engine.name, engine.version)


def format_identity(name: str, version: int) -> str:
    """The same of an engine that need not be made."""
    return name if name == "eager" else f"{name}-{version}"
