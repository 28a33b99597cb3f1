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
from tickforge_client.http import ApiSession, api_path
from tickforge_client.logs import Log

TERMINAL_STATUSES = events.TERMINAL_STATUSES
#: seconds that one request waits for news, well below the time-out of an answer
LONG_POLL_SECONDS = 20.0
#: seconds between two looks that the server does not hold: at first, and at most
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.3, 1.0


class Job:
    """A job as it was when last looked at: `fields` is the server's JSON, `refresh` looks again."""

    def __init__(self, session: ApiSession, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self._session = session
        self._path = api_path("jobs", fields["id"])
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
        return self.status in TERMINAL_STATUSES

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
        return self._fetch({})[0]

    def changes(self, timeout: float | None = None) -> Iterator[Job]:
        """Yield this job now and after every change, the last time when it has ended.

        Raises JobTimeout when `timeout` seconds have passed before that.
        """
        yield self
        for has_changed in self._poll(timeout, {}):
            if has_changed:
                yield self

    def wait(self, timeout: float | None = None) -> Job:
        """Return this job when it has ended, however it did; raises JobTimeout."""
        for _ in self._poll(timeout, {"until": "end"}):
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

    def _poll(self, timeout: float | None, params: Mapping[str, str]) -> Iterator[bool]:
        """Look, each time when there is news, until it has ended; whether there was any."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while not self.ended:
            remaining = (
                LONG_POLL_SECONDS
                if deadline is None
                else min(LONG_POLL_SECONDS, deadline - time.monotonic())
            )
            if remaining <= 0:
                raise JobTimeout(f"{self.id} is {self.status} after {timeout:g} s")
            started = time.monotonic()
            # without a tag, news since `fields` would be waited for in vain
            wait_params = {"wait": f"{remaining:.3f}", **params} if params or self._etag else {}
            has_changed, min_pause = self._fetch(wait_params)
            yield has_changed
            if wait_params and not self.ended and time.monotonic() < started + remaining / 2:
                if not has_changed or min_pause or params:  # it was not held, or in vain
                    self._session.sleep(max(min(pause, remaining), min_pause or 0))
                pause = FIRST_POLL_SECONDS if has_changed else min(1.5 * pause, MAX_POLL_SECONDS)

    def _fetch(self, params: Mapping[str, str]) -> tuple[bool, float | None]:
        etag = None if "until" in params else self._etag
        fields, self._etag, min_pause = self._session.get_if_changed(self._path, etag, params)
        if fields is not None:
            self.fields = fields
        return fields is not None, min_pause

    def cancel(self) -> Job:
        """Ask for it to end as cancelled; what was checkpointed stays."""
        return self._transition("cancel")

    def stop(self) -> Job:
        """Ask for it to end early and keep what it has: a final validation and checkpoint."""
        return self._transition("stop")

    def pause(self) -> Job:
        """Ask for it to save a checkpoint where it stands and free its worker."""
        return self._transition("pause")

    def resume(self) -> Job:
        """Ask for it to go on from where it was paused."""
        return self._transition("resume")

    def request_checkpoint(
        self, *, name: str | None = None, pinned: bool = False, idempotency_key: str | None = None
    ) -> Job:
        """Ask a running job for a checkpoint at the end of its chunk; a pinned one stays."""
        path, body = api_path("jobs", self.id, "checkpoints"), {"name": name, "pinned": pinned}
        return self._replace_fields(self._session.create(path, body, idempotency_key))

    def verify(
        self, *, start: int = 0, to: int | None = None, idempotency_key: str | None = None
    ) -> Job:
        """Have its ticks after `start` (0, or a checkpoint's) run again and compared to the bit.

        Returns the verify, a job of its own: `fields["result"]` is its certificate.
        """
        path, body = api_path("jobs", self.id, "verify"), {"from": start, "to": to}
        return Job(self._session, self._session.create(path, body, idempotency_key))

    def update(self, **changes: Any) -> Job:
        """Change what is said about it: name, labels, notes, priority."""
        return self._replace_fields(self._session.patch(self._path, changes))

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
        document = history.read(
            self._session, self.id, names, after=after, before=before, last=last
        )
        return history.to_arrays(document, names)

    def view(self, columns: str | Sequence[str] = "loss", *, points: int) -> dict[str, Any]:
        """Summarize the history in at most `points` buckets a column, as the server's JSON."""
        names = columns if isinstance(columns, str) else ",".join(columns)
        path = api_path("jobs", self.id, "history")
        view: dict[str, Any] = self._session.get(path, {"columns": names, "points": points})
        return view

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """Its checkpoints now, oldest first."""
        checkpoints: list[Checkpoint] = []
        after: str | None = None
        while True:
            query = {} if after is None else {"after": after}
            page = self._session.get(api_path("jobs", self.id, "checkpoints"), query)
            checkpoints += (
                Checkpoint.read(self._session, self.id, fields) for fields in page["data"]
            )
            if not page["has_more"]:
                return checkpoints
            after = page["next_after"]

    def checkpoint(self, which: str | int = "latest") -> Checkpoint:
        """One checkpoint: a tick, or initial, latest, best, final."""
        fields = self._session.get(api_path("jobs", self.id, "checkpoints", which))
        return Checkpoint.read(self._session, self.id, fields)

    def _transition(self, action: str) -> Job:
        return self._replace_fields(self._session.post(api_path("jobs", self.id, action)))

    def _replace_fields(self, fields: Mapping[str, Any]) -> Job:
        self.fields = fields
        self._etag = None
        return self
