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

from jobs.checkpoints import expired_ticks
from jobs.errors import ConcurrentChange, NotAccepted, StoreFull, TickGap
from jobs.job import Checkpoint, SparsePoint
from jobs.kept import CheckpointSet
from jobs.ledger import Claim, JobLedger
from jobs.recorder import HistoryWriter
from jobs.spec.engines import is_portable
from jobs.store import UNAVAILABLE
from workers.backlog import Backlog, Said
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.patience import StoreAway, insist
from workers.trainer import Header, Ran, bits

T = TypeVar("T")
Level = Literal["info", "warning", "error"]

#: seconds between two looks at a disk that training waits for
DISK_PAUSE = 0.5


class Books:
    """What one attempt says, and the last thing it was told: `requested` and `wanted`.

    Raises StoreAway when the store is away and a drain leaves no time to wait for it, Fenced and
    Diverged as the ledger does, Gap or Early when the store has lost more than is kept here.
    """

    def __init__(
        self,
        ledger: JobLedger,
        recorder: HistoryWriter,
        claim: Claim,
        beat: Heartbeat,
        drain: Drain,
        say: Callable[[str], None],
        backlog: Backlog | None = None,
    ) -> None:
        self._ledger, self._recorder, self._claim = ledger, recorder, claim
        self._beat, self._drain, self._say = beat, drain, say
        self._backlog = backlog or Backlog()
        self._late = self._disk_told = False
        self._reached, self._lines = claim.tick, 0  # the last tick said; lines that are kept
        self.requested: str | None = claim.requested
        self.wanted = False  # whether a client asks for a checkpoint, beside `requested`

    def describe(self, engine: str, device: str, fingerprint: Header) -> None:
        """Say what trains, and the fingerprint that its bits belong to; may raise Unfit."""
        call = partial(
            self._ledger.record_engine, self._claim.lease, engine, device, fingerprint,
            is_portable=is_portable(self._claim.spec, engine),
        )  # fmt: skip
        self._tell(Said(self._claim.tick, 0, call), wait=True)

    def digested_ticks(self, after: int, upto: int) -> set[int]:
        """Return the ticks from `after` + 1 to `upto` whose state digest is recorded."""
        return self._insist(lambda: self._recorder.list_digest_ticks(after, upto))

    def repeat(self, ran: Ran, compared: set[int]) -> None:
        """Hand over ticks that are recorded already: they must be equal, bit for bit.

        A state digest at a tick not in `compared` has nothing to be compared with and is dropped.
        """
        sparse = [p for p in ran.sparse if p.column != "state" or p.tick in compared]
        call = partial(
            self._recorder.append, ran.first, ran.columns, sparse, phase="replaying", replayed=True
        )
        self._tell(Said(ran.last, ran.count, call), wait=True)

    def add(self, ran: Ran, elapsed: float, *, phase: str) -> None:
        """Hand over new ticks, and the training seconds (over all attempts) at the last of them.

        Returns at once while the store is away, until the backlog is full.
        """
        sparse = [*ran.sparse, SparsePoint("time", ran.last, bits(elapsed))]
        call = partial(
            self._recorder.append, ran.first, ran.columns, sparse,
            phase=phase, elapsed=elapsed, metrics=ran.metrics, best=ran.best,
        )  # fmt: skip
        self._tell(Said(ran.last, ran.count, call))

    def note(self, tick: int, sparse: list[SparsePoint], *, phase: str) -> None:
        """Hand over sparse points of a tick that was handed over already."""
        self._tell(Said(tick, 0, partial(self._recorder.append, tick + 1, {}, sparse, phase=phase)))

    def progress(self, tick: int, loss: bytes, elapsed: float, compared: int, digests: int) -> None:
        """Say how far a verify has compared."""
        lease, call = self._claim.lease, self._ledger.record_verify_progress
        self.requested = self._insist(lambda: call(lease, tick, loss, elapsed, compared, digests))
        self._beat.moved()

    def read(self, look: Callable[[], T]) -> T:
        """Read something in the store, however long that takes."""
        return self._insist(look)

    def kept(self) -> CheckpointSet:
        """Return what counts of the job's checkpoints now: clients may name and delete them."""
        return self._insist(lambda: self._ledger.read_checkpoints(self._claim.lease))

    def commit(self, new: Checkpoint, keep: int, *, asked: bool = False) -> list[Checkpoint]:
        """Make a checkpoint count, and return those that do not any more, by the rule of `keep`.

        `asked`: it was begun for a client, and serves although later ticks are accepted by now.
        """
        gone: list[Checkpoint] = []
        call = partial(self._commit, new, keep, asked, gone)
        self._tell(Said(new.tick, 0, call, commits=True), wait=True)
        return gone

    def _commit(self, new: Checkpoint, keep: int, asked: bool, gone: list[Checkpoint]) -> None:
        """Commit to what counts now; looked at again where a client has changed it meanwhile."""
        lease = self._claim.lease
        while not (kept := self._ledger.read_checkpoints(lease)).contains_folder(new.folder):
            named, serves = (
                kept.with_request_fields(new, was_requested=asked),
                kept.fulfils_request(new, was_requested=asked),
            )
            drop = expired_ticks(kept.checkpoints, named, keep)
            gone[:] = [old for old in kept.checkpoints if old.tick in (*drop, new.tick)]
            with contextlib.suppress(ConcurrentChange):
                self._ledger.commit_checkpoint(
                    lease, named, drop, change_count=kept.change_count, fulfils_request=serves
                )
                self.wanted = self.wanted and not serves
                return

    def settle(self) -> None:
        """Wait until the store has taken all that was handed over."""
        self._send(wait=True)

    def rest(self) -> None:
        """Wait until nothing of the history moves to files."""
        self._insist(self._recorder.wait_idle)

    def close(self) -> None:
        """Hand over nothing more; nothing of it is under way when this returns."""
        self._recorder.close()

    def tell(
        self,
        level: Level,
        message: str,
        unwanted: str | None = None,
    ) -> None:
        """Tell the job's followers a line of its log; may raise Fenced.

        A mere info is not worth waiting for; what is more is told again until the store has it.
        `unwanted`: why the checkpoint that a client asked for will not be made.
        """
        if level != "info":
            self._lines += 1
            call = partial(self._note, level, message, unwanted, self._lines)
            self._tell(Said(self._reached, 0, call))
        elif not self._beat.store_away:
            with contextlib.suppress(*UNAVAILABLE):
                self._note(level, message)

    def _note(
        self, level: Level, message: str, unwanted: str | None = None, number: int | None = None
    ) -> None:
        with contextlib.suppress(StoreFull):  # it stands in the job's log
            self._ledger.add_log_event(
                self._claim.lease, level, message, checkpoint_refusal=unwanted, number=number
            )

    @property
    def asked(self) -> str | None:
        """What a client or, last of all, the machine asks of this job."""
        return self.requested or ("drain" if self._drain.requested else None)

    def is_wanted_at(self, tick: int) -> bool:
        """Whether a client waits for the checkpoint of this tick: no replayed one is asked for."""
        return self.wanted and tick >= self._claim.tick

    @property
    def at_ease(self) -> bool:
        """Whether store and disk take what they are told, so that nobody has to wait for them."""
        disk = self._recorder.last_move_error is None and not self._recorder.is_backlogged
        return disk and not (self._disk_told or self._late or self._backlog.due)

    def has_room(self) -> bool:
        """Whether new ticks may come; else look at the disk once more, and at what is requested.

        They may not while too many full segments of the history wait in the store for their files.
        """
        self._mention_the_disk()
        if self._recorder.is_backlogged:
            self.rest()  # what is under way may make room
        if not self._recorder.is_backlogged:
            return True
        time.sleep(DISK_PAUSE)
        lease = self._claim.lease
        self.requested = self._insist(lambda: self._ledger.renew(lease, phase="saving"))
        self._insist(self._recorder.flush_full_segments)
        self._beat.moved()
        return False

    def _mention_the_disk(self) -> None:
        """Tell once that segments stay in the store, and once that they do not any more."""
        unmoved = self._recorder.last_move_error
        if self._disk_told == (unmoved is not None):
            return
        self._disk_told = unmoved is not None
        if unmoved is None:
            self.tell("info", "history: full segments lie in files again")
        else:
            self.tell("error", f"history_error: a full segment stays in the store: {unmoved}")

    def _tell(self, said: Said, *, wait: bool = False) -> None:
        if said.count:
            self._reached = said.last
        # what comes late must be said again with the ticks that it came behind
        self._backlog.add(replace(said, last=max(said.last, self._reached)))
        self._send(wait=wait or self._backlog.full)
        self._beat.moved()

    def _send(self, *, wait: bool) -> None:
        """Hand over all that is due; without `wait`, as far as the store takes it now."""
        if self._beat.store_away and not wait:
            return
        try:
            while (said := self._backlog.due) is not None:
                self._offer(said, wait)
        except (*UNAVAILABLE, StoreFull) as error:
            self._beat.doubt_store()  # and asks in our stead until it is back
            if not self._late:
                self._say(f"the store takes nothing ({error}), the training goes on")
            self._late = True
        else:
            if self._late:
                self._say("the store has taken all that waited for it")
            self._late = False

    def _offer(self, said: Said, wait: bool) -> None:
        try:
            appended = self._insist(said.call) if wait else said.call()
        except (TickGap, NotAccepted) as lost:
            accepted = lost.tick if isinstance(lost, TickGap) else 0
            if not self._backlog.again(accepted):
                raise
            self._say(f"the store lost ticks ({lost}), they are handed over again")
            return
        except (*UNAVAILABLE, StoreFull, StoreAway):
            raise  # it stays due
        except Exception:
            self._backlog.refused()
            raise
        self._backlog.taken()
        if appended is not None:
            self.requested, self.wanted = appended.requested, appended.checkpoint_requested

    def _insist(self, call: Callable[[], T]) -> T:
        return insist(call, self._may_wait)

    def _may_wait(self) -> bool:
        self._beat.moved()  # it is the store that stands still, not the trainer
        return not self._drain.overdue
