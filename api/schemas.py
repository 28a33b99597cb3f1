"""Bodies, queries and responses that only the API has; jobs/job.py has the others."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
)

from api.pagination import CompleteList, ListPage
from api.query import DECIMAL, Flag, Limit, Query, Wait
from jobs.answers.answer import Answer
from jobs.job import Attempt, Checkpoint, Job, Status
from jobs.spec.about import MAX_LABELS, Labels, Name, Notes, Priority
from jobs.spec.family_schemas import FamilyInfo
from models.strict_models import StrictModel

MAX_PAGE_TICKS = 100_000  # of one page
JobId = Annotated[str, StringConstraints(pattern=r"^job_[a-z0-9]{26}$")]
TickParameter = Annotated[int, Field(ge=0, le=10**15), DECIMAL]


def check_labels(labels: list[str]) -> list[str]:
    """Return the labels of a filter. Raises ValueError for one that is not key:value."""
    if any(label.find(":") < 1 for label in labels):
        raise ValueError("key:value")
    return labels


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="urn:tickforge:problem:<kind>; stable")
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(
        None,
        description="each with `detail`, with `pointer` (into the body), `parameter` or `header`, "
        "and the rejected `value`; of many the first ones, and what is long is cut",
    )
    errors_left_out: int | None = Field(
        None, description="how many more errors there are than `errors` shows; absent for none"
    )


class JobPatch(StrictModel):
    """Changes of a job. An omitted field stays as it is; `labels` is replaced as a whole."""

    name: Name = ""
    labels: Labels = {}
    notes: Notes = ""
    priority: Priority = 0


class JobQuery(Query):
    """Filters and page of a list of jobs."""

    status: list[Status] = []
    """Repeatable; matches any of them."""
    label: Annotated[list[str], Field(max_length=MAX_LABELS), AfterValidator(check_labels)] = []
    """key:value, split at the first colon. Repeatable; matches all of them."""
    name: Annotated[str, Field(max_length=200)] | None = None
    kind: Literal["train", "verify", "predict", "evaluate"] | None = None
    """Predicts and evaluates are listed by their kind alone."""
    parent: JobId | None = None
    limit: Limit = 100
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the previous page."""
    order: Literal["asc", "desc"] = "desc"


class HistoryQuery(Query):
    """Columns, range and form of a history."""

    columns: Annotated[str, Field(max_length=1000, pattern=r"^[a-z0-9_]+(,[a-z0-9_]+)*$")] = "loss"
    """Comma-separated names."""
    after: TickParameter = 0
    """Ticks after this one."""
    before: TickParameter | None = None
    """Ticks before this one."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_TICKS), DECIMAL] = 10_000
    """Ticks per page; CSV, NDJSON and binary have no pages."""
    last: Annotated[int, Field(ge=1, le=MAX_PAGE_TICKS), DECIMAL] | None = None
    """This number of newest ticks."""
    points: Annotated[int, Field(ge=1, le=MAX_PAGE_TICKS), DECIMAL] | None = None
    """A view of the range in at most this number of buckets; JSON only."""
    lineage: Flag = False
    """Of a fork: with the ticks before its own, as they were when it was made."""
    wait: Wait = 0
    """Seconds to wait for anything beyond `after`."""


class JobOfAnyKind(RootModel[Job | Answer]):
    """A job, or a predict, which is kept for some minutes."""


class JobPage(ListPage[Job | Answer]):
    """Jobs, newest first unless asked otherwise."""


class AttemptPage(ListPage[Attempt]):
    """Attempts, oldest first unless asked otherwise."""


class CheckpointPage(ListPage[Checkpoint]):
    """Checkpoints, oldest first unless asked otherwise."""


class HistoryPage(BaseModel):
    """Ticks and columns: lists of numbers; objects for sparse columns and views."""

    model_config = ConfigDict(extra="allow")

    job_id: str
    tick: list[int] = Field([], description="absent in a view, and with sparse columns alone")
    last_tick: int
    lineage: list[dict[str, Any]] | None = Field(
        None,
        description="with `lineage=true`: who made the ticks before the job's own, each "
        '{"job_id", "last_tick"}; such a job may be deleted',
    )
    next_after: int | None = Field(None, description="null if there is nothing more now")
    complete: bool = Field(description="whether the job has ended")
    exact: bool = Field(description="whether all bits belong to one fingerprint")
    inexact_from: int | None = Field(description="the first tick of another fingerprint")
    nonfinite: list[dict[str, Any]] = Field(
        [], description='what null stands for: {"tick", "column", "value": "nan"}'
    )


class FamilyPage(CompleteList[FamilyInfo]):
    """All model families."""


class WorkerPage(CompleteList[dict[str, Any]]):
    """All live workers."""


class Version(BaseModel):
    """Versions and limits of the service."""

    service: str
    contract: str
    families: list[str]
    engines: list[str] = Field(description="as live workers announce them")
    torch: list[str] = Field(description="as live workers announce them")
    exports: list[str] = Field(description="files that live workers make of a net")
    limits: dict[str, int]


class Health(BaseModel):
    """Health of the service."""

    status: Literal["ok", "ready"]


class RootLinks(BaseModel):
    """Links to everything here."""

    service: str
    version: str
    links: dict[str, str]
