"""Split the rows of a dataset as a spec says, from its file. Knows no tensor."""

from typing import BinaryIO

from jobs.datasets.formats.class_codes import read_class_codes
from jobs.datasets.formats.group_codes import read_group_codes
from jobs.sampling.randperm import randperm
from jobs.spec.data import DatasetData
from jobs.spec.job_spec import JobSpec
from jobs.spec.row_split import RowSplit, group_columns, needs_classes, split_rows


def split_dataset_rows(file: BinaryIO, spec: JobSpec) -> RowSplit:
    """Split the rows of a table or of arrays; what the splits do not need is not read."""
    facts, data = spec.facts, spec.data
    assert facts is not None and isinstance(data, DatasetData), "the spec is on a dataset"
    columns, classes = group_columns(spec), None
    groups = read_group_codes(file, facts.data, columns) if columns else {}
    if needs_classes(spec):
        assert facts.target is not None, "only classes are stratified"
        classes = read_class_codes(file, facts.data, data.target, facts.target)
    return split_rows(spec, classes, groups, randperm)
