"""The rows a job trains on and those it holds out, as tensors. Reads example files; knows no net.

Inputs are float32. Targets are class numbers (int64, [rows]) for cross_entropy, else float32
[rows, outputs]. All lie in torch's own memory: where a row lies is part of a tick's bits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from jobs.spec.data import EXAMPLES_FOLDER, DatasetData, ExampleData, InlineData, SyntheticData
from jobs.spec.job_spec import JobSpec
from ticks.data import tables, text_windows
from ticks.data.batches import RowSource, TensorRows, split_held_out
from ticks.data.standardize import Scaling, fit_scaling, standardize

NOISE_DEVIATION = 0.1  # standard deviation of what a synthetic regression adds to its targets


class JobData(NamedTuple):
    """A job's rows. `scale` is None where they are trained on as they came."""

    training: RowSource
    held_out: RowSource | None
    scaling: Scaling | None
    column_info: dict[str, Any] = {}
    """What config.json says of the columns and classes."""


def load_data(
    spec: JobSpec,
    device: torch.device,
    artifacts: Path | None = None,
    announce: Callable[[str], None] = lambda _phase: None,
) -> JobData:
    """Read or draw the spec's rows, hold out what is validated on, and move both to the device.

    Files of uploaded datasets lie below the folder `artifacts`.
    """
    if spec.profile.text is not None:
        return JobData(*text_windows.load_text(spec, device, artifacts, announce), None)
    if isinstance(spec.data, DatasetData):
        assert artifacts is not None, "a dataset's file lies below the artifacts"
        table_data = tables.load_table(spec, artifacts, announce)
        held_out = table_data.held_out and _move_to_device(table_data.held_out, device)
        return JobData(
            _move_to_device(table_data.training, device),
            held_out,
            table_data.scaling,
            table_data.column_info,
        )
    match spec.data:
        case InlineData():
            rows = _make_rows(spec, spec.data.inputs, spec.data.targets)
        case ExampleData():
            table = np.loadtxt(EXAMPLES_FOLDER / f"{spec.data.name}.csv", delimiter=",", skiprows=1)
            rows = _make_rows(spec, table[:, :-1], table[:, -1])
        case SyntheticData():
            rows = (
                _draw_regression(spec.data)
                if spec.data.kind == "regression"
                else _draw_classes(spec.data)
            )
    training, held_out = rows, None
    if spec.held_out_rows:
        training, held_out = split_held_out(rows, spec.held_out_rows, spec.seed)
    scaling = fit_scaling(training.inputs.numpy()) if isinstance(spec.data, ExampleData) else None
    if scaling is not None:
        training = _standardize_rows(training, scaling)
        held_out = held_out and _standardize_rows(held_out, scaling)
    return JobData(
        _move_to_device(training, device), held_out and _move_to_device(held_out, device), scaling
    )


def _make_rows(spec: JobSpec, inputs: object, targets: object) -> TensorRows:
    """Make tensors of rows of numbers, their targets as the objective takes them."""
    x = torch.tensor(np.asarray(inputs, dtype=np.float32))
    if spec.objective == "cross_entropy":
        return TensorRows(x, torch.tensor(np.asarray(targets, dtype=np.int64)))
    return TensorRows(x, torch.tensor(np.asarray(targets, dtype=np.float32)).reshape(len(x), -1))


def _draw_regression(data: SyntheticData) -> TensorRows:
    """Draw normal inputs and a linear target with noise, as the seed article's programs do."""
    generator = torch.Generator().manual_seed(data.seed)
    inputs = torch.randn(data.samples, data.features, generator=generator)
    slopes = torch.randn(data.features, 1, generator=generator)
    noise = torch.randn(data.samples, 1, generator=generator)
    return TensorRows(inputs, inputs @ slopes + NOISE_DEVIATION * noise)


def _draw_classes(data: SyntheticData) -> TensorRows:
    """Draw a normal centre a class and, class after class in turn, a normal point around it."""
    classes = data.profile("cross_entropy").outputs
    generator = torch.Generator().manual_seed(data.seed)
    centres = torch.randn(classes, data.features, generator=generator)
    targets = torch.arange(data.samples) % classes
    points = torch.randn(data.samples, data.features, generator=generator)
    return TensorRows(points + centres[targets], targets)


def _standardize_rows(rows: TensorRows, scaling: Scaling) -> TensorRows:
    inputs = rows.inputs.clone()
    standardize(rows.inputs.numpy(), scaling, inputs.numpy(), range(inputs.shape[1]))
    return TensorRows(inputs, rows.targets)


def _move_to_device(rows: TensorRows, device: torch.device) -> TensorRows:
    return TensorRows(rows.inputs.to(device), rows.targets.to(device))
