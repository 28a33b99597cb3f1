"""Several jobs, asked for in turn until all have ended. Holds no request open; prints nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tickforge_client.errors import DamagedOnServer, NotFound, TickforgeError
from tickforge_client.job import Job

#: seconds between two requests of one job, and between two of its losses
POLL_SECONDS, LOSSES_SECONDS = 1.0, 3.0
#: requests a second for all jobs together: with many jobs each is asked for less often
MAX_REQUESTS_PER_SECOND = 20
#: points of the losses: as wide as a line has place for
POINTS = 24


@dataclass
class WatchedJob:
    """A job as last fetched, and means of its losses over at most POINTS equal parts so far.

    `is_deleted`: it was deleted before its end was seen.
    """

    job: Job
    losses: list[float | None] = field(default_factory=list)
    is_deleted: bool = False
    _losses_tick: int = 0
    _losses_at: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it: it has ended, or it was deleted."""
        return self.job.ended or self.is_deleted

    @property
    def status(self) -> str:
        """The job's status, or "deleted"."""
        return "deleted" if self.is_deleted else self.job.status

    def refresh(self, *, with_losses: bool) -> int:
        """Fetch the job, and its losses where they are due; return the number of requests."""
        try:
            self.job.refresh()
            if with_losses and self._are_losses_due():
                self._fetch_losses()
                return 2
        except NotFound:
            self.is_deleted = not self.job.ended
        except TickforgeError as error:
            error.job_id = self.job.id
            raise
        return 1

    def _are_losses_due(self) -> bool:
        job = self.job
        has_new = job.fields["kind"] == "train" and job.tick > self._losses_tick
        return has_new and (job.ended or time.monotonic() >= self._losses_at + LOSSES_SECONDS)

    def _fetch_losses(self) -> None:
        try:
            self.losses = list(self.job.view(points=POINTS)["loss"]["mean"])
        except DamagedOnServer:  # of its history; the job and the others are shown all the same
            self.losses = []
        self._losses_tick, self._losses_at = self.job.tick, time.monotonic()


def follow(watched: Sequence[WatchedJob], *, with_losses: bool) -> Iterator[WatchedJob]:
    """Yield each job now and whenever it was fetched again, until all are over.

    Raises Problem, and Unreachable when the server stays away.
    """
    for one in watched:  # as they were listed
        if with_losses and one.job.ended:
            one.refresh(with_losses=True)
        yield one
    while still_open := [one for one in watched if not one.is_over]:
        round_began = time.monotonic()
        for one in still_open:
            requests = one.refresh(with_losses=with_losses)
            yield one
            time.sleep(requests / MAX_REQUESTS_PER_SECOND)
        time.sleep(max(0.0, round_began + POLL_SECONDS - time.monotonic()))
