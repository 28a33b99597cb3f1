"""What the protocol of jobs promises, as plain Python: the model that the ledger is compared with.

A world of jobs in memory. Each method does what the ledger's of the same name must do, and returns
or raises what that must; nothing of it is taken from the scripts. Knows no store.
"""

from dataclasses import dataclass, field

from jobs.errors import (
    IdempotencyMismatch,
    IdempotentResultDeleted,
    IllegalTransition,
    NotAccepted,
    NotTerminal,
)
from tests.ledger_owners import SEGMENT, VERBS, Job, Owners


@dataclass
class World(Owners):
    """The jobs, what clients may ask of them, and what is known beside them."""

    submissions: int = 0
    keys: dict[str, tuple[int | None, str]] = field(default_factory=dict)
    tombstones: set[int] = field(default_factory=set)
    run_out: int = 0  # leases so far whose time was over

    def submit(self, priority: int, total: int | None, key: str | None, body: str) -> int:
        """Queue a new job, or find the one of this key; gives its number."""
        if key is not None and key in self.keys:
            number, digest = self.keys[key]
            if number is None:
                raise IdempotentResultDeleted(key)
            if digest != body:
                raise IdempotencyMismatch(key)
            return number
        self.submissions += 1
        self.jobs[self.submissions] = Job(priority, total, key)
        if key is not None:
            self.keys[key] = (self.submissions, body)
        return self.submissions

    def request(self, number: int, verb: str) -> str:
        """Do what the contract's table of verbs says, or refuse it."""
        job = self.job(number)
        if verb not in self.allowed(job):
            raise IllegalTransition(verb, job.status, self.allowed(job))
        if job.status == "running":
            return self._ask(job, verb)
        if job.ended or (verb, job.status) in (("resume", "queued"), ("pause", "paused")):
            return "done"
        job.requested = "stop" if verb == "stop" else None
        if (verb, job.status) != ("stop", "queued"):
            job.deaths = 0
            job.become({"cancel": "cancelled", "pause": "paused"}.get(verb, "queued"))
        return "done" if verb in ("cancel", "pause") else "under_way"

    def _ask(self, job: Job, verb: str) -> str:
        if verb == "resume":
            if job.requested == "pause":
                job.requested, job.withdrawn = None, True
            return "done"
        if job.requested != "cancel":
            job.requested, job.withdrawn = verb, False
        return "under_way"

    def allowed(self, job: Job) -> list[str]:
        """The verbs that a job may be given now."""
        again = job.tick > 0 or job.status != "queued"
        table = {
            "queued": [verb for verb in VERBS if verb != "stop" or again],
            "running": list(VERBS),
            "paused": list(VERBS),
            "succeeded": ["stop"] if job.stopped_by == "user" else [],
            "failed": [],
            "cancelled": ["cancel"],
        }
        return table[job.status]

    def patch(self, number: int, priority: int) -> None:
        """Give a job another priority."""
        self.job(number).priority = priority

    def delete(self, number: int) -> None:
        """Remove an ended job for good; its id and its key are never used again."""
        job = self.job(number)
        if not job.ended:
            raise NotTerminal(job.status)
        del self.jobs[number]
        self.tombstones.add(number)
        if job.key is not None:
            self.keys[job.key] = (None, "-")

    def seal(self, number: int) -> None:
        """Note that an ended job's history lies in files alone."""
        job = self.job(number)
        if not job.ended or job.moved * SEGMENT < job.tick:
            raise NotAccepted
        job.sealed = True

    def due(self) -> int:
        """How many bells are needed: one a job that waits to be claimed."""
        return len(self.queued()) + len(self._run_out())

    def runs_out(self, number: int) -> None:
        """Let the lease of a running job be over."""
        self.run_out += 1
        self.jobs[number].ran_out = self.run_out
