"""A job's committed checkpoints at one moment, as its owner reads them before it adds one.

Values only; knows no store and no file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.job import Checkpoint
from jobs.store.codec import parse_checkpoint


@dataclass(frozen=True)
class RequestedCheckpoint:
    """A checkpoint that a client requests."""

    name: str | None
    pinned: bool


@dataclass(frozen=True)
class CheckpointSet:
    """The committed checkpoints, oldest first; `change_count` grows with each change of them."""

    change_count: int
    tick: int  # the accepted tick
    request: RequestedCheckpoint | None
    deleted_ticks: frozenset[int]  # of checkpoints that clients deleted
    held_ticks: frozenset[int]  # of checkpoints that questions wait for
    checkpoints: tuple[Checkpoint, ...]

    def get(self, tick: int) -> Checkpoint | None:
        """Return the checkpoint of this tick, or None."""
        return next((entry for entry in self.checkpoints if entry.tick == tick), None)

    def contains_folder(self, folder: str) -> bool:
        """Return whether a committed checkpoint is in this folder."""
        return any(checkpoint.folder == folder for checkpoint in self.checkpoints)

    def fulfils_request(self, new: Checkpoint, *, was_requested: bool = False) -> bool:
        """Return whether a new checkpoint fulfils the request of a client.

        It must be of the accepted tick, not of a replayed one; `was_requested`: its save began at
        the accepted tick, after the request.
        """
        return self.request is not None and (was_requested or new.tick == self.tick)

    def with_request_fields(self, new: Checkpoint, *, was_requested: bool = False) -> Checkpoint:
        """Return the new checkpoint with name and pin of the request and of the one it replaces."""
        previous = self.get(new.tick)
        name, pinned = (previous.name, previous.pinned) if previous else (None, False)
        is_requested = self.fulfils_request(new, was_requested=was_requested)
        if self.request is not None and is_requested:
            name, pinned = self.request.name or name, self.request.pinned or pinned
        stays_periodic = is_requested or (previous is not None and previous.periodic)
        fields = {"name": name, "pinned": pinned, "periodic": new.periodic or stays_periodic}
        return new.model_copy(update=fields)


def parse_checkpoint_set(reply: Sequence[bytes]) -> CheckpointSet:
    """Parse the reply of lua/read_checkpoints.lua."""
    changes, tick, request_json, deleted, held, *texts = reply
    request = json.loads(request_json or b"null")
    return CheckpointSet(
        change_count=int(changes),
        tick=int(tick),
        request=request and RequestedCheckpoint(request.get("name"), request["pinned"]),
        deleted_ticks=frozenset(map(int, deleted.split())),
        held_ticks=frozenset(map(int, held.split())),
        checkpoints=tuple(sorted(map(parse_checkpoint, texts), key=lambda saved: saved.tick)),
    )
