"""Queries and answers of what can be waited for: a job, its events, its log."""

from typing import Annotated

from pydantic import Field

from api.pagination import ListPage
from api.query import DECIMAL, PageQuery, Query, Wait
from api.schemas import JobId
from jobs.queries.events import Event

MAX_STREAMED_JOBS = 50  # jobs of one stream


class JobPollQuery(Query):
    """How long to wait for news of a job, and for which."""

    wait: Wait = 0
    """Seconds to hold the answer until the ETag of If-None-Match no longer fits; without it, until
    the next change."""
    until: Annotated[str, Field(pattern=r"^(end|tick:[0-9]{1,15})$")] | None = None
    """With `wait`: until the job has ended, or until that tick is accepted."""


class EventsQuery(PageQuery):
    """Which events."""

    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] | None = None
    """Events beyond this number (below it, where the newest come first)."""
    wait: Wait = 0
    """Seconds to hold the answer until there is one; JSON only."""


class StreamQuery(Query):
    """Of which jobs."""

    job: Annotated[list[JobId], Field(min_length=1, max_length=MAX_STREAMED_JOBS)]
    """Repeatable."""


class LogsQuery(Query):
    """Which part of the log."""

    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] = 0
    """Bytes to leave out; `X-Next-After` of the answer before."""
    wait: Wait = 0
    """Seconds to hold the answer until there is more."""


class EventPage(ListPage[Event]):
    """Events, oldest first unless asked otherwise."""
