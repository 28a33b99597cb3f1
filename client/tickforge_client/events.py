"""A job's events: read page by page, or followed as server-sent events over reconnections."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from tickforge_client.errors import TickforgeError, Unreachable
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path
from tickforge_client.retry import Backoff

TERMINAL_STATUSES = ("succeeded", "failed", "cancelled")
MEDIA_TYPE = "text/event-stream"


@dataclass(frozen=True)
class Event:
    """An event of a job: sequence number, RFC 3339 time, type, and the fields of that type.

    Events of type `ticks` report the current tick and loss; their `seq` and `at` are None.
    """

    seq: int | None
    at: str | None
    type: str
    data: Mapping[str, Any]

    @property
    def ends(self) -> bool:
        """Whether this is the job's last event."""
        return self.type == "status" and self.data.get("status") in TERMINAL_STATUSES


async def read(session: ApiSession, job_id: str, after: int = 0) -> list[Event]:
    """Return all events so far with a sequence number above `after`."""
    path = api_path("jobs", job_id, "events")
    entries = session.iter_entries(path, {"after": after, "limit": 1000})
    return [_parse_event(entry["type"], entry) async for entry in entries]


async def follow(session: ApiSession, job_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
    """Yield events until the job has ended; reconnect as often as needed.

    Raises Problem, and Unreachable when the server stays away.
    """
    backoff: Backoff | None = None  # of consecutive failures
    while True:
        failure: TickforgeError = Unreachable(f"{session.url} ended the stream")
        try:
            async for event in _stream_events(session, job_id, after):
                backoff = None
                if event is None:
                    continue
                yield event
                after = event.seq or after
                if event.ends:
                    return
        except Unreachable as error:
            failure = error
        if await _is_complete(session, job_id, after):
            return
        backoff = backoff or session.new_backoff()
        await backoff.wait(failure)


class SseParser:
    """Parses an event stream line by line."""

    def __init__(self) -> None:
        self._kind, self._data = "message", list[str]()

    def feed(self, line: str) -> tuple[str, str] | None:
        """Take the next line; return type and data of the event that it ends, if it ends one."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif not line:
            message = (self._kind, "\n".join(self._data)) if self._data else None
            self._kind, self._data = "message", []
            return message
        return None


async def _stream_events(
    session: ApiSession, job_id: str, after: int
) -> AsyncIterator[Event | None]:
    """Yield the events of one connection, and None for a comment: the server is still there."""
    path = api_path("jobs", job_id, "events")
    headers = {"Accept": MEDIA_TYPE, "Last-Event-ID": str(after)}
    parser = SseParser()
    async with session.stream(path, headers=headers) as response:
        async for line in response.lines:
            if line.startswith(":"):
                yield None
            elif message := parser.feed(line):
                yield _parse_event(message[0], json.loads(message[1]))


async def _is_complete(session: ApiSession, job_id: str, after: int) -> bool:
    """Return whether a job has ended without events after `after`; the order of reading counts."""
    has_ended = (await session.get(api_path("jobs", job_id)))["status"] in TERMINAL_STATUSES
    return has_ended and not await read(session, job_id, after)


def _parse_event(kind: str, payload: Mapping[str, Any]) -> Event:
    if kind == "ticks":
        return Event(None, None, kind, payload)
    return Event(payload["seq"], payload["at"], kind, payload["data"])
