"""Which columns the fields of JSON rows become, and what their values are as cells.

Numbers, texts and null are cells; true and false are the texts "true" and "false". A list of
numbers is a vector: a field `v` of three becomes the columns `v[0]`, `v[1]`, `v[2]`. A list of
messages, each with a role and a content, is one text.
"""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple, Self

from jobs.datasets.formats.table import Value

BOOLEAN_TEXTS = {True: "true", False: "false"}
CELL_TYPES = {int, float, str, bool, type(None)}
NUMBER_TYPES = {int, float, type(None)}
MESSAGES, MESSAGE_FIELDS = "messages", {"role", "content"}
MAX_FLOAT_BITS = 1023  # of a whole number that float64 can hold, but for its precision
INFINITY = float("inf")
VECTOR_COLUMN = re.compile(r"(.*)\[(0|[1-9]\d*)\]", re.DOTALL)
CELL_RULE = (
    "a number, a text, true, false, null, or a list of numbers; "
    "objects inside a row have to be flattened (pandas: json_normalize)"
)
VECTOR_RULE = "a list of {} numbers, as where it first has a value"
NEW_NAME_RULE = (
    "no name that the first row lacks: it has all names, and null for what is missing "
    "(as pandas' to_json writes it)"
)
MESSAGES_RULE = 'a list of messages {"role": text, "content": text} without further names'
SURROGATE_RULE = "no half of a surrogate pair"

Row = dict[str, Any]


class FieldFault(NamedTuple):
    """What is wrong with a field of a row."""

    name: str
    rule: str
    value: Any


class Vector(NamedTuple):
    """The columns of a list of numbers."""

    start: int
    width: int


class JsonFields:
    """Turns the fields of rows into columns, whose names are `names`."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._singles: dict[str, int] = {}
        self._vectors: dict[str, Vector] = {}

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        """Take the names of the first row; the first value of a field tells whether it is a list.

        A field that is null in all these rows is a single cell.
        """
        fields, first_values = cls([]), dict[str, Any]()
        for row in rows:
            first_values |= {
                name: value
                for name, value in row.items()
                if value is not None and name not in first_values
            }
        for name in rows[0]:
            first: Any = first_values.get(name)
            start = len(fields.names)
            if _is_vector(first):
                fields._vectors[name] = Vector(start, len(first))
                fields.names += [f"{name}[{at}]" for at in range(len(first))]
            else:
                fields._singles[name] = start
                fields.names.append(name)
        return fields

    @classmethod
    def from_names(cls, names: list[str]) -> Self:
        """Take the names of columns, as read before; `v[0]`, `v[1]`, … may have been a list."""
        fields = cls(names)
        fields._singles = {name: at for at, name in enumerate(names)}
        for at, name in enumerate(names):
            match = VECTOR_COLUMN.fullmatch(name)
            if match is None:
                continue
            base, index = match[1], int(match[2])
            if index == 0:
                fields._vectors[base] = Vector(at, 1)
            elif fields._vectors.get(base) == (at - index, index):
                fields._vectors[base] = Vector(at - index, index + 1)
        return fields

    def read_columns(self, rows: Sequence[Row]) -> list[list[Value]] | None:
        """Return the columns of rows; None if a row has a fault."""
        columns: list[list[Value]] = [[]] * len(self.names)
        for name in set(chain.from_iterable(set(map(tuple, rows)))):
            cells = self._read_field(name, [row.get(name) for row in rows])
            if cells is None:
                return None
            start = self._start_of(name)
            columns[start : start + len(cells)] = cells
        return [column or [None] * len(rows) for column in columns]

    def read_row(self, row: Row) -> tuple[list[Value], list[FieldFault]]:
        """Return the cells of a row, and its faults."""
        cells: list[Value] = [None] * len(self.names)
        faults: list[FieldFault] = []
        for name, value in row.items():
            columns = self._read_field(name, [value])
            if columns is None:
                faults.append(FieldFault(name, self._rule_of(name, value), value))
            else:
                start = self._start_of(name)
                cells[start : start + len(columns)] = [column[0] for column in columns]
        return cells, faults

    def _start_of(self, name: str) -> int:
        return self._singles[name] if name in self._singles else self._vectors[name].start

    def _read_field(self, name: str, values: list[Any]) -> list[list[Value]] | None:
        """Return the columns of a field; None if one value has a fault, or the field is new."""
        if name in self._singles:
            cells = _read_cells(name, values)
            return None if cells is None else [cells]
        return self._read_vectors(name, values) if name in self._vectors else None

    def _rule_of(self, name: str, value: Any) -> str:
        if name in self._vectors and name not in self._singles:
            return VECTOR_RULE.format(self._vectors[name].width)
        if name not in self._singles:
            return NEW_NAME_RULE
        if isinstance(value, str):
            return SURROGATE_RULE
        return MESSAGES_RULE if name == MESSAGES else CELL_RULE

    def _read_vectors(self, name: str, values: list[Any]) -> list[list[Value]] | None:
        """Return the columns of a field of lists; None if one value is no such list."""
        gap = [None] * self._vectors[name].width
        lists = [gap if value is None else value for value in values]
        if set(map(type, lists)) != {list} or set(map(len, lists)) != {len(gap)}:
            return None
        columns = [list(column) for column in zip(*lists, strict=True)]
        if not set(map(type, chain.from_iterable(lists))) <= NUMBER_TYPES:
            return None
        return list(map(_spell_huge, columns))


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and set(map(type, value)) <= NUMBER_TYPES


def _read_cells(name: str, values: list[Any]) -> list[Value] | None:
    """Return the values of a field as cells; None if one is no cell."""
    if name == MESSAGES:
        values = [_join_messages(value) for value in values]
    types = set(map(type, values))
    if bool in types:
        values = [BOOLEAN_TEXTS[v] if isinstance(v, bool) else v for v in values]
    if not types <= CELL_TYPES or (str in types and not _are_texts(values)):
        return None
    return _spell_huge(values)


def _join_messages(value: Any) -> Any:
    """Return a list of messages as one text, `role: content` on a line each; else the value."""
    if not isinstance(value, list) or not value:
        return value
    for message in value:
        if not isinstance(message, dict) or message.keys() != MESSAGE_FIELDS:
            return value
        if not all(isinstance(part, str) for part in message.values()):
            return value
    return "\n".join(f"{message['role']}: {message['content']}" for message in value)


def _are_texts(values: list[Any]) -> bool:
    """Return whether all texts among some values can be written as UTF-8."""
    try:
        "".join(value for value in values if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _spell_huge(values: list[Any]) -> list[Value]:
    """Return cells with the numbers that no finite float can come near as texts."""
    kinds = set(map(type, values))
    if float in kinds and (INFINITY in values or -INFINITY in values):
        values = [str(value) if value in (INFINITY, -INFINITY) else value for value in values]
    if int not in kinds:
        return values
    if max(value.bit_length() for value in values if type(value) is int) <= MAX_FLOAT_BITS:
        return values
    return [
        str(value) if type(value) is int and value.bit_length() > MAX_FLOAT_BITS else value
        for value in values
    ]
