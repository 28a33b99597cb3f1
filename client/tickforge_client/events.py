"""A job's events: read page by page, or followed as server-sent events over reconnections."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tickforge_client.errors import TickforgeError, Unreachable
from tickforge_client.http import ApiSession, api_path
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


def read(session: ApiSession, job_id: str, after: int = 0) -> list[Event]:
    """Return all events so far with a sequence number above `after`."""
    path = api_path("jobs", job_id, "events")
    entries = session.iter_entries(path, {"after": after, "limit": 1000})
    return [_parse_event(entry["type"], entry) for entry in entries]


def follow(session: ApiSession, job_id: str, after: int = 0) -> Iterator[Event]:
    """Yield events until the job has ended; reconnect as often as needed.

    Raises Problem, and Unreachable when the server stays away.
    """
    backoff: Backoff | None = None  # of consecutive failures
    while True:
        failure: TickforgeError = Unreachable(f"{session.url} ended the stream")
        try:
            for event in _stream_events(session, job_id, after):
                yield event
                after = event.seq or after
                if event.ends:
                    return
                backoff = None
        except Unreachable as error:
            failure = error
        if _is_complete(session, job_id, after):
            return
        backoff = backoff or session.new_backoff()
        backoff.wait(failure)


def parse_sse(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield type and data of each event in the lines of an event stream."""
    kind, data = "message", []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif not line:
            if data:
                yield kind, "\n".join(data)
            kind, data = "message", []


def _stream_events(session: ApiSession, job_id: str, after: int) -> Iterator[Event]:
    path = api_path("jobs", job_id, "events")
    headers = {"Accept": MEDIA_TYPE, "Last-Event-ID": str(after)}
    with session.stream(path, headers=headers) as response:
        for kind, data in parse_sse(response.iter_lines()):
            yield _parse_event(kind, json.loads(data))


def _is_complete(session: ApiSession, job_id: str, after: int) -> bool:
    """Return whether a job has ended without events after `after`; the order of reading counts."""
    has_ended = session.get(api_path("jobs", job_id))["status"] in TERMINAL_STATUSES
    return has_ended and not read(session, job_id, after)


def _parse_event(kind: str, payload: Mapping[str, Any]) -> Event:
    if kind == "ticks":
        return Event(None, None, kind, payload)
    return Event(payload["seq"], payload["at"], kind, payload["data"])
