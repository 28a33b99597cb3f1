"""Server-sent events of one job or several: what is sent, when, and when a stream ends.

Each stream holds a thread. It sleeps until its jobs have news, and wakes up now and then to see
whether the client has disconnected, the key was deleted, or the process shuts down.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain

from flask import Response, g

from api.auth import RevocationWatch
from api.client_socket import client_socket
from api.endpoints import RequestContext
from api.held_requests import crowded_problem, wait_for_reader
from api.long_polling import LongPoller, peer_closed
from jobs.errors import NoSuchJob
from jobs.queries.events import Event, Events, EventsSince
from jobs.queries.notices import JobName, Notices, Subscription
from jobs.store.connection import UNAVAILABLE

EVENT_STREAM = "text/event-stream"
KEEPALIVE_SECONDS = 10.0
KEEPALIVE = b": still here\n\n"
MIN_TICKS_INTERVAL_SECONDS = 0.25  # between `ticks` frames
CHECK_INTERVAL_SECONDS = 2.0  # for disconnected clients and deleted keys
STORE_RETRY_SECONDS = 1.0


@dataclass
class JobCursor:
    """The position of one job in a stream."""

    name: JobName
    seq: int  # of the last event sent
    tick: int = 0
    loss: float | None = None
    sent_tick: int = -1
    has_news: bool = True
    is_open: bool = True


@dataclass
class SseEncoder:
    """Encodes events: with ids for one job, with the job's id in the data for several."""

    is_multiplexed: bool

    def encode_event(self, cursor: JobCursor, event: Event) -> str:
        """Encode a numbered event."""
        data = event.model_dump_json()
        if self.is_multiplexed:
            return _encode_frame(event.type, f'{{"job_id":"{cursor.name[1]}",{data[1:]}')
        return f"id: {event.seq}\n" + _encode_frame(event.type, data)

    def encode_ticks(self, cursor: JobCursor) -> str:
        """Encode a job's progress."""
        job_field = {"job_id": cursor.name[1]} if self.is_multiplexed else {}
        fields = {**job_field, "tick": cursor.tick, "loss": cursor.loss}
        return _encode_frame("ticks", json.dumps(fields))


@dataclass
class EventStream:
    """One client's stream, an iterator of frames."""

    events: Events
    cursors: list[JobCursor]
    encoder: SseEncoder
    listener: Subscription
    must_end: Callable[[], bool]
    next_ticks_at: float = 0.0
    next_keepalive_at: float = field(default_factory=lambda: time.monotonic() + KEEPALIVE_SECONDS)
    next_store_attempt_at: float = 0.0  # after an outage

    def run(self) -> Iterator[bytes]:
        """Yield what is due until all jobs have ended or `must_end` is true."""
        while True:
            if payload := self.next_payload():
                yield payload.encode()
            if not any(cursor.is_open for cursor in self.cursors) or self.must_end():
                return
            notices = self.listener.wait(self.next_wakeup(), ticks_from=self.next_ticks_at)
            self.apply_notices(notices)

    def next_payload(self) -> str:
        """Return the frames that are due now, perhaps none."""
        due = [cursor for cursor in self.cursors if cursor.has_news and cursor.is_open]
        events = "".join(map(self.read_events, due))
        payload = self.next_ticks() + events
        if (now := time.monotonic()) >= self.next_keepalive_at:
            self.next_keepalive_at = now + KEEPALIVE_SECONDS
            payload += KEEPALIVE.decode()
        return payload

    def read_events(self, cursor: JobCursor) -> str:
        """Return a job's new events; close its cursor if it has ended."""
        if time.monotonic() < self.next_store_attempt_at:
            return ""
        try:
            update = self.events.read_since(*cursor.name, cursor.seq)
        except NoSuchJob:
            cursor.is_open = False
            return ""
        except UNAVAILABLE:
            self.next_store_attempt_at = time.monotonic() + STORE_RETRY_SECONDS
            return ""
        cursor.has_news, cursor.is_open = False, not update.is_terminal
        cursor.tick, cursor.loss = update.tick, update.loss
        cursor.seq = update.events[-1].seq if update.events else cursor.seq
        return "".join(self.encoder.encode_event(cursor, event) for event in update.events)

    def next_ticks(self) -> str:
        """Return a `ticks` frame for each job with progress, at most once per interval."""
        advanced = [cursor for cursor in self.cursors if cursor.tick != cursor.sent_tick]
        now = time.monotonic()
        if not advanced or now < self.next_ticks_at:
            return ""
        self.next_ticks_at = now + MIN_TICKS_INTERVAL_SECONDS
        for cursor in advanced:
            cursor.sent_tick = cursor.tick
        return "".join(self.encoder.encode_ticks(cursor) for cursor in advanced)

    def apply_notices(self, notices: Notices) -> None:
        """Take over the jobs' notices."""
        for cursor in self.cursors:
            cursor.has_news = cursor.has_news or cursor.name in notices.changed
            if (progress := notices.ticks.get(cursor.name)) and progress[0] > cursor.tick:
                cursor.tick, cursor.loss = progress

    def next_wakeup(self) -> float:
        """Return when to wake up, also without a notice (monotonic seconds)."""
        now = time.monotonic()
        wakeups = [now + CHECK_INTERVAL_SECONDS, self.next_keepalive_at]
        if any(cursor.has_news and cursor.is_open for cursor in self.cursors):
            wakeups.append(self.next_store_attempt_at)
        if any(cursor.tick != cursor.sent_tick for cursor in self.cursors):
            wakeups.append(self.next_ticks_at)
        return min(wakeups)


def sse_response(
    context: RequestContext, job_states: dict[JobName, EventsSince], after: int | None
) -> Response:
    """Return a stream of one job's events after `after`, or (None) of new events of several jobs.

    Raises Problem (503) if too many requests are held.
    """
    is_multiplexed = after is None
    cursors = [
        JobCursor(name, state.seq if after is None else after, state.tick, state.loss)
        for name, state in job_states.items()
    ]
    with ExitStack() as resources:
        listener = _subscribe(context.deps.long_poller, list(job_states), resources)
        events, encoder = context.deps.events, SseEncoder(is_multiplexed)
        must_end = _make_end_condition(context)
        event_stream = EventStream(events, cursors, encoder, listener, must_end)
        statuses = (_encode_status(name, state) for name, state in job_states.items())
        opening = ["".join(statuses).encode()] if is_multiplexed else []
        response = Response(chain(opening, event_stream.run()), content_type=EVENT_STREAM)
        response.call_on_close(resources.pop_all().close)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _subscribe(long_poller: LongPoller, names: list[JobName], resources: ExitStack) -> Subscription:
    if not long_poller.held_request_limit.acquire():
        detail = "every place for waits and streams is taken; polling with wait=0 always works"
        raise crowded_problem(detail)
    resources.callback(long_poller.held_request_limit.release)
    wait_for_reader()
    return resources.enter_context(long_poller.notice_listener.subscribe(names))


def _make_end_condition(context: RequestContext) -> Callable[[], bool]:
    """Return the function that tells whether a stream must end before its jobs do."""
    peer, watch = client_socket(), RevocationWatch(g.authenticator, context.key)
    notice_listener = context.deps.long_poller.notice_listener
    return lambda: notice_listener.is_closing or peer_closed(peer) or watch.is_revoked()


def _encode_status(name: JobName, state: EventsSince) -> str:
    """Encode the status of a job at the start of a stream of several jobs."""
    fields = {"job_id": name[1], "seq": state.seq, "at": state.at, "type": "status"}
    return _encode_frame("status", json.dumps({**fields, "data": state.status_payload}))


def _encode_frame(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"
