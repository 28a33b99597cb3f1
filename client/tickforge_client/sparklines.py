"""A curve in one line of text. Knows no job and no HTTP."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: characters from low to high, and those for terminals that have no others
BLOCKS, ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
#: as in the server's curves: of values above 0, the ratio above which the scale is logarithmic
LOG_SCALE_RATIO = 20.0


def sparkline(values: Sequence[float | None], encoding: str | None) -> str:
    """Return a character for each value, a blank for None, in characters of this encoding."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    is_log = low > 0 and high / low > LOG_SCALE_RATIO
    levels = _levels(encoding)

    def scale(value: float) -> float:
        return math.log(value) if is_log else value

    def character(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return " "
        span = scale(high) - scale(low)
        fraction = (scale(value) - scale(low)) / span if span > 0 else 0.0
        return levels[min(int(fraction * len(levels)), len(levels) - 1)]

    return "".join(map(character, values))


def _levels(encoding: str | None) -> str:
    try:
        BLOCKS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_LEVELS
    return BLOCKS
