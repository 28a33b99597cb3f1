"""What every engine does and gives: k ticks in one go, and their columns. Holds no torch."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float32]


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


class Engine(Protocol):
    """How ticks are executed. Every engine gives the bits that its name and fingerprint promise."""

    name: str

    def run(self, k: int) -> Chunk:
        """Run k ticks, fewer only when one has a non-finite loss; nothing is decided here."""
        ...
