"""Bodies, queries and answers that only HTTP has; the rest of what is shown lies in jobs/job.py."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from api.pagination import ListPage
from api.query import DECIMAL, Limit, Query, Wait
from jobs.job import Attempt, Checkpoint, Job, Status
from jobs.spec.family_schemas import FamilyInfo
from jobs.spec.job_spec import Labels, Name, Notes, Priority

MAX_PAGE_TICKS = 100_000  # that one page of a history has
JobId = Annotated[str, StringConstraints(pattern=r"^job_[a-z0-9]{26}$")]
TickParameter = Annotated[int, Field(ge=0, le=10**15), DECIMAL]


class ProblemDocument(BaseModel):
    """A refusal (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="urn:tickforge:problem:<kind>; stable")
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(
        None,
        description="each with `detail`, and `pointer` (into the body), `parameter` or `header`, "
        "and the `value` that was refused",
    )


class JobPatch(BaseModel):
    """What is said about a job. A field that is left out stays; `labels` is replaced whole."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Name = ""
    labels: Labels = {}
    notes: Notes = ""
    priority: Priority = 0


class JobQuery(Query):
    """Which jobs, and which page of them."""

    status: list[Status] = []
    """Repeatable: any of these."""
    label: list[str] = []
    """key:value, split at the first colon. Repeatable: all of these."""
    name: Annotated[str, Field(max_length=200)] | None = None
    kind: Literal["train", "verify"] | None = None
    parent: JobId | None = None
    limit: Limit = 100
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the page before."""
    order: Literal["asc", "desc"] = "desc"

    @field_validator("label")
    @classmethod
    def _check_key_value(cls, labels: list[str]) -> list[str]:
        if any(label.find(":") < 1 for label in labels):
            raise ValueError("key:value")
        return labels


class HistoryQuery(Query):
    """Which columns and ticks of a history, and how."""

    columns: Annotated[str, Field(max_length=1000, pattern=r"^[a-z0-9_]+(,[a-z0-9_]+)*$")] = "loss"
    """Names with commas between them."""
    after: TickParameter = 0
    """Ticks after this one."""
    before: TickParameter | None = None
    """Ticks before this one."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_TICKS), DECIMAL] = 10_000
    """Ticks a page; CSV, NDJSON and binary have none."""
    last: Annotated[int, Field(ge=1, le=MAX_PAGE_TICKS), DECIMAL] | None = None
    """The newest so many ticks."""
    points: Annotated[int, Field(ge=1, le=MAX_PAGE_TICKS), DECIMAL] | None = None
    """A view of the range in at most so many buckets; JSON only."""
    wait: Wait = 0
    """Seconds to hold the answer until something lies beyond `after`."""


class JobPage(ListPage[Job]):
    """Jobs, newest first unless asked otherwise."""


class AttemptPage(ListPage[Attempt]):
    """Attempts, oldest first unless asked otherwise."""


class CheckpointPage(ListPage[Checkpoint]):
    """Checkpoints, oldest first unless asked otherwise."""


class HistoryPage(BaseModel):
    """Ticks and columns; a list of numbers for each column, objects for sparse ones and views."""

    model_config = ConfigDict(extra="allow")

    job_id: str
    tick: list[int] = Field([], description="absent in a view, and with sparse columns alone")
    last_tick: int
    next_after: int | None = Field(None, description="null when nothing more is there now")
    complete: bool = Field(description="whether the job has ended")
    exact: bool = Field(description="whether all bits belong to one fingerprint")
    inexact_from: int | None = Field(description="the first tick of another fingerprint, if any")
    nonfinite: list[dict[str, Any]] = Field(
        [], description='what null stands for: {"tick", "column", "value": "nan"}'
    )


class FamilyPage(BaseModel):
    """All families."""

    data: list[FamilyInfo]
    next_after: None = None
    has_more: Literal[False] = False


class WorkerPage(BaseModel):
    """Live workers, as they announced themselves."""

    data: list[dict[str, Any]]
    next_after: None = None
    has_more: Literal[False] = False


class Version(BaseModel):
    """What runs here."""

    service: str
    contract: str
    families: list[str]
    engines: list[str] = Field(description="as live workers announce them")
    torch: list[str] = Field(description="as live workers announce them")
    limits: dict[str, int]


class Health(BaseModel):
    """Up."""

    status: Literal["ok", "ready"]


class RootLinks(BaseModel):
    """Where things are."""

    service: str
    version: str
    links: dict[str, str]
