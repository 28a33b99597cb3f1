"""What a job does about the gaps in the columns it uses, from the profile's counts.

Reads profiles, never data.
"""

from collections.abc import Iterator, Sequence

from jobs.spec.base import FieldError
from jobs.spec.column_types import list_names, type_of
from jobs.spec.data import DatasetData
from jobs.spec.dataset_binding import GAP_CLASS, ClassNames
from jobs.spec.profiles import Column, DatasetProfile

FILLING = ("mean", "median")
#: policies under which the gap of a category is a class of its own
CLASSIFYING = (*FILLING, "category")


def find_missing_errors(
    data: DatasetData, profile: DatasetProfile, features: Sequence[Column], target: Column
) -> Iterator[FieldError]:
    """Yield the error of gaps that the spec's `missing` does not deal with."""
    policy = data.missing
    if policy == "drop":
        yield from _find_drop_errors(data, profile, [*features, target])
        return
    if target.missing:
        rule = f"drop: {_count_gaps([target])}, and a target cannot be filled"
        yield FieldError("/data/missing", rule, policy)
    unhandled = [column for column in features if column.missing and not _is_filled(data, column)]
    if unhandled and policy == "error":
        rule = f"drop, mean, median or category, or columns left out: {_count_gaps(unhandled)}"
        yield FieldError("/data/missing", rule, policy)
    elif unhandled:
        rule = f"mean or median: {_count_gaps(unhandled)}, and these columns are numbers"
        yield FieldError("/data/missing", rule, policy)


def _is_filled(data: DatasetData, column: Column) -> bool:
    policies = CLASSIFYING if type_of(data, column) == "category" else FILLING
    return data.missing in policies


def _find_drop_errors(
    data: DatasetData, profile: DatasetProfile, used: Sequence[Column]
) -> Iterator[FieldError]:
    dropped = count_dropped_rows(data, profile, used)
    if dropped is None:
        rule = "mean, median or category: too many different sets of columns lack a value in a row"
        yield FieldError("/data/missing", rule, data.missing)
    elif dropped == profile.rows:
        rule = f"a policy that leaves rows: every row has a gap; {_count_gaps(used)}"
        yield FieldError("/data/missing", rule, data.missing)


def count_dropped_rows(
    data: DatasetData, profile: DatasetProfile, used: Sequence[Column]
) -> int | None:
    """Return how many rows `missing` drops; None if the profile cannot tell."""
    names = {column.name for column in used if column.missing}
    if data.missing != "drop" or not names:
        return 0
    if profile.gaps is None:
        return None
    numbers = {at for at, column in enumerate(profile.columns or []) if column.name in names}
    return sum(gap.rows for gap in profile.gaps if not numbers.isdisjoint(gap.columns))


def with_gap_class(data: DatasetData, column: Column, classes: ClassNames) -> ClassNames:
    """Return a category's classes, and that of its gap if it has one."""
    if not column.missing or data.missing not in CLASSIFYING:
        return classes
    return classes.model_copy(update={"names": [*classes.names, GAP_CLASS]})


def _count_gaps(columns: Sequence[Column]) -> str:
    counts = [f"{column.name!r} ({column.missing:,} rows)" for column in columns if column.missing]
    return f"values are missing in {list_names(counts)}"
