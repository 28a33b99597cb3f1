"""One checkpoint under way while the training goes on: its files, then its completion in a thread.

Knows a folder and futures; knows no trainer and no ledger.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from jobs.files.artifacts import remove_tree
from jobs.job import Checkpoint
from workers.trainer_client import SavedState


@dataclass(frozen=True)
class CheckpointReasons:
    """Why a checkpoint is made; `asked`: a client waited for one when it was begun aside."""

    is_best: bool
    is_final: bool
    is_periodic: bool
    is_requested: bool = False


@dataclass
class PendingCheckpoint:
    """A folder that a trainer writes into, until it is a checkpoint that waits to be committed."""

    folder: Path
    reasons: CheckpointReasons
    saved_state: SavedState | None = None
    _executor: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="making")
    )
    _future: Future[Checkpoint] | None = None

    def complete(self, saved_state: SavedState, create: Callable[[], Checkpoint]) -> None:
        """Have the written files made a checkpoint, beside whatever is done here."""
        self.saved_state, self._future = saved_state, self._executor.submit(create)

    @property
    def is_ready(self) -> bool:
        """Whether it waits to be committed, or has come to nothing."""
        return self._future is not None and self._future.done()

    def result(self) -> Checkpoint:
        """Wait for the end of it, and return the checkpoint; raises what making it met."""
        assert self._future is not None, "its files are not written yet"
        try:
            return self._future.result()
        finally:
            self._executor.shutdown()

    def discard(self, remove: Callable[[Checkpoint], None]) -> None:
        """Leave nothing of it; `remove` takes away what has become a checkpoint meanwhile."""
        with contextlib.suppress(Exception):  # a later sweep takes what stays
            if self._future is not None:
                remove(self.result())
            else:
                remove_tree(self.folder)
