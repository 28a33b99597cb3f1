"""Jobs, checkpoints and attempts as clients see them, and the lease of a job's owner.

Values only; knows no store. jobs/store/codec.py parses them from records.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from jobs.certificate import Certificate
from jobs.device_choice import DeviceChoice
from jobs.spec.job_spec import JobSpec

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Transition = Literal["cancel", "stop", "pause", "resume"]
STATUSES: tuple[Status, ...] = get_args(Status)
TERMINAL_STATUSES: tuple[Status, ...] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Lease:
    """The right to write to a job: a fencing number that only grows, and the claim's nonce.

    A store that restarts without the last second of its log may give out a term twice; the nonce
    tells the two holders apart.
    """

    tenant: str
    job_id: str
    term: int
    nonce: str


class SparsePoint(NamedTuple):
    """A value at one tick of a sparse column: 8 bytes, float64 or a state digest, little-endian."""

    column: str
    tick: int
    bits: bytes


class _JobModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class BestValidation(_JobModel):
    """The validation of the best value of `checkpoint.best.metric` so far (the first of equals)."""

    metric: str
    tick: int
    value: float
    metrics: dict[str, float | None] = {}
    """All metrics of that validation; null: not finite. Empty in records of earlier builds."""


class JobError(_JobModel):
    """Why a job failed, and at which tick, if at one."""

    type: str
    detail: str
    tick: int | None = None


class Ancestor(_JobModel):
    """A job that made ticks of a fork's line, up to `last_tick`, and by which rates."""

    job_id: str
    last_tick: int
    lr: float
    schedule: dict[str, Any]
    ticks_total: int | None


class QueuePosition(_JobModel):
    """The place of a queued job, from 1 (0: not known), and what it waits for.

    The reason is null while a worker that can take it has no job: it takes one at once.
    """

    position: int
    reason: Literal["no_worker", "busy", "fingerprint", "quota"] | None


class JobDocument(_JobModel):
    """What clients see of a job of any kind, but for its spec and its result."""

    tenant: str = Field(exclude=True)
    id: str
    kind: str
    name: str
    labels: dict[str, str]
    notes: str
    priority: int
    status: Status
    requested: Literal["cancel", "stop", "pause"] | None
    phase: str | None
    tick: int
    ticks_total: int | None
    first_tick: int
    progress: float = Field(
        description="0 to 1, by whichever budget is nearest its end; 1 once it has succeeded, "
        "whatever ended it"
    )
    epoch: float
    skipped: int | None = Field(
        None,
        description="of its own ticks, those whose update `stop.on_nonfinite` skipped; null of "
        "other kinds, and of a job that an earlier build, which did not count, accepted",
    )
    loss: float | None
    best: BestValidation | None
    metrics: dict[str, float | None]
    ticks_per_second: float | None
    elapsed_seconds: float
    eta_seconds: float | None
    queue: QueuePosition | None
    bytes: int
    attempt: int
    stopped_by: Literal["budget", "patience", "converged", "target", "user", "skips"] | None
    error: JobError | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    engine: str | None
    device: str | None
    device_choice: DeviceChoice
    fingerprint: dict[str, Any]
    exact: bool
    inexact_from: int | None = Field(
        description="the first tick whose bits belong to another fingerprint than those before it"
    )
    inexact_upto: int = Field(0, exclude=True)  # ticks up to it have another fingerprint
    worker: str | None
    parent: str | None = Field(
        description="of a verify: the job whose ticks it runs again; of a fork: the job after "
        "whose tick `first_tick` - 1 it goes on; of a predict or evaluate: the job whose "
        "checkpoint of tick `tick` answers"
    )
    dataset: str | None = Field(
        None, description="of a predict or evaluate of a dataset: its id; null of other jobs"
    )
    lineage: list[Ancestor] = Field(
        [], exclude=True
    )  # of a fork: who made the ticks before its own
    latest_checkpoint: int | None
    sequence: int = Field(0, exclude=True)  # among all submissions
    warnings: list[str] = Field(
        description="what is doubtful about the spec and the columns that it uses"
    )
    links: dict[str, str] = {}

    @property
    def is_terminal(self) -> bool:
        """Return whether the job has ended."""
        return self.status in TERMINAL_STATUSES


class DatasetPredictions(_JobModel):
    """What came of predicting a dataset; GET …/result has the predictions."""

    rows: int
    errors: int = Field(description="rows that the net could not read; each has its error")
    bytes: int = Field(description="of the result as NDJSON")


class Confusion(_JobModel):
    """How often rows of a class (in rows) were predicted as another (in columns)."""

    classes: list[str]
    matrix: list[list[int]]


class Evaluation(_JobModel):
    """Metrics of a net on a dataset, as a validation computes them."""

    rows: int
    metrics: dict[str, float | None]
    confusion: Confusion | None = None


#: kinds of jobs that ask a net about a dataset; an answering process runs them
QUESTION_KINDS = ("predict", "evaluate")
JobResult = Certificate | Evaluation | DatasetPredictions


class Job(JobDocument):
    """A job of the ledger as clients see it."""

    result: JobResult | None = Field(
        description="of a verify its certificate, of a predict or evaluate what came of it"
    )
    spec: JobSpec

    def for_history(self, *, lineage: bool) -> "Job":
        """Return it as its history is read: with `lineage` a fork has its line's ticks as its own.

        Their values are in the fork's own history.
        """
        return self.model_copy(update={"first_tick": 1}) if lineage else self


class CheckpointFile(_JobModel):
    """One file of a checkpoint."""

    name: str
    bytes: int
    sha256: str


class Checkpoint(_JobModel):
    """A committed checkpoint; its tick identifies it, `sha256` is of the weights file."""

    tick: int
    name: str | None = None
    pinned: bool = False
    created_at: str
    bytes: int
    metrics: dict[str, float | None]
    sha256: str
    files: list[CheckpointFile]
    is_best: bool
    is_final: bool
    folder: str = Field(exclude=True)  # in the job's folder of checkpoints
    #: counts in `keep`; False for one saved only as the best
    periodic: bool = Field(True, exclude=True)
    #: of `bytes`, those of a file that is on disk once for all checkpoints of the job
    shared_bytes: int = Field(0, exclude=True)
    state: str = Field(exclude=True)  # digest of the state, 16 hex digits
    term: int = Field(exclude=True)

    @property
    def own_bytes(self) -> int:
        """Return the bytes that its removal frees."""
        return self.bytes - self.shared_bytes


class Attempt(_JobModel):
    """One claim of a job and its outcome."""

    number: int
    cursor: int = Field(0, exclude=True)  # in lists: leaps where the store was rebuilt
    worker: str
    device: str | None
    engine: str | None
    fingerprint: dict[str, Any]
    first_tick: int = Field(
        description="the first new tick this claim could add; 0 of a predict or evaluate"
    )
    last_tick: int = Field(
        description="the last tick accepted from it; first_tick - 1 if none; 0 of a predict or "
        "evaluate"
    )
    replayed: int = Field(description="recorded ticks that were run again")
    compared: int = Field(
        description="those of them whose bits were compared: all, but for ticks that were recorded "
        "on another fingerprint"
    )
    digests_compared: int = Field(description="digests of the whole state that were compared")
    equal: bool | None = Field(
        description="whether every bit that was compared was equal; null: nothing was compared"
    )
    started_at: str
    ended_at: str | None
    outcome: str | None = Field(description="how it ended; null while it runs")
