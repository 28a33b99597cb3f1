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


class Walk:
    """Members of one index beyond a sequence number, some at a time."""

    def __init__(
        self, store: "redis.Redis", name: str, beyond: int | None, descending: bool
    ) -> None:
        self._store, self._name, self._descending = store, name, descending
        self._beyond = beyond

    def next(self, count: int) -> list[tuple[bytes, float]]:
        """The next members with their numbers; none at the end."""
        found = self._range(self._beyond, count)
        if found:
            self._beyond = int(found[-1][1])
        return found

    def any_behind(self, sequence: int | None) -> bool:
        """Whether there is a member beyond this number."""
        return bool(self._range(sequence, 1))

    def _range(self, beyond: int | None, count: int) -> list[tuple[bytes, float]]:
        low, high = "-inf", "+inf"
        if beyond is not None:
            low, high = (low, f"({beyond}") if self._descending else (f"({beyond}", high)
        ends = (high, low) if self._descending else (low, high)
        found: Any = self._store.zrange(
            self._name, *ends, desc=self._descending, byscore=True, offset=0, num=count,
            withscores=True,
        )  # fmt: skip
        return [(bytes(item), float(score)) for item, score in found]


def sequence_of(after: str | None) -> int | None:
    """Read a cursor; raises BadCursor for what no page gave out."""
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= 16):
        raise BadCursor(after)
    return int(after)
