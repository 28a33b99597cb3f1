"""What one attempt writes into ledger and history, and when training must wait for that.

New ticks are buffered while the store is unavailable and training goes on; a checkpoint and the
job's end wait until the store has accepted everything. Knows the ledger and the history writer;
knows no trainer process, no checkpoint file and no Celery.
"""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Literal

from jobs import fault_points
from jobs.errors import ConcurrentChange, StoreFull
from jobs.files.checkpoint_folders import expired_ticks
from jobs.job import Checkpoint, SparsePoint
from jobs.ledger.checkpoint_set import CheckpointSet
from jobs.ledger.claims import Claim
from jobs.ledger.owner import LeaseLedger
from jobs.recording.writer import HistoryWriter
from jobs.spec.engines import is_portable
from jobs.store.connection import UNAVAILABLE
from jobs.values import STATE_COLUMN
from workers.conditions import ConditionWatch
from workers.delivery import BufferedCall, BufferedDelivery, ClientRequests, WriteBuffer
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.store_retry import StoreRetry
from workers.trainer_client import ChunkResult, JsonDict, encode_value

Level = Literal["info", "warning", "error"]

#: seconds between two looks at a disk that training waits for; the mover has its own retry delay
DISK_RETRY_PAUSE_SECONDS = 0.5


class LedgerWriter:
    """The writes of one attempt; `requests` is what clients want of it.

    Methods raise StoreUnavailable when the store is unavailable and an overdue drain ends the wait,
    LeaseLost and TickMismatch as the ledger does, and TickGap or NotAccepted when the store has
    lost more than the buffer still holds.
    """

    def __init__(
        self,
        ledger: LeaseLedger,
        history_writer: HistoryWriter,
        claim: Claim,
        heartbeat: Heartbeat,
        drain: Drain,
        write_log: Callable[[str], None],
        buffer: WriteBuffer | None = None,
    ) -> None:
        self._ledger, self._history_writer, self._claim = ledger, history_writer, claim
        self._heartbeat = heartbeat
        self.requests, self.retry = ClientRequests(claim, drain), StoreRetry(heartbeat, drain)
        self._delivery = BufferedDelivery(
            self.requests, heartbeat, self.retry, write_log, buffer or WriteBuffer(), claim.tick
        )
        self._conditions = ConditionWatch(claim.spec, (claim.fork_tick or 0) + 1)
        self._event_count = 0  # of the events that are delivered for certain
        self._is_disk_error_reported = False

    def record_engine(self, engine: str, device: str, fingerprint: JsonDict) -> None:
        """Record what trains, and the fingerprint of its bits. Raises FingerprintMismatch."""
        call = partial(
            self._ledger.record_engine, self._claim.lease, engine, device, fingerprint,
            is_portable=is_portable(self._claim.spec, engine),
        )  # fmt: skip
        self._delivery.send(BufferedCall(self._claim.tick, 0, call), wait=True)

    def digested_ticks(self, after: int, upto: int) -> set[int]:
        """Return the ticks from `after` + 1 to `upto` whose state digest is recorded."""
        return self.retry(lambda: self._history_writer.list_digest_ticks(after, upto))

    def best_tick(self, upto: int) -> int | None:
        """Return the tick of the best validation that is recorded up to `upto`, or None."""
        metric, mode = self._claim.spec.best_metric
        return self.retry(lambda: self._history_writer.find_best_tick(upto, metric, mode))

    def append_replayed(self, chunk: ChunkResult, digest_ticks: set[int]) -> None:
        """Have ticks that are recorded already compared bit by bit. Raises TickMismatch.

        State digests at ticks not in `digest_ticks` are dropped: none is recorded to compare with.
        """
        sparse = [
            point
            for point in chunk.sparse
            if point.column != STATE_COLUMN or point.tick in digest_ticks
        ]
        call = partial(
            self._history_writer.append, chunk.first, chunk.columns, sparse,
            phase="replaying", replayed=True,
        )  # fmt: skip
        self._delivery.send(BufferedCall(chunk.last, chunk.count, call), wait=True)

    def append_ticks(self, chunk: ChunkResult, elapsed: float, *, phase: str) -> None:
        """Record new ticks; `elapsed` is the job's training seconds at the last of them.

        Returns at once while the store is unavailable, until the buffer is full.
        """
        if met := self._conditions.find(chunk):
            fault_points.hit("conditions")
        sparse = [*chunk.sparse, SparsePoint("time", chunk.last, encode_value(elapsed))]
        call = partial(
            self._history_writer.append, chunk.first, chunk.columns, sparse,
            phase=phase, elapsed=elapsed, metrics=chunk.metrics, best=chunk.best,
            met=met, is_last_skipped=chunk.is_last_skipped,
        )  # fmt: skip
        self._delivery.send(BufferedCall(chunk.last, chunk.count, call))

    def append_points(self, tick: int, sparse: list[SparsePoint], *, phase: str) -> None:
        """Record sparse points of a tick that was appended before."""
        call = partial(self._history_writer.append, tick + 1, {}, sparse, phase=phase)
        self._delivery.send(BufferedCall(tick, 0, call))

    def record_verify_progress(
        self, tick: int, loss: bytes, elapsed: float, ticks_compared: int, digests_compared: int
    ) -> None:
        """Record how far a verify has compared; `loss` is a float32, little-endian."""
        lease, record = self._claim.lease, self._ledger.record_verify_progress
        self.requests.client_action = self.retry(
            lambda: record(lease, tick, loss, elapsed, ticks_compared, digests_compared)
        )
        self._heartbeat.touch()

    def read_checkpoints(self) -> CheckpointSet:
        """Return the job's committed checkpoints; clients may request and delete them any time."""
        return self.retry(lambda: self._ledger.read_checkpoints(self._claim.lease))

    def commit_checkpoint(
        self, checkpoint: Checkpoint, keep_count: int, *, is_requested: bool = False
    ) -> list[Checkpoint]:
        """Commit a checkpoint and return those it replaces or that the `keep` rule expires.

        `is_requested`: the save was started for a client's request, so it fulfils that request
        even if later ticks were accepted meanwhile.
        """
        removed: list[Checkpoint] = []
        call = partial(self._commit_checkpoint, checkpoint, keep_count, is_requested, removed)
        self._delivery.send(BufferedCall(checkpoint.tick, 0, call, is_commit=True), wait=True)
        return removed

    def _commit_checkpoint(
        self, checkpoint: Checkpoint, keep_count: int, is_requested: bool, removed: list[Checkpoint]
    ) -> None:
        """Commit against the current set, read again whenever a client has changed it meanwhile."""
        lease, requests = self._claim.lease, self.requests
        while True:
            current = self._ledger.read_checkpoints(lease)
            if current.contains_folder(checkpoint.folder):
                return
            named = current.with_request_fields(checkpoint, was_requested=is_requested)
            fulfils = current.fulfils_request(checkpoint, was_requested=is_requested)
            first = self._claim.fork_tick or 0
            expired = expired_ticks(current.checkpoints, named, keep_count, first)
            held = [tick for tick in expired if tick in current.held_ticks]
            expired = [tick for tick in expired if tick not in current.held_ticks]
            removed_ticks = (*expired, checkpoint.tick)
            removed[:] = [old for old in current.checkpoints if old.tick in removed_ticks]
            with contextlib.suppress(ConcurrentChange):
                self._ledger.commit_checkpoint(
                    lease, named, expired, held,
                    change_count=current.change_count, fulfils_request=fulfils,
                )  # fmt: skip
                requests.has_checkpoint_request = requests.has_checkpoint_request and not fulfils
                return

    def flush(self) -> None:
        """Wait until the store has accepted all that was recorded."""
        self._delivery.flush()

    def wait_for_segments(self) -> None:
        """Wait until no segment of the history is moving to files."""
        self.retry(self._history_writer.wait_idle)

    def close(self) -> None:
        """Record nothing more; return when nothing is in flight."""
        self._history_writer.close()

    def log_event(self, level: Level, message: str, unsaved_reason: str | None = None) -> None:
        """Add a `log` event for the job's followers; may raise LeaseLost.

        An "info" is sent once, if the store is available; other levels until it is accepted.
        `unsaved_reason`: why the checkpoint that a client requested will not be saved.
        """
        if level != "info":
            self._event_count += 1
            call = partial(self._send_event, level, message, unsaved_reason, self._event_count)
            self._delivery.send(BufferedCall(0, 0, call))
        elif not self._heartbeat.is_store_unavailable:
            with contextlib.suppress(*UNAVAILABLE):
                self._send_event(level, message)

    def _send_event(
        self, level: Level, text: str, unsaved_reason: str | None = None, number: int | None = None
    ) -> None:
        with contextlib.suppress(StoreFull):  # the job's log file has the line
            self._ledger.add_log_event(
                self._claim.lease, level, text, checkpoint_refusal=unsaved_reason, number=number
            )

    @property
    def is_keeping_up(self) -> bool:
        """Return whether store and disk accept writes at once, so that training need not wait."""
        history = self._history_writer
        is_disk_ok = history.last_move_error is None and not history.is_backlogged
        return is_disk_ok and not (self._is_disk_error_reported or self._delivery.is_behind)

    def wait_for_capacity(self) -> bool:
        """Wait for room for new ticks; return False to have the caller check `requests` first.

        There is no room while too many full segments wait in the store for a disk that refuses
        them.
        """
        self._report_disk_state()
        if self._history_writer.is_backlogged:
            self.wait_for_segments()  # a move under way may make room
        if not self._history_writer.is_backlogged:
            return True
        time.sleep(DISK_RETRY_PAUSE_SECONDS)
        lease = self._claim.lease
        self.requests.client_action = self.retry(lambda: self._ledger.renew(lease, phase="saving"))
        self.retry(self._history_writer.flush_full_segments)
        self._heartbeat.touch()
        return False

    def _report_disk_state(self) -> None:
        """Publish one event when segments begin to stay in the store, and one when that is over."""
        error = self._history_writer.last_move_error
        if self._is_disk_error_reported == (error is not None):
            return
        self._is_disk_error_reported = error is not None
        if error is None:
            self.log_event("info", "history: full segments lie in files again")
        else:
            self.log_event("error", f"history_error: a full segment stays in the store: {error}")
