"""Request bodies: JSON read strictly. Knows the rules of JSON, none of what is asked.

Refused are: anything but UTF-8 JSON of at most 1 MiB, a name given twice in an object, nesting
deeper than any spec, and half a surrogate pair, which no store could hold. NaN and infinities,
which JSON has not but many writers write, pass here: the schema refuses them and names the field.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from api.errors import Problem, bad_header, invalid
from jobs.spec.faults import to_field_errors
from jobs.spec.rules import FieldError

MOST_BYTES = 1 << 20
DEEPEST = 32

Model = TypeVar("Model", bound=BaseModel)


def read_json(request: Request) -> Any:
    """Parse the body; raises Problem (400, 413, 415)."""
    _check_media_type(request)
    try:
        text = _read(request).decode()
    except UnicodeDecodeError as error:
        raise Problem("malformed-json", f"not UTF-8 at byte {error.start}") from None
    try:
        body = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Problem("malformed-json", f"{error.msg} at {where}") from None
    except ValueError as error:  # of the hooks, and a number of thousands of digits
        raise Problem("malformed-json", str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    _check_nested(body)
    if "\\u" in text:
        _check_text(body)
    return body


def read_nothing(request: Request) -> None:
    """Let a verb's body be empty or {}; raises Problem for any other."""
    if is_empty(request):
        return
    if not _read(request) or (body := read_json(request)) == {}:
        return
    names = list(body) if isinstance(body, dict) else []
    rule = "unknown field: the body must be empty or {}"
    unknown = [FieldError(f"/{name}", rule, body[name]) for name in names]
    raise invalid("invalid-body", unknown or [FieldError("", "must be empty or {}", body)])


def is_empty(request: Request) -> bool:
    """Whether no body was sent at all."""
    return not request.content_length and not request.headers.get("Transfer-Encoding")


def read_as(model: type[Model], body: Any) -> Model:
    """Check a parsed body against a model; raises Problem with all faults."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid("invalid-body", to_field_errors(error, body)) from None


def digest(body: Any) -> str:
    """Return sha256 of a parsed body: equal for bodies that are equal as JSON."""
    text = json.dumps(_canonical(body), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read(request: Request) -> bytes:
    try:
        data = request.get_data()
    except OSError:
        raise Problem("bad-request", "the body ended before its length") from None
    if len(data) > MOST_BYTES:
        raise RequestEntityTooLarge
    return data


def _check_media_type(request: Request) -> None:
    given = request.headers.get("Content-Type", "")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in ("utf-8", "utf8"):
        raise bad_header(
            "unsupported-media-type", "Content-Type", "application/json in UTF-8", given
        )
    if encoding := request.headers.get("Content-Encoding"):
        raise bad_header("unsupported-media-type", "Content-Encoding", "none", encoding)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"an object has the name {twice[:100]!r} twice")
    return made


def _check_nested(body: Any) -> None:
    level = _inner([body])
    for _ in range(DEEPEST):
        level = _inner(child for each in level for child in _children(each))
    if level:
        raise _too_deep()


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _inner(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]


def _too_deep() -> Problem:
    return Problem("malformed-json", f"nested deeper than {DEEPEST} levels")


def _check_text(body: Any) -> None:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Problem("malformed-json", "a string holds half a surrogate pair") from None


def _canonical(body: Any) -> Any:
    """Make numbers that are equal as JSON the same: 8.0 and 8."""
    if isinstance(body, dict):
        return {name: _canonical(value) for name, value in body.items()}
    if isinstance(body, list):
        return [_canonical(value) for value in body]
    if isinstance(body, float) and body.is_integer():
        return int(body)
    return body
