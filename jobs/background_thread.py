"""A thread that runs beside a `with` block. Knows nothing of what it does."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class BackgroundThread(ABC):
    """A context whose daemon thread executes `_run`, which must return once `_stopped` is set."""

    def __init__(self, name: str, join_seconds: float | None = None) -> None:
        """Wait at most `join_seconds` for the thread at the end; None: for as long as it takes."""
        self._stopped, self._join_seconds = threading.Event(), join_seconds
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the thread, which ends with the process if the block is never left."""
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        self._thread.join(self._join_seconds)

    @abstractmethod
    def _run(self) -> None:
        """Do the work, in the thread."""
