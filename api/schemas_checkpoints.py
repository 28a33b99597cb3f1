"""What is sent about checkpoints and verifies: bodies, each of which may be left out or empty."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jobs.spec.job_spec import Name
from models.strict_numbers import INTEGRAL

TickNumber = Annotated[int, Field(ge=0, le=10**15), INTEGRAL]


class _StrictBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


class CheckpointCreate(_StrictBody):
    """A checkpoint to be saved now."""

    name: Name | None = None
    pinned: bool = False
    """Pinned: it does not count in `checkpoint.keep`, and stays until it is unpinned or deleted."""


class CheckpointPatch(_StrictBody):
    """What is said of a checkpoint. A field that is left out stays."""

    name: Name | None = None
    """null: none."""
    pinned: bool = False


class VerifyRequest(_StrictBody):
    """Which ticks to run again."""

    start: TickNumber = Field(0, alias="from")
    """0: from the spec; else the tick of a checkpoint to begin from."""
    to: Annotated[int, Field(ge=1, le=10**15), INTEGRAL] | None = None
    """The last tick to compare; null: the last accepted one."""
