"""Whether a target is read as classes or as numbers, where a spec does not say.

Reads profiles, never data.
"""

from typing import Literal

from jobs.spec.data import DatasetData
from jobs.spec.profiles import Column, DatasetProfile

#: whole numbers are classes by default if they have at most so many different values ...
MAX_DEFAULT_CLASSES = 20
#: ... which occur on average in so many rows or more
MIN_ROWS_PER_CLASS = 5

DefaultObjective = Literal["mse", "cross_entropy"]


def column_objective(
    data: DatasetData, profile: DatasetProfile, column: Column
) -> DefaultObjective:
    """Return the default objective of a target column."""
    if column.name in data.types:
        return "cross_entropy" if data.types[column.name] == "category" else "mse"
    if column.type == "number":
        rows = (profile.rows or 0) - column.missing
        return _objective_of(None if column.whole is None else len(column.whole), rows)
    return "cross_entropy" if column.type in ("category", "text") else "mse"


def array_objective(profile: DatasetProfile) -> DefaultObjective:
    """Return the default objective of the targets of an NPZ file."""
    values = profile.target_classes
    return _objective_of(None if values is None else len(values), profile.rows or 0)


def target_note(
    data: DatasetData, profile: DatasetProfile, column: Column | None, *, are_classes: bool
) -> str | None:
    """Return what a spec without an objective is told of a target of few whole numbers, if any."""
    values = profile.target_classes if column is None else column.whole
    if column is not None and (column.type != "number" or column.name in data.types):
        return None
    if values is None or not 2 <= len(values) <= MAX_DEFAULT_CLASSES:
        return None
    name = repr("targets" if column is None else column.name)
    subject = f"the target {name} has {len(values)} different whole numbers"
    if are_classes:
        return f'{subject} and is read as classes; objective "mse" makes it a number'
    return f'{subject} and is read as a number; objective "cross_entropy" makes them classes'


def _objective_of(whole_values: int | None, rows: int) -> DefaultObjective:
    is_few = whole_values is not None and 2 <= whole_values <= MAX_DEFAULT_CLASSES
    are_classes = is_few and rows >= MIN_ROWS_PER_CLASS * (whole_values or 0)
    return "cross_entropy" if are_classes else "mse"
