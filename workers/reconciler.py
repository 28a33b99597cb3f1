"""The thread in a worker's main process that puts right what crashes left: a duty, a period.

It keeps the template alive, says that the worker lives, rings for jobs that nobody has heard,
moves histories that were not sealed, and has graph's loop compiled ahead. A store that is away or
slow only makes it late. Knows no job's content.
"""

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobs import bell, logs, presence
from jobs.errors import LeaseLost
from jobs.files import ArtifactStore
from jobs.index import JobQueries
from jobs.job import Lease
from jobs.ledger import JobLedger
from jobs.record import format_rfc3339
from jobs.segments import Segments
from jobs.store import connect
from workers import memory
from workers.canaries import Canaries, torch_version
from workers.post import Post
from workers.prewarm import Prewarm
from workers.template import NoTemplate, Template

LOOK_SECONDS = 0.1  # between two looks at the clock
TEMPLATE_SECONDS = 0.2  # between two looks at the template
RELEASE_SECONDS = 0.5  # between two looks at the runner
RING_SECONDS = 1.0  # and no job is rung for more often
ANNOUNCE_SECONDS = 2.0  # at the latest; at once when a job was begun or left
NOTE_SECONDS = 0.2  # between two looks at whether one was
PRESENT_SECONDS = 7.0  # how long an announcement counts: three may be late
PREWARM_SECONDS = 5.0
SEAL_SECONDS = 10.0
SEALING_SECONDS = 1.0  # of one round, at most: the other duties wait meanwhile
#: a template that dies at once is started again after this, doubled each time up to the longest
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0


@dataclass
class Duty:
    """Something to be done every so often; `due` is when, by the monotonic clock."""

    name: str
    every: float
    do: Callable[[], None]
    due: float = 0.0


class Reconciler:
    """A context: the thread runs inside it."""

    def __init__(self, post: Post, template: Template) -> None:
        self._post, self._template = post, template
        self._store = connect(post.settings.redis_url)
        self._ledger = JobLedger(self._store, post.settings.lease_seconds)
        self._segments = Segments(self._ledger, self._store, ArtifactStore(post.settings.artifacts))
        self._index = JobQueries(self._store)
        self._canaries = Canaries(post.desk, post.device)
        self._say = logs.get_logger("reconciler", worker=post.name)
        self._versions = {
            "torch": torch_version(),
            "numpy": version("numpy"),
            "python": platform.python_version(),
        }
        self._prewarm = Prewarm()
        self._memory = memory.for_trainers(post.settings, post.queue)
        self._started_at = format_rfc3339(int(time.time() * 1000))
        self._restart_at, self._pause = 0.0, FIRST_PAUSE
        self._announced: dict[str, Any] = {}
        self._announce_at = 0.0
        self._duties = [
            Duty("template", TEMPLATE_SECONDS, self.tend_template),
            Duty("release", RELEASE_SECONDS, self.release),
            Duty("announce", NOTE_SECONDS, self.announce),
            Duty("prewarm", PREWARM_SECONDS, self.prewarm),
            Duty("ring", RING_SECONDS, self.ring),
            Duty("seal", SEAL_SECONDS, self.seal),
        ]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_round, name="reconciler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(1.0)
        self._prewarm.end()
        if self._thread.is_alive():  # in a call to a store that does not answer: no second one
            return
        try:
            presence.deregister(self._store, self._post.name)
        except Exception as error:
            self._say.warning("not withdrawn", error=repr(error))

    def tend_template(self) -> None:
        """Start the template again when it has died; a running trainer does not notice."""
        now = time.monotonic()
        if self._template.alive:
            if now - self._restart_at > LONGEST_PAUSE:
                self._pause = FIRST_PAUSE
        elif now >= self._restart_at:
            self._say.warning("the template died, it is started again")
            self._template.start()
            self._restart_at, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE)

    def release(self) -> None:
        """Give back the job of a runner that has died, rather than let its lease run out."""
        note = self._post.desk.read("job")
        if not note or _lives(note["pid"]):
            return
        lease = Lease(note["tenant"], note["id"], note["term"], note["nonce"])
        with contextlib.suppress(LeaseLost):  # another's by now, or ended
            reason = "the runner ended without a word: killed, or out of memory"
            self._ledger.release(lease, "queued", 0, reason=reason)
            self._say.warning("the runner died, its job is given back", job=lease.job_id)
        if self._post.desk.read("job") == note:
            self._post.desk.write("job", {})

    def announce(self) -> None:
        """Say that this worker lives, what it is and what it does."""
        note, now = self._post.desk.read("job") or {}, time.monotonic()
        if note == self._announced and now < self._announce_at:
            return
        about = {**self._identity(), **self._job(note)}
        presence.register(self._store, self._post.name, about, PRESENT_SECONDS)
        self._announced, self._announce_at = note, now + ANNOUNCE_SECONDS

    def prewarm(self) -> None:
        """Have the graph engine's loop compiled where it could be and is not, before jobs ask."""
        self._canaries.of(1, may_wait=lambda: False)
        possible = "graph" in self._canaries.engines() and "graph" not in self._canaries.ready()
        if possible and not self._prewarm.started:
            self._say.info("compiling the graph engine's loop ahead of jobs")
            self._prewarm.start()

    def ring(self) -> None:
        """Ring for jobs that wait or whose lease is over, wherever their bells went."""
        for queue, times in self._ledger.take_due_wakeups(RING_SECONDS).items():
            bell.wake_workers(queue, times)

    def seal(self) -> None:
        """Move what ended jobs still have in the store, some after some while that comes off."""
        until = time.monotonic() + SEALING_SECONDS
        while self._segments.finalize_some() and time.monotonic() < until:
            pass

    def _go_round(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for duty in self._duties:
                if time.monotonic() >= duty.due:
                    self._do(duty)

    def _do(self, duty: Duty) -> None:
        try:
            duty.do()
        except NoTemplate:  # it is being started: asked again at once
            return
        except Exception as error:  # the store above all: the next round tries again
            self._say.warning("left undone", duty=duty.name, error=repr(error))
        duty.due = time.monotonic() + duty.every

    def _identity(self) -> dict[str, Any]:
        canary = self._canaries.of(1, may_wait=lambda: False)
        fingerprint = {"torch": self._versions["torch"], "device": self._post.device}
        return {
            "device": self._post.device,
            "queue": self._post.queue,
            "engines": list(self._canaries.engines()),
            "memory_bytes": self._memory,
            "versions": self._versions,
            "fingerprint": {**fingerprint, "threads": 1, "canary": canary},
            "canaries": self._canaries.known(),
            "pid": os.getpid(),
            "started_at": self._started_at,
        }

    def _job(self, note: dict[str, Any]) -> dict[str, Any]:
        if not note:
            return {"job": None, "tenant": None, "ticks_per_second": None}
        job = self._index.get_job(note["tenant"], note["id"])
        return {"job": job.id, "tenant": job.tenant, "ticks_per_second": job.ticks_per_second}


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
