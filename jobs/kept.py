"""What counts of a job's checkpoints at one moment, as its owner reads it before it adds one.

Values only; knows no store and no file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.job import Checkpoint
from jobs.record import read_checkpoint


@dataclass(frozen=True)
class Wanted:
    """A checkpoint that a client asks for."""

    name: str | None
    pinned: bool


@dataclass(frozen=True)
class Kept:
    """The committed checkpoints, oldest first; `changes` counts what has changed about them."""

    changes: int
    tick: int  # the accepted one
    wanted: Wanted | None
    removed: frozenset[int]  # ticks of those that clients deleted
    checkpoints: tuple[Checkpoint, ...]

    def at(self, tick: int) -> Checkpoint | None:
        """The one of this tick."""
        return next((each for each in self.checkpoints if each.tick == tick), None)

    def has(self, folder: str) -> bool:
        """Whether the checkpoint in this folder counts."""
        return any(each.folder == folder for each in self.checkpoints)

    def serves(self, new: Checkpoint, *, asked: bool = False) -> bool:
        """Whether this one is what a client asks for: only the state of now is, no replayed one.

        `asked`: it was the state of now when it was begun, and was asked for already.
        """
        return self.wanted is not None and (asked or new.tick == self.tick)

    def named(self, new: Checkpoint, *, asked: bool = False) -> Checkpoint:
        """Return it with what is said of it: by whoever asked for it, or of the one before it."""
        before = self.at(new.tick)
        name, pinned = (before.name, before.pinned) if before else (None, False)
        serves = self.serves(new, asked=asked)
        if self.wanted is not None and serves:
            name, pinned = self.wanted.name or name, self.wanted.pinned or pinned
        kept = serves or (before is not None and before.periodic)
        said = {"name": name, "pinned": pinned, "periodic": new.periodic or kept}
        return new.model_copy(update=said)


def read_kept(reply: Sequence[bytes]) -> Kept:
    """Read what lua/kept.lua answers."""
    changes, tick, wanted, removed, *texts = reply
    found = (read_checkpoint(text) for text in texts)
    asked = json.loads(wanted) if wanted else None
    return Kept(
        changes=int(changes),
        tick=int(tick),
        wanted=None if asked is None else Wanted(asked.get("name"), asked["pinned"]),
        removed=frozenset(map(int, removed.split())),
        checkpoints=tuple(sorted(found, key=lambda each: each.tick)),
    )
