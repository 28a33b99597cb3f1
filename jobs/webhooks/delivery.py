"""One delivery as clients see it, and when it is tried again. Sends no command."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.timestamps import format_rfc3339

MINUTE, HOUR = 60.0, 3600.0
#: seconds from each failed try to the next; beyond three days there is none
RETRY_DELAYS_SECONDS = (
    5.0, 30.0, 2 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 10 * HOUR,
    12 * HOUR, 12 * HOUR, 12 * HOUR, 12 * HOUR,
)  # fmt: skip
MAX_RETRY_SECONDS = 72 * HOUR  # after the first try


class DeliveryInfo(BaseModel):
    """A message to a webhook, and how its delivery goes."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="the header `webhook-id`: of one event it is the same for ever")
    event: str
    job: str | None
    tick: int | None
    url: str | None = Field(description="the address, where the job's spec names it")
    attempt: int = Field(description="tries so far")
    status: Literal["waiting", "delivered", "failed", "dropped"]
    response_code: int | None = Field(description="of the newest try; null without an answer")
    error: str | None = Field(description="why the newest try failed")
    next_try: str | None = Field(
        description="null once it has ended, and while an earlier message of its job waits"
    )
    created_at: str
    finished_at: str | None


def parse_delivery(record: Mapping[bytes, bytes]) -> DeliveryInfo:
    """Parse a message's record."""
    text = {name.decode(): value.decode() for name, value in record.items() if name != b"body"}
    return DeliveryInfo.model_validate(
        {
            "id": text["id"],
            "event": text["event"],
            "job": text.get("job") or None,
            "tick": int(text["tick"]) if "tick" in text else None,
            "url": text.get("url") or None,
            "attempt": int(text["attempt"]),
            "status": text["status"],
            "response_code": int(text["code"]) if "code" in text else None,
            "error": text.get("error"),
            "next_try": format_rfc3339(int(text["next_ms"])) if "next_ms" in text else None,
            "created_at": format_rfc3339(int(text["created_ms"])),
            "finished_at": format_rfc3339(int(text["ended_ms"])) if "ended_ms" in text else None,
        }
    )


def retry_delay(attempt: int, seconds_since_first: float) -> float | None:
    """Return the seconds until the next try after so many failed ones; None: there is none."""
    if attempt > len(RETRY_DELAYS_SECONDS):
        return None
    delay = RETRY_DELAYS_SECONDS[attempt - 1]
    return delay if seconds_since_first + delay <= MAX_RETRY_SECONDS else None
