"""One attempt's writing into ledger and history: patient with an absent store, strict otherwise.

Knows the ledger and the recorder; knows no trainer process, no checkpoint file and no Celery.
"""

import contextlib
from collections.abc import Callable
from typing import Literal, TypeVar

from jobs.errors import StoreFull
from jobs.job import Checkpoint, SparsePoint
from jobs.ledger import Appended, Claim, Ledger
from jobs.recorder import Recorder
from jobs.store import AWAY
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.patience import insist
from workers.trainer import Header, Ran, bits

T = TypeVar("T")


class Books:
    """What one attempt says, and the last thing it was told: `requested`.

    Every method waits while the store is away (StoreAway when a drain leaves no time for that) and
    raises Fenced, Gap or Diverged as the ledger does.
    """

    def __init__(
        self, ledger: Ledger, recorder: Recorder, claim: Claim, beat: Heartbeat, drain: Drain
    ) -> None:
        self._ledger, self._recorder, self._claim = ledger, recorder, claim
        self._beat, self._drain = beat, drain
        self.requested: str | None = claim.requested

    def describe(self, engine: str, device: str, fingerprint: Header) -> None:
        """Say what trains, and the fingerprint that its bits belong to; may raise Unfit."""
        lease = self._claim.lease
        self._insist(lambda: self._ledger.describe(lease, engine, device, fingerprint))

    def digested_ticks(self, after: int, upto: int) -> set[int]:
        """Return the ticks from `after` + 1 to `upto` whose state digest is recorded."""
        return self._insist(lambda: self._recorder.digested_ticks(after, upto))

    def repeat(self, ran: Ran, compared: set[int]) -> None:
        """Hand over ticks that are recorded already: they must be equal, bit for bit.

        A state digest at a tick not in `compared` has nothing to be compared with and is dropped.
        """
        sparse = [p for p in ran.sparse if p.column != "state" or p.tick in compared]
        record, first, columns = self._recorder.record, ran.first, ran.columns
        self._take(lambda: record(first, columns, sparse, phase="replaying", replayed=True))

    def add(self, ran: Ran, elapsed: float, *, phase: str) -> None:
        """Hand over new ticks, and the training seconds (over all attempts) at the last of them."""
        sparse = [*ran.sparse, SparsePoint("time", ran.last, bits(elapsed))]
        record = self._recorder.record
        self._take(
            lambda: record(
                ran.first, ran.columns, sparse, phase=phase, elapsed=elapsed,
                metrics=ran.metrics, best=ran.best,
            )
        )  # fmt: skip

    def note(self, tick: int, sparse: list[SparsePoint], *, phase: str) -> None:
        """Hand over sparse points of a tick that is recorded already."""
        record = self._recorder.record
        self._take(lambda: record(tick + 1, {}, sparse, phase=phase))

    def tell(self, level: Literal["info", "warning", "error"], message: str) -> None:
        """Tell the job's followers a line of its log. Not worth waiting for; may raise Fenced."""
        with contextlib.suppress(*AWAY, StoreFull):
            self._ledger.note(self._claim.lease, level, message)

    def commit(self, new: Checkpoint, drop: list[int]) -> None:
        """Make a checkpoint count, and those of the ticks in `drop` no longer."""
        lease = self._claim.lease
        self._insist(lambda: self._ledger.commit_checkpoint(lease, new, drop))

    def _take(self, record: Callable[[], Appended]) -> None:
        self.requested = self._insist(record).requested
        self._beat.moved()

    def _insist(self, call: Callable[[], T]) -> T:
        return insist(call, self._may_wait)

    def _may_wait(self) -> bool:
        self._beat.moved()  # it is the store that stands still, not the trainer
        return not self._drain.overdue
