"""What the two processes of a worker share: its settings, and a private folder of small files.

The folder holds the fork server's socket and the JSON files that the main process and the pool
child leave for each other. Knows no store and no trainer.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.files.locked_folder import LockedFolder
from jobs.gpus.gpu import Gpu
from jobs.settings import Settings

FOLDER_PREFIX = "tickforge-worker-"


class WorkerFolder(LockedFolder):
    """A private folder that a later worker removes when this one has died."""

    def __init__(self) -> None:
        super().__init__(FOLDER_PREFIX)

    @property
    def socket_path(self) -> Path:
        """Path of the socket that the fork server listens on."""
        return self.path / "socket"

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Replace a JSON file atomically."""
        draft = self.path / f"{name}.{os.getpid()}"
        draft.write_text(json.dumps(content))
        draft.rename(self.path / name)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file's content, or None if it has not been written yet."""
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        return content


@dataclass(frozen=True)
class WorkerConfig:
    """One worker's name, queue ("cpu" or "cuda"), settings, folder, and GPU as the driver shows it.

    `gpu` is None on the queue cpu, and where the driver shows none.
    """

    name: str
    queue: str
    settings: Settings
    worker_folder: WorkerFolder
    gpu: Gpu | None = None

    @property
    def device(self) -> str:
        """Return the device that trainers of this worker compute on: a queue serves one kind."""
        return self.queue
