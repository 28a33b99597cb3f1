"""Reads one sorted set in pages, from a cursor on. Knows no item."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jobs.errors import BadCursor
from jobs.store.connection import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; `next_after` is the cursor of the next part, None for the last."""

    data: list[T]
    next_after: str | None


class IndexCursor:
    """Reads the members of one index beyond a sequence number, some at a time."""

    def __init__(self, store: Store, name: str, after: str | None, descending: bool) -> None:
        """Start after a cursor that a page gave out. Raises BadCursor."""
        self._store, self._name, self._descending = store, name, descending
        self._after = parse_cursor(after)

    def read_next(self, count: int) -> list[tuple[bytes, float]]:
        """Return the next members with their sequence numbers; an empty list at the end."""
        members = self._read_range(self._after, count)
        if members:
            self._after = int(members[-1][1])
        return members

    def read_records(self, key_of: Callable[[str], str], limit: int) -> Page[dict[bytes, bytes]]:
        """Read a page of the hashes that belong to the members."""
        members = self.read_next(limit + 1)
        with self._store.pipeline(transaction=False) as pipe:
            for member, _ in members[:limit]:
                pipe.hgetall(key_of(member.decode()))
            records = [record for record in pipe.execute() if record]
        return Page(records, str(int(members[limit - 1][1])) if len(members) > limit else None)

    def has_more_after(self, sequence: int | None) -> bool:
        """Return whether the index has a member beyond this number."""
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
    """Parse a cursor. Raises BadCursor for a text that no page gave out."""
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= 16):
        raise BadCursor(after)
    return int(after)
