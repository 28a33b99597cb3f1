"""A job on the server, as last seen, and what can be asked of it. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tickforge_client import history
from tickforge_client.checkpoints import Checkpoint
from tickforge_client.errors import JobTimeout
from tickforge_client.history import History
from tickforge_client.http import Session, path_of

ENDED = ("succeeded", "failed", "cancelled")
#: seconds between two looks at a job: after news, and at most (when nothing happens)
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
        fields, self._etag = self._session.get_if_new(self._path, self._etag)
        if fields is not None:
            self.fields = fields
        return fields is not None

    def changes(self, timeout: float | None = None) -> Iterator[Job]:
        """Yield this job now and after every change, the last time when it has ended.

        Raises JobTimeout when `timeout` seconds have passed before that.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        yield self
        pause = SOON
        while not self.ended:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise JobTimeout(f"{self.id} is {self.status} after {timeout:g} s")
                pause = min(pause, left)
            self._session.sleep(pause)
            if self.refresh():
                pause = SOON
                yield self
            else:
                pause = min(1.5 * pause, LATER)

    def wait(self, timeout: float | None = None) -> Job:
        """Return this job when it has ended, however it did; raises JobTimeout."""
        for _ in self.changes(timeout):
            pass
        return self

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
