"""Calls to a store that may be away, or full, for a while. Knows no job and no trainer."""

import time
from collections.abc import Callable
from typing import TypeVar

from jobs.errors import StoreFull
from jobs.store.connection import UNAVAILABLE

T = TypeVar("T")

INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.02, 0.5  # seconds


class StoreUnavailable(Exception):
    """The store was not itself again while there was still time to wait for it."""


def retry_while_unavailable(call: Callable[[], T], may_retry: Callable[[], bool]) -> T:
    """Return `call()`, repeated while the store takes nothing; `may_wait` allows each pause.

    Only calls that may be sent twice belong here, for a reply can be lost after its call has
    taken effect. Raises StoreUnavailable when `may_wait` says no.
    """
    backoff = INITIAL_BACKOFF_SECONDS
    while True:
        try:
            return call()
        except (*UNAVAILABLE, StoreFull) as error:
            if not may_retry():
                raise StoreUnavailable(f"the store takes nothing: {error}") from error
        time.sleep(backoff)
        backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
