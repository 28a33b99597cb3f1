"""Check a spec against the profiles of its datasets, and bind it to them.

Reads profiles, never data; the caller provides the lookup of a dataset by its id.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from jobs.spec.base import FieldError, InvalidSpec
from jobs.spec.data import DatasetData, find_window_errors
from jobs.spec.dataset_binding import ClassNames, DataFile, DatasetBinding
from jobs.spec.held_out import HeldOut
from jobs.spec.job_spec import JobSpec
from jobs.spec.profiles import MAX_CLASSES, Column, DatasetProfile
from jobs.spec.row_split import RowSplit


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
    dataset = _require_dataset(look_up, "/data/id", data.id)
    binding, errors = _bind(data, dataset, objective), []
    for name, other_id in others.items():
        other = _require_dataset(look_up, f"/{name}/id", other_id)
        differences = _find_differences(data, binding, dataset.profile, other.profile)
        errors += [FieldError(f"/{name}/id", difference, other_id) for difference in differences]
        binding = binding.model_copy(update={name: other.file})
    if errors:
        raise DatasetMismatch(errors)
    return binding


def _require_dataset(look_up: DatasetLookup, pointer: str, dataset_id: str) -> KnownDataset:
    dataset = look_up(dataset_id)
    if dataset is None:
        raise DatasetMismatch([FieldError(pointer, UNKNOWN_DATASET_RULE, dataset_id)])
    return dataset


def default_objective(data: DatasetData, dataset: KnownDataset) -> str:
    """Return the objective for the type of the target column."""
    column = dataset.profile.column(data.target or "")
    is_class = column is not None and _type_of(data, column) == "category"
    return "cross_entropy" if is_class else "mse"


def _bind(data: DatasetData, dataset: KnownDataset, objective: str | None) -> DatasetBinding:
    profile = dataset.profile
    errors = list(find_window_errors(data.window, is_text=profile.text is not None))
    if profile.columns is None:
        errors += _column_field_errors(data, "a text" if profile.text else "an NPZ file")
    if errors:
        raise DatasetMismatch(errors)
    if profile.text is not None:
        return DatasetBinding(data=dataset.file)
    as_classes = (objective or default_objective(data, dataset)) == "cross_entropy"
    return (_bind_arrays if profile.columns is None else _bind_table)(data, dataset, as_classes)


def _column_field_errors(data: DatasetData, kind: str) -> list[FieldError]:
    fields = {"target": data.target, "features": data.features, "types": data.types or None}
    rule = f"left out: this dataset is {kind}, which has no named columns"
    return [FieldError(f"/data/{name}", rule, value) for name, value in fields.items() if value]


def _bind_arrays(_data: DatasetData, dataset: KnownDataset, as_classes: bool) -> DatasetBinding:
    inputs, targets = dataset.profile.inputs, dataset.profile.targets
    assert inputs is not None and targets is not None, "an NPZ file has both"
    outputs = targets.shape[1] if len(targets.shape) > 1 else 1
    values = dataset.profile.target_classes
    classes = (
        _number_classes(values, "/objective", "cross_entropy", "targets") if as_classes else None
    )
    return DatasetBinding(
        data=dataset.file, numbers=inputs.shape[1], target=classes, outputs=outputs
    )


def _bind_table(data: DatasetData, dataset: KnownDataset, as_classes: bool) -> DatasetBinding:
    columns = {column.name: column for column in dataset.profile.columns or []}
    if errors := list(_find_unknown_columns(data, columns)):
        raise DatasetMismatch(errors)
    names = data.features or [name for name in columns if name != data.target]
    if not names:
        rule = "not the only column: features are needed"
        raise DatasetMismatch([FieldError("/data/target", rule, data.target)])
    assert data.target is not None, "_find_unknown_columns reports it"
    target = columns[data.target]
    features = [columns[name] for name in names]
    errors = list(_find_type_errors(data, [*features, target]))
    is_class = as_classes or _type_of(data, target) == "category"
    classes = None
    try:
        classes = _target_classes(target) if is_class else None
    except DatasetMismatch as error:
        errors += error.errors
    if errors:
        raise DatasetMismatch(errors)
    categories = [column for column in features if _type_of(data, column) == "category"]
    return DatasetBinding(
        data=dataset.file,
        numbers=len(features) - len(categories),
        categories={column.name: _column_classes(column) for column in categories},
        target=classes,
    )


def _find_unknown_columns(data: DatasetData, columns: dict[str, Column]) -> Iterator[FieldError]:
    """Yield errors for column names that the dataset lacks."""
    listed = ", ".join(list(columns)[:20]) + (", …" if len(columns) > 20 else "")
    rule = f"one of the dataset's columns: {listed}"
    if data.target not in columns:
        yield FieldError("/data/target", rule, data.target)
    for at, name in enumerate(data.features or []):
        if name not in columns:
            yield FieldError(f"/data/features/{at}", rule, name)
    for name in data.types:
        if name not in columns:
            yield FieldError(_type_pointer(name), rule, name)


def _find_type_errors(data: DatasetData, columns: Sequence[Column]) -> Iterator[FieldError]:
    """Yield errors for columns that cannot be read as the type in the spec."""
    for column in columns:
        type_name = data.types.get(column.name, column.type)
        pointer = _type_pointer(column.name)
        if type_name == "number" and column.type == "category":
            yield FieldError(pointer, "category: its values are texts", type_name)
        if type_name == "category" and column.type == "number" and column.whole is None:
            yield FieldError(pointer, f"number: a category has {FEW_WHOLE_NUMBERS}", type_name)


def _type_pointer(name: str) -> str:
    return "/data/types/" + name.replace("~", "~0").replace("/", "~1")


def _type_of(data: DatasetData, column: Column) -> str:
    return data.types.get(column.name, column.type)


def _target_classes(column: Column) -> ClassNames:
    if column.type == "number":
        return _number_classes(column.whole, "/data/target", column.name, "it")
    return _require_two(_column_classes(column), "/data/target", column.name)


def _column_classes(column: Column) -> ClassNames:
    if column.classes is not None:
        return ClassNames(names=column.classes)
    return ClassNames(names=list(map(str, column.whole or [])), numbers=True)


def _number_classes(values: list[int] | None, where: str, value: str, subject: str) -> ClassNames:
    if values is None:
        rule = f"{subject} must be texts or have {FEW_WHOLE_NUMBERS}"
        rule = f"cross_entropy needs classes as targets: {rule}"
        raise DatasetMismatch([FieldError(where, rule, value)])
    return _require_two(ClassNames(names=list(map(str, values)), numbers=True), where, value)


def _require_two(classes: ClassNames, where: str, value: str) -> ClassNames:
    if len(classes.names) < 2:
        rule = "at least 2 classes; all rows have the same one"
        raise DatasetMismatch([FieldError(where, rule, value)])
    return classes


def _find_differences(
    data: DatasetData, binding: DatasetBinding, profile: DatasetProfile, other: DatasetProfile
) -> Iterator[str]:
    """Yield how a second dataset differs from the first in what the job uses."""
    if _kind_of(profile) != _kind_of(other):
        yield "a dataset of the same kind as the one to train on: table, arrays or text"
    elif profile.inputs is not None:
        yield from _find_array_differences(binding, profile, other)
    elif profile.columns is not None:
        names = data.features or [
            column.name for column in profile.columns if column.name != data.target
        ]
        for name in [*names, data.target or ""]:
            expected, actual = profile.column(name), other.column(name)
            assert expected is not None, "the binding has only existing columns"
            is_target = name == data.target
            classes = binding.target if is_target else binding.categories.get(name)
            yield from _find_column_differences(expected, actual, classes)


def _kind_of(profile: DatasetProfile) -> tuple[bool, bool]:
    return profile.text is None, profile.columns is None


def _find_array_differences(
    binding: DatasetBinding, profile: DatasetProfile, other: DatasetProfile
) -> Iterator[str]:
    for name in ("inputs", "targets"):
        expected, actual = getattr(profile, name).shape[1:], getattr(other, name).shape[1:]
        if expected != actual:
            yield f"{name} of rows like those to train on: {expected}, not {actual}"
    if binding.target is not None:
        yield from _find_new_classes(binding.target, other.target_classes, "targets")


def _find_column_differences(
    expected: Column, actual: Column | None, classes: ClassNames | None
) -> Iterator[str]:
    if actual is None:
        yield f"the column {expected.name!r}, which it lacks"
    elif classes is None and actual.type != "number":
        yield f"numbers in the column {expected.name!r}, where it has texts"
    elif classes is not None:
        values = actual.whole if classes.numbers else actual.classes
        yield from _find_new_classes(classes, values, f"the column {expected.name!r}")


def _find_new_classes(
    classes: ClassNames, values: Sequence[object] | None, where: str
) -> Iterator[str]:
    if values is None:
        kind = "whole numbers" if classes.numbers else "texts"
        yield f"{kind} as classes in {where}"
        return
    new = [str(value) for value in values if str(value) not in set(classes.names)]
    if new:
        listed = ", ".join(map(repr, new[:5])) + (", …" if len(new) > 5 else "")
        yield f"in {where} only classes that the data to train on have, not {listed}"
