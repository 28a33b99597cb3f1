"""The promises of the protocol of jobs in plain Python: the model that the ledger is compared with.

A world of jobs in memory. Each method has the result or error that the ledger's method of the same
name must have; nothing of it is taken from the scripts. Knows no store.
"""

from dataclasses import dataclass, field

from jobs.errors import (
    IdempotencyMismatch,
    IdempotentResultDeleted,
    IllegalTransition,
    NotAccepted,
    NotTerminal,
)
from tests.ledger_owners import SEGMENT_TICKS, VERBS, ModelJob, Owners

#: of requests: one is displaced by a later one alone
RANKS = (None, "pause", "stop", "cancel")


@dataclass
class World(Owners):
    """The jobs of a tenant, the requests of its clients, and the records beside the jobs."""

    submissions: int = 0
    keys: dict[str, tuple[int | None, str]] = field(default_factory=dict)
    tombstones: set[int] = field(default_factory=set)
    expired_count: int = 0  # leases so far whose time was over

    def submit(
        self, priority: int, total: int | None, key: str | None, body: str, spec_bytes: int
    ) -> int:
        """Queue a new job, or find the one of this idempotency key; return its number."""
        if key is not None and key in self.keys:
            number, digest = self.keys[key]
            if number is None:
                raise IdempotentResultDeleted(key)
            if digest != body:
                raise IdempotencyMismatch(key)
            return number
        self.submissions += 1
        self.jobs[self.submissions] = ModelJob(priority, total, key, spec_bytes)
        if key is not None:
            self.keys[key] = (self.submissions, body)
        return self.submissions

    def request_transition(self, number: int, verb: str) -> str:
        """Apply the contract's table of verbs, or refuse."""
        job = self.job(number)
        if verb not in self.allowed(job):
            raise IllegalTransition(verb, job.status, self.allowed(job))
        if job.status == "running":
            return self._set_request(job, verb)
        if job.is_terminal or (verb, job.status) in (("resume", "queued"), ("pause", "paused")):
            return "done"
        job.requested = "stop" if verb == "stop" else job.requested
        if (verb, job.status) != ("stop", "queued"):
            job.deaths = 0
            job.set_status({"cancel": "cancelled", "pause": "paused"}.get(verb, "queued"))
        return "done" if verb in ("cancel", "pause") else "under_way"

    def _set_request(self, job: ModelJob, verb: str) -> str:
        if verb == "resume":
            if job.requested == "pause":
                job.requested, job.is_pause_withdrawn = None, True
            return "done"
        if RANKS.index(verb) > RANKS.index(job.requested):
            job.requested, job.is_pause_withdrawn = verb, False
        return "under_way"

    def allowed(self, job: ModelJob) -> list[str]:
        """Return the verbs that a job allows now."""
        was_started = job.tick > 0 or job.status != "queued"
        table = {
            "queued": [verb for verb in VERBS if verb != "stop" or was_started],
            "running": list(VERBS),
            "paused": list(VERBS),
            "succeeded": ["stop"] if job.stopped_by == "user" else [],
            "failed": [],
            "cancelled": ["cancel"],
        }
        return table[job.status]

    def patch(self, number: int, priority: int) -> None:
        """Change a job's priority."""
        self.job(number).priority = priority

    def delete(self, number: int) -> None:
        """Remove an ended job for good; its id and its key are never used again."""
        job = self.job(number)
        if not job.is_terminal:
            raise NotTerminal(job.status)
        del self.jobs[number]
        self.tombstones.add(number)
        if job.key is not None:
            self.keys[job.key] = (None, "-")

    def mark_finalized(self, number: int) -> None:
        """Record that an ended job's history lies in files alone."""
        job = self.job(number)
        if not job.is_terminal or job.segments_in_files * SEGMENT_TICKS < job.tick:
            raise NotAccepted
        job.is_finalized = True

    def wakeups_due(self) -> int:
        """Return how many wake-ups are due: one for each queued job that may run."""
        return int(min(len(self.queued()), self.free_places())) + len(self._expired())

    def expire_lease(self, number: int) -> None:
        """End the lease of a running job."""
        self.expired_count += 1
        self.jobs[number].expiry_order = self.expired_count
