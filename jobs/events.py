"""A job's numbered events, read from any place on. Changes nothing, waits for nothing.

An event is written by the script that makes it so (lua/prelude.lua). Of each job the newest
10,000 are kept; the numbers of those left out stay taken.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import redis
from pydantic import BaseModel, ConfigDict, Field

from jobs import keys
from jobs.errors import NoSuchJob
from jobs.job import ENDED, JobError
from jobs.record import loss_of, rfc3339

Kind = Literal["status", "validation", "checkpoint", "log"]
MOST_EVENTS = 10_000  # kept of one job, as lua/prelude.lua has it
FIELDS = ("status", "requested", "stopped_by", "error", "tick", "loss")


class Event(BaseModel):
    """Something that happened to a job."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(description="its number in the job, from 1")
    at: str
    type: Kind
    data: dict[str, Any] = Field(
        description="status: status, requested, stopped_by, error; validation: tick, metrics; "
        "checkpoint: tick, is_best, is_final; log: level, message"
    )


@dataclass(frozen=True)
class Page:
    """Some events, whether there are more now, and whether more may come."""

    events: list[Event]
    more: bool
    ended: bool


@dataclass(frozen=True)
class Look:
    """A job at one moment, as its followers see it, and its events beyond a number."""

    status: str
    requested: str | None
    stopped_by: str | None
    error: dict[str, Any] | None
    tick: int
    loss: float | None
    seq: int  # of the newest event
    at: str  # when that was
    events: list[Event]

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED

    @property
    def standing(self) -> dict[str, Any]:
        """What a status event says, of now."""
        return {
            "status": self.status,
            "requested": self.requested,
            "stopped_by": self.stopped_by,
            "error": self.error,
        }


class Events:
    """Reads events of any job. Every method raises NoSuchJob."""

    def __init__(self, store: "redis.Redis") -> None:
        self._store = store

    def read(
        self, tenant: str, job_id: str, *, after: int | None, limit: int, descending: bool = False
    ) -> Page:
        """Read a page of the events beyond a number; descending: of those below it."""

        def places(dropped: int) -> tuple[int, int]:
            if not descending:
                start = max(0, (after or 0) - dropped)
                return start, start + limit
            if after is None:
                return -limit, 0
            return max(0, after - 1 - dropped - limit), max(0, after - 1 - dropped)

        found = self._found(tenant, job_id, places)
        page = found.events[::-1] if descending else found.events
        last = found.dropped + 1 if descending else found.newest.seq
        status = (found.fields[0] or b"").decode()
        return Page(page, bool(page) and page[-1].seq != last, status in ENDED)

    def look(self, tenant: str, job_id: str, after: int | None = None) -> Look:
        """Read how a job stands, and its events beyond `after` (None: none of them)."""

        def places(dropped: int) -> tuple[int, int]:
            return (0, 0) if after is None else (max(0, after - dropped), MOST_EVENTS)

        found = self._found(tenant, job_id, places)
        status, requested, stopped_by, error, tick, loss = found.fields
        return Look(
            status=(status or b"").decode(),
            requested=_text(requested),
            stopped_by=_text(stopped_by),
            error=None if not error else JobError.model_validate_json(error).model_dump(),
            tick=int(tick or 0),
            loss=loss_of(loss),
            seq=found.newest.seq,
            at=found.newest.at,
            events=found.events,
        )

    def _found(
        self, tenant: str, job_id: str, places: Callable[[int], tuple[int, int]]
    ) -> "_Found":
        """Read fields and the events at `places` (start, stop) of the list, at one moment.

        Where they lie hangs on how many were dropped: none of most jobs, so that is tried first.
        """
        events, guess = keys.events(tenant, job_id), 0
        while True:
            start, stop = places(guess)
            with self._store.pipeline(transaction=True) as pipe:
                pipe.hmget(keys.job(tenant, job_id), (*FIELDS, "events_dropped"))
                pipe.lindex(events, -1)
                if start != stop:
                    pipe.lrange(events, start, stop - 1)
                (*fields, told), newest, *lists = pipe.execute()
            if fields[0] is None:
                raise NoSuchJob(job_id)
            dropped = int(told or 0)
            if dropped == guess:
                texts = lists[0] if lists else []
                found = [_event(text) for text in texts]
                return _Found(fields, dropped, _event(newest), found)
            guess = dropped


@dataclass(frozen=True)
class _Found:
    fields: list[bytes | None]
    dropped: int
    newest: Event  # there is one: a job begins with its status
    events: list[Event]


def _event(text: bytes) -> Event:
    told = json.loads(text)
    data = told["data"]
    if told["type"] == "status" and data["error"] is not None:
        data["error"] = JobError.model_validate(data["error"]).model_dump()
    return Event(seq=told["seq"], at=rfc3339(told["at"]), type=told["type"], data=data)


def _text(value: bytes | None) -> str | None:
    return value.decode() if value else None
