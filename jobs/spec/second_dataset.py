"""Whether a second dataset fits the first: it is read with the first one's types and classes.

Reads profiles, never data.
"""

from collections.abc import Iterator, Sequence

from jobs.spec.column_types import as_number, category_values, feature_columns
from jobs.spec.data import DatasetData
from jobs.spec.dataset_binding import ClassNames, DatasetBinding
from jobs.spec.missing_values import CLASSIFYING, FILLING
from jobs.spec.profiles import Column, DatasetProfile


def find_differences(
    data: DatasetData, binding: DatasetBinding, profile: DatasetProfile, other: DatasetProfile
) -> Iterator[str]:
    """Yield how a second dataset differs from the first in what the job uses."""
    if _kind_of(profile) != _kind_of(other):
        yield "a dataset of the same kind as the one to train on: table, arrays or text"
    elif profile.inputs is not None:
        yield from _find_array_differences(binding, profile, other)
    elif profile.columns is not None:
        columns = {column.name: column for column in profile.columns}
        others = {column.name: column for column in other.columns or []}
        for expected in [*feature_columns(data, columns), columns[data.target or ""]]:
            actual = others.get(expected.name)
            if actual is None:
                yield f"the column {expected.name!r}, which it lacks"
            else:
                yield from find_column_differences(data, binding, actual)


def _kind_of(profile: DatasetProfile) -> tuple[bool, bool]:
    return profile.text is None, profile.columns is None


def _find_array_differences(
    binding: DatasetBinding, profile: DatasetProfile, other: DatasetProfile
) -> Iterator[str]:
    for name in ("inputs", "targets"):
        shapes = (getattr(dataset, name).shape[1:] for dataset in (profile, other))
        expected, actual = (shape or [1] for shape in shapes)  # targets [rows, 1] are as [rows]
        if expected != actual:
            yield f"{name} of rows like those to train on: {expected}, not {actual}"
    if binding.target is not None:
        values = other.target_classes
        names = None if values is None else list(map(str, values))
        yield from _find_new_classes(binding.target, names, "targets")


def find_column_differences(
    data: DatasetData, binding: DatasetBinding, actual: Column, *, are_gaps_unseen: bool = False
) -> Iterator[str]:
    """Yield how a column that the job uses differs from the one of the data to train on.

    `are_gaps_unseen`: a gap in a category is taken for a class that the training had not.
    """
    name = actual.name
    is_target = name == data.target
    classes = binding.target if is_target else binding.categories.get(name)
    is_filled = _is_filled(data, classes) or (are_gaps_unseen and classes is not None)
    if actual.missing and data.missing != "drop" and (is_target or not is_filled):
        yield f"no gaps in the column {name!r}, which lacks {actual.missing:,} values"
    if classes is None:
        yield from _find_type_differences(binding, actual)
    elif is_target or data.unseen == "error":
        values = category_values(actual)
        has_gap_class = "" in classes.names
        if actual.missing and not is_target and data.missing in CLASSIFYING and not has_gap_class:
            yield f"no gaps in the column {name!r}, in which the data to train on have none"
        names = None if values is None else values.names
        yield from _find_new_classes(classes, names, f"the column {name!r}")


def _is_filled(data: DatasetData, classes: ClassNames | None) -> bool:
    return data.missing in (FILLING if classes is None else CLASSIFYING)


def _find_type_differences(binding: DatasetBinding, actual: Column) -> Iterator[str]:
    if actual.type == "empty":
        return
    if actual.name in binding.time_names:
        if actual.type != "datetime" and actual.non_times != 0:
            yield f"times in the column {actual.name!r}, where it has other values"
    elif actual.type != "number" and actual.non_numbers != 0:
        yield f"numbers in the column {actual.name!r}, where it has texts"


def _find_new_classes(
    classes: ClassNames, values: Sequence[str] | None, where: str
) -> Iterator[str]:
    if values is None:
        kind = "whole numbers" if classes.numbers else "texts"
        yield f"{kind} as classes in {where}"
        return
    expected = {_class_key(classes, name) for name in classes.names}
    new = [value for value in values if _class_key(classes, value) not in expected]
    if new:
        listed = ", ".join(map(repr, new[:5])) + (", …" if len(new) > 5 else "")
        yield f"in {where} only classes that the data to train on have, not {listed}"


def _class_key(classes: ClassNames, value: str) -> str | float:
    number = as_number(value) if classes.numbers else None
    return value if number is None else number
