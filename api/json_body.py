"""Strict parsing of JSON request bodies. Knows no endpoint.

Rejects anything but UTF-8 JSON of at most 1 MiB, an object with a name twice, deep nesting, and
half a surrogate pair, which no store could hold. NaN and infinities pass, though they are not JSON:
the schema rejects them with the name of their field.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from api.errors import Problem, validation_problem
from api.etag import JSON
from api.held_requests import hold_place_for_body
from api.shown_values import MAX_LISTED_ERRORS
from api.upload_body import check_media_type, limit_body, read_content_encoding
from jobs.spec.base import FieldError
from jobs.spec.pydantic_errors import json_pointer, to_field_errors

MAX_BODY_BYTES = 1 << 20
MAX_NESTING_DEPTH = 32

Model = TypeVar("Model", bound=BaseModel)


class RepeatedName(Exception):
    """An object of a body has a name twice."""


def read_json(request: Request) -> Any:
    """Return the parsed body. Raises Problem (400, 413, 415)."""
    check_media_type(request.headers.get("Content-Type", ""), (JSON,), f"{JSON} in UTF-8")
    read_content_encoding(request)
    try:
        text = _read_bytes(request).decode()
    except UnicodeDecodeError as error:
        raise Problem("malformed-json", f"not UTF-8 at byte {error.start}") from None
    try:
        body = json.loads(text, object_pairs_hook=_build_object)
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise Problem("malformed-json", f"{error.msg} at {position}") from None
    except RepeatedName as error:
        raise Problem("malformed-json", str(error)) from None
    except ValueError:
        rule = f"a number has more than {sys.get_int_max_str_digits():,} digits"
        raise Problem("malformed-json", rule) from None
    except RecursionError:
        raise _too_deep_problem() from None
    _check_depth(body)
    if "\\u" in text:
        _check_encodable(body)
    return body


def require_empty_body(request: Request) -> None:
    """Raise Problem (422) unless the body is empty or {}."""
    if has_no_body(request):
        return
    if not _read_bytes(request) or (body := read_json(request)) == {}:
        return
    if not isinstance(body, dict):
        raise validation_problem("invalid-body", [FieldError("", "must be empty or {}", body)])
    rule = "unknown field: the body must be empty or {}"
    names = list(islice(body, MAX_LISTED_ERRORS))
    field_errors = [FieldError(json_pointer((name,), body), rule, body[name]) for name in names]
    raise validation_problem("invalid-body", field_errors, len(body) - len(names))


def has_no_body(request: Request) -> bool:
    """Whether the request has no body."""
    return not request.content_length and not request.headers.get("Transfer-Encoding")


def parse_model(model: type[Model], body: Any) -> Model:
    """Validate a parsed body. Raises Problem (422) with all errors."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise validation_problem("invalid-body", *to_field_errors(error, body)) from None


def body_digest(body: Any) -> str:
    """Return the sha256 of a parsed body; 8.0 and 8 give the same one.

    Stored with idempotency keys and never shown, unlike the digests of certificates.
    """
    digest = hashlib.sha256()
    _write_canonical(body, lambda text: digest.update(text.encode()))
    return digest.hexdigest()


def _read_bytes(request: Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    with hold_place_for_body(), limit_body():
        data = request.get_data()
    if len(data) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return data


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        duplicate, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise RepeatedName(f"an object has the name {duplicate[:100]!r} twice")
    return members


def _check_depth(body: Any) -> None:
    level = _only_containers([body])
    for _ in range(MAX_NESTING_DEPTH):
        level = _only_containers(child for container in level for child in _children(container))
    if level:
        raise _too_deep_problem()


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _only_containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]


def _too_deep_problem() -> Problem:
    return Problem("malformed-json", f"nested deeper than {MAX_NESTING_DEPTH} levels")


def _check_encodable(body: Any) -> None:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Problem("malformed-json", "a string holds half a surrogate pair") from None


def _write_canonical(body: Any, write: Callable[[str], None]) -> None:
    """Write a body as JSON without spaces, names sorted, 8.0 as 8; makes no copy of it."""
    if isinstance(body, dict):
        separator = "{"
        for name in sorted(body):
            write(f"{separator}{json.dumps(name)}:")
            _write_canonical(body[name], write)
            separator = ","
        write("}" if body else "{}")
    elif isinstance(body, list) and any(isinstance(item, list | dict) for item in body):
        separator = "["
        for item in body:
            write(separator)
            _write_canonical(item, write)
            separator = ","
        write("]")
    elif isinstance(body, list):
        write(json.dumps(list(map(_canonical_scalar, body)), separators=(",", ":")))
    else:
        write(json.dumps(_canonical_scalar(body)))


def _canonical_scalar(value: Any) -> Any:
    """Replace a float that is a whole number by an int: 8.0 and 8 are equal as JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
