"""config.json of checkpoints: what a net reads and answers, without torch."""

import json
from collections import OrderedDict
from threading import Lock
from typing import Any

from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, hash_file
from jobs.files.checkpoint_folders import DamagedCheckpoint
from jobs.job import Checkpoint

CONFIG_FILE = "config.json"
MAX_REMEMBERED = 64  # configs that are remembered
MAX_REMEMBERED_BYTES = 1 << 18  # larger ones are read each time


class NetConfigs:
    """Reads the config.json of checkpoints, and remembers the newest. Safe for threads."""

    def __init__(self, files: ArtifactStore) -> None:
        self._files, self._lock = files, Lock()
        self._configs: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def read(self, tenant: str, job_id: str, checkpoint: Checkpoint) -> dict[str, Any]:
        """Return a checkpoint's config.json. Raises DamagedCheckpoint or NoSuchFile."""
        file, entry = checkpoint_folders.open_file(
            self._files, tenant, job_id, checkpoint, CONFIG_FILE
        )
        with file:
            if (remembered := self._find(entry.sha256)) is not None:
                return remembered
            if hash_file(file) != entry.sha256:
                raise DamagedCheckpoint(f"{CONFIG_FILE} is not what was saved")
            file.seek(0)
            config: dict[str, Any] = json.load(file)
        if entry.bytes <= MAX_REMEMBERED_BYTES:
            self._remember(entry.sha256, config)
        return config

    def _find(self, sha256: str) -> dict[str, Any] | None:
        with self._lock:
            if sha256 in self._configs:
                self._configs.move_to_end(sha256)
            return self._configs.get(sha256)

    def _remember(self, sha256: str, config: dict[str, Any]) -> None:
        with self._lock:
            self._configs[sha256] = config
            if len(self._configs) > MAX_REMEMBERED:
                self._configs.popitem(last=False)
