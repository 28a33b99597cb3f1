"""The fields of a job as last fetched, and how it is fetched again. Prints nothing."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, TypeVar, cast

from tickforge_client.checkpoints import CheckpointFields
from tickforge_client.errors import JobTimeout, NotFound
from tickforge_client.events import TERMINAL_STATUSES, Event
from tickforge_client.http import ApiSession
from tickforge_client.notebook import show_job
from tickforge_client.paths import api_path

JobT = TypeVar("JobT")
CheckpointT = TypeVar("CheckpointT", bound=CheckpointFields)

#: seconds a long poll waits for a change, well below http.READ_TIMEOUT
LONG_POLL_SECONDS = 20.0
#: what `until` is without a condition
END = "end"
#: seconds between two polls that the server does not hold: at first, and at most
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.3, 1.0


class JobFields(Generic[JobT, CheckpointT]):
    """A job as last fetched: `fields` is the server's JSON.

    `JobT` and `CheckpointT` are the kinds of jobs and checkpoints that its calls return.
    """

    _checkpoint_kind: type[CheckpointT]

    def __init__(self, session: ApiSession, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self.session = session
        self._path = api_path("jobs", fields["id"])
        self._etag: str | None = None
        self._until_met: bool | None = None  # of the newest wait

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status} tick {self.tick}>"

    def _repr_html_(self) -> str:
        shown = show_job(self.session, self.fields, is_final=self.ended)
        if shown.fields is not self.fields:
            self._updated(shown.fields)
        return shown.html

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

    async def _poll(self, timeout: float | None, params: Mapping[str, str]) -> AsyncIterator[bool]:
        """Poll until the job has ended, or what `until` names is so.

        Yields after each poll whether the job has changed. The server is asked at least once for a
        condition, also of a job that has ended: it alone knows which ones can be met.
        """
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        pause = FIRST_POLL_SECONDS
        self._until_met = None
        is_checked = params.get("until", END) == END
        while not is_checked or not (self.ended or self._until_met):
            remaining = min(LONG_POLL_SECONDS, deadline - time.monotonic())
            if remaining <= 0 and is_checked:
                state = f"{self.status} at tick {self.tick}"
                raise JobTimeout(f"{self.id} is {state} after {timeout:g} s")
            started = time.monotonic()
            # without an ETag, a change since `fields` were fetched would be missed
            wait = f"{max(0.0, remaining):.3f}"
            wait_params = {"wait": wait, **params} if params or self._etag else {}
            has_changed, min_pause = await self._fetch(wait_params)
            is_checked = True
            yield has_changed
            is_over = self.ended or self._until_met
            if wait_params and not is_over and time.monotonic() < started + remaining / 2:
                if not has_changed or min_pause or params:  # the server did not hold the request
                    await self.session.sleep(max(min(pause, remaining), min_pause or 0))
                pause = FIRST_POLL_SECONDS if has_changed else min(1.5 * pause, MAX_POLL_SECONDS)

    async def _fetch(self, params: Mapping[str, str]) -> tuple[bool, float | None]:
        etag = None if "until" in params else self._etag
        answer = await self.session.get_if_changed(self._path, etag, params)
        self._etag, self._until_met = answer.etag, answer.until_met
        if answer.body is not None:
            self.fields = answer.body
        return answer.body is not None, answer.retry_after

    async def _fetch_ended(self, last: Event) -> None:
        """Fetch the job whose last event was read; one deleted since then is as that tells."""
        try:
            await self._fetch({})
        except NotFound:
            self._updated({**self.fields, **last.data})

    @property
    def _self(self) -> JobT:
        return cast(JobT, self)

    def _updated(self, fields: Mapping[str, Any]) -> JobT:
        self.fields, self._etag = fields, None
        return self._self

    def _new_job(self, fields: Mapping[str, Any]) -> JobT:
        return cast(JobT, type(self)(self.session, fields))

    def _make_checkpoint(self, fields: Mapping[str, Any]) -> CheckpointT:
        return self._checkpoint_kind.read(self.session, self.id, fields)

    async def _transition(self, action: str) -> JobT:
        return self._updated(await self.session.post(api_path("jobs", self.id, action)))
