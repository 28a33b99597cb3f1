"""What is sent as JSON: numbers of numpy become Python's, and what JSON cannot carry is named.

Sends nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, SupportsFloat

from tickforge_client.errors import FieldError, InvalidInput

#: errors that a message lists
MAX_ERRORS = 10
#: levels of lists and objects in one another
MAX_DEPTH = 100
#: what json.dumps raises
ENCODING_ERRORS = (TypeError, ValueError, RecursionError)


def encode(body: Any) -> str:
    """Return a body as JSON. Raises InvalidInput, which names each value that it cannot carry."""
    try:
        return json.dumps(body, allow_nan=False, default=_to_plain)
    except ENCODING_ERRORS as error:
        raise find_faults(body) from error


def find_faults(value: Any, pointer: str = "") -> InvalidInput:
    """Return the error that names what JSON cannot carry in a value at this pointer."""
    return InvalidInput(list(islice(_walk(value, pointer, 0), MAX_ERRORS)))


def require_object(name: str, value: Any, example: str) -> dict[str, Any]:
    """Return a copy of a mapping. Raises InvalidInput for anything else."""
    if not isinstance(value, Mapping):
        raise InvalidInput([FieldError(f"/{name}", f"an object, such as {example}", value, True)])
    return dict(value)


def require_text(name: str, value: Any, example: str) -> str:
    """Return a text that is not empty. Raises InvalidInput for anything else."""
    if not isinstance(value, str) or not value:
        raise InvalidInput([FieldError(f"/{name}", f"a text, such as {example}", value, True)])
    return value


def require_seconds(name: str, value: Any) -> float | None:
    """Return a number of seconds, or None. Raises InvalidInput for anything else, and for NaN."""
    if value is None:
        return None
    if not isinstance(value, SupportsFloat) or isinstance(value, bool) or math.isnan(value):
        raise InvalidInput([FieldError(f"/{name}", "a number of seconds, or None", value, True)])
    return float(value)


def require_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return one of these texts. Raises InvalidInput for anything else."""
    if not isinstance(value, str) or value not in choices:
        rule = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise InvalidInput([FieldError(f"/{name}", rule, value, True)])
    return value


def _walk(value: Any, pointer: str, depth: int) -> Iterator[FieldError]:
    try:
        value = value if isinstance(value, _KINDS) else _to_plain(value)
    except TypeError:
        rule = "a number, a text, true, false, null, a list or an object"
        yield FieldError(pointer, rule, value, True)
        return
    if isinstance(value, float) and not math.isfinite(value):
        yield FieldError(pointer, "a finite number", value, True)
    elif isinstance(value, dict | list | tuple):
        if depth == MAX_DEPTH:
            yield FieldError(pointer, f"at most {MAX_DEPTH} levels of lists and objects")
            return
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            if not isinstance(name, _KEYS):
                yield FieldError(pointer, "keys that are texts", name, True)
            else:
                yield from _walk(item, f"{pointer}/{escape(name)}", depth + 1)


_KINDS = (str, bool, int, float, list, tuple, dict, type(None))
_KEYS = (str, bool, int, float, type(None))


def escape(name: object) -> str:
    """Return a name as a part of a JSON pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")


def _to_plain(value: Any) -> Any:
    """Return what json.dumps takes in the place of a mapping, or of a number or array of numpy."""
    if isinstance(value, Mapping):
        return dict(value)
    plain = value.tolist() if hasattr(value, "tolist") else value
    if type(plain) is type(value):  # a long double has no other form
        raise TypeError(f"{value!r} is no JSON")
    return plain
