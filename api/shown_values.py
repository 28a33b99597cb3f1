"""How much of a rejected value, and of where it is, an answer shows. Knows no problem.

Whatever the length of what was sent, little more than what is shown is looked at.
"""

import json
import reprlib
from collections.abc import Sequence
from typing import Any

MAX_LISTED_ERRORS, MAX_ERRORS_BYTES = 100, 64 << 10  # in one answer
MAX_VALUE_LENGTH = 200  # characters of a rejected value
MAX_POINTER_LENGTH = 200  # of where an error is
MAX_DETAIL_LENGTH = 400
CUT = "…"  # where something was left out

ENCODER = json.JSONEncoder(allow_nan=False)
SHORT_REPR = reprlib.Repr()
SHORT_REPR.maxlevel, SHORT_REPR.maxlist, SHORT_REPR.maxdict = 3, 20, 20
SHORT_REPR.maxstring = SHORT_REPR.maxother = MAX_VALUE_LENGTH


def truncate(text: str, max_length: int = MAX_VALUE_LENGTH) -> str:
    """Return a text, or its beginning and a mark, without half surrogate pairs."""
    shown = text[:max_length].encode(errors="replace").decode()
    return shown if len(text) <= max_length else shown + CUT


def printable_value(value: Any) -> Any:
    """Return a rejected value in a form that JSON can hold, cut if it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        value = str(value)
    if isinstance(value, str):
        is_short = len(value) <= MAX_VALUE_LENGTH >= len(json.dumps(value))
        return value if is_short else truncate(value)
    try:
        text = _first_json(value)
    except (ValueError, TypeError, RecursionError):
        return truncate(SHORT_REPR.repr(value))  # NaN, or not JSON at all
    return value if len(text) <= MAX_VALUE_LENGTH else truncate(text)


def _first_json(value: Any) -> str:
    """Return the JSON of a value; of a long one only the beginning, beyond MAX_VALUE_LENGTH."""
    text = ""
    for piece in ENCODER.iterencode(value):
        text += piece
        if len(text) > MAX_VALUE_LENGTH:
            break
    return text


def fitting_entries(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first entries, as many as MAX_LISTED_ERRORS and MAX_ERRORS_BYTES allow."""
    fitting, size = list[dict[str, Any]](), 0
    for entry in entries[:MAX_LISTED_ERRORS]:
        size += len(json.dumps(entry, allow_nan=False))
        if size > MAX_ERRORS_BYTES and fitting:
            break
        fitting.append(entry)
    return fitting
