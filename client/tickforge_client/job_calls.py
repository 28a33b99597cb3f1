"""What can be asked of a job, written once as coroutines; job.py has both kinds. Prints nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from tickforge_client import events, history, job_exports, logs, predictions
from tickforge_client.events import Event
from tickforge_client.history import History
from tickforge_client.job_exports import ExportedJob
from tickforge_client.job_fields import END, CheckpointT, JobT
from tickforge_client.job_pictures import JobPictures
from tickforge_client.json_values import require_object, require_seconds, require_text
from tickforge_client.logs import Log
from tickforge_client.paths import api_path


class JobCalls(JobPictures[JobT, CheckpointT]):
    """The calls of a job. None of them calls another: of the client that blocks they differ."""

    async def refresh(self) -> bool:
        """Fetch the job again; return whether it has changed."""
        return (await self._fetch({}))[0]

    async def changes(self, timeout: float | None = None) -> AsyncIterator[JobT]:
        """Yield this job now and after every change; stop once it has ended.

        Raises JobTimeout if it has not ended after `timeout` seconds.
        """
        yield self._self
        async for has_changed in self._poll(require_seconds("timeout", timeout), {}):
            if has_changed:
                yield self._self

    async def wait(self, timeout: float | None = None, *, until: str = END) -> JobT:
        """Wait until the job has ended, with any status, and return it. Raises JobTimeout.

        `until` may also be a condition, such as "loss<0.1", "val_accuracy>0.9" or "tick>=5000":
        the wait ends as soon as a recorded tick meets it, or the job ends without one. Raises
        InvalidRequest for a column that the job does not record and for what is no condition, also
        where the job has ended; InvalidInput for what is no text.
        """
        until = require_text("until", until, '"end", "tick:5000" or "loss<0.1"')
        async for _ in self._poll(require_seconds("timeout", timeout), {"until": until}):
            pass
        return self._self

    async def follow(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield the job's events with a sequence number above `after` until it has ended.

        Events of type `ticks`, without a number, report its progress at most four times a second.
        With the last event this job, too, is as it ended; before that it is as last fetched.
        """
        async with aclosing(events.follow(self.session, self.id, after)) as followed:
            async for event in followed:
                if event.ends:
                    await self._fetch_ended(event)
                yield event
        if not self.ended:  # all events were known before
            await self._fetch({})

    async def logs(self, after: int = 0) -> Log:
        """Return the log from byte `after` on; for a running job at most its last 1 MiB."""
        return await logs.read(self.session, self.id, after)

    async def cancel(self) -> JobT:
        """Request that the job ends as cancelled; its checkpoints stay."""
        return await self._transition("cancel")

    async def stop(self) -> JobT:
        """Request an early end as succeeded, with a final validation and checkpoint."""
        return await self._transition("stop")

    async def pause(self) -> JobT:
        """Request that the job saves a checkpoint at its current tick and frees its worker."""
        return await self._transition("pause")

    async def resume(self) -> JobT:
        """Request that the job continues from where it was paused."""
        return await self._transition("resume")

    async def request_checkpoint(
        self, *, name: str | None = None, pinned: bool = False, idempotency_key: str | None = None
    ) -> JobT:
        """Request a checkpoint of a running job at the end of its chunk of ticks.

        `name` has at most 200 characters; a pinned checkpoint is exempt from retention.
        """
        path, body = api_path("jobs", self.id, "checkpoints"), {"name": name, "pinned": pinned}
        return self._updated(await self.session.create(path, body, idempotency_key))

    async def verify(
        self, *, start: int = 0, to: int | None = None, idempotency_key: str | None = None
    ) -> JobT:
        """Re-run the ticks after `start` up to `to` and compare every recorded bit.

        `start` is 0 or the tick of a checkpoint; without `to`, up to the last accepted tick.
        Returns a new job of kind verify; its `fields["result"]` is the certificate.
        """
        path, body = api_path("jobs", self.id, "verify"), {"from": start, "to": to}
        return self._new_job(await self.session.create(path, body, idempotency_key))

    async def fork(
        self,
        tick: int | None = None,
        spec: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> JobT:
        """Go on after a kept checkpoint (by default the newest) as a new job, and return that.

        `spec` is a merge patch (RFC 7396) of this job's spec. Raises Conflict, which names the kept
        ticks, or InvalidRequest.
        """
        patch = require_object("spec", {} if spec is None else spec, '{"optimizer": {"lr": 0.001}}')
        path, body = api_path("jobs", self.id, "fork"), {"tick": tick, "spec": patch}
        return self._new_job(await self.session.create(path, body, idempotency_key))

    async def extend(
        self, budget: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> JobT:
        """Go on from the final checkpoint as a new job up to a larger `budget`, and return that.

        The budget counts from tick 0 of the line.
        """
        body = {"budget": require_object("budget", budget, '{"ticks": 20000}')}
        path = api_path("jobs", self.id, "extend")
        return self._new_job(await self.session.create(path, body, idempotency_key))

    async def update(self, /, **changes: Any) -> JobT:
        """Set `name`, `labels`, `notes` or `priority`; return this job as changed."""
        return self._updated(await self.session.patch(self._path, changes))

    async def delete(self) -> None:
        """Delete an ended job, its history and its files permanently. Raises Conflict."""
        await self.session.delete(self._path)

    async def history(
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
        session, job_id = self.session, self.id
        document = await history.read(
            session, job_id, names, after=after, before=before, last=last, lineage=lineage
        )
        return history.to_arrays(document, names)

    async def view(
        self, columns: str | Sequence[str] = "loss", *, points: int, lineage: bool = False
    ) -> dict[str, Any]:
        """Return the history in at most `points` buckets per column, as the server's JSON."""
        names = columns if isinstance(columns, str) else ",".join(columns)
        query: dict[str, Any] = {"columns": names, "points": points}
        query |= {"lineage": "true"} if lineage else {}
        return await self.session.get(api_path("jobs", self.id, "history"), query)

    async def export(
        self,
        path: str | Path,
        to: str,
        *,
        columns: str | Sequence[str] | None = None,
        lineage: bool = False,
    ) -> ExportedJob:
        """Write the history into a folder of this job in `path`, as `tickforge export` does.

        `to`: "tensorboard", whose file gets what is new with each call, also while the job trains;
        or "wandb", written once the job has ended: before, the `path` of the answer is None.
        `columns`: all metrics by default; with `lineage` a fork has the ticks before its own, too.
        Raises InvalidInput, InvalidRequest, ExportError where the folder is not what an export
        leaves, or OSError.
        """
        known = await job_exports.open_export(
            self.session, self.id, self.name, Path(path), to, columns, lineage=lineage
        )
        if not (self.ended or to in job_exports.GROWING):
            await self._fetch({})
        export = await job_exports.write_new(self.session, known, has_ended=self.ended)
        return job_exports.describe(export)

    async def predict(self, rows: Any, which: str | int = "latest") -> list[dict[str, Any]]:
        """Return a prediction for each row, by the net of a checkpoint.

        `rows` is a list of {column: value}, a pandas DataFrame, or an array (or lists) of inputs,
        one row each; all are predicted by one net, also where "latest" becomes another meanwhile.
        A prediction is {"class", "probabilities"}, {"value"} or {"values"}. Raises InvalidInput for
        what cannot be sent, InvalidRequest for what the net cannot read, each with a pointer to
        every such value (rows count from 0), or AnswerFailed.
        """
        return await predictions.predict(self.session, self.id, which, rows)

    async def evaluate(self, dataset_id: str, which: str | int = "latest") -> dict[str, Any]:
        """Return `rows`, `metrics` and, of classes, `confusion` of a checkpoint's net on a dataset.

        Raises InvalidRequest where its columns do not fit, or AnswerFailed.
        """
        return await predictions.evaluate(self.session, self.id, which, dataset_id)

    async def predict_dataset(self, dataset_id: str, which: str | int = "latest") -> JobT:
        """Predict an uploaded dataset; return the job, whose `result_pieces` has the predictions.

        Raises InvalidRequest where its columns do not fit, or AnswerFailed.
        """
        fields = await predictions.predict_dataset(self.session, self.id, which, dataset_id)
        return self._new_job(fields)

    def result_pieces(self, media_type: str = "text/csv") -> AsyncIterator[bytes]:
        """Yield the predictions of a dataset, in pieces: CSV, or "application/x-ndjson"."""
        return predictions.stream_result(self.session, self.id, media_type)

    async def generate(self, /, prompt: str, which: str | int = "latest", **options: Any) -> str:
        """Return the prompt, continued by the language model of a checkpoint.

        Options: `max_tokens` (200), `temperature` (1), `top_k`, `top_p`, `seed` (0), `stop`.
        """
        given = {name: value for name, value in options.items() if value is not None}
        body = {"prompt": prompt, **given}
        result = await predictions.ask(self.session, self.id, which, body)
        return str(result["predictions"][0]["text"])

    async def list_checkpoints(self) -> list[CheckpointT]:
        """Return the job's current checkpoints, oldest first."""
        entries = self.session.iter_entries(api_path("jobs", self.id, "checkpoints"), {})
        return [self._make_checkpoint(fields) async for fields in entries]

    async def checkpoint(self, which: str | int = "latest") -> CheckpointT:
        """Return one checkpoint: that of a tick, or initial, latest, best or final."""
        fields = await self.session.get(api_path("jobs", self.id, "checkpoints", which))
        return self._make_checkpoint(fields)
