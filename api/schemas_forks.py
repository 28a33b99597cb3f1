"""Bodies of forks and extensions."""

from typing import Annotated, Any

from pydantic import Field

from api.schemas_checkpoints import TickNumber
from jobs.spec.training import Budget
from models.strict_models import StrictModel


class ForkRequest(StrictModel):
    """Where a fork goes on from, and what its spec has of its own."""

    tick: TickNumber | None = None
    """Of a kept checkpoint; null: the newest."""
    spec: Annotated[dict[str, Any], Field(description="a merge patch (RFC 7396)")] = {}
    """A merge patch (RFC 7396) of the job's spec: null removes a field, so that it has its default.

    The net, the data, what is held out, the objective, the kind of optimizer and the recorded
    columns stay as they are.
    """


class ExtendRequest(StrictModel):
    """How far an extension goes."""

    budget: Budget
    """Counted from tick 0 of the line; it replaces the job's."""
