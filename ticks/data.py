"""The rows a job trains on and those it holds out, as tensors. Reads example files; knows no net.

Inputs are float32. Targets are class numbers (int64, [rows]) for cross_entropy, else float32
[rows, outputs]. All lie in torch's own memory: where a row lies is part of a tick's bits.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.spec.data import EXAMPLES, ExampleData, InlineData, SyntheticData
from jobs.spec.job_spec import JobSpec
from ticks.batches import Rows, hold_out

NOISE = 0.1  # standard deviation of what a synthetic regression adds to its targets


class Scale(NamedTuple):
    """What inputs are standardised by: (input - mean) / deviation, a feature at a time, float64."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class Data(NamedTuple):
    """A job's rows. `scale` is None where they are trained on as they came."""

    training: Rows
    held_out: Rows | None
    scale: Scale | None


def load(spec: JobSpec, device: torch.device) -> Data:
    """Read or draw the spec's rows, hold out what is validated on, and move both to the device."""
    match spec.data:
        case InlineData():
            rows = _rows(spec, spec.data.inputs, spec.data.targets)
        case ExampleData():
            table = np.loadtxt(EXAMPLES / f"{spec.data.name}.csv", delimiter=",", skiprows=1)
            rows = _rows(spec, table[:, :-1], table[:, -1])
        case SyntheticData():
            rows = _regression(spec.data) if spec.data.kind == "regression" else _classes(spec.data)
    training, held_out = rows, None
    if spec.held_out_rows:
        training, held_out = hold_out(rows, spec.held_out_rows, spec.seed)
    scale = _measure(training.inputs) if isinstance(spec.data, ExampleData) else None
    if scale is not None:
        training = _standardise(training, scale)
        held_out = held_out and _standardise(held_out, scale)
    return Data(_move(training, device), held_out and _move(held_out, device), scale)


def _rows(spec: JobSpec, inputs: object, targets: object) -> Rows:
    """Make tensors of rows of numbers, their targets as the objective takes them."""
    x = torch.tensor(np.asarray(inputs, dtype=np.float32))
    if spec.objective == "cross_entropy":
        return Rows(x, torch.tensor(np.asarray(targets, dtype=np.int64)))
    return Rows(x, torch.tensor(np.asarray(targets, dtype=np.float32)).reshape(len(x), -1))


def _regression(data: SyntheticData) -> Rows:
    """Draw normal inputs and a linear target with noise, as the seed article's programs do."""
    generator = torch.Generator().manual_seed(data.seed)
    inputs = torch.randn(data.samples, data.features, generator=generator)
    slopes = torch.randn(data.features, 1, generator=generator)
    noise = torch.randn(data.samples, 1, generator=generator)
    return Rows(inputs, inputs @ slopes + NOISE * noise)


def _classes(data: SyntheticData) -> Rows:
    """Draw a normal centre a class and, class after class in turn, a normal point around it."""
    classes = data.profile("cross_entropy").outputs
    generator = torch.Generator().manual_seed(data.seed)
    centres = torch.randn(classes, data.features, generator=generator)
    targets = torch.arange(data.samples) % classes
    points = torch.randn(data.samples, data.features, generator=generator)
    return Rows(points + centres[targets], targets)


def _measure(inputs: Tensor) -> Scale:
    """Measure mean and deviation of each feature; a feature that never varies keeps its scale.

    cumsum adds strictly row after row, so that the result is the same on every machine.
    """
    x: NDArray[np.float64] = inputs.numpy().astype(np.float64)
    mean = np.cumsum(x, axis=0)[-1] / len(x)
    deviation = np.sqrt(np.cumsum((x - mean) ** 2, axis=0)[-1] / len(x))
    return Scale(mean, np.where(deviation == 0, 1.0, deviation))


def _standardise(rows: Rows, scale: Scale) -> Rows:
    x = (rows.inputs.numpy().astype(np.float64) - scale.mean) / scale.deviation
    return Rows(torch.tensor(x.astype(np.float32)), rows.targets)


def _move(rows: Rows, device: torch.device) -> Rows:
    return Rows(rows.inputs.to(device), rows.targets.to(device))
