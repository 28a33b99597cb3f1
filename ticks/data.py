"""The rows a job trains on and those it holds out, as tensors. Reads example files; knows no net.

Inputs are float32. Targets are class numbers (int64, [rows]) for cross_entropy, else float32
[rows, outputs]. All lie in torch's own memory: where a row lies is part of a tick's bits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from jobs.spec.data import EXAMPLES, DatasetData, ExampleData, InlineData, SyntheticData
from jobs.spec.job_spec import JobSpec
from ticks import tables, text
from ticks.batches import Rows, Source, hold_out
from ticks.scale import Scale, measure, standardise

NOISE = 0.1  # standard deviation of what a synthetic regression adds to its targets


class Data(NamedTuple):
    """A job's rows. `scale` is None where they are trained on as they came."""

    training: Source
    held_out: Source | None
    scale: Scale | None
    about: dict[str, Any] = {}
    """What config.json says of the columns and classes."""


def load(
    spec: JobSpec,
    device: torch.device,
    artifacts: Path | None = None,
    announce: Callable[[str], None] = lambda _phase: None,
) -> Data:
    """Read or draw the spec's rows, hold out what is validated on, and move both to the device.

    Files of uploaded datasets lie below the folder `artifacts`.
    """
    if spec.profile.text is not None:
        return Data(*text.load(spec, device, artifacts, announce), None)
    if isinstance(spec.data, DatasetData):
        assert artifacts is not None, "a dataset's file lies below the artifacts"
        loaded = tables.load(spec, artifacts, announce)
        held_out = loaded.held_out and _move(loaded.held_out, device)
        return Data(_move(loaded.training, device), held_out, loaded.scale, loaded.about)
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
    scale = measure(training.inputs.numpy()) if isinstance(spec.data, ExampleData) else None
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


def _standardise(rows: Rows, scale: Scale) -> Rows:
    inputs = rows.inputs.clone()
    standardise(rows.inputs.numpy(), scale, inputs.numpy(), range(inputs.shape[1]))
    return Rows(inputs, rows.targets)


def _move(rows: Rows, device: torch.device) -> Rows:
    return Rows(rows.inputs.to(device), rows.targets.to(device))
