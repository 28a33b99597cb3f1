"""A job on the server: its fields as last fetched, and its actions. Prints nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tickforge_client import events, history, logs, predictions
from tickforge_client.checkpoints import Checkpoint
from tickforge_client.errors import JobTimeout
from tickforge_client.events import TERMINAL_STATUSES, Event
from tickforge_client.history import History
from tickforge_client.http import ApiSession, api_path
from tickforge_client.job_pictures import JobPictures
from tickforge_client.logs import Log

#: seconds a long poll waits for a change, well below http.READ_TIMEOUT
LONG_POLL_SECONDS = 20.0
#: seconds between two polls that the server does not hold: at first, and at most
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.3, 1.0


class Job(JobPictures):
    """A job as last fetched: `fields` is the server's JSON, `refresh` fetches it again."""

    def __init__(self, session: ApiSession, fields: Mapping[str, Any]) -> None:
        super().__init__(session)
        self.fields = fields
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
        """The job's name."""
        return str(self.fields["name"])

    @property
    def status(self) -> str:
        """One of queued, running, paused, succeeded, failed, cancelled."""
        return str(self.fields["status"])

    @property
    def ended(self) -> bool:
        """Whether the status is final: succeeded, failed or cancelled."""
        return self.status in TERMINAL_STATUSES

    @property
    def tick(self) -> int:
        """The last accepted tick."""
        return int(self.fields["tick"])

    @property
    def loss(self) -> float | None:
        """The loss of the last accepted tick; None before the first, or if not finite."""
        loss: float | None = self.fields["loss"]
        return loss

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The newest validation metrics."""
        metrics: Mapping[str, float | None] = self.fields["metrics"]
        return metrics

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Why the job failed: `type`, `detail`, `tick`; None if it has not."""
        error: Mapping[str, Any] | None = self.fields["error"]
        return error

    def refresh(self) -> bool:
        """Fetch the job again; return whether it has changed."""
        return self._fetch({})[0]

    def changes(self, timeout: float | None = None) -> Iterator[Job]:
        """Yield this job now and after every change; stop once it has ended.

        Raises JobTimeout if it has not ended after `timeout` seconds.
        """
        yield self
        for has_changed in self._poll(timeout, {}):
            if has_changed:
                yield self

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until the job has ended, with any status, and return it. Raises JobTimeout."""
        for _ in self._poll(timeout, {"until": "end"}):
            pass
        return self

    def follow(self, after: int = 0) -> Iterator[Event]:
        """Yield the job's events with a sequence number above `after` until it has ended.

        Events of type `ticks`, without a number, report its progress at most four times a second.
        """
        return events.follow(self._session, self.id, after)

    def logs(self, after: int = 0) -> Log:
        """Return the log from byte `after` on; for a running job at most its last 1 MiB."""
        return logs.read(self._session, self.id, after)

    def _poll(self, timeout: float | None, params: Mapping[str, str]) -> Iterator[bool]:
        """Poll until the job has ended; yield after each poll whether it has changed."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while not self.ended:
            remaining = min(LONG_POLL_SECONDS, deadline - time.monotonic())
            if remaining <= 0:
                raise JobTimeout(f"{self.id} is {self.status} after {timeout:g} s")
            started = time.monotonic()
            # without an ETag, a change since `fields` were fetched would be missed
            wait_params = {"wait": f"{remaining:.3f}", **params} if params or self._etag else {}
            has_changed, min_pause = self._fetch(wait_params)
            yield has_changed
            if wait_params and not self.ended and time.monotonic() < started + remaining / 2:
                if not has_changed or min_pause or params:  # the server did not hold the request
                    self._session.sleep(max(min(pause, remaining), min_pause or 0))
                pause = FIRST_POLL_SECONDS if has_changed else min(1.5 * pause, MAX_POLL_SECONDS)

    def _fetch(self, params: Mapping[str, str]) -> tuple[bool, float | None]:
        etag = None if "until" in params else self._etag
        fields, self._etag, min_pause = self._session.get_if_changed(self._path, etag, params)
        if fields is not None:
            self.fields = fields
        return fields is not None, min_pause

    def cancel(self) -> Job:
        """Request that the job ends as cancelled; its checkpoints stay."""
        return self._transition("cancel")

    def stop(self) -> Job:
        """Request an early end as succeeded, with a final validation and checkpoint."""
        return self._transition("stop")

    def pause(self) -> Job:
        """Request that the job saves a checkpoint at its current tick and frees its worker."""
        return self._transition("pause")

    def resume(self) -> Job:
        """Request that the job continues from where it was paused."""
        return self._transition("resume")

    def request_checkpoint(
        self, *, name: str | None = None, pinned: bool = False, idempotency_key: str | None = None
    ) -> Job:
        """Request a checkpoint of a running job at the end of its chunk of ticks.

        `name` has at most 200 characters; a pinned checkpoint is exempt from retention.
        """
        path, body = api_path("jobs", self.id, "checkpoints"), {"name": name, "pinned": pinned}
        return self._replace_fields(self._session.create(path, body, idempotency_key))

    def verify(
        self, *, start: int = 0, to: int | None = None, idempotency_key: str | None = None
    ) -> Job:
        """Re-run the ticks after `start` up to `to` and compare every recorded bit.

        `start` is 0 or the tick of a checkpoint; without `to`, up to the last accepted tick.
        Returns a new job of kind verify; its `fields["result"]` is the certificate.
        """
        path, body = api_path("jobs", self.id, "verify"), {"from": start, "to": to}
        return Job(self._session, self._session.create(path, body, idempotency_key))

    def fork(
        self,
        tick: int | None = None,
        spec: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Job:
        """Go on after a kept checkpoint (by default the newest) as a new job, and return that.

        `spec` is a merge patch (RFC 7396) of this job's spec. Raises Conflict, which names the kept
        ticks, or InvalidRequest.
        """
        path, body = api_path("jobs", self.id, "fork"), {"tick": tick, "spec": dict(spec or {})}
        return Job(self._session, self._session.create(path, body, idempotency_key))

    def extend(self, budget: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Go on from the final checkpoint as a new job up to a larger `budget`, and return that.

        The budget counts from tick 0 of the line.
        """
        path, body = api_path("jobs", self.id, "extend"), {"budget": dict(budget)}
        return Job(self._session, self._session.create(path, body, idempotency_key))

    def update(self, **changes: Any) -> Job:
        """Set `name`, `labels`, `notes` or `priority`; return this job as changed."""
        return self._replace_fields(self._session.patch(self._path, changes))

    def delete(self) -> None:
        """Delete an ended job, its history and its files permanently. Raises Conflict."""
        self._session.delete(self._path)

    def history(
        self,
        columns: str | Sequence[str] = "loss",
        *,
        after: int = 0,
        before: int | None = None,
        last: int | None = None,
        lineage: bool = False,
    ) -> History:
        """Return columns as arrays, every tick; see tickforge_client.history for their types.

        `after` and `before` are exclusive bounds; `last` requests the newest ticks instead. With
        `lineage` a fork's has the ticks before its own, too.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        session, job_id = self._session, self.id
        document = history.read(
            session, job_id, names, after=after, before=before, last=last, lineage=lineage
        )
        return history.to_arrays(document, names)

    def view(
        self, columns: str | Sequence[str] = "loss", *, points: int, lineage: bool = False
    ) -> dict[str, Any]:
        """Return the history in at most `points` buckets per column, as the server's JSON."""
        names = columns if isinstance(columns, str) else ",".join(columns)
        query: dict[str, Any] = {"columns": names, "points": points}
        query |= {"lineage": "true"} if lineage else {}
        return self._session.get(api_path("jobs", self.id, "history"), query)

    def predict(self, rows: Any, which: str | int = "latest") -> list[dict[str, Any]]:
        """Return a prediction for each row, by the net of a checkpoint.

        `rows` is a list of {column: value}, a pandas DataFrame, or an array (or lists) of inputs,
        one row each. A prediction is {"class", "probabilities"}, {"value"} or {"values"}. Raises
        InvalidRequest with a pointer to each value that the net cannot read, or AnswerFailed.
        """
        return predictions.predict(self._session, self.id, which, rows)

    def evaluate(self, dataset_id: str, which: str | int = "latest") -> dict[str, Any]:
        """Return `rows`, `metrics` and, of classes, `confusion` of a checkpoint's net on a dataset.

        Raises InvalidRequest where its columns do not fit, or AnswerFailed.
        """
        return predictions.evaluate(self._session, self.id, which, dataset_id)

    def predict_dataset(self, dataset_id: str, which: str | int = "latest") -> Job:
        """Predict an uploaded dataset; return the job, whose `result_pieces` has the predictions.

        Raises InvalidRequest where its columns do not fit, or AnswerFailed.
        """
        fields = predictions.predict_dataset(self._session, self.id, which, dataset_id)
        return Job(self._session, fields)

    def result_pieces(self, media_type: str = "text/csv") -> Iterator[bytes]:
        """Yield the predictions of a dataset, in pieces: CSV, or "application/x-ndjson"."""
        return predictions.stream_result(self._session, self.id, media_type)

    def generate(self, prompt: str, which: str | int = "latest", **options: Any) -> str:
        """Return the prompt, continued by the language model of a checkpoint.

        Options: `max_tokens` (200), `temperature` (1), `top_k`, `top_p`, `seed` (0), `stop`.
        """
        given = {name: value for name, value in options.items() if value is not None}
        body = {"prompt": prompt, **given}
        result = predictions.ask(self._session, self.id, which, body)
        return str(result["predictions"][0]["text"])

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The job's current checkpoints, oldest first."""
        entries = self._session.iter_entries(api_path("jobs", self.id, "checkpoints"), {})
        return [Checkpoint.read(self._session, self.id, fields) for fields in entries]

    def checkpoint(self, which: str | int = "latest") -> Checkpoint:
        """Return one checkpoint: that of a tick, or initial, latest, best or final."""
        fields = self._session.get(api_path("jobs", self.id, "checkpoints", which))
        return Checkpoint.read(self._session, self.id, fields)

    def _transition(self, action: str) -> Job:
        return self._replace_fields(self._session.post(api_path("jobs", self.id, action)))

    def _replace_fields(self, fields: Mapping[str, Any]) -> Job:
        self.fields = fields
        self._etag = None
        return self
