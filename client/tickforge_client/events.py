"""What happens to a job, as it happens: server-sent events, gone on with after a break."""

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
    """Something that happened to a job: its number, when, its type, and what the type tells.

    `ticks` have neither number nor time: they tell the tick and the loss of now.
    """

    seq: int | None
    at: str | None
    type: str
    data: Mapping[str, Any]

    @property
    def ends(self) -> bool:
        """Whether it is the job's last."""
        return self.type == "status" and self.data.get("status") in TERMINAL_STATUSES


def read(session: ApiSession, job_id: str, after: int = 0) -> list[Event]:
    """All events so far beyond a number."""
    events: list[Event] = []
    path = api_path("jobs", job_id, "events")
    while True:
        page = session.get(path, {"after": after, "limit": 1000})
        events += (_parse_event(entry["type"], entry) for entry in page["data"])
        if not page["has_more"]:
            return events
        after = page["next_after"]


def follow(session: ApiSession, job_id: str, after: int = 0) -> Iterator[Event]:
    """Yield events to the job's end, over as many streams as it takes."""
    backoff: Backoff | None = None  # of tries in vain, one after another
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
    """Type and data of each event in the lines of a stream."""
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
    """Whether a job has ended and all its events are known (asked for in this order)."""
    has_ended = session.get(api_path("jobs", job_id))["status"] in TERMINAL_STATUSES
    return has_ended and not read(session, job_id, after)


def _parse_event(kind: str, payload: Mapping[str, Any]) -> Event:
    if kind == "ticks":
        return Event(None, None, kind, payload)
    return Event(payload["seq"], payload["at"], kind, payload["data"])
