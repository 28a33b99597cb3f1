"""A save that runs beside the training: first its files are written, then a thread publishes them.

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
    """Why a checkpoint is saved; `is_requested`: a client waited for one when it was begun."""

    is_best: bool
    is_final: bool
    is_periodic: bool
    is_requested: bool = False


@dataclass
class PendingCheckpoint:
    """A folder that a trainer writes into, until it is a checkpoint ready to be committed."""

    folder: Path
    reasons: CheckpointReasons
    saved_state: SavedState | None = None
    _executor: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="making")
    )
    _future: Future[Checkpoint] | None = None

    def complete(self, saved_state: SavedState, publish: Callable[[], Checkpoint]) -> None:
        """Publish the written files as a checkpoint, in a thread."""
        self.saved_state, self._future = saved_state, self._executor.submit(publish)

    @property
    def is_ready(self) -> bool:
        """Return whether the thread is done, with a checkpoint or an error."""
        return self._future is not None and self._future.done()

    def result(self) -> Checkpoint:
        """Wait for the thread and return the checkpoint; raises what publishing raised."""
        assert self._future is not None, "its files are not written yet"
        try:
            return self._future.result()
        finally:
            self._executor.shutdown()

    def discard(self, remove: Callable[[Checkpoint], None]) -> None:
        """Remove its files; `remove` is called with a checkpoint that was already published."""
        with contextlib.suppress(Exception):  # a later sweep removes what stays
            if self._future is not None:
                remove(self.result())
            else:
                remove_tree(self.folder)
