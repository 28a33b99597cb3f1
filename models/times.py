"""Read dates and times: the forms that have one meaning, as seconds since 1970 (UTC).

The profile of a table, its rows in a training and every model.py read them here.

They are ISO 8601's `YYYY-MM-DD`, also with slashes, alone or followed by `T` or a blank and
`HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`, and then nothing (UTC), `Z` or an offset such as
`+02:00`. Days before months, months before days and two-digit years are ambiguous: they are texts.
"""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_PATTERN = re.compile(
    r"(\d{4})([-/])(\d\d)\2(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


def parse_time(text: str) -> float | None:
    """Return a text without blanks around it as seconds since 1970; None if it is no time."""
    match = TIME_PATTERN.fullmatch(text)
    if match is None:
        return None
    year, _, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            tzinfo=UTC,
        )  # fmt: skip
        seconds = (moment - EPOCH - _offset(zone)).total_seconds()
    except ValueError:
        return None
    return seconds + float(f"0.{fraction}") if fraction else seconds


def _offset(zone: str | None) -> timedelta:
    """Return how much later than UTC a zone's clocks are. Raises ValueError for 24 h or more."""
    if zone is None or zone == "Z":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[3:].removeprefix(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(zone)
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
