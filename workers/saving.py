"""When a job's state is saved and how it becomes a checkpoint. Knows files and ledger; no loop.

A state's digest is put into the history before its checkpoint is committed, so that whoever
replays past this tick compares it; old folders go only after the new one is committed.
"""

import contextlib
import shutil
import time
from pathlib import Path

from jobs import checkpoints
from jobs.checkpoints import DamagedCheckpoint
from jobs.files import Files, UnsafePath, remove_tree
from jobs.job import Checkpoint, SparsePoint
from jobs.ledger import Claim
from workers.books import Books
from workers.chunks import until_multiple
from workers.trainer import NotWritten, Ran, Saved, Trainer, bits

#: what making a checkpoint's files may meet, a full disk above all
TROUBLE = (OSError, UnsafePath, DamagedCheckpoint)


class Unsaved(Exception):
    """No checkpoint came of it and none is lost: the one before still counts."""


class Saver:
    """The checkpoints of one claimed job, oldest first, and when the next one is due."""

    def __init__(self, files: Files, claim: Claim, books: Books) -> None:
        self._files, self._claim, self._books = files, claim, books
        self._rules = claim.spec.checkpoint
        self._kept = sorted(claim.checkpoints, key=lambda checkpoint: checkpoint.tick)
        self._last = time.monotonic()

    def due(self, ran: Ran) -> bool:
        """Whether the state after this chunk is to be kept, by any of the spec's rules.

        At a job's end the rules say nothing: what is kept then, the end decides.
        """
        if ran.ended or ran.failed:
            return False
        return self.due_by_tick(ran) or (ran.count > 0 and self._clock_is_due())

    def due_by_tick(self, ran: Ran) -> bool:
        """The same without the clock: by ticks, or as the best so far; and it is not there."""
        as_best = ran.is_best and self._rules.keep_best
        return (self._by_tick(ran.last) or as_best) and not self.has(ran.last)

    def _by_tick(self, tick: int) -> bool:
        every = self._rules.every_ticks
        return every is not None and tick % every == 0

    def next_due(self, tick: int) -> int | None:
        """Return the first tick beyond this one that the spec wants kept, whatever happens."""
        return until_multiple(tick, self._rules.every_ticks)

    def has(self, tick: int) -> bool:
        """Whether a checkpoint of this tick is committed."""
        return any(checkpoint.tick == tick for checkpoint in self._kept)

    def forget(self, damaged: Checkpoint) -> None:
        """Take a committed checkpoint for missing, so that it may be made again."""
        self._kept.remove(damaged)

    def sweep(self) -> None:
        """Remove what earlier attempts left when they were cut short."""
        lease, kept = self._claim.lease, {checkpoint.folder for checkpoint in self._kept}
        with contextlib.suppress(OSError):  # then the next attempt does
            checkpoints.sweep(self._files, lease.tenant, lease.job_id, kept, term=lease.term - 1)

    def save(self, trainer: Trainer, *, is_best: bool = False, is_final: bool = False) -> Saved:
        """Save the state where the trainer stands and commit it; drop what need not be kept.

        Raises Unsaved when the disk would not have it; the clock then waits anew.
        """
        by_clock, self._last = self._clock_is_due(), time.monotonic()
        folder = self._begin()
        saved = self._saved(trainer, folder)
        as_best = is_best and self._rules.keep_best
        periodic = not as_best or by_clock or self._by_tick(saved.tick)
        digest = SparsePoint("state", saved.tick, bits(saved.state))
        self._books.note(saved.tick, [digest], phase="saving")
        try:
            new = checkpoints.complete(
                self._files, self._claim.lease, folder, tick=saved.tick, state=saved.state,
                metrics=saved.metrics, is_best=as_best, is_final=is_final, periodic=periodic,
            )  # fmt: skip
        except TROUBLE as error:
            raise Unsaved(repr(error)) from error
        self._commit(new)
        return saved

    def _begin(self) -> Path:
        try:
            folder = checkpoints.begin(self._files, self._claim.lease)
            free = shutil.disk_usage(folder).free
        except TROUBLE as error:
            raise Unsaved(repr(error)) from error
        if free < (needed := self._needed()):
            self._discard(folder)
            raise Unsaved(f"{free} bytes of disk are free, {needed} are wanted")
        return folder

    def _needed(self) -> int:
        """Bytes that must be free for another: twice the newest, or what the weights suggest."""
        weights = 4 * self._claim.spec.parameters
        return 2 * (self._kept[-1].bytes if self._kept else 3 * weights)

    def _discard(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # a later sweep takes it
            remove_tree(folder)

    def _saved(self, trainer: Trainer, folder: Path) -> Saved:
        try:
            return trainer.save(folder)
        except NotWritten as error:
            self._discard(folder)
            raise Unsaved(str(error)) from error
        except BaseException:
            self._discard(folder)
            raise

    def _commit(self, new: Checkpoint) -> None:
        dropped = checkpoints.retention(self._kept, new, self._rules.keep)
        self._books.commit(new, dropped)
        gone = [old for old in self._kept if old.tick in (*dropped, new.tick)]
        self._kept = [old for old in self._kept if old not in gone] + [new]
        for old in gone:
            with contextlib.suppress(OSError):  # a later sweep takes it
                checkpoints.remove(
                    self._files, self._claim.lease.tenant, self._claim.lease.job_id, old
                )

    def _clock_is_due(self) -> bool:
        every = self._rules.every_seconds
        return every is not None and time.monotonic() - self._last >= every
