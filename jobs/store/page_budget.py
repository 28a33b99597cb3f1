"""How much a page of a list holds: a number of items, and bytes. Reads no more records than so."""

from collections.abc import Iterator, Sequence
from typing import Any

from jobs.store.connection import Store

MAX_PAGE_BYTES = 1 << 20  # from which on a page takes no further item
MAX_BATCH_BYTES = 1 << 18  # of records that are read at once, unless one alone has more


class PageBudget:
    """Counts what a page has taken; its first item always fits."""

    def __init__(self, max_items: int, max_bytes: int = MAX_PAGE_BYTES) -> None:
        self._items, self._bytes = max_items, max_bytes

    def spend(self, text: str) -> None:
        """Count an item by its text."""
        self._items -= 1
        self._bytes -= len(text.encode())

    @property
    def is_spent(self) -> bool:
        """Whether the page takes no further item."""
        return self._items <= 0 or self._bytes <= 0


def read_hashes(store: Store, names: Sequence[str], field: str) -> Iterator[dict[bytes, bytes]]:
    """Yield the hashes of these names, {} for one that is gone, as they are asked for.

    Records are read ahead by the bytes of their largest `field`: at most MAX_BATCH_BYTES, so that
    a page which ends early has left the others in the store.
    """
    with store.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hstrlen(name, field)
        sizes: list[int] = pipe.execute()
    start = 0
    while start < len(names):
        stop, batch_bytes = start + 1, sizes[start]
        while stop < len(names) and batch_bytes + sizes[stop] <= MAX_BATCH_BYTES:
            batch_bytes += sizes[stop]
            stop += 1
        yield from _read_batch(store, names[start:stop])
        start = stop


def _read_batch(store: Store, names: Sequence[str]) -> list[dict[bytes, bytes]]:
    with store.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(name)
        records: list[Any] = pipe.execute()
    return records
