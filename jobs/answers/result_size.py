"""How many bytes the predictions of a dataset can take, told before a net has computed one."""

import json
from collections.abc import Mapping
from typing import Any

NUMBER_BYTES = 26  # of a number in a line, with its comma
#: of a line without its numbers and classes: braces, names of fields, the number of the row
LINE_BYTES = 64
ERROR_LINE_BYTES = 256  # of a row that the net cannot read: an error is cut at 200 bytes
ESCAPE_BYTES = 4  # of a line end beyond ASCII, beside its UTF-8: it is escaped


def compute_max_bytes(rows: int, config: Mapping[str, Any]) -> int:
    """Return the most bytes that as many rows of the net of this config.json can take."""
    outputs = int(config["outputs"])
    line = LINE_BYTES + outputs * NUMBER_BYTES
    if config["objective"] == "cross_entropy":
        names = config.get("classes") or [str(number) for number in range(outputs)]
        sizes = [_json_bytes(name) + len(": ") for name in names]
        line += sum(sizes) + max(sizes)
    return rows * max(line, ERROR_LINE_BYTES)


def _json_bytes(name: str) -> int:
    """Return the most bytes of a name in a line."""
    text = json.dumps(name, ensure_ascii=False)
    return len(text.encode()) + ESCAPE_BYTES * sum(map(text.count, "\x85\u2028\u2029"))
