"""Translate pydantic's errors into those of a JSON body: pointer, rule, value."""

from typing import Any, NamedTuple

from pydantic import ValidationError

from jobs.spec.base import FieldError, pointer_step
from jobs.spec.pydantic_rules import describe_rule
from models.strict_models import ERRORS_LEFT_OUT

#: by the error of a union that no branch fits: the field that names the branch
DISCRIMINATOR_FIELDS = {
    "unknown_family": "/family",
    "unknown_optimizer": "/name",
    "unknown_source": "/source",
}


class BodyErrors(NamedTuple):
    """The errors of a body, and how many more its lists and objects have."""

    errors: list[FieldError]
    left_out: int


def to_field_errors(error: ValidationError, body: object) -> BodyErrors:
    """Translate the errors of a body, each (pointer, rule) once.

    They are few whatever the body holds: its parts are StrictModels, its lists have LimitErrors.
    """
    items = error.errors(include_url=False)
    left_out = sum(item["ctx"]["count"] for item in items if item["type"] == ERRORS_LEFT_OUT)
    field_errors = [
        _to_field_error(item, body) for item in items if item["type"] != ERRORS_LEFT_OUT
    ]
    unique = {(error.pointer, error.detail): error for error in field_errors}
    return BodyErrors(list(unique.values()), left_out)


def _to_field_error(item: Any, body: object) -> FieldError:
    kind, value = item["type"], item["input"]
    where = json_pointer(item["loc"], body, missing=kind == "missing")
    rule = describe_rule(kind, item["msg"], item.get("ctx", {}))
    if kind in DISCRIMINATOR_FIELDS and isinstance(value, dict):
        name = DISCRIMINATOR_FIELDS[kind]
        return FieldError(where + name, rule, value.get(name[1:]))
    return FieldError(where, rule, None if kind == "missing" else value)


def json_pointer(path: tuple[str | int, ...], body: object, *, missing: bool = False) -> str:
    """Build the JSON pointer (RFC 6901) of a pydantic path into `body`.

    A step that `body` lacks is a tag (the name of a union's branch, or of a type) and is left out;
    the last step of a `missing` field is its name.
    """
    parts: list[str] = []
    node = body
    for at, step in enumerate(path):
        if _has_step(node, step):
            node = node[step]  # type: ignore[index]
        elif not (missing and at == len(path) - 1):
            continue
        parts.append(pointer_step(step))
    return "".join("/" + part for part in parts)


def _has_step(node: object, step: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, dict) and step in node
