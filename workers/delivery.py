"""Delivery of one attempt's calls to the store: in order, buffered while it is unavailable.

Knows the buffer and the heartbeat; knows nothing of what a call means.
"""

from collections.abc import Callable
from dataclasses import replace

from jobs.errors import NotAccepted, StoreFull, TickGap
from jobs.store.connection import UNAVAILABLE
from workers.client_requests import ClientRequests
from workers.heartbeat import Heartbeat
from workers.store_retry import StoreRetry, StoreUnavailable
from workers.write_buffer import BufferedCall, WriteBuffer


class BufferedDelivery:
    """Sends calls in order, sends them again to a store that lost them, and reads the replies."""

    def __init__(
        self,
        requests: ClientRequests,
        heartbeat: Heartbeat,
        retry: StoreRetry,
        write_log: Callable[[str], None],
        buffer: WriteBuffer,
        last_tick: int,
    ) -> None:
        """Begin after `last_tick`, the last one that the store has accepted."""
        self._requests, self._heartbeat, self._retry = requests, heartbeat, retry
        self._write_log, self._buffer = write_log, buffer
        self._last_tick, self._is_store_behind = last_tick, False

    @property
    def is_behind(self) -> bool:
        """Return whether calls wait for the store."""
        return self._is_store_behind or self._buffer.next_pending is not None

    def send(self, entry: BufferedCall, *, wait: bool = False) -> None:
        """Send a call after all earlier ones; it may stay buffered unless `wait` is set."""
        if entry.count:
            self._last_tick = entry.last
        # a call that comes late is sent again together with the ticks it came after
        self._buffer.add(replace(entry, last=max(entry.last, self._last_tick)))
        self._send_pending(wait=wait or self._buffer.is_full)
        self._heartbeat.touch()

    def flush(self) -> None:
        """Wait until the store has accepted every call."""
        self._send_pending(wait=True)

    def _send_pending(self, *, wait: bool) -> None:
        """Send what is buffered; without `wait`, only as far as the store accepts it now."""
        if self._heartbeat.is_store_unavailable and not wait:
            return
        try:
            while (entry := self._buffer.next_pending) is not None:
                self._send_one(entry, wait)
        except (*UNAVAILABLE, StoreFull) as error:
            self._heartbeat.mark_store_unavailable()  # its thread looks for the store from now on
            if not self._is_store_behind:
                self._write_log(f"the store takes nothing ({error}), the training goes on")
            self._is_store_behind = True
        else:
            if self._is_store_behind:
                self._write_log("the store has taken all that waited for it")
            self._is_store_behind = False

    def _send_one(self, entry: BufferedCall, wait: bool) -> None:
        try:
            result = self._retry(entry.call) if wait else entry.call()
        except (TickGap, NotAccepted) as error:
            if not self._buffer.requeue_from(error.tick if isinstance(error, TickGap) else 0):
                raise
            self._write_log(f"the store lost ticks ({error}), they are handed over again")
            return
        except (*UNAVAILABLE, StoreFull, StoreUnavailable):
            raise  # the call stays pending
        except Exception:
            self._buffer.drop_first()
            raise
        self._buffer.mark_sent()
        if result is not None:
            self._requests.update(result)
