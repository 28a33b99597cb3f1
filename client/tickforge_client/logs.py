"""A job's log: read once, or followed to the job's end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path
from tickforge_client.retry import parse_retry_after

#: seconds a long poll waits for more, and between two polls that the server does not hold
LONG_POLL_SECONDS, POLL_SECONDS = 20.0, 1.0


@dataclass(frozen=True)
class Log:
    """A part of a log: its bytes, the offset of the next byte, and whether the log is complete."""

    text: bytes
    next_after: int
    complete: bool


async def read(session: ApiSession, job_id: str, after: int = 0, wait: float = 0) -> Log:
    """Return the log from byte `after` on; wait up to `wait` seconds while there is nothing."""
    return (await _request_log(session, job_id, after, wait))[0]


async def follow(session: ApiSession, job_id: str, after: int = 0) -> AsyncIterator[bytes]:
    """Yield chunks of the log as it grows, until the job has ended and all of it is read."""
    while True:
        started = time.monotonic()
        log, min_pause = await _request_log(session, job_id, after, LONG_POLL_SECONDS)
        after = log.next_after
        if log.text:
            yield log.text
        if log.complete:
            return
        if not log.text and time.monotonic() < started + LONG_POLL_SECONDS / 2:
            await session.sleep(max(POLL_SECONDS, min_pause or 0))


async def _request_log(
    session: ApiSession, job_id: str, after: int, wait: float
) -> tuple[Log, float | None]:
    path, query = api_path("jobs", job_id, "logs"), {"after": after, "wait": wait}
    async with session.stream(path, params=query, headers={"Accept": "text/plain"}) as response:
        text = b"".join([piece async for piece in response.pieces])
    headers = response.headers
    log = Log(text, int(headers["x-next-after"]), headers["x-complete"] == "true")
    return log, parse_retry_after(headers.get("retry-after"))
