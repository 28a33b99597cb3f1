"""Check a spec against the profiles of its datasets, and bind it to them.

Reads profiles, never data; the caller provides the lookup of a dataset by its id.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from typing import NamedTuple

from jobs.spec.base import FieldError, InvalidSpec
from jobs.spec.column_types import (
    category_values,
    feature_columns,
    find_type_errors,
    list_names,
    type_of,
    type_pointer,
)
from jobs.spec.data import DatasetData, find_window_errors
from jobs.spec.dataset_binding import ClassNames, DataFile, DatasetBinding
from jobs.spec.held_out import HeldOut
from jobs.spec.job_spec import JobSpec
from jobs.spec.missing_values import count_dropped_rows, find_missing_errors, with_gap_class
from jobs.spec.profiles import MAX_CLASSES, Column, DatasetProfile
from jobs.spec.row_split import RowSplit
from jobs.spec.second_dataset import find_differences
from jobs.spec.target_classes import array_objective, column_objective, target_note


class KnownDataset(NamedTuple):
    """An uploaded dataset as checks of a spec see it: its file and its profile."""

    file: DataFile
    profile: DatasetProfile
    split_rows: Callable[[JobSpec], RowSplit] | None = None
    """Reads its file and splits its rows, where the profile cannot tell how many are held out."""


DatasetLookup = Callable[[str], KnownDataset | None]
HeldOutParts = Mapping[str, HeldOut | None]

UNKNOWN_DATASET_RULE = "the id of a dataset of yours; there is none of this id"
FEW_WHOLE_NUMBERS = f"at most {MAX_CLASSES:,} different whole numbers"


class DatasetMismatch(InvalidSpec):
    """A spec does not fit its datasets."""


def no_datasets(_dataset_id: str) -> None:
    """Find no dataset: the lookup for specs without uploaded ones."""


def bind_datasets(
    data: object,
    held_out: HeldOutParts,
    objective: str | None,
    look_up: DatasetLookup,
) -> DatasetBinding | None:
    """Look up the datasets of a spec and bind its columns; None for a spec without any.

    `held_out` has the validation and the test, by name. Raises DatasetMismatch with every error.
    """
    others = {name: part.id for name, part in held_out.items() if part is not None and part.id}
    if not isinstance(data, DatasetData):
        rule = "a fraction: only a job on a dataset can be validated or tested on another"
        if errors := [FieldError(f"/{name}/id", rule, other) for name, other in others.items()]:
            raise DatasetMismatch(errors)
        return None
    dataset = require_dataset(look_up, "/data/id", data.id)
    binding, errors = _bind(data, dataset, objective), []
    for name, other_id in others.items():
        other = require_dataset(look_up, f"/{name}/id", other_id)
        differences = find_differences(data, binding, dataset.profile, other.profile)
        errors += [FieldError(f"/{name}/id", difference, other_id) for difference in differences]
        if not errors:
            file = _other_file(data, dataset, other, f"/{name}/id")
            binding = binding.model_copy(update={name: file})
    if errors:
        raise DatasetMismatch(errors)
    return binding


def require_dataset(look_up: DatasetLookup, pointer: str, dataset_id: str) -> KnownDataset:
    """Look up a dataset. Raises DatasetMismatch where the tenant has no such one."""
    dataset = look_up(dataset_id)
    if dataset is None:
        raise DatasetMismatch([FieldError(pointer, UNKNOWN_DATASET_RULE, dataset_id)])
    return dataset


def _other_file(
    data: DatasetData, dataset: KnownDataset, other: KnownDataset, pointer: str
) -> DataFile:
    """Return the file of a second dataset, with the rows that it drops as the first one does."""
    if dataset.profile.columns is None:
        return other.file
    columns = {column.name: column for column in dataset.profile.columns}
    names = {column.name for column in feature_columns(data, columns)} | {data.target}
    used = [column for column in other.profile.columns or [] if column.name in names]
    dropped = count_dropped_rows(data, other.profile, used)
    if dropped is None or dropped == other.profile.rows:
        rule = "a dataset that has rows left where rows with gaps are dropped"
        raise DatasetMismatch([FieldError(pointer, rule, data.missing)])
    return other.file.model_copy(update={"dropped_rows": dropped})


def _bind(data: DatasetData, dataset: KnownDataset, objective: str | None) -> DatasetBinding:
    profile = dataset.profile
    errors = list(find_window_errors(data.window, is_text=profile.text is not None))
    if profile.columns is None:
        errors += _column_field_errors(data, "a text" if profile.text else "an NPZ file")
    if errors:
        raise DatasetMismatch(errors)
    if profile.text is not None:
        return DatasetBinding(data=dataset.file)
    bind = _bind_arrays if profile.columns is None else _bind_table
    return bind(data, dataset, objective)


def _column_field_errors(data: DatasetData, kind: str) -> list[FieldError]:
    fields = {
        "target": data.target,
        "features": data.features,
        "exclude": data.exclude or None,
        "types": data.types or None,
    }
    rule = f"left out: this dataset is {kind}, which has no named columns"
    return [FieldError(f"/data/{name}", rule, value) for name, value in fields.items() if value]


def _bind_arrays(data: DatasetData, dataset: KnownDataset, objective: str | None) -> DatasetBinding:
    profile = dataset.profile
    inputs, targets, values = profile.inputs, profile.targets, profile.target_classes
    assert inputs is not None and targets is not None, "an NPZ file has both"
    outputs = targets.shape[1] if len(targets.shape) > 1 else 1
    classes = None
    if (objective or array_objective(profile)) == "cross_entropy":
        if values is None:
            raise DatasetMismatch([_no_classes("/objective", "cross_entropy", "targets")])
        classes = ClassNames(names=list(map(str, values)), numbers=True)
        classes = _require_two(classes, "/objective", "cross_entropy")
    note = target_note(data, profile, None, are_classes=classes is not None)
    return DatasetBinding(
        data=dataset.file,
        numbers=inputs.shape[1],
        target=classes,
        outputs=outputs,
        target_statistics=[] if classes else _array_statistics(profile),
        notes=[note] if note and objective is None else [],
    )


def _bind_table(data: DatasetData, dataset: KnownDataset, objective: str | None) -> DatasetBinding:
    profile = dataset.profile
    columns = {column.name: column for column in profile.columns or []}
    if errors := list(_find_unknown_columns(data, columns)):
        raise DatasetMismatch(errors)
    features, target = feature_columns(data, columns), columns[data.target or ""]
    if not features:
        rule = "not the only column: features are needed"
        raise DatasetMismatch([FieldError("/data/target", rule, data.target)])
    errors = list(find_type_errors(data, [*features, target]))
    errors += find_missing_errors(data, profile, features, target)
    classes = None
    try:
        is_class = (objective or column_objective(data, profile, target)) == "cross_entropy"
        if is_class or type_of(data, target) == "category":
            classes = _target_classes(data, target)
    except DatasetMismatch as error:
        errors += error.errors
    if errors:
        raise DatasetMismatch(errors)
    categories = [column for column in features if type_of(data, column) == "category"]
    numbers = [column for column in features if type_of(data, column) != "category"]
    dropped = count_dropped_rows(data, profile, [*features, target]) or 0
    used = {column.name for column in features} | {target.name}
    return DatasetBinding(
        data=dataset.file.model_copy(update={"dropped_rows": dropped}),
        left_out=[] if data.features else [name for name in columns if name not in used],
        numbers=len(numbers),
        times=[column.name for column in [*numbers, target] if type_of(data, column) == "datetime"],
        gaps=[column.name for column in numbers if column.missing and data.missing != "drop"],
        categories={column.name: _feature_classes(data, column) for column in categories},
        target=classes,
        target_statistics=_statistics(target) if classes is None else [],
        notes=_notes(data, profile, used, target, classes, objective),
    )


def _notes(
    data: DatasetData,
    profile: DatasetProfile,
    used: Set[str],
    target: Column,
    classes: ClassNames | None,
    objective: str | None,
) -> list[str]:
    """Return what is doubtful about the columns used, and how the target is read by default."""
    notes = [
        note.detail if note.column is None else f"column {note.column!r}: {note.detail}"
        for note in profile.notes
        if note.column is None or note.column in used
    ]
    note_of_target = target_note(data, profile, target, are_classes=classes is not None)
    return [*notes, note_of_target] if note_of_target and objective is None else notes


def _array_statistics(profile: DatasetProfile) -> list[list[float]]:
    pairs = zip(profile.target_mean or [], profile.target_deviation or [], strict=True)
    return [list(pair) for pair in pairs]


def _statistics(target: Column) -> list[list[float]]:
    """Return mean and deviation of a target of numbers, where its profile has them."""
    if target.mean is None or target.deviation is None:
        return []
    return [[target.mean, target.deviation]]


def _find_unknown_columns(data: DatasetData, columns: dict[str, Column]) -> Iterator[FieldError]:
    """Yield errors for column names that the dataset lacks, or that are both left out and used."""
    rule = f"one of the dataset's columns: {list_names(list(columns))}"
    if data.target not in columns:
        yield FieldError("/data/target", rule, data.target)
    for field, names in (("features", data.features or []), ("exclude", data.exclude)):
        for at, name in enumerate(names):
            if name not in columns:
                yield FieldError(f"/data/{field}/{at}", rule, name)
    for name in data.types:
        if name not in columns:
            yield FieldError(type_pointer(name), rule, name)


def _feature_classes(data: DatasetData, column: Column) -> ClassNames:
    classes = category_values(column)
    assert classes is not None, "find_type_errors reports it"
    return with_gap_class(data, column, classes)


def _target_classes(data: DatasetData, column: Column) -> ClassNames:
    """Return the classes of a target: numbers by their value, unless the spec makes it a category.

    Raises DatasetMismatch.
    """
    if type_of(data, column) == "number":
        if column.whole is None:
            raise DatasetMismatch([_no_classes("/data/target", column.name, "it")])
        classes = ClassNames(names=list(map(str, column.whole)), numbers=True)
    else:
        values = category_values(column)
        if values is None:
            raise DatasetMismatch([_no_classes("/data/target", column.name, "it")])
        classes = values
    return _require_two(classes, "/data/target", column.name)


def _no_classes(pointer: str, value: str, subject: str) -> FieldError:
    rule = f"{subject} must be texts or have {FEW_WHOLE_NUMBERS}"
    return FieldError(pointer, f"cross_entropy needs classes as targets: {rule}", value)


def _require_two(classes: ClassNames, pointer: str, value: str) -> ClassNames:
    if len(classes.names) < 2:
        rule = "at least 2 classes; all rows have the same one"
        raise DatasetMismatch([FieldError(pointer, rule, value)])
    return classes
