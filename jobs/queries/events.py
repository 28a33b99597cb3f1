"""Reads a job's numbered events from any number on. Changes nothing, waits for nothing.

Events are written by the script that causes them (lua/prelude.lua). A job has its newest 10,000;
the numbers of dropped ones are not used again, nor those that a store had given out before it was
lost and rebuilt (store/numbering.py).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.errors import NoSuchJob
from jobs.job import TERMINAL_STATUSES, JobError
from jobs.store import keys
from jobs.store.codec import decode_loss
from jobs.store.connection import Store
from jobs.store.numbering import Numbering, event_numbering
from jobs.timestamps import format_rfc3339

EventType = Literal["status", "validation", "checkpoint", "condition", "log"]
MAX_EVENTS = 10_000  # of one job, as in lua/prelude.lua
JOB_FIELDS = ("status", "requested", "stopped_by", "error", "tick", "loss")


class Event(BaseModel):
    """Something that happened to a job."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(
        description="its number in the job: grows by 1, and leaps after the store was rebuilt"
    )
    at: str
    type: EventType
    data: dict[str, Any] = Field(
        description="status: status, requested, stopped_by, error; validation: tick, metrics; "
        "checkpoint: tick, is_best, is_final; condition: condition, tick, value; "
        "log: level, message"
    )


@dataclass(frozen=True)
class EventBatch:
    """A page of events; `is_terminal`: the job has ended, so no more will come."""

    events: list[Event]
    has_more: bool
    is_terminal: bool


@dataclass(frozen=True)
class EventsSince:
    """A job's state at one moment, and its events beyond a number."""

    status: str
    requested: str | None
    stopped_by: str | None
    error: dict[str, Any] | None
    tick: int
    loss: float | None
    seq: int  # of the newest event
    at: str  # its time
    events: list[Event]

    @property
    def is_terminal(self) -> bool:
        """Return whether the job has ended."""
        return self.status in TERMINAL_STATUSES

    @property
    def status_payload(self) -> dict[str, Any]:
        """Return the data of a status event for the present state."""
        names = ("status", "requested", "stopped_by", "error")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class _Window:
    """Which of a job's events the store's list has: those after the first `dropped`."""

    dropped: int = 0
    numbering: Numbering = Numbering()

    def index_after(self, number: int) -> int:
        """Return the index in the list of the first event beyond a number."""
        return max(0, self.numbering.count(number) - self.dropped)

    @property
    def first_number(self) -> int:
        """Return the number of the list's first event."""
        return self.numbering.number(self.dropped + 1)


class Events:
    """Reads events of any job. Every method raises NoSuchJob."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(
        self, tenant: str, job_id: str, *, after: int | None, limit: int, descending: bool = False
    ) -> EventBatch:
        """Read a page of the events after a number; descending: of those before it."""

        def slice_bounds(window: _Window) -> tuple[int, int]:
            if not descending:
                start = window.index_after(after or 0)
                return start, start + limit
            if after is None:
                return -limit, 0
            stop = window.index_after(after - 1)
            return max(0, stop - limit), stop

        fields, window, newest, events = self._read_window(tenant, job_id, slice_bounds)
        page = events[::-1] if descending else events
        last = window.first_number if descending else newest.seq
        status = (fields[0] or b"").decode()
        return EventBatch(page, bool(page) and page[-1].seq != last, status in TERMINAL_STATUSES)

    def read_since(self, tenant: str, job_id: str, after: int | None = None) -> EventsSince:
        """Read a job's state, and its events after number `after` (None: no events)."""

        def slice_bounds(window: _Window) -> tuple[int, int]:
            return (0, 0) if after is None else (window.index_after(after), MAX_EVENTS)

        fields, _, newest, events = self._read_window(tenant, job_id, slice_bounds)
        status, requested, stopped_by, error, tick, loss = fields
        return EventsSince(
            status=(status or b"").decode(),
            requested=_text_or_none(requested),
            stopped_by=_text_or_none(stopped_by),
            error=None if not error else JobError.model_validate_json(error).model_dump(),
            tick=int(tick or 0),
            loss=decode_loss(loss),
            seq=newest.seq,
            at=newest.at,
            events=events,
        )

    def _read_window(
        self, tenant: str, job_id: str, slice_bounds: Callable[["_Window"], tuple[int, int]]
    ) -> tuple[list[bytes | None], "_Window", Event, list[Event]]:
        """Read the fields and the events at `slice_bounds(window)` of the list, at one moment.

        Returns the fields, the window, the newest event, which is always there (a job begins with
        a status event), and the events. Most jobs have dropped no event and were never rebuilt, so
        that is tried first.
        """
        events, guess = keys.events(tenant, job_id), _Window()
        while True:
            start, stop = slice_bounds(guess)
            with self._store.pipeline(transaction=True) as pipe:
                pipe.hmget(keys.job(tenant, job_id), (*JOB_FIELDS, "events_dropped", "rebuilds"))
                pipe.lindex(events, -1)
                if start != stop:
                    pipe.lrange(events, start, stop - 1)
                (*fields, dropped, rebuilds), newest, *lists = pipe.execute()
            if fields[0] is None:
                raise NoSuchJob(job_id)
            window = _Window(int(dropped or 0), event_numbering(rebuilds))
            if window == guess:
                parsed = [_parse_event(text) for texts in lists for text in texts]
                return fields, window, _parse_event(newest), parsed
            guess = window


def _parse_event(text: bytes) -> Event:
    payload = json.loads(text)
    data = payload["data"]
    if payload["type"] == "status" and data["error"] is not None:
        data["error"] = JobError.model_validate(data["error"]).model_dump()
    return Event.model_validate({**payload, "at": format_rfc3339(payload["at"])})


def _text_or_none(value: bytes | None) -> str | None:
    return value.decode() if value else None
