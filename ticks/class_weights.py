"""The weight of each class in the loss. Knows no net."""

import torch

from jobs.spec.job_spec import JobSpec
from ticks.data.batches import RowSource, TensorRows


def fit_class_weights(spec: JobSpec, rows: RowSource) -> list[float] | None:
    """Return the weight of each class in the order of the net's outputs; None: all rows weigh 1.

    "balanced" is rows ÷ (classes × rows of the class), counted over the training rows and the
    classes that occur there, as scikit-learn has it; a class without a row there weighs 1.
    """
    weights = spec.class_weights
    if weights is None:
        return None
    if weights != "balanced":
        return [weights.get(name, 1.0) for name in spec.class_names]
    assert isinstance(rows, TensorRows), "the rows of classes lie in memory"
    counts = torch.bincount(rows.targets.cpu(), minlength=len(spec.class_names)).tolist()
    occurring = sum(count > 0 for count in counts)
    return [sum(counts) / (occurring * count) if count else 1.0 for count in counts]
