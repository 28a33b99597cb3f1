"""Rules that pydantic checks are told in our words, whatever is wrong in a body or a query."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict

from api.app import ENDPOINTS
from api.errors import Problem
from api.query import Query, parse_query
from jobs.spec.pydantic_errors import to_field_errors
from jobs.spec.pydantic_rules import RULES

WRONG = (
    None, True, -1, 0, 1.5, 10**30, 1e300, float("nan"), float("inf"), "", "nothing", "9" * 5000,
    [], [None], ["x"] * 2000, {}, {"a": {}}, {"family": "mlp"}, {"hidden": "x"},
)  # fmt: skip
#: texts of an argument
WRONG_TEXTS = ("", "x", "-1", "9" * 18, "1.5", "x" * 10_000, "1e300")
PYDANTICS_WORDS = re.compile(r"\b(Input|should|valid|parse|pattern)\b|Value error|\^")


def parts_of(kind: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from parts_of(field.annotation)
    for argument in get_args(kind):
        yield from parts_of(argument)


BODIES = {part for endpoint in ENDPOINTS if endpoint.body for part in parts_of(endpoint.body)}
QUERIES = {endpoint.query for endpoint in ENDPOINTS} - {Query}


def find_body_errors(model: type[BaseModel], body: Any) -> Iterator[str]:
    try:
        model.model_validate(body)
    except ValidationError as error:
        yield from (fault.detail for fault in to_field_errors(error, body).errors)


def find_query_errors(model: Any, name: str, text: str) -> Iterator[str]:
    try:
        parse_query(model, MultiDict({name: text}))
    except Problem as problem:
        yield from (entry["detail"] for entry in problem.error_entries)


def find_details() -> Iterator[tuple[str, str]]:
    """Yield what is told of each wrong value in each field of each body and query, and where."""
    for model in BODIES:
        for body in (None, {"unknown": 1}, *bodies_of(model)):
            yield from ((model.__name__, detail) for detail in find_body_errors(model, body))
    for query in QUERIES:
        for name in [*query.model_fields, "unknown"]:
            for text in WRONG_TEXTS:
                rules = find_query_errors(query, name, text)
                yield from ((query.__name__, detail) for detail in rules)


def bodies_of(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    for name, field in model.model_fields.items():
        yield from ({field.alias or name: value} for value in WRONG)


def test_no_error_of_a_client_has_pydantics_own_words() -> None:
    details = {*find_details()}
    assert len({model for model, _ in details}) > 40 and len(details) > 300
    assert [detail for detail in details if PYDANTICS_WORDS.search(detail[1])] == []


def test_every_rule_of_ours_is_told_of_something() -> None:
    kinds = set()
    for model in BODIES:
        for body in (None, {"unknown": 1}, *bodies_of(model)):
            try:
                model.model_validate(body)
            except ValidationError as error:
                kinds |= {item["type"] for item in error.errors()}
    of_texts = {"int_parsing", "int_parsing_size", "float_parsing", "bool_parsing"}
    assert set(RULES) - kinds - of_texts == set()


def test_a_number_of_thousands_of_digits_is_told_as_such(client: Any) -> None:
    body = b'{"budget": {"ticks": ' + b"9" * 5000 + b"}}"
    refused = client.post("/v1/jobs", data=body, content_type="application/json")
    assert (refused.status_code, refused.json["detail"]) == (
        400, "a number has more than 4,300 digits",
    )  # fmt: skip
