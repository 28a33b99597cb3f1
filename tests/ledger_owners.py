"""The promises of a lease in plain Python: jobs in memory, and all that their owners may do.

The owners' half of the model (ledger_model.py). Nothing of it is taken from the scripts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from jobs.errors import LeaseLost, NoSuchJob, NotAccepted, TickGap, TickMismatch, WrongFinalTick
from jobs.ledger.owner import MAX_ATTEMPTS_WITHOUT_PROGRESS

SEGMENT_TICKS = 4  # ticks; the scripts of the machine have this one too
TERMINAL = ("succeeded", "failed", "cancelled")
TRANSITIONS = {
    "queued": {"running", "cancelled", "paused", "failed"},
    "running": {"queued", "paused", *TERMINAL},
    "paused": {"queued", "cancelled"},
}  # from each status to these; what has ended stays as it is
VERBS = ("cancel", "stop", "pause", "resume")


class HeldLease(NamedTuple):
    """A lease that was given to an owner, of the job with this number."""

    number: int
    term: int
    nonce: str


class ClaimResult(NamedTuple):
    """The result of a claim."""

    held: HeldLease
    tick: int
    attempt: int
    requested: str | None
    checkpoints: list[int]


@dataclass
class ModelAttempt:
    """One claim and its result."""

    first: int
    last: int
    outcome: str | None = None


@dataclass
class ModelJob:
    """The whole state of a job."""

    priority: int
    total: int | None  # ticks; None: only seconds end it
    key: str | None
    spec_bytes: int
    status: str = "queued"
    requested: str | None = None
    is_pause_withdrawn: bool = (
        False  # a resume came after the pause that its owner may be acting on
    )
    term: int = 0
    nonce: str | None = None
    expiry_order: int | None = None  # when its lease did, in the order of such events
    losses: list[int] = field(default_factory=list)  # bits, by tick
    states: dict[int, int] = field(default_factory=dict)
    conditions: dict[str, int] = field(
        default_factory=dict
    )  # condition -> the tick it was told with
    skipped: int = 0  # ticks without an update
    segments_in_files: int = 0  # segments that lie in files
    is_finalized: bool = False
    deaths: int = 0
    stopped_by: str | None = None
    attempts: list[ModelAttempt] = field(default_factory=list)
    audit: list[tuple[int, str, int, int]] = field(default_factory=list)
    checkpoints: dict[int, int] = field(default_factory=dict)  # tick -> bytes
    latest: int | None = None

    @property
    def tick(self) -> int:
        """The accepted tick."""
        return len(self.losses)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.status in TERMINAL

    def set_status(self, status: str) -> None:
        """Set a new status and the fields that change with it."""
        self.status, self.expiry_order = status, None
        if self.is_terminal or (status == "paused" and self.requested != "stop"):
            self.requested = None


@dataclass
class Owners:
    """All jobs by number (their order of submission), and their leases."""

    jobs: dict[int, ModelJob] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)  # nonce -> number
    running_quota: int | None = None  # jobs of the tenant that may run at a time

    def claim(self, nonce: str) -> ClaimResult | None:
        """Claim the best job: one whose lease ran out first, else by priority and age."""
        if nonce in self.claims:
            job = self.jobs.get(self.claims[nonce])
            is_repeat = job is not None and job.status == "running" and job.nonce == nonce
            return self._claim_result(self.claims[nonce]) if is_repeat else None
        for number in self._expired():
            self.jobs[number].attempts[-1].outcome = "lost"
            if not self._apply_request(self.jobs[number]):
                return self._start_attempt(number, nonce)
        for number in self.queued() if self.free_places() else []:
            if not self._apply_request(self.jobs[number]):
                return self._start_attempt(number, nonce)
        return None

    def queued(self) -> list[int]:
        """Return the numbers of the queued jobs in the order in which they are claimed."""
        waiting = [number for number, job in self.jobs.items() if job.status == "queued"]
        return sorted(waiting, key=lambda number: (-self.jobs[number].priority, number))

    def free_places(self) -> float:
        """Return how many more jobs may run now; one that runs beyond the quota goes on."""
        running = sum(job.status == "running" for job in self.jobs.values())
        return inf if self.running_quota is None else max(0, self.running_quota - running)

    def _expired(self) -> list[int]:
        expiry_order = {
            n: job.expiry_order for n, job in self.jobs.items() if job.expiry_order is not None
        }
        return sorted(expiry_order, key=lambda number: expiry_order[number])

    def _apply_request(self, job: ModelJob) -> bool:
        """Apply a request to a job without an owner; return True if it is not to be run."""
        if job.requested in ("cancel", "pause"):
            job.set_status("cancelled" if job.requested == "cancel" else "paused")
            return True
        if job.deaths >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
            job.set_status("failed")
            return True
        return False

    def _start_attempt(self, number: int, nonce: str) -> ClaimResult:
        job = self.jobs[number]
        job.term, job.nonce, job.deaths = job.term + 1, nonce, job.deaths + 1
        job.is_pause_withdrawn = False
        job.set_status("running")
        job.attempts.append(ModelAttempt(job.tick + 1, job.tick))
        self.claims[nonce] = number
        return self._claim_result(number)

    def _claim_result(self, number: int) -> ClaimResult:
        job = self.jobs[number]
        assert job.nonce is not None
        checkpoint_ticks = sorted(job.checkpoints, reverse=True)
        held = HeldLease(number, job.term, job.nonce)
        return ClaimResult(held, job.tick, len(job.attempts), job.requested, checkpoint_ticks)

    def is_holder(self, held: HeldLease) -> bool:
        """The fence: return whether this lease may write."""
        job = self.jobs.get(held.number)
        return job is not None and (job.status, job.term, job.nonce) == ("running", *held[1:])

    def _require_holder(self, held: HeldLease) -> ModelJob:
        if not self.is_holder(held):
            raise LeaseLost
        return self.jobs[held.number]

    def append_ticks(
        self,
        held: HeldLease,
        first: int,
        losses: Sequence[int],
        states: dict[int, int],
        met: Sequence[tuple[str, int]],
        is_last_skipped: bool,
    ) -> tuple[int, str | None, bool]:
        """Accept the next ticks; refuse a gap and values that differ from recorded ones.

        Conditions that they meet are told, each once.
        """
        job = self._require_holder(held)
        last = first + len(losses) - 1
        if first > job.tick + 1:
            raise TickGap(job.tick)
        in_files = segment_of(first) < job.segments_in_files
        if not in_files:
            _compare("loss", dict(enumerate(job.losses, 1)), dict(enumerate(losses, first)))
        if any(tick > max(last, job.tick) for tick in states):
            raise TickGap(job.tick)
        states = {
            tick: bits for tick, bits in states.items() if segment_of(tick) >= job.segments_in_files
        }
        _compare("state", job.states, states)
        fresh = losses[job.tick + 1 - first :]
        for tick, bits in states.items():
            job.states.setdefault(tick, bits)  # late or not
        if losses:
            _note_audit(job, held, first, last)
        if fresh:
            job.losses += fresh
            job.skipped += is_last_skipped
            job.deaths, job.attempts[-1].last = 0, job.tick
        job.conditions = {**dict(met), **job.conditions}
        job.expiry_order = None
        return job.tick, job.requested, in_files

    def renew(self, held: HeldLease) -> str | None:
        """Prolong the lease; return the requested transition."""
        job = self._require_holder(held)
        job.expiry_order = None
        return job.requested

    def commit(self, held: HeldLease, tick: int, size: int, drop: Sequence[int]) -> None:
        """Commit a checkpoint of an accepted tick, and drop those of `drop`."""
        job = self._require_holder(held)
        if tick > job.tick:
            raise NotAccepted
        job.expiry_order = None
        if job.checkpoints.get(tick) == size:  # sent twice
            return
        for dropped in drop:
            job.checkpoints.pop(dropped, None)
        job.checkpoints[tick] = size
        job.latest = max(job.checkpoints)

    def finish(
        self, held: HeldLease, status: str, tick: int, stopped_by: str | None, reason: str | None
    ) -> str:
        """Finish an attempt; the latest request counts, and a second call changes nothing."""
        current = self.jobs.get(held.number)
        if current is not None and (current.status, current.term, current.nonce) == (
            status,
            *held[1:],
        ):
            return status
        job = self._require_holder(held)
        if status == "succeeded":
            expected_tick = (
                job.total if stopped_by == "budget" and job.total is not None else job.tick
            )
            if not tick == expected_tick == job.tick:
                raise WrongFinalTick(job.tick)
            job.stopped_by = stopped_by
        new_status = self._requested_status(job, status)
        if "paused" in (status, new_status) or reason == "drain":
            job.deaths = 0
        job.attempts[-1].outcome = reason if status == "queued" else new_status
        job.set_status(new_status)
        return new_status

    def _requested_status(self, job: ModelJob, status: str) -> str:
        if status not in ("queued", "paused"):
            return status
        if job.requested == "cancel":
            return "cancelled"
        if job.requested == "pause":
            return "paused"
        return "queued" if job.requested == "stop" or job.is_pause_withdrawn else status

    def move_segment(self, number: int, segment: int, held: HeldLease | None) -> None:
        """Replace a full segment, or an ended job's last one, by its files, in order."""
        job = self.job(number)
        if segment < job.segments_in_files:
            return
        if not job.is_terminal:
            if held is None:
                raise LeaseLost
            self._require_holder(held)
            if job.tick <= (segment + 1) * SEGMENT_TICKS:
                raise NotAccepted
        if segment > job.segments_in_files:
            raise NotAccepted
        job.segments_in_files += 1

    def job(self, number: int) -> ModelJob:
        """Find a job."""
        if number not in self.jobs:
            raise NoSuchJob(number)
        return self.jobs[number]


def segment_of(tick: int) -> int:
    """Return the segment of a tick."""
    return max(tick - 1, 0) // SEGMENT_TICKS


def _compare(column: str, recorded: dict[int, int], offered: dict[int, int]) -> None:
    size = 4 if column == "loss" else 8
    for tick, bits in sorted(offered.items()):
        if recorded.get(tick, bits) != bits:
            values = (value.to_bytes(size, "little") for value in (recorded[tick], bits))
            raise TickMismatch(tick, column, *values)


def _note_audit(job: ModelJob, held: HeldLease, first: int, last: int) -> None:
    if job.audit and job.audit[-1][:2] == held[1:]:
        _, _, first, before = job.audit.pop()
        last = max(last, before)
    job.audit.append((held.term, held.nonce, first, last))
