"""Which of Arrow's types are cells of a table: predicates. Knows no value."""

from typing import Any

import pyarrow as pa

types = pa.types
TEXT_CHECKS = (
    types.is_string, types.is_large_string, types.is_string_view,
    types.is_binary, types.is_large_binary, types.is_binary_view,
)  # fmt: skip
NUMBER_CHECKS = (types.is_integer, types.is_floating, types.is_decimal)
OTHER_CHECKS = (
    types.is_boolean, types.is_null, types.is_date, types.is_time, types.is_timestamp,
    types.is_duration,
)  # fmt: skip
COLUMN_RULE = "numbers, texts, booleans, dates, times, or lists of numbers: no other type is read"
LIST_CHECKS = (types.is_list, types.is_large_list, types.is_fixed_size_list)


def plain_type(kind: Any) -> Any:
    """Return the type that a dictionary or an extension stores its values in."""
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    return plain_type(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def is_text(kind: Any) -> bool:
    """Return whether a type holds texts, or bytes that may be texts."""
    return any(check(kind) for check in TEXT_CHECKS)


def is_number(kind: Any) -> bool:
    """Return whether a type holds numbers."""
    return any(check(kind) for check in NUMBER_CHECKS)


def is_list(kind: Any) -> bool:
    """Return whether a type holds lists."""
    return any(check(kind) for check in LIST_CHECKS)


def is_readable(kind: Any) -> bool:
    """Return whether the values of a type are cells, or lists of numbers."""
    kind = plain_type(kind)
    if is_list(kind):
        return is_number(plain_type(kind.value_type))
    return is_text(kind) or is_number(kind) or any(check(kind) for check in OTHER_CHECKS)
