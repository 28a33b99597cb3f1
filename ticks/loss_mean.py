"""The mean of the training losses since a rule last looked. Knows no rule."""

import math

import numpy as np

from ticks.data.batches import Column


class LossMean:
    """A sum of losses in the order of ticks, so that it does not depend on chunks or a resume.

    Losses that are not finite are left out: their ticks changed nothing.
    """

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, losses: Column) -> None:
        """Add the losses [n] of the next ticks, one after another in float64."""
        finite = losses[np.isfinite(losses)].astype(np.float64)
        if len(finite):
            self.total = float(np.cumsum(np.concatenate([[self.total], finite]))[-1])
            self.count += len(finite)

    def take(self) -> float:
        """Return the mean since the last call, and begin anew; NaN without a finite loss."""
        mean = self.total / self.count if self.count else math.nan
        self.total, self.count = 0.0, 0
        return mean
