"""An engine held to one tick at a time, with a fault point after each: for the tests alone.

An engine's bits do not depend on how many ticks it runs in one go, so neither do a job's on this.
"""

from jobs import fault_points
from ticks.data.batches import RowSource
from ticks.engines.chunk import Chunk, Engine, concatenate


class SingleTickEngine:
    """Another engine, which a fault may strike between any two of its ticks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name, self.version = engine.name, engine.version

    def run(self, ticks: int) -> Chunk:
        """Run up to k ticks; ends early, with `nonfinite`, at a loss that is not finite."""
        chunks: list[Chunk] = []
        while len(chunks) < ticks and not (chunks and chunks[-1].nonfinite):
            chunks.append(self.engine.run(1))
            fault_points.hit("tick", number=chunks[-1].first)
        return concatenate(chunks) if chunks else self.engine.run(0)

    def evaluate(self, rows: RowSource, classes: int | None) -> dict[str, float]:
        """Compute val_loss and val_accuracy as the engine does."""
        return self.engine.evaluate(rows, classes)
