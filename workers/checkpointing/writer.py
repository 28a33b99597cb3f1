"""How a state becomes a committed checkpoint. Knows files, ledger and schedule; no training loop.

A state's digest is recorded in the history before its checkpoint is committed, so that a replay
past this tick compares it. Replaced checkpoints are removed only after the commit.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from jobs import fault_points
from jobs.files import checkpoint_folders
from jobs.files.artifacts import UnsafePath, remove_tree
from jobs.files.checkpoint_folders import DamagedCheckpoint
from jobs.job import Checkpoint, SparsePoint
from jobs.values import STATE_COLUMN
from workers.checkpointing.archiver import Archiver
from workers.checkpointing.schedule import CheckpointReasons, CheckpointSchedule
from workers.trainer_client import SavedState, StateNotWritten, encode_value
from workers.trainer_session import TrainerSession

T = TypeVar("T")

#: what writing and publishing a checkpoint's files may raise, on a full disk above all
SAVE_ERRORS = (OSError, UnsafePath, DamagedCheckpoint)


class CheckpointNotSaved(Exception):
    """A checkpoint could not be saved; the earlier ones are untouched."""


@dataclass
class PendingCheckpoint:
    """A folder that a trainer writes into, until it is a checkpoint ready to be committed."""

    folder: Path
    reasons: CheckpointReasons
    saved_state: SavedState | None = None
    _executor: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1, "publish"))
    _future: Future[Checkpoint] | None = None

    def complete(self, saved_state: SavedState, publish: Callable[[], Checkpoint]) -> None:
        """Publish the written files as a checkpoint, in a thread."""
        self.saved_state, self._future = saved_state, self._executor.submit(publish)

    @property
    def is_ready(self) -> bool:
        """Return whether the thread is done, with a checkpoint or an error."""
        return self._future is not None and self._future.done()

    def result(self) -> Checkpoint:
        """Wait for the thread and return the checkpoint; raises what publishing raised."""
        assert self._future is not None, "its files are not written yet"
        try:
            return self._future.result()
        finally:
            self._executor.shutdown()

    def discard(self, remove: Callable[[Checkpoint], None]) -> None:
        """Remove its files; `remove` is called with a checkpoint that was already published."""
        with contextlib.suppress(Exception):  # the next attempt's remove_orphans does
            if self._future is not None:
                remove(self.result())
            else:
                remove_tree(self.folder)


class CheckpointWriter:
    """Saves checkpoints of one claimed job; at most one is `pending` beside the training.

    Every save may raise CheckpointNotSaved, and leaves no files then.
    """

    def __init__(
        self, session: TrainerSession, archiver: Archiver, schedule: CheckpointSchedule
    ) -> None:
        self._archiver, self._schedule = archiver, schedule
        self._files, self._claim, self._trainer = session.files, session.claim, session.trainer
        self._ledger_writer = session.ledger_writer
        self._newest_bytes = next((old.bytes for old in session.claim.checkpoints), None)
        self.pending: PendingCheckpoint | None = None

    def remove_orphans(self) -> None:
        """Remove the folders of saves that earlier attempts did not finish."""
        lease = self._claim.lease
        committed_folders = {checkpoint.folder for checkpoint in self._claim.checkpoints}
        with contextlib.suppress(OSError):  # then the next attempt does
            checkpoint_folders.remove_orphans(
                self._files, lease.tenant, lease.job_id, committed_folders, term=lease.term - 1
            )

    def save(self, tick: int, *, is_best: bool = False, is_final: bool = False) -> SavedState:
        """Save and commit the trainer's state, and remove the checkpoints that it replaces."""
        with self._track_failures():
            reasons = self._schedule.start_save(tick, is_best=is_best, is_final=is_final)
            folder = self._create_folder()
            saved_state = self._write_files(folder, self._trainer.save)
            return self._publish_and_commit(folder, saved_state, reasons)

    def begin_save(self, tick: int, *, is_best: bool = False) -> SavedState | None:
        """Begin a save that goes on while the trainer runs, as `pending`.

        A small state is saved and committed at once, and returned.
        """
        assert self.pending is None, "the save before must be finished first"
        with self._track_failures():
            reasons = self._schedule.start_save(tick, is_best=is_best)
            is_requested = self._ledger_writer.requests.has_checkpoint_request
            reasons = replace(reasons, is_requested=is_requested)
            folder = self._create_folder()
            saved_state = self._write_files(folder, self._trainer.save_in_background)
            if saved_state is None:
                self.pending = PendingCheckpoint(folder, reasons)
                return None
            return self._publish_and_commit(folder, saved_state, reasons)

    def on_trainer_result(self, save_result: SavedState | StateNotWritten | None) -> None:
        """Take the trainer's report on the pending files, and publish them in a thread."""
        pending = self.pending
        if pending is None or save_result is None:
            return
        if isinstance(save_result, StateNotWritten):
            self.discard_pending()
            with self._track_failures():
                raise CheckpointNotSaved(str(save_result)) from save_result
        publish = partial(self._publish, pending.folder, save_result, pending.reasons)
        pending.complete(save_result, publish)

    def finish(self) -> SavedState | None:
        """Wait for the pending save and commit it; return None if there is none."""
        if self.pending is not None and self.pending.saved_state is None:
            self.on_trainer_result(self._trainer.wait_saved_state())
        pending, self.pending = self.pending, None
        if pending is None or pending.saved_state is None:
            return None
        with self._track_failures():
            checkpoint = pending.result()
            self._record_digest(pending.saved_state)
            return self._commit(pending.saved_state, checkpoint, pending.reasons)

    def discard_pending(self) -> None:
        """Discard the pending save with its files."""
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.discard(self._remove_checkpoint)

    @contextlib.contextmanager
    def _track_failures(self) -> Iterator[None]:
        try:
            yield
        except CheckpointNotSaved:
            self._schedule.failures.record()
            raise

    def _create_folder(self) -> Path:
        try:
            folder = checkpoint_folders.new_folder(self._files, self._claim.lease)
            free = shutil.disk_usage(folder).free
        except SAVE_ERRORS as error:
            raise CheckpointNotSaved(repr(error)) from error
        if free < (needed := self._needed_bytes()):
            _discard_folder(folder)
            raise CheckpointNotSaved(f"{free} bytes of disk are free, {needed} are wanted")
        return folder

    def _needed_bytes(self) -> int:
        """Return the bytes that must be free: twice the newest checkpoint's.

        Without one, it is estimated as three float32 for each parameter.
        """
        return 2 * (self._newest_bytes or 3 * 4 * self._claim.spec.parameters)

    def _write_files(self, folder: Path, write: Callable[[Path], T]) -> T:
        try:
            return write(folder)
        except StateNotWritten as error:
            _discard_folder(folder)
            raise CheckpointNotSaved(str(error)) from error
        except BaseException:
            _discard_folder(folder)
            raise

    def _publish_and_commit(
        self, folder: Path, saved_state: SavedState, reasons: CheckpointReasons
    ) -> SavedState:
        self._record_digest(saved_state)
        return self._commit(saved_state, self._publish(folder, saved_state, reasons), reasons)

    def _record_digest(self, saved_state: SavedState) -> None:
        digest = SparsePoint(STATE_COLUMN, saved_state.tick, encode_value(saved_state.state_digest))
        self._ledger_writer.append_points(saved_state.tick, [digest], phase="saving")

    def _publish(self, folder: Path, state: SavedState, reasons: CheckpointReasons) -> Checkpoint:
        try:
            return checkpoint_folders.publish(
                self._files, self._claim.lease, folder, tick=state.tick,
                state=state.state_digest, metrics=state.metrics,
                is_best=reasons.is_best, is_final=reasons.is_final, periodic=reasons.is_periodic,
            )  # fmt: skip
        except SAVE_ERRORS as error:
            raise CheckpointNotSaved(repr(error)) from error

    def _commit(
        self, saved_state: SavedState, checkpoint: Checkpoint, reasons: CheckpointReasons
    ) -> SavedState:
        fault_points.hit("checkpoint:commit")
        removed = self._ledger_writer.commit_checkpoint(
            checkpoint, self._schedule.rules.keep, is_requested=reasons.is_requested
        )
        self._newest_bytes = checkpoint.bytes
        self._schedule.failures.reset()
        if reasons.is_final and not removed:
            return saved_state  # the record of the job's end follows at once
        if self._archiver.save():  # else the archived record still names the old ones
            for old in removed:
                self._remove_checkpoint(old)
        return saved_state

    def _remove_checkpoint(self, checkpoint: Checkpoint) -> None:
        lease = self._claim.lease
        # what stays is removed by the next attempt's remove_orphans, or the job's deletion
        with contextlib.suppress(OSError):
            checkpoint_folders.remove_folder(self._files, lease.tenant, lease.job_id, checkpoint)


def _discard_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # see _remove_checkpoint
        remove_tree(folder)
