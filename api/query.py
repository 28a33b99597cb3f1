"""Query parameters: read strictly into frozen models. Knows no endpoint.

An unknown name is refused, a name given twice too (unless its field is a list), and a number is
digits and nothing else.
"""

import re
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal, TypeVar

from flask import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api.errors import Problem, fault

DIGITS = re.compile(r"-?[0-9]{1,18}")
SECONDS = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?")
MOST_LISTED = 1000


class Query(BaseModel):
    """What every query has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NoQuery(Query):
    """An endpoint without parameters."""


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not DIGITS.fullmatch(value):
        raise ValueError("a whole number in digits")
    return value


def _seconds(value: Any) -> Any:
    if isinstance(value, str) and not SECONDS.fullmatch(value):
        raise ValueError("a number of seconds")
    return value


#: use as Annotated[int, Field(ge=0), DECIMAL]: limits before it, or the document loses them
DECIMAL = BeforeValidator(_whole)
Limit = Annotated[int, Field(ge=1, le=MOST_LISTED), DECIMAL]
Wait = Annotated[float, Field(ge=0, le=30), BeforeValidator(_seconds)]


class Oldest(Query):
    """A page of a list that begins with the oldest."""

    limit: Limit = 100
    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] | None = None
    """`next_after` of the page before."""
    order: Literal["asc", "desc"] = "asc"


Asked = TypeVar("Asked", bound=Query)

#: plainer words than pydantic's own, by its type of error
RULES = {"extra_forbidden": "no such parameter", "missing": "required"}


def read_query(model: type[Asked], request: Request, besides: Collection[str] = ()) -> Asked:
    """Check the query against a model; raises Problem (400) with all faults.

    Names in `besides` are read elsewhere.
    """
    given = {
        name: values if _repeatable(model, name) or len(values) > 1 else values[0]
        for name, values in request.args.lists()
        if name not in besides
    }
    twice = [
        (name, "given more than once", values)
        for name, values in given.items()
        if isinstance(values, list) and not _repeatable(model, name)
    ]
    once = {
        name: value for name, value in given.items() if name not in {name for name, *_ in twice}
    }
    try:
        asked = model.model_validate(once)
    except ValidationError as error:
        raise _refused([*twice, *_faults(error)]) from None
    if twice:
        raise _refused(twice)
    return asked


def _repeatable(model: type[Query], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and getattr(field.annotation, "__origin__", None) is list


def _faults(error: ValidationError) -> Iterable[tuple[Any, ...]]:
    for item in error.errors(include_url=False, include_context=False):
        detail = RULES.get(item["type"], item["msg"].removeprefix("Value error, "))
        name = str(item["loc"][0]) if item["loc"] else ""
        value = () if item["type"] == "missing" else (item["input"],)
        yield name, detail, *value


def _refused(faults: Iterable[tuple[Any, ...]]) -> Problem:
    found = [fault("parameter", *each) for each in faults]
    detail = f"{found[0]['parameter']}: {found[0]['detail']}"
    return Problem("invalid-parameter", detail, faults=found[:100])
