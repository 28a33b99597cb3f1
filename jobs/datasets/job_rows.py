"""The rows that a job trains on, validates on and tests on, and those of each tick. No torch."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from jobs.datasets.row_splits import OpenFile, kept_rows, split_job_rows, used_rows
from jobs.sampling.batches import batch_bounds, count_epoch_rows
from jobs.sampling.permutations import IndexPermutation
from jobs.sampling.randperm import randperm
from jobs.sampling.seeds import derive_seed
from jobs.sampling.splits import Numbers
from jobs.spec.dataset_binding import DataFile
from jobs.spec.job_spec import JobSpec
from jobs.spec.text import vocabulary_of
from jobs.spec.window_split import split_windows

PartName = Literal["training", "validation", "test"]


class RowSet(NamedTuple):
    """Rows of one file or list: `numbers` maps places in it, from 0, to rows, from 0."""

    size: int
    numbers: Callable[[Numbers], Numbers]

    def take(self, after: int, limit: int) -> list[int]:
        """Return the numbers (from 1) of up to `limit` rows after the first `after`."""
        places = np.arange(min(after, self.size), min(after + limit, self.size))
        return [number + 1 for number in self.numbers(places).tolist()]


RowParts = dict[PartName, RowSet]


def list_parts(spec: JobSpec, open_file: OpenFile) -> RowParts:
    """Return the rows of each part, in the order of the data they are from.

    Rows of another dataset, which is validated or tested on, are numbered in its own file; those of
    a text are its windows.
    """
    parts = _text_parts(spec) if spec.profile.text else _table_parts(spec, open_file)
    if spec.facts is not None and spec.facts.validation is not None:
        parts["validation"] = _all_rows(spec, spec.facts.validation, open_file)
    if spec.facts is not None and spec.facts.test is not None:
        parts["test"] = _all_rows(spec, spec.facts.test, open_file)
    return parts


def tick_rows(spec: JobSpec, training: RowSet, tick: int) -> RowSet:
    """Return the rows of a tick's batch (from 1), in its order.

    Without shuffling an epoch has the training rows in order; else in a permutation of them that is
    a function of (seed, epoch): torch's of a table, and IndexPermutation of a text.
    """
    size = spec.batch_size
    epoch_rows = count_epoch_rows(training.size, size, drop_last=spec.data.drop_last)
    (epoch,), (first,), (count,) = batch_bounds(tick, tick, epoch_rows, size)
    places = np.arange(first, first + count)
    if spec.data.shuffle:
        key = derive_seed("order", spec.seed, epoch)
        if spec.profile.text is None:
            places = randperm(training.size, key)[first : first + count]
        else:
            places = IndexPermutation(training.size, key)(places)
    return _row_set(training.numbers(places))


def _text_parts(spec: JobSpec) -> RowParts:
    split = split_windows(spec)
    return {
        "training": RowSet(spec.training_rows, split.training),
        "validation": RowSet(spec.held_out_rows, split.held_out),
        "test": RowSet(spec.test_rows, split.test),
    }


def _table_parts(spec: JobSpec, open_file: OpenFile) -> RowParts:
    rows = used_rows(spec, open_file)
    split = split_job_rows(spec, open_file, rows)
    return {
        "training": _row_set(rows[split.training]),
        "validation": _row_set(rows[split.held_out]),
        "test": _row_set(rows[split.test]),
    }


def _all_rows(spec: JobSpec, file: DataFile, open_file: OpenFile) -> RowSet:
    """Return the rows of another dataset: all but those that are dropped."""
    if file.text is None:
        return _row_set(kept_rows(spec, file, open_file))
    count = file.text.count_rows(spec.profile.features, vocabulary_of(spec.model))
    return RowSet(count, lambda places: places)


def _row_set(rows: Numbers) -> RowSet:
    return RowSet(len(rows), lambda places: rows[places])
