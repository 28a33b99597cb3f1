"""Metrics of targets that are classes. All are counts and their ratios. Knows no net."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ticks.metrics.sums import Floats, mean_of

Counts = NDArray[np.int64]
MAX_CONFUSION_CLASSES = 100  # a matrix of more has no reader, and ten thousand numbers


class ClassMetrics:
    """Accuracy, F1 as the mean over the classes and, of two classes, the area under the ROC curve.

    The predicted class is that of the largest output, the first of equals.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes, size = list(classes), len(classes)
        self._support, self._predicted, self._right = (np.zeros(size, np.int64) for _ in range(3))
        has_matrix = size <= MAX_CONFUSION_CLASSES
        self._confusion = np.zeros((size, size), np.int64) if has_matrix else None
        self._scores: list[Floats] = []
        self._positives: list[NDArray[np.bool_]] = []
        self.count = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a block of rows: outputs [rows, classes], and class numbers [rows]."""
        actual, predicted = targets.cpu().numpy(), outputs.argmax(dim=1).cpu().numpy()
        size = len(self._classes)
        self._support += np.bincount(actual, minlength=size)
        self._predicted += np.bincount(predicted, minlength=size)
        self._right += np.bincount(actual[actual == predicted], minlength=size)
        if self._confusion is not None:
            pairs = np.bincount(actual * size + predicted, minlength=size * size)
            self._confusion += pairs.reshape(size, size)
        if size == 2:
            logits = outputs.detach().cpu().numpy().astype(np.float64)
            with np.errstate(invalid="ignore"):  # of a net that has diverged
                self._scores.append(logits[:, 1] - logits[:, 0])
            self._positives.append(actual == 1)
        self.count += len(actual)

    def compute(self, loss: float) -> dict[str, float]:
        """Return the metrics of all rows so far; auc is NaN where one of the classes is absent."""
        metrics = {
            "accuracy": int(self._right.sum()) / self.count,
            "macro_f1": self._macro_f1(),
        }
        if len(self._classes) == 2:
            scores, positives = np.concatenate(self._scores), np.concatenate(self._positives)
            metrics["auc"] = area_under_curve(scores, positives)
        return metrics

    def report(self) -> dict[str, Any]:
        """Return support, predictions, recall and precision of each class, and the confusion.

        confusion[i][j] is the number of rows of class i that were taken for class j; None for more
        than MAX_CONFUSION_CLASSES classes. A ratio of no rows is NaN.
        """
        matrix = self._confusion
        return {
            "classes": self._classes,
            "support": self._support.tolist(),
            "predicted": self._predicted.tolist(),
            "recall": _ratios(self._right, self._support),
            "precision": _ratios(self._right, self._predicted),
            "confusion": None if matrix is None else matrix.tolist(),
        }

    def _macro_f1(self) -> float:
        """Return the mean of 2·right ÷ (support + predicted) over classes that occur in either."""
        occurring = self._support + self._predicted
        is_there = occurring > 0
        return mean_of(2 * self._right[is_there] / occurring[is_there])


def area_under_curve(scores: Floats, positives: NDArray[np.bool_]) -> float:
    """Return the share of pairs of a positive and another row whose positive has the larger score.

    Equal scores count half. NaN where one of the two kinds is absent or a score is NaN.
    """
    positive_count = int(positives.sum())
    pairs = positive_count * (len(positives) - positive_count)
    if not pairs or np.isnan(scores).any():
        return np.nan
    others = np.sort(scores[~positives])
    below = np.searchsorted(others, scores[positives], side="left")
    upto = np.searchsorted(others, scores[positives], side="right")
    return int((below + upto).sum()) / (2 * pairs)  # whole numbers: exact in any order


def _ratios(parts: Counts, wholes: Counts) -> list[float]:
    pairs = zip(parts.tolist(), wholes.tolist(), strict=True)
    return [part / whole if whole else np.nan for part, whole in pairs]
