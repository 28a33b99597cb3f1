"""Check that the rows of a spec can be split as it says. Reads profiles, never data."""

from collections.abc import Iterator

from jobs.spec.base import FieldError
from jobs.spec.data import DatasetData
from jobs.spec.dataset_checks import DatasetLookup, KnownDataset
from jobs.spec.held_out import HeldOut
from jobs.spec.job_spec import JobSpec, JobSpecRequest

#: a dataset is read at submission to count its groups
MAX_GROUPED_BYTES = 256 << 20


def named_groups(request: JobSpecRequest) -> list[tuple[str, str]]:
    """Return the columns that are named as groups, each with its pointer."""
    parts = (("/validation", request.validation), ("/test", request.test))
    groups = [(pointer, part.group) for pointer, part in parts if part is not None]
    return [(f"{pointer}/group", group) for pointer, group in groups if group is not None]


def find_group_errors(request: JobSpecRequest, look_up: DatasetLookup) -> list[FieldError]:
    """Find columns named as groups that the data lack, or that cannot be groups.

    Where the dataset itself is unknown there are none: binding it reports that.
    """
    groups, data = named_groups(request), request.data
    if not groups:
        return []
    if not isinstance(data, DatasetData):
        rule = "left out: groups are a column of an uploaded table, and these data are none"
        return [FieldError(pointer, rule, group) for pointer, group in groups]
    dataset = look_up(data.id)
    if dataset is None:
        return []
    rules = [(pointer, group, _group_error(data, dataset, group)) for pointer, group in groups]
    return [FieldError(pointer, rule, group) for pointer, group, rule in rules if rule is not None]


def _group_error(data: DatasetData, dataset: KnownDataset, group: str) -> str | None:
    columns, column = dataset.profile.columns, dataset.profile.column(group)
    if columns is None:
        return "left out: groups are a column of a table, and this dataset has no named columns"
    if column is None:
        names = [column.name for column in columns]
        return "one of the dataset's columns: " + ", ".join(names[:20]) + ", …" * (len(names) > 20)
    if group == data.target:
        return "a column beside the target"
    if column.missing:
        return f"a column with a value in every row; {column.missing:,} have none"
    if dataset.file.bytes > MAX_GROUPED_BYTES:
        return (
            f"of a dataset of at most {MAX_GROUPED_BYTES:,} bytes, since it is read to count the "
            f"groups; this one has {dataset.file.bytes:,}: hold out a dataset by its id instead"
        )
    return None


def check_splits(spec: JobSpec) -> Iterator[FieldError]:
    """Yield errors between the splits of a complete spec and its data."""
    if spec.validation is not None and spec.validation.fraction is not None:
        yield from _check_split(spec, "/validation", spec.validation, spec.held_out_rows)
    if spec.test is not None and spec.test.fraction is not None:
        yield from _check_split(spec, "/test", spec.test, spec.test_rows)
        if spec.training_rows < 1:
            rule = "less: with the validation it leaves no row to train on"
            yield FieldError("/test/fraction", rule, spec.test.fraction)


def _check_split(spec: JobSpec, pointer: str, part: HeldOut, rows: int) -> Iterator[FieldError]:
    if rows < 1 and part.split == "group":
        rule = "a column with two different values or more in the rows, for a group on either side"
        yield FieldError(f"{pointer}/group", rule, part.group)
    elif _is_beyond_half(spec, part, rows):
        rule = "at most half of the text's windows that the test leaves"
        yield FieldError(f"{pointer}/fraction", rule, part.fraction)
    elif rows < 1:
        rule = f"a fraction that holds out at least one of {spec.profile.rows} rows"
        yield FieldError(f"{pointer}/fraction", rule, part.fraction)
    if part.split == "stratified":
        yield from _check_strata(spec, f"{pointer}/split")


def _is_beyond_half(spec: JobSpec, part: HeldOut, rows: int) -> bool:
    """Return whether a random split of a text, which holds out one of two or more, cannot do it."""
    is_random = spec.profile.text is not None and part.split == "random"
    windows = spec.profile.rows - (spec.test_rows if part is spec.validation else 0)
    return is_random and rows > windows // 2


def _check_strata(spec: JobSpec, pointer: str) -> Iterator[FieldError]:
    classes = spec.profile.classes
    if classes is None:
        rule = "random, last or group: only rows with classes as targets can be stratified"
        yield FieldError(pointer, rule, "stratified")
    elif spec.training_rows < classes:
        rule = (
            f"another split: stratified leaves a row of each of the {classes} classes to train on,"
            f" and only {max(0, spec.training_rows)} rows are left"
        )
        yield FieldError(pointer, rule, "stratified")
