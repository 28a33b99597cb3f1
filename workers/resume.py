"""Where an attempt begins: the newest checkpoint whose files are what was committed, or tick 0.

Knows checkpoints and how a trainer loads one; runs no tick.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jobs.errors import FingerprintMismatch
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.job import Checkpoint
from jobs.ledger.claims import Claim
from workers.checkpointing.writer import CheckpointWriter
from workers.heartbeat import Heartbeat
from workers.outcomes import CheckpointDeleted, ReplayMismatch
from workers.trainer_client import JsonDict, TrainerClient, TrainerError


@dataclass(frozen=True)
class ResumePoint:
    """What it takes to find it; `warn` tells the job's followers."""

    claim: Claim
    trainer: TrainerClient
    checkpoint_writer: CheckpointWriter
    files: ArtifactStore
    heartbeat: Heartbeat
    warn: Callable[[str], None]

    def load_newest(self) -> JsonDict | None:
        """Load the newest checkpoint whose files are what was committed; None: there is none."""
        if self.claim.attempt > 1:
            self.checkpoint_writer.remove_orphans()
        lease = self.claim.lease
        for checkpoint in self.claim.checkpoints:
            self.heartbeat.phase = "loading"
            if checkpoint_folders.files_match(self.files, lease.tenant, lease.job_id, checkpoint):
                return self._load(checkpoint)
            if not self.checkpoint_writer.is_committed(checkpoint):
                continue  # a client has deleted it
            self.warn(f"checkpoint {checkpoint.tick} is damaged, looking for an older one")
            self.checkpoint_writer.mark_damaged(checkpoint)
        return None

    def check_initial_weights(self, canary: str) -> None:
        """Raise Unfit where first weights drawn here would be others than the recorded job's."""
        # torch draws them, and scales them with or without a fused step, as the processor has it
        is_from_scratch = self.claim.tick > 0 and not self.checkpoint_writer.has_checkpoint(0)
        if is_from_scratch and self.claim.exact and self.claim.canary != canary:
            raise FingerprintMismatch(
                "no checkpoint is left, and the first weights were another machine's"
            )

    def _load(self, checkpoint: Checkpoint) -> JsonDict:
        lease = self.claim.lease
        folder = checkpoint_folders.folder_path(self.files, lease.tenant, lease.job_id, checkpoint)
        try:
            loaded = self.trainer.load(folder)
        except TrainerError as error:
            if self.checkpoint_writer.is_committed(checkpoint):
                raise
            detail = f"checkpoint {checkpoint.tick} was deleted while it was loaded"
            raise CheckpointDeleted(detail) from error
        if loaded["state"] != checkpoint.state:
            detail = f"state of tick {checkpoint.tick} is recorded as {checkpoint.state}, its "
            detail += f"checkpoint loads as {loaded['state']}"
            raise ReplayMismatch(checkpoint.tick, detail)
        return loaded
