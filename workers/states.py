"""The states of one attempt that are kept: now, or aside while it trains on; what fails is told.

Between the attempt, which knows where the trainer stands, and the saver, which knows the rules.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from workers.books import Books, Level
from workers.heartbeat import Heartbeat
from workers.saving import Saver, Unsaved
from workers.trainer import Header, NotWritten, Saved, Trainer

#: tries of the final checkpoint, and seconds between them, before the job pauses without it
FINAL_TRIES, FINAL_PAUSE = 4, 1.0


class Tell(Protocol):
    """Says what followers of the job should see; `unwanted`: why a wish is not fulfilled."""

    def __call__(self, level: Level, text: str, unwanted: str | None = None) -> None: ...


class States:
    """Has states of one trainer kept. `tick` is always where that stands."""

    def __init__(
        self,
        saver: Saver,
        trainer: Trainer,
        beat: Heartbeat,
        books: Books,
        tell: Tell,
        say: Callable[[str], None],
    ) -> None:
        self._saver, self._trainer, self._beat = saver, trainer, beat
        self._books, self._tell, self._say = books, tell, say

    def keep(self, tick: int, best: Header | None, *, is_final: bool = False) -> bool:
        """Make a checkpoint of now; False when the disk would not have it."""
        self._beat.phase = "saving"
        save = partial(self._saver.save, self._trainer, tick, is_final=is_final)
        return self._try(tick, partial(save, is_best=_is_at(best, tick)))

    def keep_final(self, tick: int, best: Header | None) -> bool:
        """The same of what the job is about: tried some times, for without it is no success."""
        for _ in range(FINAL_TRIES - 1):
            if self.keep(tick, best, is_final=True):
                return True
            time.sleep(FINAL_PAUSE)
            self._beat.moved()
        return self.keep(tick, best, is_final=True)

    def begin(self, tick: int, best: Header | None) -> None:
        """Begin a checkpoint of now, behind the one that is under way."""
        self.finish(tick)
        self._beat.phase = "saving"
        is_best = _is_at(best, tick)
        self._try(tick, partial(self._saver.begin, self._trainer, tick, is_best=is_best))

    def hear(self, tick: int, outcome: Saved | NotWritten | None) -> None:
        """Take what the trainer says of the files of the one that is under way."""
        self._try(tick, partial(self._saver.hear, outcome))

    def finish(self, tick: int) -> None:
        """Wait for the checkpoint that is under way, if there is one."""
        self._try(tick, partial(self._saver.finish, self._trainer))

    def _try(self, tick: int, save: Callable[[], Saved | None]) -> bool:
        """Whether the disk had what it was to have; says so, and what became a checkpoint."""
        try:
            saved = save()
        except Unsaved as error:
            unwanted = str(error) if self._books.is_wanted_at(tick) else None
            self._tell("error", f"checkpoint_error at tick {tick}: {error}", unwanted=unwanted)
            return False
        if saved is not None:
            self._say(f"saved checkpoint {saved.tick}, state {saved.state}")
        return True


def _is_at(best: Header | None, tick: int) -> bool:
    return best is not None and bool(best["tick"] == tick)
