"""Run another engine one tick at a time, with a fault point after each tick.

Used where fault points are armed (TICKFORGE_FAULTS, see ticks/training.py): in tests and in
rounds of faults. An engine's bits do not depend on how many ticks it runs at a time, so this
changes none.
"""

from jobs import fault_points
from ticks.data.batches import RowSource
from ticks.engines.chunk import Chunk, Engine, concatenate
from ticks.metrics.evaluation import HeldOutMetrics


class SingleTickEngine:
    """Another engine, whose process a fault may end between any two ticks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name, self.version = engine.name, engine.version

    def run(self, ticks: int) -> Chunk:
        """Run up to `ticks` ticks; ends early, with `nonfinite`, at a loss that is not finite."""
        chunks: list[Chunk] = []
        while len(chunks) < ticks and not (chunks and chunks[-1].nonfinite):
            chunks.append(self.engine.run(1))
            fault_points.hit("tick", number=chunks[-1].first)
        return concatenate(chunks) if chunks else self.engine.run(0)

    def evaluate(self, rows: RowSource, metrics: HeldOutMetrics) -> float:
        """Return what the engine's `evaluate` returns."""
        return self.engine.evaluate(rows, metrics)
