"""A job's history as its readers want it: pages, the newest ticks, views, CSV, binary.

The door to this room: sorts the question, hands it to who answers. Knows no HTTP, and nothing of
where the bytes lie. Bounds `after` and `before` are exclusive; tick 0's points (the state before
any update) come with `after=0`. Every method raises NoSuchJob, UnknownColumn or UnfitColumn at
once, streams included.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import redis

from jobs.bits import DIGEST
from jobs.files import Files
from jobs.history import pages, streams
from jobs.history.asked import RATE, Asked, ask
from jobs.history.columns import Columns
from jobs.history.errors import UnfitColumn
from jobs.history.pages import Answer
from jobs.history.streams import Binary
from jobs.job import Job

LIMIT = 10_000  # ticks a page when nothing is said
LOSS = ("loss",)


class History:
    """Reads histories. Holds no state: each answer is of the job as it was when asked."""

    def __init__(self, store: "redis.Redis", files: Files) -> None:
        self._columns = Columns(store, files)

    def read(
        self,
        job: Job,
        columns: Sequence[str] = LOSS,
        after: int = 0,
        before: int | None = None,
        limit: int = LIMIT,
    ) -> Answer:
        """Read a page of at most `limit` ticks, as the contract's JSON.

        Sparse columns beside a dense one have the points of the page's ticks; alone, they make a
        page of at most `limit` points each.
        """
        asked = self._ask(job, columns)
        return pages.page(asked, *asked.span(after, before), limit)

    def last(self, job: Job, n: int, columns: Sequence[str] = LOSS) -> Answer:
        """Read the newest `n` ticks; of sparse columns alone, the newest `n` points of each."""
        return pages.newest(self._ask(job, columns), n)

    def view(
        self,
        job: Job,
        columns: Sequence[str] = LOSS,
        *,
        points: int,
        after: int = 0,
        before: int | None = None,
    ) -> Answer:
        """Summarize the range in at most `points` buckets a column, exact in their extremes.

        A sparse column's buckets are of its recorded ticks; `state` has none: UnfitColumn.
        """
        asked = self._ask(job, columns)
        if DIGEST in asked.sparse:
            raise UnfitColumn(DIGEST, "is a digest and has no view")
        return pages.view(asked, *asked.span(after, before), points)

    def raw(self, job: Job, column: str, first: int, last: int) -> npt.NDArray[np.float32]:
        """Read a recorded dense column's ticks first…last, cut at the last accepted one."""
        asked = self._ask(job, [column])
        if column == RATE or not asked.dense:
            raise UnfitColumn(column, "is not recorded at every tick")
        start, stop = asked.span(first - 1, last + 1)
        return asked.values(column, start, stop).astype(np.float32)

    def sparse(self, job: Job, column: str) -> dict[str, list[Any]]:
        """Read all points of a sparse column: {"tick": […], "value": […]}."""
        asked = self._ask(job, [column])
        if not asked.sparse:
            raise UnfitColumn(column, "is not sparse")
        return pages.spell(column, asked.points(column, 0, asked.extent.tick))

    def csv(
        self,
        job: Job,
        columns: Sequence[str] = LOSS,
        after: int = 0,
        before: int | None = None,
    ) -> Iterator[bytes]:
        """Stream the whole range as CSV, in bounded memory."""
        asked = self._ask(job, columns)
        return streams.csv(asked, list(dict.fromkeys(columns)), *asked.span(after, before))

    def binary(
        self, job: Job, column: str = "loss", after: int = 0, before: int | None = None
    ) -> Binary:
        """Stream one dense column as little-endian float32; its first and last tick are known."""
        asked = self._ask(job, [column])
        if not asked.dense:
            raise UnfitColumn(column, "is sparse and has no binary form")
        return streams.binary(asked, column, *asked.span(after, before))

    def _ask(self, job: Job, columns: Sequence[str]) -> Asked:
        return ask(self._columns, job, columns)
