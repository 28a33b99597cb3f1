"""A claimed job with the trainer spawned for it: what training and verifying have in common.

Knows the trainer's commands and the ledger writer; knows no process and no Celery.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.files.shared_code import CODE_FILE
from jobs.job import Checkpoint
from jobs.ledger.claims import Claim
from workers.chunks import ChunkSizer
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter, Level
from workers.log import JobLog
from workers.trainer_client import JsonDict, TrainerClient


def ignore_ending(_engine: str) -> None:
    """Do nothing as an attempt ends."""


@dataclass
class TrainerSession:
    """The parts that one attempt works with; `fingerprint` is that of the bits it computes."""

    claim: Claim
    trainer: TrainerClient
    device: str
    measure_canary: Callable[[int], str]  # this machine's canary for a thread count
    ledger_writer: LedgerWriter
    files: ArtifactStore
    heartbeat: Heartbeat
    log: JobLog
    fingerprint: JsonDict = field(default_factory=dict)
    chunk_sizer: ChunkSizer = field(default_factory=ChunkSizer)
    on_ending: Callable[[str], None] = ignore_ending  # with the engine, after the last tick

    def build(self, *, background_saves: bool = False, keeps_trial: bool = False) -> JsonDict:
        """Build model, optimizer and data, record on what, and return the trainer's reply.

        `keeps_trial`: the first chunk is at least as long as the ticks that the trial kept. Raises
        FingerprintMismatch if the recorded ticks are of another fingerprint.
        """
        spec = self.claim.spec
        canary = self.measure_canary(spec.compute.threads)
        self.trainer.on_warning = partial(self.report, "warning")
        reply = self.trainer.build(
            spec.to_stored(), self.device, self.log.path, artifacts=self.files.root,
            job=self.claim.lease.job_id, engine=self.claim.engine,
            canary=canary, background_saves=background_saves, keeps_trial=keeps_trial,
        )  # fmt: skip
        self.chunk_sizer.ticks = max(1, reply["trial_ticks"])
        self.fingerprint = {**reply["fingerprint"], "canary": canary}
        self.ledger_writer.record_engine(reply["engine"], reply["device"], self.fingerprint)
        return reply

    def load(
        self, job_id: str, checkpoint: Checkpoint, *, needs_all_files: bool = False
    ) -> JsonDict | None:
        """Load a job's checkpoint and return the trainer's reply; None if its files are damaged.

        The trainer does not read the code for clients, which a job's checkpoints share: where that
        alone is damaged the state is loaded, unless all files are needed.
        """
        place = self.files, self.claim.lease.tenant, job_id, checkpoint
        damaged = set(checkpoint_folders.damaged_files(*place))
        if damaged - (set() if needs_all_files else {CODE_FILE}):
            return None
        return self.trainer.load(checkpoint_folders.folder_path(*place))

    def report(self, level: Level, text: str, unsaved_reason: str | None = None) -> None:
        """Write a line into the job's log and add it to the job's events.

        `unsaved_reason`: why the checkpoint that a client requested will not be saved.
        """
        self.log.write(text)
        self.ledger_writer.log_event(level, text, unsaved_reason)
