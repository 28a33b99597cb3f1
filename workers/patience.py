"""Calls to a store that may be away, or full, for a while. Knows no job and no trainer."""

import time
from collections.abc import Callable
from typing import TypeVar

from jobs.errors import StoreFull
from jobs.store import UNAVAILABLE

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5  # seconds


class StoreAway(Exception):
    """The store was not itself again while there was still time to wait for it."""


def insist(call: Callable[[], T], may_wait: Callable[[], bool]) -> T:
    """Return `call()`, repeated while the store takes nothing; `may_wait` allows each pause.

    Only calls that may be sent twice belong here, for a reply can be lost after its call has
    taken effect. Raises StoreAway when `may_wait` says no.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return call()
        except (*UNAVAILABLE, StoreFull) as error:
            if not may_wait():
                raise StoreAway(f"the store takes nothing: {error}") from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
