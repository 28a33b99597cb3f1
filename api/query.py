"""Strict parsing of query parameters into frozen models. Knows no endpoint.

Rejects unknown names, repeated names (unless the field is a list), and numbers with anything but
digits.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from werkzeug.datastructures import MultiDict

from api.errors import Problem, error_entry
from api.shown_values import MAX_LISTED_ERRORS
from jobs.spec.pydantic_rules import describe_rule

INTEGER_PATTERN = re.compile(r"-?[0-9]{1,18}")
SECONDS_PATTERN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?")
MAX_PAGE_ITEMS = 1000


class Query(BaseModel):
    """Base of all query models."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NoQuery(Query):
    """An endpoint without parameters."""


def _check_form(pattern: re.Pattern[str], rule: str, value: Any) -> Any:
    if isinstance(value, str) and not pattern.fullmatch(value):
        raise ValueError(rule)
    return value


#: goes last, as in Annotated[int, Field(ge=0), DECIMAL]: else OpenAPI loses the bounds
DECIMAL = BeforeValidator(partial(_check_form, INTEGER_PATTERN, "a whole number in digits"))
#: true or false, as text
Flag = Annotated[
    bool, BeforeValidator(partial(_check_form, re.compile("true|false"), "true or false"))
]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE_ITEMS), DECIMAL]
SECONDS = BeforeValidator(partial(_check_form, SECONDS_PATTERN, "a number of seconds"))
Wait = Annotated[float, Field(ge=0, le=30), SECONDS]


class PageQuery(Query):
    """One page of a list, oldest first by default."""

    limit: Limit = 100
    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] | None = None
    """`next_after` of the page before."""
    order: Literal["asc", "desc"] = "asc"


QueryT = TypeVar("QueryT", bound=Query)


def parse_query(
    model: type[QueryT], arguments: MultiDict[str, str], ignored: Collection[str] = ()
) -> QueryT:
    """Return a query's arguments as a model, without the `ignored` names.

    Raises Problem (400) with all errors.
    """
    parameters: dict[str, Any] = {}
    duplicates: list[tuple[Any, ...]] = []
    for name, values in arguments.lists():
        if name in ignored:
            continue
        if _is_repeatable(model, name):
            parameters[name] = values
        elif len(values) > 1:
            duplicates.append((name, "given more than once", values))
        else:
            parameters[name] = values[0]
    try:
        query = model.model_validate(parameters)
    except ValidationError as error:
        raise _invalid_parameters([*duplicates, *_describe_errors(error)]) from None
    if duplicates:
        raise _invalid_parameters(duplicates)
    return query


def _is_repeatable(model: type[Query], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and getattr(field.annotation, "__origin__", None) is list


def _describe_errors(error: ValidationError) -> Iterator[tuple[Any, ...]]:
    for item in error.errors(include_url=False):
        kind = item["type"]
        detail = describe_rule(kind, item["msg"], item.get("ctx", {}))
        detail = "no such parameter" if kind == "extra_forbidden" else detail
        name = str(item["loc"][0]) if item["loc"] else ""
        value = () if kind == "missing" else (item["input"],)
        yield name, detail, *value


def _invalid_parameters(errors: Sequence[tuple[Any, ...]]) -> Problem:
    entries = [error_entry("parameter", *error) for error in errors[:MAX_LISTED_ERRORS]]
    detail = f"{entries[0]['parameter']}: {entries[0]['detail']}"
    left_out = len(errors) - len(entries)
    return Problem("invalid-parameter", detail, error_entries=entries, left_out=left_out)
