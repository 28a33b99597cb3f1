"""A walk over one sorted set from a cursor on, and the pages that come of it. Knows no item."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import redis

from jobs.errors import BadCursor

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, and where it goes on."""

    data: list[T]
    next_after: str | None

    @property
    def has_more(self) -> bool:
        """Whether there may be more behind `next_after`."""
        return self.next_after is not None


class IndexCursor:
    """Members of one index beyond a sequence number, some at a time."""

    def __init__(
        self, store: "redis.Redis", name: str, after: int | None, descending: bool
    ) -> None:
        self._store, self._name, self._descending = store, name, descending
        self._after = after

    def read_next(self, count: int) -> list[tuple[bytes, float]]:
        """The next members with their numbers; none at the end."""
        members = self._read_range(self._after, count)
        if members:
            self._after = int(members[-1][1])
        return members

    def has_more_after(self, sequence: int | None) -> bool:
        """Whether there is a member beyond this number."""
        return bool(self._read_range(sequence, 1))

    def _read_range(self, after: int | None, count: int) -> list[tuple[bytes, float]]:
        low, high = "-inf", "+inf"
        if after is not None:
            low, high = (low, f"({after}") if self._descending else (f"({after}", high)
        ends = (high, low) if self._descending else (low, high)
        members: Any = self._store.zrange(
            self._name, *ends, desc=self._descending, byscore=True, offset=0, num=count,
            withscores=True,
        )  # fmt: skip
        return [(bytes(item), float(score)) for item, score in members]


def parse_cursor(after: str | None) -> int | None:
    """Read a cursor; raises BadCursor for what no page gave out."""
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= 16):
        raise BadCursor(after)
    return int(after)
