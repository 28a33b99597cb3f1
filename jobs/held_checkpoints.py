"""Removes checkpoints that retention kept for questions alone, once these have ended.

A running job's owner does that with each checkpoint that it saves; this is for those that save none
any more, and for questions whose asker or answerer has died.
"""

import time
from contextlib import suppress
from typing import Any

from jobs.archive.jobs import JobArchive
from jobs.errors import NoSuchJob
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.checkpoint_requests import CheckpointRequests
from jobs.store import keys
from jobs.store.connection import Store


class HeldCheckpoints:
    """Checkpoints of all jobs that questions keep."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store = store
        self._checkpoints = CheckpointRequests(store, files, JobArchive(store, files))

    def delete_expired(self, deadline: float) -> None:
        """Remove those that no question holds now, until `deadline` (monotonic) at most."""
        members: Any = self._store.smembers(keys.HELD_CHECKPOINTS)
        for member in members:
            if time.monotonic() >= deadline:
                return
            with suppress(NoSuchJob):  # deleted meanwhile
                self._checkpoints.delete_expired(*keys.split_member(member.decode()))
