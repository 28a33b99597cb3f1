"""Events of jobs as the document has them: one model for each kind, told apart by `type`.

jobs/queries/events.py reads them; what is sent is what the store has. Knows no store.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel

from jobs.job import JobError, Status


def _drop_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


#: left out, and never null
JobIdOfStream: Any = Field(
    None,
    description="in a stream of several jobs alone: whose event it is",
    json_schema_extra=_drop_default,
)


class StatusData(BaseModel):
    """How a job stands from now on."""

    status: Status
    requested: Literal["cancel", "stop", "pause"] | None
    stopped_by: Annotated[str | None, Field(description="as in the Job")]
    error: JobError | None


class ValidationData(BaseModel):
    """What a validation gave."""

    tick: int
    metrics: dict[str, float | None]


class CheckpointData(BaseModel):
    """A checkpoint that was committed."""

    tick: int
    is_best: bool
    is_final: bool


class ConditionData(BaseModel):
    """A condition of `notify_when`, and the first tick that met it."""

    condition: str
    tick: int
    value: float | None


class LogData(BaseModel):
    """A line of the job's log that its followers should see."""

    level: str
    message: str


class _NumberedEvent(BaseModel):
    job_id: str = JobIdOfStream
    seq: int = Field(
        description="its number in the job: grows by 1, and leaps after the store was rebuilt"
    )
    at: str


class StatusEvent(_NumberedEvent):
    """A job's status, or what is requested of it, has changed."""

    type: Literal["status"]
    data: StatusData


class ValidationEvent(_NumberedEvent):
    """A validation is done."""

    type: Literal["validation"]
    data: ValidationData


class CheckpointEvent(_NumberedEvent):
    """A checkpoint is saved."""

    type: Literal["checkpoint"]
    data: CheckpointData


class ConditionEvent(_NumberedEvent):
    """A tick meets a condition for the first time."""

    type: Literal["condition"]
    data: ConditionData


class LogEvent(_NumberedEvent):
    """Something worth knowing was written to the job's log."""

    type: Literal["log"]
    data: LogData


class JobEvent(
    RootModel[
        Annotated[
            StatusEvent | ValidationEvent | CheckpointEvent | ConditionEvent | LogEvent,
            Field(discriminator="type"),
        ]
    ]
):
    """Something that happened to a job."""


class TicksProgress(BaseModel):
    """How far a job is: not numbered, not stored, at most four times a second."""

    job_id: str = JobIdOfStream
    tick: int
    loss: float | None


class StreamedEvent(RootModel[JobEvent | TicksProgress]):
    """The `data` of a server-sent event: JSON. Its `event` is the type, or `ticks` for progress."""
