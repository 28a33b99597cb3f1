"""Split the rows of a table in memory as the spec says, and take the parts."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from jobs.datasets.formats.damage import report_damage
from jobs.datasets.formats.group_codes import read_group_codes
from jobs.datasets.formats.joined_file import locate
from jobs.sampling.splits import Mask, Numbers
from jobs.spec.job_spec import JobSpec
from jobs.spec.row_split import RowSplit, group_columns, split_rows
from ticks.data.batches import TensorRows


class SplitRows(NamedTuple):
    """Rows to train on, to validate on and to test on; None where a spec holds none out."""

    training: TensorRows
    held_out: TensorRows | None
    test: TensorRows | None


def split_table(
    spec: JobSpec,
    classes: Numbers | None,
    artifacts: Path | None = None,
    row_numbers: Numbers | None = None,
) -> RowSplit:
    """Return the masks of all rows of a table by the spec's splits.

    `classes` are those of the targets, int64 [rows]; None for numbers. The columns of groups are
    read from the dataset's file below `artifacts`; `row_numbers` [rows] are the rows of the file
    (from 0) that are not dropped.
    """
    groups = {}
    if columns := group_columns(spec):
        assert artifacts is not None and spec.facts is not None, "columns are a dataset's"
        file, path = spec.facts.data, locate(artifacts, spec.facts.data)
        with report_damage(path, file.sha256):
            groups = read_group_codes(path, file, columns)
            groups = {name: codes[row_numbers] for name, codes in groups.items()}
    split = split_rows(spec, classes, groups, permute)
    assert split.held_out.sum() == spec.held_out_rows, "submission has counted them"
    assert split.test.sum() == spec.test_rows, "submission has counted them"
    return split


def take_parts(rows: TensorRows, split: RowSplit) -> SplitRows:
    """Copy the parts of a split, each in the rows' order; without held-out rows nothing is copied.

    (Where rows lie in memory decides some bits of a tick: copies as well as `rows` are torch's.)
    """
    held_out, test = (_take(rows, mask) for mask in (split.held_out, split.test))
    training = rows if held_out is None and test is None else _take(rows, split.training)
    assert training is not None, "a rule of the spec leaves a row to train on"
    return SplitRows(training, held_out, test)


def permute(count: int, seed: int) -> Numbers:
    """Return the permutation of 0 … count - 1 that torch's CPU generator draws from a seed."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    permutation: Numbers = order.numpy()
    return permutation


def _take(rows: TensorRows, mask: Mask) -> TensorRows | None:
    return rows.take(torch.from_numpy(np.flatnonzero(mask))) if mask.any() else None
