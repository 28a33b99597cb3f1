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

from jobs import checkpoints, fault_points
from jobs.checkpoints import DamagedCheckpoint
from jobs.files import ArtifactStore, UnsafePath, remove_tree
from jobs.job import Checkpoint, SparsePoint
from jobs.ledger import Claim
from workers.books import Books
from workers.chunks import until_multiple
from workers.keeping import Keeper
from workers.making import Making, Reasons
from workers.misses import Misses
from workers.trainer import NotWritten, Ran, Saved, Trainer, bits

T = TypeVar("T")

#: what making a checkpoint's files may meet, a full disk above all
TROUBLE = (OSError, UnsafePath, DamagedCheckpoint)


class Unsaved(Exception):
    """No checkpoint came of it and none is lost: the one before still counts."""


class Saver:
    """Adds to the checkpoints of one claimed job, and knows when the next one is due.

    Which there are, the store says each time: clients may delete and pin them meanwhile.
    """

    def __init__(
        self, files: ArtifactStore, claim: Claim, books: Books, keeper: Keeper, patience: float
    ) -> None:
        """Give up (`gave_up`) once no save has come off for `patience` seconds."""
        self._misses, self._keeper = Misses(patience), keeper
        self._files, self._claim, self._books = files, claim, books
        self._rules = claim.spec.checkpoint
        self._damaged: dict[str, int] = {}  # folders and ticks of those to be made again
        self._newest_bytes = claim.checkpoints[0].bytes if claim.checkpoints else None
        self._last = time.monotonic()
        self._making: Making | None = None

    def due(self, ran: Ran) -> bool:
        """Whether the state after this chunk is to be kept, by any of the spec's rules.

        At a job's end the rules say nothing: what is kept then, the end decides. After a miss
        the next try is due when its pause is over, whatever the rules say, unless it is under way.
        """
        if ran.is_over:
            return False
        if self._misses.count:
            return ran.count > 0 and self._misses.retry_is_due and not self.is_busy
        return self.due_by_tick(ran) or (ran.count > 0 and self._clock_is_due())

    def due_by_tick(self, ran: Ran) -> bool:
        """The same without the clock: by ticks, or as the best so far; and it is not there."""
        as_best = ran.is_best and self._rules.keep_best
        if not (self._by_tick(ran.last) or as_best):
            return False
        kept = self._books.kept()
        return not self._is_whole(kept.get(ran.last)) and ran.last not in kept.deleted_ticks

    def _by_tick(self, tick: int) -> bool:
        every = self._rules.every_ticks
        return every is not None and tick % every == 0

    def next_due(self, tick: int) -> int | None:
        """Return the first tick beyond this one that the spec wants kept, whatever happens."""
        return until_multiple(tick, self._rules.every_ticks)

    def has(self, tick: int) -> bool:
        """Whether a checkpoint of this tick is committed."""
        return self._is_whole(self._books.kept().get(tick))

    def _is_whole(self, found: Checkpoint | None) -> bool:
        return found is not None and found.folder not in self._damaged

    def counts(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint that was committed still is: a client may have deleted it."""
        return self._books.kept().contains_folder(checkpoint.folder)

    def forget(self, damaged: Checkpoint) -> None:
        """Take a committed checkpoint for missing, so that it may be made again."""
        self._damaged[damaged.folder] = damaged.tick

    @property
    def damaged(self) -> list[int]:
        """Ticks of the checkpoints to be made again."""
        return list(self._damaged.values())

    def is_to_be_made_again(self, tick: int) -> bool:
        """Whether the checkpoint of this tick was found damaged, and nobody deleted it since."""
        return tick in self.damaged and tick not in self._books.kept().deleted_ticks

    def sweep(self) -> None:
        """Remove what earlier attempts left when they were cut short."""
        lease, kept = self._claim.lease, {each.folder for each in self._claim.checkpoints}
        with contextlib.suppress(OSError):  # then the next attempt does
            checkpoints.remove_orphans(
                self._files, lease.tenant, lease.job_id, kept, term=lease.term - 1
            )

    def save(
        self, trainer: Trainer, tick: int, *, is_best: bool = False, is_final: bool = False
    ) -> Saved:
        """Save the state where the trainer stands and commit it; drop what need not be kept.

        Raises Unsaved when the disk would not have it.
        """
        with self._counting():
            reasons, folder = self._reasons(tick, is_best, is_final), self._begin()
            saved = self._written(folder, partial(trainer.save, folder))
            return self._at_once(folder, saved, reasons)

    def begin(self, trainer: Trainer, tick: int, *, is_best: bool = False) -> Saved | None:
        """The same while the trainer goes on: `hear` what it says, and `finish` when it `is_ready`.

        A small state is saved at once, and returned.
        """
        assert self._making is None, "one at a time: the one before is to be finished first"
        with self._counting():
            reasons = replace(self._reasons(tick, is_best, False), asked=self._books.wanted)
            folder = self._begin()
            saved = self._written(folder, partial(trainer.save_aside, folder))
            if saved is None:
                self._making = Making(folder, reasons)
                return None
            return self._at_once(folder, saved, reasons)

    def hear(self, outcome: Saved | NotWritten | None) -> None:
        """Take what the trainer says came of the files that it writes meanwhile. Raises Unsaved."""
        making = self._making
        if making is None or outcome is None:
            return
        if isinstance(outcome, NotWritten):
            self.discard()
            with self._counting():
                raise Unsaved(str(outcome)) from outcome
        making.complete(outcome, partial(self._complete, making.folder, outcome, making.reasons))

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is under way beside the training."""
        return self._making is not None

    @property
    def is_ready(self) -> bool:
        """Whether the one under way needs nothing but to be committed."""
        return self._making is not None and self._making.is_ready

    def finish(self, trainer: Trainer) -> Saved | None:
        """Wait for the checkpoint under way, if there is one, and commit it. Raises Unsaved."""
        if self._making is not None and self._making.saved is None:
            self.hear(trainer.written())
        making, self._making = self._making, None
        if making is None or making.saved is None:
            return None
        with self._counting():
            made = making.made()
            self._note(making.saved)
            return self._commit(making.saved, made, making.reasons)

    def discard(self) -> None:
        """Leave nothing of a checkpoint under way."""
        making, self._making = self._making, None
        if making is not None:
            making.discard(self._remove)

    @property
    def gave_up(self) -> bool:
        """Whether so many saves in a row have missed that training should not go on."""
        return self._misses.are_enough

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except Unsaved:
            self._misses.miss()
            raise

    def _reasons(self, tick: int, is_best: bool, is_final: bool) -> Reasons:
        by_clock, self._last = self._clock_is_due(), time.monotonic()
        as_best = is_best and self._rules.keep_best
        periodic = not as_best or by_clock or self._by_tick(tick)
        return Reasons(as_best, is_final, periodic)

    def _at_once(self, folder: Path, saved: Saved, reasons: Reasons) -> Saved:
        self._note(saved)
        return self._commit(saved, self._complete(folder, saved, reasons), reasons)

    def _note(self, saved: Saved) -> None:
        digest = SparsePoint("state", saved.tick, bits(saved.state))
        self._books.note(saved.tick, [digest], phase="saving")

    def _complete(self, folder: Path, saved: Saved, reasons: Reasons) -> Checkpoint:
        try:
            return checkpoints.publish(
                self._files, self._claim.lease, folder, tick=saved.tick, state=saved.state,
                metrics=saved.metrics, is_best=reasons.is_best, is_final=reasons.is_final,
                periodic=reasons.periodic,
            )  # fmt: skip
        except TROUBLE as error:
            raise Unsaved(repr(error)) from error

    def keep_begun(self, ran: Ran) -> None:
        """Have the archive know what trains this job, once there is a tick of it."""
        if not (self._keeper.has_tried or ran.is_over):
            self._keep()

    def _keep(self) -> bool:
        self._books.rest()  # a move to files writes the same record
        return self._keeper.keep()

    def _begin(self) -> Path:
        try:
            folder = checkpoints.new_folder(self._files, self._claim.lease)
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
        return 2 * (self._newest_bytes or 3 * weights)

    def _discard(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # a later sweep takes it
            remove_tree(folder)

    def _written(self, folder: Path, write: Callable[[], T]) -> T:
        try:
            return write()
        except NotWritten as error:
            self._discard(folder)
            raise Unsaved(str(error)) from error
        except BaseException:
            self._discard(folder)
            raise

    def _commit(self, saved: Saved, new: Checkpoint, reasons: Reasons) -> Saved:
        fault_points.hit("checkpoint:commit")
        gone = self._books.commit(new, self._rules.keep, asked=reasons.asked)
        self._newest_bytes = new.bytes
        self._misses.clear()
        if self._keep():  # else the archive's record names the old ones still: a later sweep's
            for old in gone:
                self._remove(old)
        return saved

    def _remove(self, old: Checkpoint) -> None:
        lease = self._claim.lease
        with contextlib.suppress(OSError):  # a later sweep takes it
            checkpoints.remove_folder(self._files, lease.tenant, lease.job_id, old)

    def _clock_is_due(self) -> bool:
        every = self._rules.every_seconds
        return every is not None and time.monotonic() - self._last >= every
