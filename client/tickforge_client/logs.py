"""What a job's workers said about it: as far as it goes, or to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tickforge_client.http import Session, path_of
from tickforge_client.patience import retry_after

#: seconds that one request waits for more, and between two that the server does not hold
WAIT, PAUSE = 20.0, 1.0


@dataclass(frozen=True)
class Log:
    """A part of a log: its bytes, where it goes on, and whether more may come."""

    text: bytes
    next_after: int
    complete: bool


def read(session: Session, job_id: str, after: int = 0, wait: float = 0) -> Log:
    """Read from a byte on; waits as long for something to read."""
    return _read(session, job_id, after, wait)[0]


def follow(session: Session, job_id: str, after: int = 0) -> Iterator[bytes]:
    """Yield pieces of the log as it grows, until the job has ended and all of it was told."""
    while True:
        began = time.monotonic()
        log, asked = _read(session, job_id, after, WAIT)
        after = log.next_after
        if log.text:
            yield log.text
        if log.complete:
            return
        if not log.text and time.monotonic() < began + WAIT / 2:
            session.sleep(max(PAUSE, asked or 0))


def _read(session: Session, job_id: str, after: int, wait: float) -> tuple[Log, float | None]:
    path, asked = path_of("jobs", job_id, "logs"), {"after": after, "wait": wait}
    with session.stream(path, params=asked, headers={"Accept": "text/plain"}) as answer:
        text = b"".join(answer.iter_bytes())
    headers = answer.headers
    log = Log(text, int(headers["x-next-after"]), headers["x-complete"] == "true")
    return log, retry_after(headers.get("retry-after"))
