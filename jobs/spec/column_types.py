"""How a job reads the columns of its table: types, the classes of a category, the columns used.

Reads profiles, never data.
"""

from collections.abc import Iterator, Mapping, Sequence, Set

from jobs.spec.base import FieldError, pointer_step
from jobs.spec.data import DatasetData
from jobs.spec.dataset_binding import ClassNames
from jobs.spec.profiles import MAX_CLASSES, Column

MAX_LISTED = 20  # names in a message


def type_of(data: DatasetData, column: Column) -> str:
    """Return the type a job reads a column as: the spec's, or the column's own."""
    return data.types.get(column.name, column.type)


def feature_columns(data: DatasetData, columns: Mapping[str, Column]) -> list[Column]:
    """Return the columns that a job uses as features, in order.

    Where the spec names none, these are all but the target, those excluded or ignored, row indices
    and columns without a value.
    """
    if data.features is not None:
        return [columns[name] for name in data.features]
    unused = {data.target, *data.exclude}
    return [column for column in columns.values() if _is_usable(data, column, unused)]


def _is_usable(data: DatasetData, column: Column, unused: Set[str | None]) -> bool:
    if column.name in unused:
        return False
    if column.index and column.name not in data.types:
        return False
    return type_of(data, column) not in ("ignore", "empty")


def find_type_errors(data: DatasetData, columns: Sequence[Column]) -> Iterator[FieldError]:
    """Yield errors for used columns that cannot be read as the type in the spec."""
    for column in columns:
        if detail := _type_error(type_of(data, column), column):
            yield FieldError(type_pointer(column.name), detail, type_of(data, column))


def _type_error(type_name: str, column: Column) -> str | None:
    match type_name:
        case "number" if column.type != "number" and column.non_numbers != 0:
            return f"{column.type}: {_count(column.non_numbers)} of its values are no numbers"
        case "datetime" if column.type != "datetime" and column.non_times != 0:
            return f"{column.type}: {_count(column.non_times)} of its values are no ISO 8601 times"
        case "category" if category_values(column) is None:
            return f"{column.type}: a category has at most {MAX_CLASSES:,} different values"
        case "text":
            families = "a family that reads text columns, which no family does yet"
            return f"left out (data.exclude) or another type: a text needs {families}"
        case "empty":
            return "left out (data.exclude): the column has no value"
        case "ignore":
            return "no type of a column that the spec uses"
    return None


def _count(number: int | None) -> str:
    return "some" if number is None else f"{number:,}"


def type_pointer(name: str) -> str:
    """Return the JSON pointer of a column's type in a spec."""
    return "/data/types/" + pointer_step(name)


def category_values(column: Column) -> ClassNames | None:
    """Return the different values of a column, in order; None if there are too many.

    Whole numbers written plainly are classes by value, whatever else a second dataset writes (5 and
    5.0); all else is a class as it is written (02134). Numbers come in the order of their values.
    """
    spelled = column.classes if column.classes is not None else column.spellings
    if spelled is not None:
        return ClassNames(names=sorted(spelled, key=_by_value))
    if column.type == "empty":
        return ClassNames(names=[])
    if column.whole is None:
        return None
    return ClassNames(names=list(map(str, column.whole)), numbers=True)


def _by_value(text: str) -> tuple[int, float, str]:
    """Return the key that sorts numbers by value before texts by their letters."""
    number = as_number(text)
    return (1, 0.0, text) if number is None else (0, number, text)


def as_number(text: str) -> float | None:
    """Return a text as a number; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def list_names(names: Sequence[str]) -> str:
    """List names in a message, the first few of many."""
    return ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")
