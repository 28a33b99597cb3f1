"""What the calls of a client share: a session, and the kinds of what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from tickforge_client.http import ApiSession

PAGE_ENTRIES = 1000  # the server's maximum
JobT = TypeVar("JobT")
DatasetT = TypeVar("DatasetT")


class ClientParts(Generic[JobT, DatasetT]):
    """What the calls of a client need: a session, and the kinds of what they return."""

    _job_kind: Callable[[ApiSession, Mapping[str, Any]], JobT]
    _dataset_kind: Callable[[ApiSession, Mapping[str, Any]], DatasetT]

    def __init__(self, session: ApiSession) -> None:
        self.session, self.url = session, session.url

    def _make_job(self, fields: Mapping[str, Any]) -> JobT:
        return type(self)._job_kind(self.session, fields)

    def _make_dataset(self, fields: Mapping[str, Any]) -> DatasetT:
        return type(self)._dataset_kind(self.session, fields)
