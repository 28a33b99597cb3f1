"""Queries of exports to experiment trackers."""

from typing import Annotated

from pydantic import Field

from api.query import Flag, Query
from api.schemas import TickParameter


class ExportQuery(Query):
    """What an export has."""

    columns: (
        Annotated[str, Field(max_length=1000, pattern=r"^[a-z0-9_]+(,[a-z0-9_]+)*$")] | None
    ) = None
    """Comma-separated names; without it every column but `time` and `state`."""
    lineage: Flag = False
    """Of a fork: with the ticks before its own, as they were when it was made."""


class EventFileQuery(ExportQuery):
    """What an export has, and from where on."""

    after: TickParameter = 0
    """Ticks after this one."""
