"""When a job's state is saved and how it becomes a checkpoint. Knows files and ledger; no loop.

A state's digest is put into the history before its checkpoint is committed, so that whoever
replays past this tick compares it; old folders go only after the new one is committed.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from jobs import fault_points
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, UnsafePath, remove_tree
from jobs.files.checkpoint_folders import DamagedCheckpoint
from jobs.job import Checkpoint, SparsePoint
from jobs.ledger.claims import Claim
from workers.checkpointing.archiver import AttemptArchiver
from workers.checkpointing.pending import CheckpointReasons, PendingCheckpoint
from workers.checkpointing.schedule import FailureTracker
from workers.chunks import next_multiple
from workers.ledger_writer import LedgerWriter
from workers.trainer_client import (
    ChunkResult,
    SavedState,
    StateNotWritten,
    TrainerClient,
    encode_value,
)

T = TypeVar("T")

#: what making a checkpoint's files may meet, a full disk above all
SAVE_ERRORS = (OSError, UnsafePath, DamagedCheckpoint)


class CheckpointNotSaved(Exception):
    """No checkpoint came of it and none is lost: the one before still counts."""


class CheckpointWriter:
    """Adds to the checkpoints of one claimed job, and knows when the next one is due.

    Which there are, the store says each time: clients may delete and pin them meanwhile.
    """

    def __init__(
        self,
        files: ArtifactStore,
        claim: Claim,
        ledger_writer: LedgerWriter,
        archiver: AttemptArchiver,
        max_failing_seconds: float,
    ) -> None:
        """Give up (`has_failed_too_often`) once no save has come off for `patience` seconds."""
        self._failures, self._archiver = FailureTracker(max_failing_seconds), archiver
        self._files, self._claim, self._ledger_writer = files, claim, ledger_writer
        self._rules = claim.spec.checkpoint
        self._damaged: dict[str, int] = {}  # folders and ticks of those to be made again
        self._newest_bytes = claim.checkpoints[0].bytes if claim.checkpoints else None
        self._last_save_at = time.monotonic()
        self._pending: PendingCheckpoint | None = None

    def is_due(self, chunk: ChunkResult) -> bool:
        """Whether the state after this chunk is to be kept, by any of the spec's rules.

        At a job's end the rules say nothing: what is kept then, the end decides. After a miss
        the next try is due when its pause is over, whatever the rules say, unless it is under way.
        """
        if chunk.is_over:
            return False
        if self._failures.count:
            return chunk.count > 0 and self._failures.is_retry_due and not self.is_busy
        return self.is_due_by_tick(chunk) or (chunk.count > 0 and self._is_due_by_clock())

    def is_due_by_tick(self, chunk: ChunkResult) -> bool:
        """The same without the clock: by ticks, or as the best so far; and it is not there."""
        is_kept_best = chunk.is_best and self._rules.keep_best
        if not (self._is_periodic_tick(chunk.last) or is_kept_best):
            return False
        checkpoint_set = self._ledger_writer.read_checkpoints()
        return (
            not self._is_intact(checkpoint_set.get(chunk.last))
            and chunk.last not in checkpoint_set.deleted_ticks
        )

    def _is_periodic_tick(self, tick: int) -> bool:
        interval_ticks = self._rules.every_ticks
        return interval_ticks is not None and tick % interval_ticks == 0

    def next_due_tick(self, tick: int) -> int | None:
        """Return the first tick beyond this one that the spec wants kept, whatever happens."""
        return next_multiple(tick, self._rules.every_ticks)

    def has_checkpoint(self, tick: int) -> bool:
        """Whether a checkpoint of this tick is committed."""
        return self._is_intact(self._ledger_writer.read_checkpoints().get(tick))

    def _is_intact(self, checkpoint: Checkpoint | None) -> bool:
        return checkpoint is not None and checkpoint.folder not in self._damaged

    def is_committed(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint that was committed still is: a client may have deleted it."""
        return self._ledger_writer.read_checkpoints().contains_folder(checkpoint.folder)

    def mark_damaged(self, checkpoint: Checkpoint) -> None:
        """Take a committed checkpoint for missing, so that it may be made again."""
        self._damaged[checkpoint.folder] = checkpoint.tick

    @property
    def damaged_ticks(self) -> list[int]:
        """Ticks of the checkpoints to be made again."""
        return list(self._damaged.values())

    def needs_recreation(self, tick: int) -> bool:
        """Whether the checkpoint of this tick was found damaged, and nobody deleted it since."""
        return (
            tick in self.damaged_ticks
            and tick not in self._ledger_writer.read_checkpoints().deleted_ticks
        )

    def remove_orphans(self) -> None:
        """Remove what earlier attempts left when they were cut short."""
        lease, committed_folders = (
            self._claim.lease,
            {checkpoint.folder for checkpoint in self._claim.checkpoints},
        )
        with contextlib.suppress(OSError):  # then the next attempt does
            checkpoint_folders.remove_orphans(
                self._files, lease.tenant, lease.job_id, committed_folders, term=lease.term - 1
            )

    def save(
        self, trainer: TrainerClient, tick: int, *, is_best: bool = False, is_final: bool = False
    ) -> SavedState:
        """Save the state where the trainer stands and commit it; drop what need not be kept.

        Raises CheckpointNotSaved when the disk would not have it.
        """
        with self._track_failures():
            reasons, folder = self._make_reasons(tick, is_best, is_final), self._create_folder()
            saved_state = self._write_files(folder, partial(trainer.save, folder))
            return self._complete_and_commit(folder, saved_state, reasons)

    def begin_save(
        self, trainer: TrainerClient, tick: int, *, is_best: bool = False
    ) -> SavedState | None:
        """The same while the trainer goes on: `hear` what it says, and `finish` when it `is_ready`.

        A small state is saved at once, and returned.
        """
        assert self._pending is None, "one at a time: the one before is to be finished first"
        with self._track_failures():
            reasons = replace(
                self._make_reasons(tick, is_best, False),
                is_requested=self._ledger_writer.checkpoint_requested,
            )
            folder = self._create_folder()
            saved_state = self._write_files(folder, partial(trainer.save_in_background, folder))
            if saved_state is None:
                self._pending = PendingCheckpoint(folder, reasons)
                return None
            return self._complete_and_commit(folder, saved_state, reasons)

    def on_trainer_result(self, save_result: SavedState | StateNotWritten | None) -> None:
        """Take what the trainer says came of the files that it writes meanwhile. Raises CheckpointNotSaved."""
        pending = self._pending
        if pending is None or save_result is None:
            return
        if isinstance(save_result, StateNotWritten):
            self.discard_pending()
            with self._track_failures():
                raise CheckpointNotSaved(str(save_result)) from save_result
        pending.complete(
            save_result, partial(self._complete, pending.folder, save_result, pending.reasons)
        )

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is under way beside the training."""
        return self._pending is not None

    @property
    def is_ready(self) -> bool:
        """Whether the one under way needs nothing but to be committed."""
        return self._pending is not None and self._pending.is_ready

    def finish(self, trainer: TrainerClient) -> SavedState | None:
        """Wait for the checkpoint under way, if there is one, and commit it. Raises CheckpointNotSaved."""
        if self._pending is not None and self._pending.saved_state is None:
            self.on_trainer_result(trainer.wait_saved_state())
        pending, self._pending = self._pending, None
        if pending is None or pending.saved_state is None:
            return None
        with self._track_failures():
            checkpoint = pending.result()
            self._record_digest(pending.saved_state)
            return self._commit(pending.saved_state, checkpoint, pending.reasons)

    def discard_pending(self) -> None:
        """Leave nothing of a checkpoint under way."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.discard(self._remove_checkpoint)

    @property
    def has_failed_too_often(self) -> bool:
        """Whether so many saves in a row have missed that training should not go on."""
        return self._failures.is_limit_reached

    @contextlib.contextmanager
    def _track_failures(self) -> Iterator[None]:
        try:
            yield
        except CheckpointNotSaved:
            self._failures.record()
            raise

    def _make_reasons(self, tick: int, is_best: bool, is_final: bool) -> CheckpointReasons:
        is_due_by_clock, self._last_save_at = self._is_due_by_clock(), time.monotonic()
        is_kept_best = is_best and self._rules.keep_best
        is_periodic = not is_kept_best or is_due_by_clock or self._is_periodic_tick(tick)
        return CheckpointReasons(is_kept_best, is_final, is_periodic)

    def _complete_and_commit(
        self, folder: Path, saved_state: SavedState, reasons: CheckpointReasons
    ) -> SavedState:
        self._record_digest(saved_state)
        return self._commit(saved_state, self._complete(folder, saved_state, reasons), reasons)

    def _record_digest(self, saved_state: SavedState) -> None:
        digest = SparsePoint("state", saved_state.tick, encode_value(saved_state.state))
        self._ledger_writer.append_points(saved_state.tick, [digest], phase="saving")

    def _complete(
        self, folder: Path, saved_state: SavedState, reasons: CheckpointReasons
    ) -> Checkpoint:
        try:
            return checkpoint_folders.publish(
                self._files, self._claim.lease, folder, tick=saved_state.tick, state=saved_state.state,
                metrics=saved_state.metrics, is_best=reasons.is_best, is_final=reasons.is_final,
                periodic=reasons.is_periodic,
            )  # fmt: skip
        except SAVE_ERRORS as error:
            raise CheckpointNotSaved(repr(error)) from error

    def archive_started_job(self, chunk: ChunkResult) -> None:
        """Have the archive know what trains this job, once there is a tick of it."""
        if not (self._archiver.has_tried or chunk.is_over):
            self._archive_job()

    def _archive_job(self) -> bool:
        self._ledger_writer.wait_for_segments()  # a move to files writes the same record
        return self._archiver.save()

    def _create_folder(self) -> Path:
        try:
            folder = checkpoint_folders.new_folder(self._files, self._claim.lease)
            free_bytes = shutil.disk_usage(folder).free
        except SAVE_ERRORS as error:
            raise CheckpointNotSaved(repr(error)) from error
        if free_bytes < (needed_bytes := self._needed_bytes()):
            self._discard_folder(folder)
            raise CheckpointNotSaved(
                f"{free_bytes} bytes of disk are free, {needed_bytes} are wanted"
            )
        return folder

    def _needed_bytes(self) -> int:
        """Bytes that must be free for another: twice the newest, or what the weights suggest."""
        weight_bytes = 4 * self._claim.spec.parameters
        return 2 * (self._newest_bytes or 3 * weight_bytes)

    def _discard_folder(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # a later sweep takes it
            remove_tree(folder)

    def _write_files(self, folder: Path, write: Callable[[], T]) -> T:
        try:
            return write()
        except StateNotWritten as error:
            self._discard_folder(folder)
            raise CheckpointNotSaved(str(error)) from error
        except BaseException:
            self._discard_folder(folder)
            raise

    def _commit(
        self, saved_state: SavedState, checkpoint: Checkpoint, reasons: CheckpointReasons
    ) -> SavedState:
        fault_points.hit("checkpoint:commit")
        superseded = self._ledger_writer.commit_checkpoint(
            checkpoint, self._rules.keep, is_requested=reasons.is_requested
        )
        self._newest_bytes = checkpoint.bytes
        self._failures.reset()
        if (
            self._archive_job()
        ):  # else the archive's record names the old ones still: a later sweep's
            for old in superseded:
                self._remove_checkpoint(old)
        return saved_state

    def _remove_checkpoint(self, checkpoint: Checkpoint) -> None:
        lease = self._claim.lease
        with contextlib.suppress(OSError):  # a later sweep takes it
            checkpoint_folders.remove_folder(self._files, lease.tenant, lease.job_id, checkpoint)

    def _is_due_by_clock(self) -> bool:
        interval_seconds = self._rules.every_seconds
        return (
            interval_seconds is not None
            and time.monotonic() - self._last_save_at >= interval_seconds
        )
