"""What a lease promises its owner, as plain Python: jobs in memory, and all that owners may do.

The half of the model (ledger_model.py) that a lease opens. Nothing of it is taken from the scripts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.errors import LeaseLost, NoSuchJob, NotAccepted, TickGap, TickMismatch, WrongFinalTick
from jobs.ledger.owner import MAX_ATTEMPTS_WITHOUT_PROGRESS

SEGMENT = 4  # ticks; the scripts of the machine have this one too
ENDED = ("succeeded", "failed", "cancelled")
MOVES = {
    "queued": {"running", "cancelled", "paused", "failed"},
    "running": {"queued", "paused", *ENDED},
    "paused": {"queued", "cancelled"},
}  # from each status to these; what has ended stays as it is
VERBS = ("cancel", "stop", "pause", "resume")


class Held(NamedTuple):
    """A lease that somebody was given: of the job with this number."""

    number: int
    term: int
    nonce: str


class Stands(NamedTuple):
    """What a claim tells its owner."""

    held: Held
    tick: int
    attempt: int
    requested: str | None
    checkpoints: list[int]


@dataclass
class Attempt:
    """One claim and what came of it."""

    first: int
    last: int
    outcome: str | None = None


@dataclass
class Job:
    """A job's whole truth."""

    priority: int
    total: int | None  # ticks; None: only seconds end it
    key: str | None
    status: str = "queued"
    requested: str | None = None
    withdrawn: bool = False  # a resume came after the pause that its owner may be acting on
    term: int = 0
    nonce: str | None = None
    ran_out: int | None = None  # when its lease did, in the order of such events
    losses: list[int] = field(default_factory=list)  # bits, by tick
    states: dict[int, int] = field(default_factory=dict)
    moved: int = 0  # segments that lie in files
    sealed: bool = False
    deaths: int = 0
    stopped_by: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    audit: list[tuple[int, str, int, int]] = field(default_factory=list)
    checkpoints: dict[int, int] = field(default_factory=dict)  # tick -> bytes
    latest: int | None = None

    @property
    def tick(self) -> int:
        """The accepted tick."""
        return len(self.losses)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED

    def become(self, status: str) -> None:
        """Take a new status, and all that comes with it."""
        self.status, self.ran_out = status, None
        if status == "paused" or self.ended:
            self.requested = None


@dataclass
class Owners:
    """All jobs by number (their order of submission), and what their owners know."""

    jobs: dict[int, Job] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)  # nonce -> number

    def claim(self, nonce: str) -> Stands | None:
        """Own the best job: one whose lease ran out first, else by priority and age."""
        if nonce in self.claims:
            job = self.jobs.get(self.claims[nonce])
            again = job is not None and job.status == "running" and job.nonce == nonce
            return self._stands(self.claims[nonce]) if again else None
        for number in self._run_out():
            self.jobs[number].attempts[-1].outcome = "lost"
            if not self._settle(self.jobs[number]):
                return self._take(number, nonce)
        for number in self.queued():
            if not self._settle(self.jobs[number]):
                return self._take(number, nonce)
        return None

    def queued(self) -> list[int]:
        """Numbers of the queued jobs in the order in which they are claimed."""
        waiting = [number for number, job in self.jobs.items() if job.status == "queued"]
        return sorted(waiting, key=lambda number: (-self.jobs[number].priority, number))

    def _run_out(self) -> list[int]:
        ran_out = {n: job.ran_out for n, job in self.jobs.items() if job.ran_out is not None}
        return sorted(ran_out, key=lambda number: ran_out[number])

    def _settle(self, job: Job) -> bool:
        """Do what was asked of a job that nobody holds; True when it is not to be run."""
        if job.requested in ("cancel", "pause"):
            job.become("cancelled" if job.requested == "cancel" else "paused")
            return True
        if job.deaths >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
            job.become("failed")
            return True
        return False

    def _take(self, number: int, nonce: str) -> Stands:
        job = self.jobs[number]
        job.term, job.nonce, job.deaths = job.term + 1, nonce, job.deaths + 1
        job.withdrawn = False
        job.become("running")
        job.attempts.append(Attempt(job.tick + 1, job.tick))
        self.claims[nonce] = number
        return self._stands(number)

    def _stands(self, number: int) -> Stands:
        job = self.jobs[number]
        assert job.nonce is not None
        kept = sorted(job.checkpoints, reverse=True)
        held = Held(number, job.term, job.nonce)
        return Stands(held, job.tick, len(job.attempts), job.requested, kept)

    def holds(self, held: Held) -> bool:
        """The fence: whether this lease is the one that may write."""
        job = self.jobs.get(held.number)
        return job is not None and (job.status, job.term, job.nonce) == ("running", *held[1:])

    def _held(self, held: Held) -> Job:
        if not self.holds(held):
            raise LeaseLost
        return self.jobs[held.number]

    def append(
        self, held: Held, first: int, losses: Sequence[int], states: dict[int, int]
    ) -> tuple[int, str | None, bool]:
        """Accept the next ticks, and none that contradicts what is recorded."""
        job = self._held(held)
        last = first + len(losses) - 1
        if first > job.tick + 1:
            raise TickGap(job.tick)
        in_files = segment_of(first) < job.moved
        if not in_files:
            _compare("loss", dict(enumerate(job.losses, 1)), dict(enumerate(losses, first)))
        if any(tick > max(last, job.tick) for tick in states):
            raise TickGap(job.tick)
        states = {tick: bits for tick, bits in states.items() if segment_of(tick) >= job.moved}
        _compare("state", job.states, states)
        fresh = losses[job.tick + 1 - first :]
        for tick, bits in states.items():
            job.states.setdefault(tick, bits)  # late or not
        if losses:
            _note_audit(job, held, first, last)
        if fresh:
            job.losses += fresh
            job.deaths, job.attempts[-1].last = 0, job.tick
        job.ran_out = None
        return job.tick, job.requested, in_files

    def renew(self, held: Held) -> str | None:
        """Prolong the lease; gives what is requested."""
        job = self._held(held)
        job.ran_out = None
        return job.requested

    def commit(self, held: Held, tick: int, size: int, drop: Sequence[int]) -> None:
        """Let a checkpoint of an accepted tick count, and those of `drop` no longer."""
        job = self._held(held)
        if tick > job.tick:
            raise NotAccepted
        job.ran_out = None
        if job.checkpoints.get(tick) == size:  # sent twice
            return
        for dropped in drop:
            job.checkpoints.pop(dropped, None)
        job.checkpoints[tick] = size
        job.latest = max(job.checkpoints)

    def finish(
        self, held: Held, status: str, tick: int, stopped_by: str | None, reason: str | None
    ) -> str:
        """Let go of a job; the latest request counts, and sent twice it is done once."""
        known = self.jobs.get(held.number)
        if known is not None and (known.status, known.term, known.nonce) == (status, *held[1:]):
            return status
        job = self._held(held)
        if status == "succeeded":
            due = job.total if stopped_by == "budget" and job.total is not None else job.tick
            if not tick == due == job.tick:
                raise WrongFinalTick(job.tick)
            job.stopped_by = stopped_by
        becomes = self._as_asked(job, status)
        if "paused" in (status, becomes) or reason == "drain":
            job.deaths = 0
        job.attempts[-1].outcome = reason if status == "queued" else becomes
        job.become(becomes)
        return becomes

    def _as_asked(self, job: Job, status: str) -> str:
        if status not in ("queued", "paused"):
            return status
        if job.requested == "cancel":
            return "cancelled"
        if job.requested == "pause":
            return "paused"
        return "queued" if job.requested == "stop" or job.withdrawn else status

    def move_segment(self, number: int, segment: int, held: Held | None) -> None:
        """Let a full segment's files (or an ended job's last one's) take its place, in order."""
        job = self.job(number)
        if segment < job.moved:
            return
        if not job.ended:
            if held is None:
                raise LeaseLost
            self._held(held)
            if job.tick <= (segment + 1) * SEGMENT:
                raise NotAccepted
        if segment > job.moved:
            raise NotAccepted
        job.moved += 1

    def job(self, number: int) -> Job:
        """Find a job."""
        if number not in self.jobs:
            raise NoSuchJob(number)
        return self.jobs[number]


def segment_of(tick: int) -> int:
    """The segment that a tick lies in."""
    return max(tick - 1, 0) // SEGMENT


def _compare(column: str, had: dict[int, int], offered: dict[int, int]) -> None:
    size = 4 if column == "loss" else 8
    for tick, bits in sorted(offered.items()):
        if had.get(tick, bits) != bits:
            both = (each.to_bytes(size, "little").hex() for each in (had[tick], bits))
            raise TickMismatch(tick, column, *both)


def _note_audit(job: Job, held: Held, first: int, last: int) -> None:
    if job.audit and job.audit[-1][:2] == held[1:]:
        _, _, first, before = job.audit.pop()
        last = max(last, before)
    job.audit.append((held.term, held.nonce, first, last))
