"""Bodies, queries and responses about tenants: quotas, usage, events, deletion in bulk."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from api.pagination import CompleteList, ListPage
from api.query import Query
from api.schemas import check_labels
from jobs.queries.tenant_events import TenantEvent
from jobs.queries.usage import Quotas, RetentionRules
from jobs.spec.about import MAX_LABELS
from models.strict_models import StrictModel

DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
OLDER_THAN_RULE = "a time as in 2026-01-31T12:00:00Z, or an age: a number and s, m, h, d or w"


class TenantPatch(StrictModel):
    """Changes of a tenant (a JSON merge patch): null removes, an omitted field stays as it is."""

    quotas: Quotas | None = None
    retention: RetentionRules | None = None

    def to_changes(self) -> dict[str, int | None]:
        """Return the changes by the names of quotas and rules."""
        changes: dict[str, int | None] = {}
        for name, model in (("quotas", Quotas), ("retention", RetentionRules)):
            if name not in self.model_fields_set:
                continue
            part: Quotas | RetentionRules | None = getattr(self, name)
            removed = dict.fromkeys(model.model_fields)
            changes |= removed if part is None else part.model_dump(exclude_unset=True)
        return changes


class TenantList(CompleteList[str]):
    """The names of all tenants."""


class TenantEventPage(ListPage[TenantEvent]):
    """Events of a tenant, oldest first unless asked otherwise."""


def parse_older_than(text: str) -> datetime | timedelta:
    """Parse the end before which jobs are old. Raises ValueError with the rule."""
    if match := DURATION.fullmatch(text):
        return timedelta(**{UNITS[match[2]]: int(match[1])})
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(OLDER_THAN_RULE) from None
    if time.tzinfo is None:
        raise ValueError(f"{OLDER_THAN_RULE}; a time with its zone")
    return time


def _check_older_than(text: str) -> str:
    parse_older_than(text)
    return text


class JobDeleteQuery(Query):
    """Which ended jobs to delete: those that match all that is given."""

    label: Annotated[list[str], Field(max_length=MAX_LABELS), AfterValidator(check_labels)] = []
    """key:value, split at the first colon. Repeatable; matches all of them."""
    status: list[Literal["succeeded", "failed", "cancelled"]] = []
    """Repeatable; matches any of them."""
    older_than: Annotated[str, Field(max_length=40), AfterValidator(_check_older_than)] | None = (
        None
    )
    """Ended before this time (RFC 3339), or longer ago: 90s, 15m, 12h, 30d, 4w."""
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the call before."""


class JobDeleteResult(BaseModel):
    """What a deletion in bulk did."""

    deleted: int = Field(description="jobs that are deleted")
    kept: int = Field(
        description="jobs that match and stay: live ones, those with a pinned checkpoint, and "
        "those that a live job needs"
    )
    next_after: str | None = Field(description="where the next call begins; null at the end")
    has_more: bool
