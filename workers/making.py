"""One checkpoint under way while the training goes on: its files, then its completion in a thread.

Knows a folder and futures; knows no trainer and no ledger.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from jobs.files import remove_tree
from jobs.job import Checkpoint
from workers.trainer import Saved


@dataclass(frozen=True)
class Reasons:
    """Why a checkpoint is made; `asked`: a client waited for one when it was begun aside."""

    is_best: bool
    is_final: bool
    periodic: bool
    asked: bool = False


@dataclass
class Making:
    """A folder that a trainer writes into, until it is a checkpoint that waits to be committed."""

    folder: Path
    reasons: Reasons
    saved: Saved | None = None
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="making")
    )
    _made: Future[Checkpoint] | None = None

    def complete(self, saved: Saved, make: Callable[[], Checkpoint]) -> None:
        """Have the written files made a checkpoint, beside whatever is done here."""
        self.saved, self._made = saved, self._thread.submit(make)

    @property
    def is_ready(self) -> bool:
        """Whether it waits to be committed, or has come to nothing."""
        return self._made is not None and self._made.done()

    def made(self) -> Checkpoint:
        """Wait for the end of it, and return the checkpoint; raises what making it met."""
        assert self._made is not None, "its files are not written yet"
        try:
            return self._made.result()
        finally:
            self._thread.shutdown()

    def discard(self, remove: Callable[[Checkpoint], None]) -> None:
        """Leave nothing of it; `remove` takes away what has become a checkpoint meanwhile."""
        with contextlib.suppress(Exception):  # a later sweep takes what stays
            if self._made is not None:
                remove(self.made())
            else:
                remove_tree(self.folder)
