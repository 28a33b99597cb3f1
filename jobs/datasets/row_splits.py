"""Split the rows of a job's data as its spec says, for any source. Knows no tensor.

The trainer splits by the same functions (ticks/data/splits.py), from rows in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

import numpy as np

from jobs.datasets.formats.class_codes import read_class_codes
from jobs.datasets.formats.damage import report_damage
from jobs.datasets.formats.group_codes import read_group_codes
from jobs.datasets.formats.kept_rows import read_kept_rows, read_names
from jobs.sampling.randperm import randperm
from jobs.sampling.splits import Numbers
from jobs.spec.data import EXAMPLES_FOLDER, DatasetData, ExampleData, InlineData, SyntheticData
from jobs.spec.dataset_binding import DataFile
from jobs.spec.job_spec import JobSpec
from jobs.spec.row_split import RowSplit, group_columns, needs_classes, split_rows

#: opens the file of a dataset
OpenFile = Callable[[DataFile], AbstractContextManager[BinaryIO]]


def split_job_rows(spec: JobSpec, open_file: OpenFile, rows: Numbers) -> RowSplit:
    """Split the `rows` that a job uses; of a file only what the splits need is read."""
    groups, classes = {}, None
    if (columns := group_columns(spec)) and spec.facts is not None:
        with _read_stored(spec.facts.data, open_file) as stream:
            groups = read_group_codes(stream, spec.facts.data, columns)
    if needs_classes(spec):
        classes = _read_classes(spec, open_file)[rows]
    groups = {name: codes[rows] for name, codes in groups.items()}
    return split_rows(spec, classes, groups, randperm)


def used_rows(spec: JobSpec, open_file: OpenFile) -> Numbers:
    """Return the numbers (from 0) of the rows of a job's data that are not dropped."""
    if spec.facts is None or not isinstance(spec.data, DatasetData):
        return np.arange(spec.profile.rows)
    return kept_rows(spec, spec.facts.data, open_file)


def kept_rows(spec: JobSpec, file: DataFile, open_file: OpenFile) -> Numbers:
    """Return the numbers (from 0) of the rows of a dataset's file that a job does not drop."""
    if not file.dropped_rows:
        return np.arange(file.rows)
    columns = _used_columns(spec, open_file)
    with _read_stored(file, open_file) as stream:
        return read_kept_rows(stream, file, columns)


@contextmanager
def _read_stored(file: DataFile, open_file: OpenFile) -> Iterator[BinaryIO]:
    """Open a dataset's file for a block that reads it. Raises DamagedDataset."""
    with open_file(file) as stream, report_damage(stream, file.sha256):
        yield stream


def _used_columns(spec: JobSpec, open_file: OpenFile) -> list[str]:
    facts, data = spec.facts, spec.data
    assert facts is not None and isinstance(data, DatasetData), "only a dataset's rows are dropped"
    if data.features is not None:
        return [*data.features, data.target or ""]
    with _read_stored(facts.data, open_file) as stream:
        return [name for name in read_names(stream, facts.data) if name not in facts.left_out]


def _read_classes(spec: JobSpec, open_file: OpenFile) -> Numbers:
    """Return the class of the target of each row of a job's data, int64 [rows]."""
    match spec.data:
        case DatasetData():
            facts = spec.facts
            assert facts is not None and facts.target is not None, "only classes are stratified"
            with _read_stored(facts.data, open_file) as stream:
                return read_class_codes(stream, facts.data, spec.data.target, facts.target)
        case InlineData():
            classes = spec.data.class_numbers(spec.revision)
            assert classes is not None, "only classes are stratified"
            return np.searchsorted(classes, np.array(spec.data.targets)).astype(np.int64)
        case ExampleData():
            table = EXAMPLES_FOLDER / f"{spec.data.name}.csv"
            targets = np.loadtxt(table, delimiter=",", skiprows=1, usecols=-1)
            return targets.astype(np.int64)
        case SyntheticData():
            return np.arange(spec.data.samples) % (spec.profile.classes or 1)
    raise AssertionError(f"no classes of {spec.data}")
