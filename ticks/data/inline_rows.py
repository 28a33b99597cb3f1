"""The rows of a spec's body as a net takes them: scaled, where it asks for that."""

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.spec.data import FIRST_REVISION, InlineData
from jobs.spec.job_spec import JobSpec
from ticks.data.batches import TensorRows
from ticks.data.splits import split_table, take_parts
from ticks.data.standardize import Scaling, fit_scaling, to_float32
from ticks.data.tables import TableData


def load_inline(spec: JobSpec, data: InlineData) -> TableData:
    """Return the rows of the parts of a split; only those to train on decide the scaling."""
    classes = data.class_numbers(spec.revision) if spec.objective == "cross_entropy" else None
    codes = None if classes is None else np.searchsorted(classes, np.array(data.targets))
    split = split_table(spec, codes)
    inputs, scaling = _numbers(np.array(data.inputs, np.float64), split.training, data.standardize)
    target_scaling, column_info = None, {}
    if codes is None:
        values = np.array(data.targets, np.float64).reshape(len(inputs), -1)
        targets, target_scaling = _numbers(values, split.training, data.standardize_target)
    else:
        targets = torch.tensor(codes)
        if spec.revision != FIRST_REVISION:
            column_info = {"classes": list(map(str, classes or []))}
    parts = take_parts(TensorRows(inputs, targets), split)
    return TableData(*parts, scaling, target_scaling, column_info)


def _numbers(
    values: NDArray[np.float64], training: NDArray[np.bool_], is_scaled: bool
) -> tuple[torch.Tensor, Scaling | None]:
    """Return values [rows, columns] in float32, standardized by the training rows if wanted."""
    scaling = fit_scaling(values, training) if is_scaled else None
    return to_float32(values, scaling), scaling
