"""Reads what the service did to a tenant's jobs by itself. Changes nothing.

Events are written by the script that causes them (lua/delete.lua). A tenant has its newest 1,000;
the numbers of dropped ones are not used again.
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.cursor import IndexCursor, Page
from jobs.timestamps import format_rfc3339


class TenantEvent(BaseModel):
    """Something that the service did to a tenant's jobs."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(description="its number in the tenant, from 1")
    at: str
    type: Literal["job_deleted"]
    data: dict[str, Any] = Field(
        description="job_deleted: job, name, status, finished_at, and the rule of retention"
    )


class TenantEvents:
    """Reads events of any tenant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read_page(
        self, tenant: str, *, limit: int, after: int | None, descending: bool = False
    ) -> Page[TenantEvent]:
        """Read a page of the events after a number; descending: of those before it."""
        cursor_text = None if after is None else str(after)
        cursor = IndexCursor(self._store, keys.tenant_events(tenant), cursor_text, descending)
        events = [_parse_event(text) for text, _ in cursor.read_next(limit + 1)]
        page = events[:limit]
        return Page(page, str(page[-1].seq) if len(events) > limit else None)


def _parse_event(text: bytes) -> TenantEvent:
    payload = json.loads(text)
    data = payload["data"]
    finished_at = format_rfc3339(int(data.pop("finished_ms")))
    fields = {"at": format_rfc3339(payload["at"]), "data": {**data, "finished_at": finished_at}}
    return TenantEvent.model_validate({**payload, **fields})
