"""Retries of store calls while the store is unavailable or full. Knows no job and no trainer."""

import time
from collections.abc import Callable
from typing import TypeVar

from jobs.backoff import Backoff
from jobs.errors import StoreFull
from jobs.store.connection import UNAVAILABLE
from workers.drain import Drain
from workers.heartbeat import Heartbeat

T = TypeVar("T")

INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.02, 0.5


class StoreUnavailable(Exception):
    """The store stayed unavailable or full for as long as the call could wait."""


class StoreRetry:
    """Retries the store calls of one attempt, until its drain is overdue."""

    def __init__(self, heartbeat: Heartbeat, drain: Drain) -> None:
        self._heartbeat, self._drain = heartbeat, drain

    def __call__(self, call: Callable[[], T]) -> T:
        """Return `call()`, retried while the store is unavailable. Raises StoreUnavailable."""
        return retry_while_unavailable(call, self._may_retry)

    def _may_retry(self) -> bool:
        self._heartbeat.touch()  # the store stands still, not the trainer
        return not self._drain.is_overdue


def retry_while_unavailable(call: Callable[[], T], may_retry: Callable[[], bool]) -> T:
    """Return `call()`, retried with a growing pause while the store is unavailable or full.

    The call must be safe to send twice: a reply can be lost after its call has taken effect.
    Raises StoreUnavailable once `may_retry`, asked before each pause, returns False.
    """
    backoff = Backoff(INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS)
    while True:
        try:
            return call()
        except (*UNAVAILABLE, StoreFull) as error:
            if not may_retry():
                raise StoreUnavailable(f"the store takes nothing: {error}") from error
        time.sleep(backoff.next_delay())
