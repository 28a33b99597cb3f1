"""What an attempt says to the store, in order: what is still to be taken, and what may be lost.

A store may be away for a while; it may also come back without its last second. So what was said is
kept here until the store has taken it, and after that since the checkpoint before the newest, to be
said again from where the store stands. Bounded in ticks and in calls. Knows no store and no job.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from jobs.ledger import AppendResult

#: ticks that may wait for the store, and as many that are kept after it has taken them
MOST_TICKS = 1 << 20
#: calls, likewise: a slow training's chunks are single ticks
MOST_CALLS = 1 << 14


@dataclass(frozen=True)
class Said:
    """A call that may be made twice; it reaches tick `last` and brings `count` ticks."""

    last: int
    count: int
    call: Callable[[], AppendResult | None]
    commits: bool = False


class Backlog:
    """Calls in their order: those taken, then those due."""

    def __init__(self, most_ticks: int = MOST_TICKS, most_calls: int = MOST_CALLS) -> None:
        self._most_ticks, self._most_calls = most_ticks, most_calls
        self._taken: deque[Said] = deque()
        self._due: deque[Said] = deque()
        self._taken_ticks = self._due_ticks = 0

    def add(self, said: Said) -> None:
        """Let a call be due, after all others."""
        self._due.append(said)
        self._due_ticks += said.count

    @property
    def due(self) -> Said | None:
        """The first call that the store has not taken."""
        return self._due[0] if self._due else None

    @property
    def due_ticks(self) -> int:
        """How many ticks wait for the store."""
        return self._due_ticks

    @property
    def full(self) -> bool:
        """Whether so much is due that no more should come."""
        return self._due_ticks >= self._most_ticks or len(self._due) >= self._most_calls

    def refused(self) -> None:
        """Note that the store will never take the first call that was due."""
        self._due_ticks -= self._due.popleft().count

    def taken(self) -> None:
        """Note that the store has taken the first call that was due."""
        said = self._due.popleft()
        self._due_ticks -= said.count
        self._taken.append(said)
        self._taken_ticks += said.count
        while self._taken_ticks > self._most_ticks or len(self._taken) > self._most_calls:
            self._drop()
        if said.commits:
            self._drop_before_the_last_but_one()

    def again(self, accepted: int) -> bool:
        """Let all be due again that a store at tick `accepted` may have lost.

        False when that is nothing: what it lacks is kept here no more.
        """
        had = len(self._due)
        while self._taken and self._taken[-1].last >= accepted:
            said = self._taken.pop()
            self._taken_ticks -= said.count
            self._due.appendleft(said)
            self._due_ticks += said.count
        return len(self._due) > had

    def _drop_before_the_last_but_one(self) -> None:
        commits = sum(said.commits for said in self._taken)
        while commits > 2 or (commits == 2 and not self._taken[0].commits):
            commits -= self._taken[0].commits
            self._drop()

    def _drop(self) -> None:
        self._taken_ticks -= self._taken.popleft().count
