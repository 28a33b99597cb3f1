"""What counts of a job's checkpoints at one moment, as its owner reads it before it adds one.

Values only; knows no store and no file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.job import Checkpoint
from jobs.store.codec import parse_checkpoint


@dataclass(frozen=True)
class RequestedCheckpoint:
    """A checkpoint that a client asks for."""

    name: str | None
    pinned: bool


@dataclass(frozen=True)
class CheckpointSet:
    """The committed checkpoints, oldest first; `changes` counts what has changed about them."""

    change_count: int
    tick: int  # the accepted one
    request: RequestedCheckpoint | None
    deleted_ticks: frozenset[int]  # ticks of those that clients deleted
    checkpoints: tuple[Checkpoint, ...]

    def get(self, tick: int) -> Checkpoint | None:
        """The one of this tick."""
        return next(
            (checkpoint for checkpoint in self.checkpoints if checkpoint.tick == tick), None
        )

    def contains_folder(self, folder: str) -> bool:
        """Whether the checkpoint in this folder counts."""
        return any(checkpoint.folder == folder for checkpoint in self.checkpoints)

    def fulfils_request(self, new: Checkpoint, *, was_requested: bool = False) -> bool:
        """Whether this one is what a client asks for: only the state of now is, no replayed one.

        `asked`: it was the state of now when it was begun, and was asked for already.
        """
        return self.request is not None and (was_requested or new.tick == self.tick)

    def with_request_fields(self, new: Checkpoint, *, was_requested: bool = False) -> Checkpoint:
        """Return it with what is said of it: by whoever asked for it, or of the one before it."""
        previous = self.get(new.tick)
        name, pinned = (previous.name, previous.pinned) if previous else (None, False)
        is_requested = self.fulfils_request(new, was_requested=was_requested)
        if self.request is not None and is_requested:
            name, pinned = self.request.name or name, self.request.pinned or pinned
        stays_periodic = is_requested or (previous is not None and previous.periodic)
        fields = {"name": name, "pinned": pinned, "periodic": new.periodic or stays_periodic}
        return new.model_copy(update=fields)


def parse_checkpoint_set(reply: Sequence[bytes]) -> CheckpointSet:
    """Read what lua/read_checkpoints.lua answers."""
    changes, tick, request_json, deleted, *texts = reply
    checkpoints = (parse_checkpoint(text) for text in texts)
    request = json.loads(request_json) if request_json else None
    return CheckpointSet(
        change_count=int(changes),
        tick=int(tick),
        request=None
        if request is None
        else RequestedCheckpoint(request.get("name"), request["pinned"]),
        deleted_ticks=frozenset(map(int, deleted.split())),
        checkpoints=tuple(sorted(checkpoints, key=lambda checkpoint: checkpoint.tick)),
    )
