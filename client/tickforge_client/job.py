"""A job on the server, as last seen, and what can be asked of it. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tickforge_client import events, history, logs
from tickforge_client.checkpoints import Checkpoint
from tickforge_client.errors import JobTimeout
from tickforge_client.events import Event
from tickforge_client.history import History
from tickforge_client.http import Session, path_of
from tickforge_client.logs import Log

ENDED = events.ENDED
#: seconds that one request waits for news, well below the time-out of an answer
WAIT = 20.0
#: seconds between two looks that the server does not hold: at first, and at most
SOON, LATER = 0.3, 1.0


class Job:
    """A job as it was when last looked at: `fields` is the server's JSON, `refresh` looks again."""

    def __init__(self, session: Session, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self._session = session
        self._path = path_of("jobs", fields["id"])
        self._etag: str | None = None

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status} tick {self.tick}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.fields["id"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.fields["name"])

    @property
    def status(self) -> str:
        """queued, running, paused, succeeded, failed or cancelled."""
        return str(self.fields["status"])

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED

    @property
    def tick(self) -> int:
        """The last accepted tick."""
        return int(self.fields["tick"])

    @property
    def loss(self) -> float | None:
        """That tick's loss."""
        loss: float | None = self.fields["loss"]
        return loss

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The newest validation numbers."""
        metrics: Mapping[str, float | None] = self.fields["metrics"]
        return metrics

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Why it failed: type, detail, tick."""
        error: Mapping[str, Any] | None = self.fields["error"]
        return error

    def refresh(self) -> bool:
        """Look again; True if there was news."""
        return self._look({})[0]

    def changes(self, timeout: float | None = None) -> Iterator[Job]:
        """Yield this job now and after every change, the last time when it has ended.

        Raises JobTimeout when `timeout` seconds have passed before that.
        """
        yield self
        for news in self._looks(timeout, {}):
            if news:
                yield self

    def wait(self, timeout: float | None = None) -> Job:
        """Return this job when it has ended, however it did; raises JobTimeout."""
        for _ in self._looks(timeout, {"until": "end"}):
            pass
        return self

    def follow(self, after: int = 0) -> Iterator[Event]:
        """Yield what happens to it, from its first event (or the one beyond `after`) to its end.

        `ticks`, which have no number, tell how far it is, at most four times a second.
        """
        return events.follow(self._session, self.id, after)

    def logs(self, after: int = 0) -> Log:
        """Read its log from a byte on; of a running job the last 1 MiB at most."""
        return logs.read(self._session, self.id, after)

    def _looks(self, timeout: float | None, asked: Mapping[str, str]) -> Iterator[bool]:
        """Look, each time when there is news, until it has ended; whether there was any."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = SOON
        while not self.ended:
            left = WAIT if deadline is None else min(WAIT, deadline - time.monotonic())
            if left <= 0:
                raise JobTimeout(f"{self.id} is {self.status} after {timeout:g} s")
            began = time.monotonic()
            # without a tag, news since `fields` would be waited for in vain
            held = {"wait": f"{left:.3f}", **asked} if asked or self._etag else {}
            news, wanted = self._look(held)
            yield news
            if held and not self.ended and time.monotonic() < began + left / 2:
                if not news or wanted or asked:  # it was not held, or in vain
                    self._session.sleep(max(min(pause, left), wanted or 0))
                pause = SOON if news else min(1.5 * pause, LATER)

    def _look(self, asked: Mapping[str, str]) -> tuple[bool, float | None]:
        etag = None if "until" in asked else self._etag
        fields, self._etag, wanted = self._session.get_if_new(self._path, etag, asked)
        if fields is not None:
            self.fields = fields
        return fields is not None, wanted

    def cancel(self) -> Job:
        """Ask for it to end as cancelled; what was checkpointed stays."""
        return self._move("cancel")

    def stop(self) -> Job:
        """Ask for it to end early and keep what it has: a final validation and checkpoint."""
        return self._move("stop")

    def pause(self) -> Job:
        """Ask for it to save a checkpoint where it stands and free its worker."""
        return self._move("pause")

    def resume(self) -> Job:
        """Ask for it to go on from where it was paused."""
        return self._move("resume")

    def save(
        self, *, name: str | None = None, pinned: bool = False, idempotency_key: str | None = None
    ) -> Job:
        """Ask a running job for a checkpoint at the end of its chunk; a pinned one stays."""
        path, asked = path_of("jobs", self.id, "checkpoints"), {"name": name, "pinned": pinned}
        return self._seen(self._session.make(path, asked, idempotency_key))

    def verify(
        self, *, start: int = 0, to: int | None = None, idempotency_key: str | None = None
    ) -> Job:
        """Have its ticks after `start` (0, or a checkpoint's) run again and compared to the bit.

        Returns the verify, a job of its own: `fields["result"]` is its certificate.
        """
        path, asked = path_of("jobs", self.id, "verify"), {"from": start, "to": to}
        return Job(self._session, self._session.make(path, asked, idempotency_key))

    def update(self, **said: Any) -> Job:
        """Change what is said about it: name, labels, notes, priority."""
        return self._seen(self._session.patch(self._path, said))

    def delete(self) -> None:
        """Remove an ended job with its history and files, for good."""
        self._session.delete(self._path)

    def history(
        self,
        columns: str | Sequence[str] = "loss",
        *,
        after: int = 0,
        before: int | None = None,
        last: int | None = None,
    ) -> History:
        """Read columns as arrays, every tick; `after` and `before` are exclusive bounds.

        `last` reads the newest ticks instead. See tickforge_client.history for what the arrays are.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        answer = history.read(self._session, self.id, names, after=after, before=before, last=last)
        return history.arrays(answer, names)

    def view(self, columns: str | Sequence[str] = "loss", *, points: int) -> dict[str, Any]:
        """Summarize the history in at most `points` buckets a column, as the server's JSON."""
        names = columns if isinstance(columns, str) else ",".join(columns)
        path = path_of("jobs", self.id, "history")
        view: dict[str, Any] = self._session.get(path, {"columns": names, "points": points})
        return view

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """Its checkpoints now, oldest first."""
        found: list[Checkpoint] = []
        after: str | None = None
        while True:
            asked = {} if after is None else {"after": after}
            page = self._session.get(path_of("jobs", self.id, "checkpoints"), asked)
            found += (Checkpoint.read(self._session, self.id, each) for each in page["data"])
            if not page["has_more"]:
                return found
            after = page["next_after"]

    def checkpoint(self, which: str | int = "latest") -> Checkpoint:
        """One checkpoint: a tick, or initial, latest, best, final."""
        fields = self._session.get(path_of("jobs", self.id, "checkpoints", which))
        return Checkpoint.read(self._session, self.id, fields)

    def _move(self, verb: str) -> Job:
        return self._seen(self._session.post(path_of("jobs", self.id, verb)))

    def _seen(self, fields: Mapping[str, Any]) -> Job:
        self.fields = fields
        self._etag = None
        return self
