"""Metrics of targets that are numbers, in the targets' own units. Knows no net."""

from typing import Any

import numpy as np
from torch import Tensor

from ticks.metrics.sums import Floats, OrderedSum, Spread, mean_of, plain

#: columns of a target whose residuals are kept for a report
MAX_REPORT_COLUMNS = 20
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


class NumberMetrics:
    """R², mean absolute error and root mean squared error: means over the columns of a target.

    `deviation` [columns] are the target's units in those of the rows, None where they are the same.
    """

    def __init__(self, deviation: Floats | None) -> None:
        self._deviation = deviation
        self._squares, self._magnitudes, self._spread = OrderedSum(), OrderedSum(), Spread()
        self._residuals: list[Floats] = []
        self.count = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a block of rows: outputs and targets, float32 [rows, columns]."""
        actual = targets.cpu().numpy().astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # of a net that has diverged
            residuals = actual - outputs.detach().cpu().numpy()
            if self._deviation is not None:
                residuals *= self._deviation
            self._squares.add(residuals**2)
            self._magnitudes.add(np.abs(residuals))
        self._spread.add(actual if self._deviation is None else actual * self._deviation)
        self._residuals.append(residuals[:, :MAX_REPORT_COLUMNS].copy())
        self.count += len(residuals)

    def compute(self, loss: float) -> dict[str, float]:
        """Return the metrics of all rows so far; r2 is NaN where a column is constant."""
        return {
            "r2": mean_of(self._r2_of_columns()),
            "mae": mean_of(self._magnitudes.total / self.count),
            "rmse": mean_of(np.sqrt(self._squares.total / self.count)),
        }

    def report(self) -> dict[str, Any]:
        """Return R² and quantiles of the residuals (target - prediction) by column.

        Quantiles are interpolated between neighbours; those of residuals that are not finite are
        NaN.
        """
        residuals = np.concatenate(self._residuals)
        columns = [_quantiles(column) for column in residuals.T]
        r2 = [plain(value) for value in self._r2_of_columns()[:MAX_REPORT_COLUMNS].tolist()]
        return {"r2": r2, "residuals": {"quantiles": list(QUANTILES), "columns": columns}}

    def _r2_of_columns(self) -> Floats:
        """Return 1 - squared residuals ÷ squared deviations of the targets; NaN if these are 0."""
        squares = self._spread.squares
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where(squares == 0, np.nan, 1 - self._squares.total / squares)


def _quantiles(values: Floats) -> list[float]:
    if not np.isfinite(values).all():
        return [np.nan] * len(QUANTILES)
    ordered: Floats = np.sort(values)
    at = np.array(QUANTILES) * (len(ordered) - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    share = at - low
    between: list[float] = (ordered[low] * (1 - share) + ordered[high] * share).tolist()
    return between
