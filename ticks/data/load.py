"""Load the rows a job trains on and those it holds out, as tensors. Knows no net.

Inputs are float32 [rows, features]. Targets are class numbers, int64 [rows], for cross_entropy,
else float32 [rows, outputs]. All are in torch's own memory, because the address of a row decides
some of a tick's bits.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from jobs.spec.data import (
    EXAMPLES_FOLDER,
    FIRST_REVISION,
    REVISION,
    DatasetData,
    ExampleData,
    InlineData,
    SyntheticData,
)
from jobs.spec.job_spec import JobSpec
from ticks.data import tables, text_windows
from ticks.data.batches import RowSource, TensorRows
from ticks.data.dataset_files import Announce, ignore_phase
from ticks.data.inline_rows import load_inline
from ticks.data.splits import SplitRows, split_table, take_parts
from ticks.data.standardize import Scaling, fit_scaling, to_float32

NOISE_DEVIATION = 0.1  # standard deviation of the noise in a synthetic regression's targets


class JobData(NamedTuple):
    """A job's rows; a scaling is None where the inputs, or the targets, are not standardized."""

    training: RowSource
    held_out: RowSource | None
    test: RowSource | None
    scaling: Scaling | None = None
    target_scaling: Scaling | None = None
    column_info: dict[str, Any] = {}
    """The entries of config.json about columns and classes."""


def load_data(
    spec: JobSpec,
    device: torch.device,
    artifacts: Path | None = None,
    announce: Announce = ignore_phase,
) -> JobData:
    """Read or draw the spec's rows, hold out those to validate on, and move both to the device.

    Files of uploaded datasets are below the folder `artifacts`; `announce` is called with the phase
    "loading" while one is read. Raises DamagedDataset or WrongText.
    """
    if spec.profile.text is not None:
        return JobData(*text_windows.load_text(spec, device, artifacts, announce))
    if isinstance(spec.data, DatasetData):
        assert artifacts is not None, "a dataset's file lies below the artifacts"
        data = tables.load_table(spec, artifacts, announce)
    else:
        data = _load_rows(spec)
    held_out, test = (part and part.to(device) for part in (data.held_out, data.test))
    return JobData(data.training.to(device), held_out, test, *data[3:])


def _load_rows(spec: JobSpec) -> tables.TableData:
    """Load rows that are not an uploaded dataset's; those of an example are standardized."""
    if isinstance(spec.data, InlineData):
        return load_inline(spec, spec.data)
    rows, scaling = _read_rows(spec), None
    classes = rows.targets.numpy() if spec.profile.classes else None
    parts = take_parts(rows, split_table(spec, classes))
    if isinstance(spec.data, ExampleData):
        is_exact = spec.revision != FIRST_REVISION
        scaling = fit_scaling(parts.training.inputs.numpy(), has_exact_constants=is_exact)
        held_out, test = (
            part and _standardize_rows(part, scaling) for part in (parts.held_out, parts.test)
        )
        parts = SplitRows(_standardize_rows(parts.training, scaling), held_out, test)
    return tables.TableData(*parts, scaling, None, {})


def _read_rows(spec: JobSpec) -> TensorRows:
    match spec.data:
        case ExampleData():
            table = np.loadtxt(EXAMPLES_FOLDER / f"{spec.data.name}.csv", delimiter=",", skiprows=1)
            return _make_rows(spec, table[:, :-1], table[:, -1])
        case SyntheticData(kind="regression"):
            return _draw_regression(spec.data)
        case SyntheticData():
            return _draw_classes(spec.data)
    raise AssertionError(f"no rows of {spec.data}")


def _make_rows(spec: JobSpec, inputs: object, targets: object) -> TensorRows:
    """Convert rows of numbers to tensors, with targets as the objective needs them."""
    x = torch.tensor(np.asarray(inputs, dtype=np.float32))
    if spec.objective == "cross_entropy":
        return TensorRows(x, torch.tensor(np.asarray(targets, dtype=np.int64)))
    return TensorRows(x, torch.tensor(np.asarray(targets, dtype=np.float32)).reshape(len(x), -1))


def _draw_regression(data: SyntheticData) -> TensorRows:
    """Draw normal inputs and a noisy linear target, as examples/layernorm_loop.py does."""
    generator = torch.Generator().manual_seed(data.seed)
    inputs = torch.randn(data.samples, data.features, generator=generator)
    slopes = torch.randn(data.features, 1, generator=generator)
    noise = torch.randn(data.samples, 1, generator=generator)
    return TensorRows(inputs, inputs @ slopes + NOISE_DEVIATION * noise)


def _draw_classes(data: SyntheticData) -> TensorRows:
    """Draw a normal centre for each class and, the classes in turn, normal points around them."""
    classes = data.profile("cross_entropy", REVISION).outputs
    generator = torch.Generator().manual_seed(data.seed)
    centres = torch.randn(classes, data.features, generator=generator)
    targets = torch.arange(data.samples) % classes
    points = torch.randn(data.samples, data.features, generator=generator)
    return TensorRows(points + centres[targets], targets)


def _standardize_rows(rows: TensorRows, scaling: Scaling) -> TensorRows:
    return TensorRows(to_float32(rows.inputs.numpy(), scaling), rows.targets)
