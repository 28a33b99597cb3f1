"""One attempt's writing into ledger and history: patient with an absent store, strict otherwise.

New ticks wait in a backlog while the store is away, and the training goes on; whatever decides
something (a checkpoint, the end) waits until the store has taken all. Knows the ledger and the
recorder; knows no trainer process, no checkpoint file and no Celery.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

from jobs.errors import ConcurrentChange, NotAccepted, StoreFull, TickGap
from jobs.files.checkpoint_folders import expired_ticks
from jobs.job import Checkpoint, SparsePoint
from jobs.ledger.checkpoint_set import CheckpointSet
from jobs.ledger.claims import Claim
from jobs.ledger.owner import LeaseLedger
from jobs.recording.writer import HistoryWriter
from jobs.spec.engines import is_portable
from jobs.store.connection import UNAVAILABLE
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.store_retry import StoreUnavailable, retry_while_unavailable
from workers.trainer_client import ChunkResult, JsonDict, encode_value
from workers.write_buffer import BufferedCall, WriteBuffer

T = TypeVar("T")
Level = Literal["info", "warning", "error"]

#: seconds between two looks at a disk that training waits for
DISK_RETRY_SECONDS = 0.5


class LedgerWriter:
    """What one attempt says, and the last thing it was told: `requested` and `wanted`.

    Raises StoreUnavailable when the store is away and a drain leaves no time to wait for it, LeaseLost and
    TickMismatch as the ledger does, TickGap or NotAccepted when the store has lost more than is kept here.
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
        self._heartbeat, self._drain, self._write_log = heartbeat, drain, write_log
        self._buffer = buffer or WriteBuffer()
        self._is_behind = self._disk_error_reported = False
        self._last_tick, self._event_count = (
            claim.tick,
            0,
        )  # the last tick said; lines that are kept
        self.client_action: str | None = claim.requested
        self.checkpoint_requested = (
            False  # whether a client asks for a checkpoint, beside `requested`
        )

    def record_engine(self, engine: str, device: str, fingerprint: JsonDict) -> None:
        """Say what trains, and the fingerprint that its bits belong to; may raise Unfit."""
        call = partial(
            self._ledger.record_engine, self._claim.lease, engine, device, fingerprint,
            is_portable=is_portable(self._claim.spec, engine),
        )  # fmt: skip
        self._enqueue(BufferedCall(self._claim.tick, 0, call), wait=True)

    def digested_ticks(self, after: int, upto: int) -> set[int]:
        """Return the ticks from `after` + 1 to `upto` whose state digest is recorded."""
        return self._retry(lambda: self._history_writer.list_digest_ticks(after, upto))

    def append_replayed(self, chunk: ChunkResult, digest_ticks: set[int]) -> None:
        """Hand over ticks that are recorded already: they must be equal, bit for bit.

        A state digest at a tick not in `compared` has nothing to be compared with and is dropped.
        """
        sparse = [
            point for point in chunk.sparse if point.column != "state" or point.tick in digest_ticks
        ]
        call = partial(
            self._history_writer.append,
            chunk.first,
            chunk.columns,
            sparse,
            phase="replaying",
            replayed=True,
        )
        self._enqueue(BufferedCall(chunk.last, chunk.count, call), wait=True)

    def append_ticks(self, chunk: ChunkResult, elapsed: float, *, phase: str) -> None:
        """Hand over new ticks, and the training seconds (over all attempts) at the last of them.

        Returns at once while the store is away, until the backlog is full.
        """
        sparse = [*chunk.sparse, SparsePoint("time", chunk.last, encode_value(elapsed))]
        call = partial(
            self._history_writer.append, chunk.first, chunk.columns, sparse,
            phase=phase, elapsed=elapsed, metrics=chunk.metrics, best=chunk.best,
        )  # fmt: skip
        self._enqueue(BufferedCall(chunk.last, chunk.count, call))

    def append_points(self, tick: int, sparse: list[SparsePoint], *, phase: str) -> None:
        """Hand over sparse points of a tick that was handed over already."""
        self._enqueue(
            BufferedCall(
                tick, 0, partial(self._history_writer.append, tick + 1, {}, sparse, phase=phase)
            )
        )

    def record_verify_progress(
        self, tick: int, loss: bytes, elapsed: float, ticks_compared: int, digests_compared: int
    ) -> None:
        """Say how far a verify has compared."""
        lease, call = self._claim.lease, self._ledger.record_verify_progress
        self.client_action = self._retry(
            lambda: call(lease, tick, loss, elapsed, ticks_compared, digests_compared)
        )
        self._heartbeat.touch()

    def read_with_retry(self, query: Callable[[], T]) -> T:
        """Read something in the store, however long that takes."""
        return self._retry(query)

    def read_checkpoints(self) -> CheckpointSet:
        """Return what counts of the job's checkpoints now: clients may name and delete them."""
        return self._retry(lambda: self._ledger.read_checkpoints(self._claim.lease))

    def commit_checkpoint(
        self, checkpoint: Checkpoint, keep_count: int, *, is_requested: bool = False
    ) -> list[Checkpoint]:
        """Make a checkpoint count, and return those that do not any more, by the rule of `keep`.

        `asked`: it was begun for a client, and serves although later ticks are accepted by now.
        """
        superseded: list[Checkpoint] = []
        call = partial(self._commit_checkpoint, checkpoint, keep_count, is_requested, superseded)
        self._enqueue(BufferedCall(checkpoint.tick, 0, call, is_commit=True), wait=True)
        return superseded

    def _commit_checkpoint(
        self,
        checkpoint: Checkpoint,
        keep_count: int,
        is_requested: bool,
        superseded: list[Checkpoint],
    ) -> None:
        """Commit to what counts now; looked at again where a client has changed it meanwhile."""
        lease = self._claim.lease
        while not (checkpoint_set := self._ledger.read_checkpoints(lease)).contains_folder(
            checkpoint.folder
        ):
            named_checkpoint, fulfils_request = (
                checkpoint_set.with_request_fields(checkpoint, was_requested=is_requested),
                checkpoint_set.fulfils_request(checkpoint, was_requested=is_requested),
            )
            ticks_to_drop = expired_ticks(checkpoint_set.checkpoints, named_checkpoint, keep_count)
            superseded[:] = [
                old
                for old in checkpoint_set.checkpoints
                if old.tick in (*ticks_to_drop, checkpoint.tick)
            ]
            with contextlib.suppress(ConcurrentChange):
                self._ledger.commit_checkpoint(
                    lease,
                    named_checkpoint,
                    ticks_to_drop,
                    change_count=checkpoint_set.change_count,
                    fulfils_request=fulfils_request,
                )
                self.checkpoint_requested = self.checkpoint_requested and not fulfils_request
                return

    def flush(self) -> None:
        """Wait until the store has taken all that was handed over."""
        self._send_pending(wait=True)

    def wait_for_segments(self) -> None:
        """Wait until nothing of the history moves to files."""
        self._retry(self._history_writer.wait_idle)

    def close(self) -> None:
        """Hand over nothing more; nothing of it is under way when this returns."""
        self._history_writer.close()

    def log_event(
        self,
        level: Level,
        message: str,
        unsaved_reason: str | None = None,
    ) -> None:
        """Tell the job's followers a line of its log; may raise LeaseLost.

        A mere info is not worth waiting for; what is more is told again until the store has it.
        `unwanted`: why the checkpoint that a client asked for will not be made.
        """
        if level != "info":
            self._event_count += 1
            call = partial(self._send_event, level, message, unsaved_reason, self._event_count)
            self._enqueue(BufferedCall(self._last_tick, 0, call))
        elif not self._heartbeat.is_store_unavailable:
            with contextlib.suppress(*UNAVAILABLE):
                self._send_event(level, message)

    def _send_event(
        self,
        level: Level,
        message: str,
        unsaved_reason: str | None = None,
        number: int | None = None,
    ) -> None:
        with contextlib.suppress(StoreFull):  # it stands in the job's log
            self._ledger.add_log_event(
                self._claim.lease, level, message, checkpoint_refusal=unsaved_reason, number=number
            )

    @property
    def requested_action(self) -> str | None:
        """What a client or, last of all, the machine asks of this job."""
        return self.client_action or ("drain" if self._drain.is_requested else None)

    def is_checkpoint_requested_at(self, tick: int) -> bool:
        """Whether a client waits for the checkpoint of this tick: no replayed one is asked for."""
        return self.checkpoint_requested and tick >= self._claim.tick

    @property
    def is_keeping_up(self) -> bool:
        """Whether store and disk take what they are told, so that nobody has to wait for them."""
        is_disk_ok = (
            self._history_writer.last_move_error is None and not self._history_writer.is_backlogged
        )
        return is_disk_ok and not (
            self._disk_error_reported or self._is_behind or self._buffer.next_pending
        )

    def wait_for_capacity(self) -> bool:
        """Whether new ticks may come; else look at the disk once more, and at what is requested.

        They may not while too many full segments of the history wait in the store for their files.
        """
        self._report_disk_state()
        if self._history_writer.is_backlogged:
            self.wait_for_segments()  # what is under way may make room
        if not self._history_writer.is_backlogged:
            return True
        time.sleep(DISK_RETRY_SECONDS)
        lease = self._claim.lease
        self.client_action = self._retry(lambda: self._ledger.renew(lease, phase="saving"))
        self._retry(self._history_writer.flush_full_segments)
        self._heartbeat.touch()
        return False

    def _report_disk_state(self) -> None:
        """Tell once that segments stay in the store, and once that they do not any more."""
        disk_error = self._history_writer.last_move_error
        if self._disk_error_reported == (disk_error is not None):
            return
        self._disk_error_reported = disk_error is not None
        if disk_error is None:
            self.log_event("info", "history: full segments lie in files again")
        else:
            self.log_event(
                "error", f"history_error: a full segment stays in the store: {disk_error}"
            )

    def _enqueue(self, entry: BufferedCall, *, wait: bool = False) -> None:
        if entry.count:
            self._last_tick = entry.last
        # what comes late must be said again with the ticks that it came behind
        self._buffer.add(replace(entry, last=max(entry.last, self._last_tick)))
        self._send_pending(wait=wait or self._buffer.is_full)
        self._heartbeat.touch()

    def _send_pending(self, *, wait: bool) -> None:
        """Hand over all that is due; without `wait`, as far as the store takes it now."""
        if self._heartbeat.is_store_unavailable and not wait:
            return
        try:
            while (entry := self._buffer.next_pending) is not None:
                self._send_one(entry, wait)
        except (*UNAVAILABLE, StoreFull) as error:
            self._heartbeat.mark_store_unavailable()  # and asks in our stead until it is back
            if not self._is_behind:
                self._write_log(f"the store takes nothing ({error}), the training goes on")
            self._is_behind = True
        else:
            if self._is_behind:
                self._write_log("the store has taken all that waited for it")
            self._is_behind = False

    def _send_one(self, entry: BufferedCall, wait: bool) -> None:
        try:
            appended = self._retry(entry.call) if wait else entry.call()
        except (TickGap, NotAccepted) as error:
            accepted_tick = error.tick if isinstance(error, TickGap) else 0
            if not self._buffer.requeue_from(accepted_tick):
                raise
            self._write_log(f"the store lost ticks ({error}), they are handed over again")
            return
        except (*UNAVAILABLE, StoreFull, StoreUnavailable):
            raise  # it stays due
        except Exception:
            self._buffer.drop_first()
            raise
        self._buffer.mark_sent()
        if appended is not None:
            self.client_action, self.checkpoint_requested = (
                appended.requested,
                appended.checkpoint_requested,
            )

    def _retry(self, call: Callable[[], T]) -> T:
        return retry_while_unavailable(call, self._may_retry)

    def _may_retry(self) -> bool:
        self._heartbeat.touch()  # it is the store that stands still, not the trainer
        return not self._drain.is_overdue
