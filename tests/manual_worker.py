"""A worker by hand, through the ledger alone: claim, record, save, end."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.job import Checkpoint, SparsePoint
from jobs.ledger.owner import LeaseLedger
from jobs.recording.writer import HistoryWriter
from jobs.settings import Settings
from jobs.store.connection import Store

#: state.json of a job without validation
STATE = {
    "metrics": {}, "ended": None, "best": None, "validated_at": None,
    "rules": {"best": None, "best_tick": 0},
}  # fmt: skip
FINGERPRINT = {"engine": "eager", "torch": "2", "canary": "c", "device": "cpu", "threads": 1}


class ManualWorker:
    """Owns the best queued job from its construction on."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.ledger = LeaseLedger(store, lease_seconds=60)
        self.files = ArtifactStore(settings.artifacts)
        claim = self.ledger.claim("cpu", worker="by-hand", device="cpu", canaries={"1": "c"})
        assert claim is not None, "there is no job to claim"
        self.claim, self.lease = claim, claim.lease
        self.ledger.record_engine(self.lease, "eager", "cpu", FINGERPRINT)
        self._recorder = HistoryWriter(self.ledger, store, self.files, self.lease)
        self.tick = claim.tick

    def record(
        self, losses: npt.ArrayLike, sparse: Sequence[SparsePoint] = (), **options: Any
    ) -> None:
        """Append the losses of the next ticks, with metrics or best as `options`.

        Full segments are in files afterwards: no thread of this worker's outlives a call.
        """
        values = np.asarray(losses, np.float32)
        self._recorder.append(
            self.tick + 1, {"loss": values}, sparse,
            **{"phase": "training", "elapsed": 0.5, "metrics": {}, **options},
        )  # fmt: skip
        self._recorder.wait_idle()
        self.tick += len(values)

    def save(
        self,
        weights: bytes = b"weights",
        drop: Sequence[int] = (),
        more_files: Mapping[str, bytes] = {},
        **changes: Any,
    ) -> Checkpoint:
        """Make and commit a checkpoint of the current tick; those of `drop` are removed."""
        folder = checkpoint_folders.new_folder(self.files, self.lease)
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "state.json").write_text(json.dumps({**STATE, "tick": self.tick}))
        for name, data in more_files.items():
            (folder / name).write_bytes(data)
        flags: dict[str, Any] = {"is_best": False, "is_final": False, **changes}
        checkpoint = checkpoint_folders.publish(
            self.files, self.lease, folder, tick=self.tick, state="0" * 16, metrics={}, **flags
        )
        self.ledger.commit_checkpoint(self.lease, checkpoint, drop)
        return checkpoint

    def end(self, status: str = "succeeded", **reasons: Any) -> None:
        """Finish the attempt: the job ends or, with `paused`, waits."""
        self.ledger.finish(self.lease, status, self.tick, **reasons)
