"""Queries and pages that support waiting: a job, its events, its log."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.pagination import ListPage
from api.query import DECIMAL, PageQuery, Query, Wait
from api.schemas import JobId
from api.schemas_job_events import JobEvent
from api.until import check_until

MAX_STREAMED_JOBS = 50  # in one stream


class JobPollQuery(Query):
    """How long to wait for a change of a job, and for which change."""

    wait: Wait = 0
    """Seconds to wait until the job differs from the ETag of If-None-Match; without one, until it
    changes."""
    until: Annotated[str, Field(max_length=100), AfterValidator(check_until)] | None = None
    """With `wait`: `end`: until the job has ended; `tick:N`: until that tick is accepted; or until
    a tick meets a condition: `tick>=N`, `COLUMN<X`, `COLUMN>X`, such as loss<0.1, val_loss<0.2.
    Any recorded tick counts; the job's end always ends a wait."""


class EventsQuery(PageQuery):
    """Page of a job's events."""

    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] | None = None
    """Events after this number; before it, if the order is `desc`."""
    wait: Wait = 0
    """Seconds to wait for an event; JSON only."""


class StreamQuery(Query):
    """Jobs to follow."""

    job: Annotated[list[JobId], Field(min_length=1, max_length=MAX_STREAMED_JOBS)]
    """Ids; repeatable."""


class LogsQuery(Query):
    """Range of a log."""

    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] = 0
    """Bytes to skip: `X-Next-After` of the previous response."""
    wait: Wait = 0
    """Seconds to wait for more."""


class EventPage(ListPage[JobEvent]):
    """Events, oldest first unless asked otherwise."""
