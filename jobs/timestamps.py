"""Times as the API shows them: RFC 3339, UTC, milliseconds, as in 2026-01-31T12:00:00.000Z."""

import time
from datetime import UTC, datetime


def format_rfc3339(ms: int) -> str:
    """Format a time in ms since the epoch."""
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def now_rfc3339() -> str:
    """Format this machine's time."""
    return format_rfc3339(time.time_ns() // 1_000_000)
