"""Server-sent events of one job or of many: what is sent, when, and when the stream ends.

Each stream holds a thread. It sleeps until its jobs have news, and looks up now and then for a
client that has left, a key that was taken back and a process that leaves.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from flask import Response, g

from api.endpoints import RequestContext
from api.errors import Problem
from api.long_polling import RETRY_AFTER, client_socket, peer_closed
from jobs.errors import NoSuchJob
from jobs.queries.events import Event, Events, EventsSince
from jobs.queries.notices import JobName, Notices, Subscription
from jobs.store.connection import UNAVAILABLE

EVENT_STREAM = "text/event-stream"
KEEPALIVE_SECONDS = 10.0
KEEPALIVE = b": still here\n\n"
MIN_TICKS_INTERVAL_SECONDS = 0.25  # at least, between two `ticks`
CHECK_INTERVAL_SECONDS = (
    2.0  # for clients that have left; a closed browser frees its thread so soon
)
STORE_RETRY_SECONDS = 1.0  # between two tries of an absent store
#: a client that takes nothing for so long is cut off: its thread is wanted elsewhere
WRITE_TIMEOUT_SECONDS = 15.0


@dataclass
class JobCursor:
    """Where one job's part of a stream stands."""

    name: JobName
    seq: int  # of the last event sent
    tick: int = 0
    loss: float | None = None
    sent_tick: int = -1
    has_news: bool = True
    is_open: bool = True


@dataclass
class SseEncoder:
    """How events are spelled: of one job with ids, of many with the job's id in the data."""

    is_multiplexed: bool

    def encode_event(self, cursor: JobCursor, event: Event) -> str:
        """Spell a numbered event."""
        data = event.model_dump_json()
        if self.is_multiplexed:
            return _encode_frame(event.type, f'{{"job_id":"{cursor.name[1]}",{data[1:]}')
        return f"id: {event.seq}\n" + _encode_frame(event.type, data)

    def encode_ticks(self, cursor: JobCursor) -> str:
        """Spell how far a job is."""
        job_field = {"job_id": cursor.name[1]} if self.is_multiplexed else {}
        return _encode_frame(
            "ticks", json.dumps({**job_field, "tick": cursor.tick, "loss": cursor.loss})
        )


@dataclass
class EventStream:
    """One client's stream, told when it is asked for more."""

    events: Events
    cursors: list[JobCursor]
    encoder: SseEncoder
    listener: Subscription
    must_end: Callable[[], bool]
    next_ticks_at: float = 0.0
    next_keepalive_at: float = field(default_factory=lambda: time.monotonic() + KEEPALIVE_SECONDS)
    next_store_attempt_at: float = 0.0  # when an absent store is asked again

    def run(self) -> Iterator[bytes]:
        """Tell what there is, then what comes; end with the jobs, or when it must."""
        while True:
            if payload := self.next_payload():
                yield payload.encode()
            if not any(cursor.is_open for cursor in self.cursors) or self.must_end():
                return
            self.apply_notices(
                self.listener.wait(self.next_wakeup(), ticks_from=self.next_ticks_at)
            )

    def next_payload(self) -> str:
        """What is due now."""
        events = "".join(
            self.read_events(cursor)
            for cursor in self.cursors
            if cursor.has_news and cursor.is_open
        )
        payload = self.next_ticks() + events
        if (now := time.monotonic()) >= self.next_keepalive_at:
            self.next_keepalive_at = now + KEEPALIVE_SECONDS
            payload += KEEPALIVE.decode()
        return payload

    def read_events(self, cursor: JobCursor) -> str:
        """Read a job's news, and close its part when it has ended."""
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
        """`ticks` of all jobs that went on, unless that was told a moment ago."""
        advanced = [cursor for cursor in self.cursors if cursor.tick != cursor.sent_tick]
        now = time.monotonic()
        if not advanced or now < self.next_ticks_at:
            return ""
        self.next_ticks_at = now + MIN_TICKS_INTERVAL_SECONDS
        for cursor in advanced:
            cursor.sent_tick = cursor.tick
        return "".join(self.encoder.encode_ticks(cursor) for cursor in advanced)

    def apply_notices(self, notices: Notices) -> None:
        """Note what the jobs' notices say."""
        for cursor in self.cursors:
            cursor.has_news = cursor.has_news or cursor.name in notices.changed
            if (progress := notices.ticks.get(cursor.name)) and progress[0] > cursor.tick:
                cursor.tick, cursor.loss = progress

    def next_wakeup(self) -> float:
        """When to look up, whatever happens."""
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
    """Answer with the events of these jobs beyond `after`; None: of many, from now on.

    Raises Problem (503) when no place is left.
    """
    long_poller, is_multiplexed = context.deps.long_poller, after is None
    with ExitStack() as resources:
        if not long_poller.held_request_limit.acquire():
            raise Problem(
                "crowded",
                "every place for waits and streams is taken; polling with wait=0 always works",
                headers={"Retry-After": RETRY_AFTER},
            )
        resources.callback(long_poller.held_request_limit.release)
        listener = resources.enter_context(long_poller.notice_listener.subscribe(list(job_states)))
        encoder = SseEncoder(is_multiplexed)
        cursors = [
            JobCursor(name, state.seq if after is None else after, state.tick, state.loss)
            for name, state in job_states.items()
        ]
        event_stream = EventStream(
            context.deps.events, cursors, encoder, listener, _make_end_condition(context)
        )
        initial_frames = (
            "".join(_encode_status(cursor, job_states[cursor.name]) for cursor in cursors)
            if is_multiplexed
            else ""
        )
        response = Response(_prepend(initial_frames, event_stream), content_type=EVENT_STREAM)
        response.call_on_close(resources.pop_all().close)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _prepend(initial_frames: str, event_stream: EventStream) -> Iterator[bytes]:
    if initial_frames:
        yield initial_frames.encode()
    yield from event_stream.run()


def _make_end_condition(context: RequestContext) -> Callable[[], bool]:
    """Make the question whether a stream must end though its jobs go on."""
    peer, authenticator, key, notice_listener = (
        client_socket(),
        g.keys,
        context.key,
        context.deps.long_poller.notice_listener,
    )
    if peer is not None:
        _set_write_timeout(peer)
    checked_at = time.monotonic()

    def must_end() -> bool:
        nonlocal checked_at
        if notice_listener.is_closing or peer_closed(peer):
            return True
        if time.monotonic() < checked_at + CHECK_INTERVAL_SECONDS:
            return False
        checked_at = time.monotonic()
        try:
            return not authenticator.is_valid(key)
        except UNAVAILABLE:
            return False

    return must_end


def _set_write_timeout(peer: socket.socket) -> None:
    """Give a client up that takes nothing, and one that has gone without a word."""
    peer.settimeout(WRITE_TIMEOUT_SECONDS)
    if peer.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout_ms = int(1000 * WRITE_TIMEOUT_SECONDS)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)


def _encode_status(cursor: JobCursor, state: EventsSince) -> str:
    """How a job stands when a stream of many begins."""
    fields = {"job_id": cursor.name[1], "seq": state.seq, "at": state.at, "type": "status"}
    return _encode_frame("status", json.dumps({**fields, "data": state.status_payload}))


def _encode_frame(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"
