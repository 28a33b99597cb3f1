"""Uses a checkpoint that retention may remove at any moment: `latest` of a job that runs.

Knows no HTTP, and not what it is used for.
"""

from collections.abc import Callable
from typing import TypeVar

from jobs.errors import CheckpointMoved, CheckpointNotKept
from jobs.files.checkpoint_folders import DamagedCheckpoint
from jobs.job import Checkpoint

T = TypeVar("T")

MAX_TRIES = 10  # a job saves some checkpoints a second at most


def use_checkpoint(
    find: Callable[[], Checkpoint], use: Callable[[Checkpoint], T], first: Checkpoint | None = None
) -> T:
    """Return what `use` makes of the checkpoint that `find` finds, or of `first`, found before.

    Where that is removed before it can be used, it is looked for again, and `find` may raise
    NoSuchCheckpoint, or find a newer one. Raises what both raise.
    """
    checkpoint = first or find()
    for _ in range(MAX_TRIES - 1):
        try:
            return use(checkpoint)
        except (CheckpointMoved, CheckpointNotKept, DamagedCheckpoint):
            newer = find()
            if newer.folder == checkpoint.folder:
                raise
            checkpoint = newer
    return use(checkpoint)
