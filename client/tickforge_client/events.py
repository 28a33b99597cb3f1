"""What happens to a job, as it happens: server-sent events, gone on with after a break."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tickforge_client.errors import TickforgeError, Unreachable
from tickforge_client.http import Session, path_of
from tickforge_client.patience import Patience

ENDED = ("succeeded", "failed", "cancelled")
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
        return self.type == "status" and self.data.get("status") in ENDED


def read(session: Session, job_id: str, after: int = 0) -> list[Event]:
    """All events so far beyond a number."""
    found: list[Event] = []
    path = path_of("jobs", job_id, "events")
    while True:
        page = session.get(path, {"after": after, "limit": 1000})
        found += (_event(each["type"], each) for each in page["data"])
        if not page["has_more"]:
            return found
        after = page["next_after"]


def follow(session: Session, job_id: str, after: int = 0) -> Iterator[Event]:
    """Yield events to the job's end, over as many streams as it takes."""
    patience: Patience | None = None  # of tries in vain, one after another
    while True:
        broke: TickforgeError = Unreachable(f"{session.url} ended the stream")
        try:
            for event in _stream(session, job_id, after):
                yield event
                after = event.seq or after
                if event.ends:
                    return
                patience = None
        except Unreachable as error:
            broke = error
        if _nothing_more(session, job_id, after):
            return
        patience = patience or session.patience()
        patience.pause(broke)


def frames(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
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


def _stream(session: Session, job_id: str, after: int) -> Iterator[Event]:
    path = path_of("jobs", job_id, "events")
    headers = {"Accept": MEDIA_TYPE, "Last-Event-ID": str(after)}
    with session.stream(path, headers=headers) as answer:
        for kind, data in frames(answer.iter_lines()):
            yield _event(kind, json.loads(data))


def _nothing_more(session: Session, job_id: str, after: int) -> bool:
    """Whether a job has ended and all its events are known (asked for in this order)."""
    ended = session.get(path_of("jobs", job_id))["status"] in ENDED
    return ended and not read(session, job_id, after)


def _event(kind: str, told: Mapping[str, Any]) -> Event:
    if kind == "ticks":
        return Event(None, None, kind, told)
    return Event(told["seq"], told["at"], kind, told["data"])
