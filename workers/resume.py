"""The point where an attempt resumes: the newest checkpoint with intact files, or tick 0.

Knows checkpoints and how a trainer loads one; runs no tick.
"""

from dataclasses import dataclass

from jobs.errors import FingerprintMismatch
from jobs.history.errors import DamagedHistory
from jobs.job import Checkpoint
from workers.checkpointing.checkpointer import Checkpointer
from workers.outcomes import CheckpointDeleted, ReplayMismatch
from workers.trainer_client import JsonDict, TrainerError
from workers.trainer_session import TrainerSession


@dataclass(frozen=True)
class ResumePoint:
    """Finds and loads the checkpoint to resume from."""

    session: TrainerSession
    checkpointer: Checkpointer

    def load_newest(self) -> JsonDict | None:
        """Load the newest checkpoint whose files are intact; return the trainer's reply, or None.

        Raises CheckpointDeleted if a client deletes it meanwhile, ReplayMismatch if it loads as
        another state than was recorded, DamagedHistory if a fork has none.
        """
        claim = self.session.claim
        if claim.attempt > 1:
            self.checkpointer.remove_orphans()
        for checkpoint in claim.checkpoints:
            self.session.heartbeat.phase = "loading"
            if (loaded := self._load(checkpoint)) is not None:
                return loaded
            if not self.checkpointer.is_committed(checkpoint):
                continue  # a client has deleted it
            text = f"checkpoint {checkpoint.tick} is damaged, looking for an older one"
            self.session.report("warning", text)
            self.checkpointer.mark_damaged(checkpoint)
        if claim.fork_tick is not None:
            detail = f"no checkpoint of this fork is left, of tick {claim.fork_tick} or a later one"
            raise DamagedHistory(f"{detail}: its first state cannot be computed again")
        return None

    def check_initial_weights(self) -> None:
        """Raise FingerprintMismatch if initial weights drawn here would not be the recorded job's.

        How torch draws and scales them depends on the processor.
        """
        claim, canary = self.session.claim, self.session.fingerprint["canary"]
        is_from_scratch = claim.tick > 0 and not self.checkpointer.has_checkpoint(0)
        if is_from_scratch and claim.exact and claim.canary != canary:
            detail = "no checkpoint is left, and the first weights were another machine's"
            raise FingerprintMismatch(detail)

    def _load(self, checkpoint: Checkpoint) -> JsonDict | None:
        try:
            loaded = self.session.load(self.session.claim.lease.job_id, checkpoint)
        except TrainerError as error:
            if self.checkpointer.is_committed(checkpoint):
                raise
            detail = f"checkpoint {checkpoint.tick} was deleted while it was loaded"
            raise CheckpointDeleted(detail) from error
        if loaded is not None and loaded["state"] != checkpoint.state:
            detail = f"state of tick {checkpoint.tick} is recorded as {checkpoint.state}, its "
            detail += f"checkpoint loads as {loaded['state']}"
            raise ReplayMismatch(checkpoint.tick, detail)
        return loaded
