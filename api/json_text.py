"""JSON text of long lists, made in steps: the encoder itself lets no other thread run meanwhile."""

import json
from collections.abc import Iterator

STEP_VALUES = 500


def dump_in_steps(value: object) -> str:
    """Return what `json.dumps` returns, with NaN and infinities refused."""
    return "".join(_iter_texts(value))


def _iter_texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for number, (name, member) in enumerate(value.items()):
            yield f"{', ' if number else ''}{json.dumps(name)}: "
            yield from _iter_texts(member)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for start in range(0, len(value), STEP_VALUES):
            text = json.dumps(value[start : start + STEP_VALUES], allow_nan=False)
            yield f"{', ' if start else ''}{text[1:-1]}"
        yield "]"
    else:
        yield json.dumps(value, allow_nan=False)
