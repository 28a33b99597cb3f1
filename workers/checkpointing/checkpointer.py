"""The one way into checkpointing: which checkpoints there are, when the next is due, saving it.

Failed saves become events here. Knows the trainer's session, the schedule and the writer; knows no
file.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from jobs.job import Checkpoint
from jobs.ledger.checkpoint_set import CheckpointSet
from workers.checkpointing.archiver import Archiver
from workers.checkpointing.schedule import CheckpointSchedule
from workers.checkpointing.writer import CheckpointNotSaved, CheckpointWriter
from workers.trainer_client import ChunkResult, JsonDict, SavedState, StateNotWritten
from workers.trainer_session import TrainerSession

#: tries of the final checkpoint, and seconds between them, before the job pauses without it
FINAL_TRIES, FINAL_RETRY_SECONDS = 4, 1.0


class Checkpointer:
    """The checkpoints of one attempt.

    `save_now`, `save_final` and `begin_save` take the tick to be saved. In `finish` and
    `on_trainer_result`, `tick` is only for messages: the save's own tick is in its SavedState.
    """

    def __init__(self, session: TrainerSession, archiver: Archiver, max_seconds: float) -> None:
        """Let training go on for at most `max_seconds` while saves fail."""
        self._session, self._archiver = session, archiver
        self._ledger_writer = session.ledger_writer
        self._schedule = CheckpointSchedule(session.claim.spec.checkpoint, max_seconds)
        self._writer = CheckpointWriter(session, archiver, self._schedule)
        self._damaged: dict[str, int] = {}  # ticks of damaged checkpoints by folder

    def is_due(self, chunk: ChunkResult) -> bool:
        """Return whether to save after this chunk.

        Always False once the training has ended: the final checkpoint is saved then. After a failed
        save, True when the retry delay is over and no save is running. Otherwise by the spec:
        every N ticks, every N seconds, or best so far.
        """
        if chunk.is_over:
            return False
        has_ticks, failures = chunk.count > 0, self._schedule.failures
        if failures.count:
            return has_ticks and failures.is_retry_due and not self.is_busy
        return self._is_due_by_tick(chunk) or (has_ticks and self._schedule.is_due_by_clock)

    def is_due_in_replay(self, chunk: ChunkResult, best_tick: int | None) -> bool:
        """Return whether to save after replayed ticks: a checkpoint is missing or was damaged.

        `best_tick` is that of the best of all that is recorded: what was the best before it would
        be removed again at once.
        """
        is_best = chunk.is_best and chunk.last == best_tick
        is_due = self._is_due_by_tick(replace(chunk, is_best=is_best))
        return not chunk.is_over and (is_due or self._needs_save(chunk.last))

    def _is_due_by_tick(self, chunk: ChunkResult) -> bool:
        if not self._schedule.is_due_by_tick(chunk):
            return False
        committed, tick = self._committed(), chunk.last
        return not self._is_intact(committed.get(tick)) and tick not in committed.deleted_ticks

    def _needs_save(self, tick: int) -> bool:
        return tick in self.damaged_ticks and tick not in self._committed().deleted_ticks

    def _committed(self) -> CheckpointSet:
        return self._ledger_writer.read_checkpoints()

    def next_due_tick(self, tick: int) -> int | None:
        """Return the first tick after this one that the spec wants saved in any case."""
        return self._schedule.next_due_tick(tick)

    @property
    def has_failed_too_often(self) -> bool:
        """Return whether to pause the job, because saves have failed for too long."""
        return self._schedule.failures.is_limit_reached

    @property
    def is_requested(self) -> bool:
        """Return whether a client waits for a checkpoint and no save is running."""
        return self._ledger_writer.requests.has_checkpoint_request and not self.is_busy

    def has_checkpoint(self, tick: int) -> bool:
        """Return whether an intact checkpoint of this tick is committed."""
        return self._is_intact(self._committed().get(tick))

    def is_committed(self, checkpoint: Checkpoint) -> bool:
        """Return whether a checkpoint still is committed: a client may have deleted it."""
        return self._committed().contains_folder(checkpoint.folder)

    def mark_damaged(self, checkpoint: Checkpoint) -> None:
        """Treat a committed checkpoint as missing, so that a replay saves it again."""
        self._damaged[checkpoint.folder] = checkpoint.tick

    @property
    def damaged_ticks(self) -> list[int]:
        """Return the ticks of checkpoints that were found damaged."""
        return list(self._damaged.values())

    def _is_intact(self, checkpoint: Checkpoint | None) -> bool:
        return checkpoint is not None and checkpoint.folder not in self._damaged

    def remove_orphans(self) -> None:
        """Remove the folders of saves that earlier attempts did not finish."""
        self._writer.remove_orphans()

    def save_now(self, tick: int, best: JsonDict | None, *, is_final: bool = False) -> bool:
        """Save a checkpoint and wait for it; return False if the disk refused it."""
        self._session.heartbeat.phase = "saving"
        save = partial(self._writer.save, tick, is_best=_is_best_at(best, tick), is_final=is_final)
        return self._try_save(tick, save)

    def save_final(self, tick: int, best: JsonDict | None) -> bool:
        """Save the final checkpoint, in up to FINAL_TRIES attempts FINAL_RETRY_SECONDS apart.

        Returns False if the disk refused all of them; the job then pauses.
        """
        for _ in range(FINAL_TRIES - 1):
            if self.save_now(tick, best, is_final=True):
                return True
            time.sleep(FINAL_RETRY_SECONDS)
            self._session.heartbeat.touch()
        return self.save_now(tick, best, is_final=True)

    def begin_save(self, tick: int, best: JsonDict | None) -> None:
        """Begin a save that goes on while the trainer runs; finish an earlier one first."""
        self.finish(tick)
        self._session.heartbeat.phase = "saving"
        save = partial(self._writer.begin_save, tick, is_best=_is_best_at(best, tick))
        self._try_save(tick, save)

    def on_trainer_result(self, tick: int, result: SavedState | StateNotWritten | None) -> None:
        """Take the trainer's report, if any, on the files of the save that is running."""
        self._try_save(tick, partial(self._writer.on_trainer_result, result))

    def on_ticks_recorded(self, chunk: ChunkResult) -> None:
        """Archive a job early in an attempt, and commit a running save if its files are ready."""
        if self._archiver.is_first_due and not chunk.is_over:
            self._archiver.save()
        if self.is_ready:
            self.finish(chunk.last)

    @property
    def is_busy(self) -> bool:
        """Return whether a save is running beside the training."""
        return self._writer.pending is not None

    @property
    def is_ready(self) -> bool:
        """Return whether the running save only has to be committed."""
        return self._writer.pending is not None and self._writer.pending.is_ready

    def finish(self, tick: int) -> None:
        """Wait for the running save, if there is one, and commit it."""
        self._try_save(tick, self._writer.finish)

    def discard_pending(self) -> None:
        """Discard the running save, if there is one."""
        self._writer.discard_pending()

    def _try_save(self, tick: int, save: Callable[[], SavedState | None]) -> bool:
        """Return whether the disk accepted a save; report a failure, log what was committed."""
        try:
            state = save()
        except CheckpointNotSaved as error:
            is_requested = self._ledger_writer.requests.wants_checkpoint_at(tick)
            text = f"checkpoint_error at tick {tick}: {error}"
            self._session.report("error", text, str(error) if is_requested else None)
            return False
        if state is not None:
            self._session.log.write(f"saved checkpoint {state.tick}, state {state.state_digest}")
        return True


def _is_best_at(best: JsonDict | None, tick: int) -> bool:
    return best is not None and bool(best["tick"] == tick)
