"""The base of all parts of a request body, whose errors are bounded in number and memory.

Pydantic keeps an error for each wrong item, of some 2 KiB: a body of 1 MiB can be half a million.
Here each list and each object tells its first errors and counts the others. Knows no field.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Self, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

MAX_ERRORS = 100  # that a list, an object or a whole body tells; others are counted
PIECE_ITEMS = 1000  # that are checked at a time, so that their errors fit in memory
#: type of the error that counts those left out; its context has `count`
ERRORS_LEFT_OUT = "errors_left_out"

Validate = Callable[[Any], Any]


class StrictModel(BaseModel):
    """A part of a body: strict, frozen, no unknown field."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _limit_unknown_fields(cls, value: Any, handler: Validate) -> Self:
        """Show the unknown fields beyond the first MAX_ERRORS to no validator: they are counted."""
        if not isinstance(value, dict) or len(value) <= MAX_ERRORS:
            return handler(value)  # type: ignore[no-any-return]
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = [name for name in value if name not in known]
        surplus = set(unknown[MAX_ERRORS:])
        errors = _ErrorCollector(cls.__name__)
        errors.left_out = len(surplus)
        shown = {name: item for name, item in value.items() if name not in surplus}
        model: Self = errors.check(handler, shown)
        errors.raise_if_any()
        return model


class LimitErrors:
    """Annotation of a list or an object of any length: at most MAX_ERRORS of its errors are shown.

    It is checked in pieces, so that the errors of one piece are all that is in memory. `max_items`
    is refused at once, where pydantic would check each item first. `rows`: its items may be lists
    of numbers of any length, and are checked in pieces as well.
    """

    def __init__(self, *, max_items: int | None = None, rows: bool = False) -> None:
        self._max_items, self._rows = max_items, rows

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Wrap the validation of the annotated type."""
        validate = partial(self._validate, get_origin(source))
        return core_schema.no_info_wrap_validator_function(validate, handler(source))

    def _validate(
        self, container: type[list[Any] | dict[Any, Any]], value: Any, handler: Validate
    ) -> Any:
        if not isinstance(value, container):
            return handler(value)
        if self._max_items is not None and len(value) > self._max_items:
            rule = f"at most {self._max_items} items, not {len(value)}"
            raise PydanticCustomError("too_long", rule)
        if isinstance(value, dict):
            return _validate_object(value, handler)
        return _validate_list(value, handler, self._rows)


class _Piece(NamedTuple):
    """Items of a list from `at` on; or, where `offset` is set, a part of item `at` from there."""

    items: list[Any]
    at: int
    offset: int | None = None

    def locate(self, path: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Return an error's path in the whole list."""
        if not path:  # of the list as a whole
            return ()
        if self.offset is None:
            return (int(path[0]) + self.at, *path[1:])
        inner = [step + self.offset if isinstance(step, int) else step for step in path[1:]]
        return (self.at, *inner)


class _ErrorCollector:
    """The first errors of several validations, and how many more there are."""

    def __init__(self, title: str) -> None:
        self.left_out = 0
        self._title, self._lines = title, list[InitErrorDetails]()

    def check(
        self,
        validate: Validate,
        value: Any,
        locate: Callable[[tuple[int | str, ...]], tuple[int | str, ...]] = tuple,
    ) -> Any:
        """Return the valid value, or take its errors and return None."""
        try:
            return validate(value)
        except ValidationError as error:
            self._take(error, locate)
            return None

    def _take(self, error: ValidationError, locate: Callable[..., tuple[int | str, ...]]) -> None:
        if len(self._lines) >= MAX_ERRORS:
            self.left_out += error.error_count()
            return
        for item in error.errors(include_url=False):
            if item["type"] == ERRORS_LEFT_OUT:
                self.left_out += item["ctx"]["count"]
            elif len(self._lines) >= MAX_ERRORS:
                self.left_out += 1
            else:
                context = {key: part for key, part in item.get("ctx", {}).items() if key != "error"}
                kind = PydanticCustomError(item["type"], item["msg"], context)
                path = locate(item["loc"])
                self._lines.append(InitErrorDetails(type=kind, loc=path, input=item["input"]))

    @property
    def has_any(self) -> bool:
        """Whether a validation had errors."""
        return bool(self._lines) or self.left_out > 0

    def raise_if_any(self) -> None:
        """Raise ValidationError with the errors taken, the last one counting those left out."""
        if self.left_out:
            context = {"count": self.left_out}
            kind = PydanticCustomError(ERRORS_LEFT_OUT, "{count} more errors", context)
            self._lines.append(InitErrorDetails(type=kind, loc=(), input=None))
        if self._lines:
            raise ValidationError.from_exception_data(self._title, self._lines)


def _validate_list(value: list[Any], handler: Validate, has_rows: bool) -> Any:
    pieces = iter(_split_rows(value) if has_rows else _split(value))
    first = next(pieces, None)
    if first is None or len(first.items) == len(value) and first.offset is None:
        return handler(value)
    valid, errors = list[Any](), _ErrorCollector("list")
    for piece in (first, *pieces):
        items = errors.check(handler, piece.items, piece.locate)
        if errors.has_any:
            continue
        if piece.offset:
            valid[-1] += items[0]
        else:
            valid += items
    errors.raise_if_any()
    return valid


def _validate_object(value: dict[Any, Any], handler: Validate) -> Any:
    if len(value) <= PIECE_ITEMS:
        return handler(value)
    valid, errors, members = dict[Any, Any](), _ErrorCollector("dict"), iter(value.items())
    while piece := dict(islice(members, PIECE_ITEMS)):
        valid |= errors.check(handler, piece) or {}
    errors.raise_if_any()
    return valid


def _split(value: list[Any]) -> Iterator[_Piece]:
    for at in range(0, len(value), PIECE_ITEMS):
        yield _Piece(value[at : at + PIECE_ITEMS], at)


def _split_rows(value: list[Any]) -> Iterator[_Piece]:
    """Split a list of numbers and rows where their numbers together reach PIECE_ITEMS."""
    start = weight = 0
    for at, item in enumerate(value):
        size = len(item) if isinstance(item, list) else 1
        if size <= PIECE_ITEMS and weight + size <= PIECE_ITEMS:
            weight += size or 1
            continue
        if start < at:
            yield _Piece(value[start:at], start)
        start, weight = at, size or 1
        if size > PIECE_ITEMS:
            for offset in range(0, size, PIECE_ITEMS):
                yield _Piece([item[offset : offset + PIECE_ITEMS]], at, offset)
            start, weight = at + 1, 0
    if start < len(value):
        yield _Piece(value[start:], start)
