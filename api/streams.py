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

from api.errors import Problem
from api.registrar import Call
from api.waiting import RETRY_AFTER, connection, has_left
from jobs.errors import NoSuchJob
from jobs.events import Event, Events, EventsSince
from jobs.store import UNAVAILABLE
from jobs.tailing import JobName, Notices, Subscription

MEDIA_TYPE = "text/event-stream"
COMMENT_SECONDS = 10.0
COMMENT = b": still here\n\n"
TICKS_SECONDS = 0.25  # at least, between two `ticks`
LOOK_UP_SECONDS = 2.0  # for clients that have left; a closed browser frees its thread so soon
AWAY_SECONDS = 1.0  # between two tries of an absent store
#: a client that takes nothing for so long is cut off: its thread is wanted elsewhere
WRITE_SECONDS = 15.0


@dataclass
class Track:
    """Where one job's part of a stream stands."""

    name: JobName
    seq: int  # of the last event sent
    tick: int = 0
    loss: float | None = None
    told_tick: int = -1
    stirred: bool = True
    open: bool = True


@dataclass
class Frames:
    """How events are spelled: of one job with ids, of many with the job's id in the data."""

    many: bool

    def event(self, track: Track, event: Event) -> str:
        """Spell a numbered event."""
        data = event.model_dump_json()
        if self.many:
            return _frame(event.type, f'{{"job_id":"{track.name[1]}",{data[1:]}')
        return f"id: {event.seq}\n" + _frame(event.type, data)

    def ticks(self, track: Track) -> str:
        """Spell how far a job is."""
        whose = {"job_id": track.name[1]} if self.many else {}
        return _frame("ticks", json.dumps({**whose, "tick": track.tick, "loss": track.loss}))


@dataclass
class Stream:
    """One client's stream, told when it is asked for more."""

    events: Events
    tracks: list[Track]
    frames: Frames
    news: Subscription
    must_end: Callable[[], bool]
    ticks_from: float = 0.0
    comment_at: float = field(default_factory=lambda: time.monotonic() + COMMENT_SECONDS)
    try_at: float = 0.0  # when an absent store is asked again

    def run(self) -> Iterator[bytes]:
        """Tell what there is, then what comes; end with the jobs, or when it must."""
        while True:
            if told := self.told():
                yield told.encode()
            if not any(track.open for track in self.tracks) or self.must_end():
                return
            self.hear(self.news.wait(self.wake_at(), ticks_from=self.ticks_from))

    def told(self) -> str:
        """What is due now."""
        events = "".join(self.look(track) for track in self.tracks if track.stirred and track.open)
        told = self.ticks() + events
        if (now := time.monotonic()) >= self.comment_at:
            self.comment_at = now + COMMENT_SECONDS
            told += COMMENT.decode()
        return told

    def look(self, track: Track) -> str:
        """Read a job's news, and close its part when it has ended."""
        if time.monotonic() < self.try_at:
            return ""
        try:
            look = self.events.read_since(*track.name, track.seq)
        except NoSuchJob:
            track.open = False
            return ""
        except UNAVAILABLE:
            self.try_at = time.monotonic() + AWAY_SECONDS
            return ""
        track.stirred, track.open = False, not look.is_terminal
        track.tick, track.loss = look.tick, look.loss
        track.seq = look.events[-1].seq if look.events else track.seq
        return "".join(self.frames.event(track, event) for event in look.events)

    def ticks(self) -> str:
        """`ticks` of all jobs that went on, unless that was told a moment ago."""
        gone_on = [track for track in self.tracks if track.tick != track.told_tick]
        now = time.monotonic()
        if not gone_on or now < self.ticks_from:
            return ""
        self.ticks_from = now + TICKS_SECONDS
        for track in gone_on:
            track.told_tick = track.tick
        return "".join(self.frames.ticks(track) for track in gone_on)

    def hear(self, news: Notices) -> None:
        """Note what the jobs' notices say."""
        for track in self.tracks:
            track.stirred = track.stirred or track.name in news.changed
            if (heard := news.ticks.get(track.name)) and heard[0] > track.tick:
                track.tick, track.loss = heard

    def wake_at(self) -> float:
        """When to look up, whatever happens."""
        now = time.monotonic()
        wakes = [now + LOOK_UP_SECONDS, self.comment_at]
        if any(track.stirred and track.open for track in self.tracks):
            wakes.append(self.try_at)
        if any(track.tick != track.told_tick for track in self.tracks):
            wakes.append(self.ticks_from)
        return min(wakes)


def stream(call: Call, looks: dict[JobName, EventsSince], after: int | None) -> Response:
    """Answer with the events of these jobs beyond `after`; None: of many, from now on.

    Raises Problem (503) when no place is left.
    """
    waiting, many = call.service.waiting, after is None
    with ExitStack() as held:
        if not waiting.places.take():
            raise Problem(
                "crowded",
                "every place for waits and streams is taken; polling with wait=0 always works",
                headers={"Retry-After": RETRY_AFTER},
            )
        held.callback(waiting.places.give_back)
        news = held.enter_context(waiting.tailer.subscribe(list(looks)))
        frames = Frames(many)
        tracks = [
            Track(name, look.seq if after is None else after, look.tick, look.loss)
            for name, look in looks.items()
        ]
        ours = Stream(call.service.events, tracks, frames, news, _must_end(call))
        first = "".join(_standing(track, looks[track.name]) for track in tracks) if many else ""
        response = Response(_chain(first, ours), content_type=MEDIA_TYPE)
        response.call_on_close(held.pop_all().close)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _chain(first: str, ours: Stream) -> Iterator[bytes]:
    if first:
        yield first.encode()
    yield from ours.run()


def _must_end(call: Call) -> Callable[[], bool]:
    """Make the question whether a stream must end though its jobs go on."""
    peer, keys, key, tailer = connection(), g.keys, call.key, call.service.waiting.tailer
    if peer is not None:
        _bound_writes(peer)
    asked_at = time.monotonic()

    def must_end() -> bool:
        nonlocal asked_at
        if tailer.is_closing or has_left(peer):
            return True
        if time.monotonic() < asked_at + LOOK_UP_SECONDS:
            return False
        asked_at = time.monotonic()
        try:
            return not keys.holds(key)
        except UNAVAILABLE:
            return False

    return must_end


def _bound_writes(peer: socket.socket) -> None:
    """Give a client up that takes nothing, and one that has gone without a word."""
    peer.settimeout(WRITE_SECONDS)
    if peer.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        unheard = int(1000 * WRITE_SECONDS)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unheard)


def _standing(track: Track, look: EventsSince) -> str:
    """How a job stands when a stream of many begins."""
    told = {"job_id": track.name[1], "seq": look.seq, "at": look.at, "type": "status"}
    return _frame("status", json.dumps({**told, "data": look.status_payload}))


def _frame(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"
