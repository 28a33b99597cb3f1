"""Bodies about checkpoints and verifies; all may be omitted or empty."""

from typing import Annotated

from pydantic import Field

from jobs.spec.about import Name
from models.strict_models import StrictModel
from models.strict_numbers import INTEGRAL

TickNumber = Annotated[int, Field(ge=0, le=10**15), INTEGRAL]


class CheckpointCreate(StrictModel):
    """Request for a checkpoint."""

    name: Name | None = None
    pinned: bool = False
    """Whether it stays until it is unpinned or deleted, and does not count in `checkpoint.keep`."""


class CheckpointPatch(StrictModel):
    """Changes of a checkpoint. An omitted field stays as it is."""

    name: Name | None = None
    """null removes the name."""
    pinned: bool = False


class VerifyRequest(StrictModel):
    """The ticks to run again."""

    start: TickNumber = Field(0, alias="from")
    """0 to start from the spec, or the tick of a checkpoint."""
    to: Annotated[int, Field(ge=1, le=10**15), INTEGRAL] | None = None
    """The last tick to compare; by default the last accepted one."""
