"""One attempt at a job, told from a fresh trainer to an outcome.

Knows the trainer's commands, the books and the checkpoints; knows no process, no Celery, no lease.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from jobs import fault_points
from jobs.errors import TickMismatch
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.claims import Claim
from jobs.spec.job_spec import JobSpec
from workers import outcomes
from workers.checkpointing.checkpointer import Checkpointer
from workers.checkpointing.writer import CheckpointWriter
from workers.chunks import ChunkSizer, StopTicks, chunk_length
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter, Level
from workers.log import JobLog
from workers.outcomes import Outcome, ReplayMismatch
from workers.resume import ResumePoint
from workers.trainer_client import ChunkResult, JsonDict, TrainerClient


@dataclass
class TrainingAttempt:
    """What an attempt works with; then where it stands, which is all that changes."""

    claim: Claim
    spec: JobSpec
    device: str
    trainer: TrainerClient
    measure_canary: Callable[[int], str]  # what this machine answers with so many threads
    ledger_writer: LedgerWriter
    checkpoint_writer: CheckpointWriter
    files: ArtifactStore
    heartbeat: Heartbeat
    log: JobLog

    tick: int = 0
    elapsed: float = 0.0  # training seconds over all attempts
    best: JsonDict | None = None
    end_reason: str | None = None  # why the trainer itself came to an end
    failure: JsonDict | None = None
    fingerprint: JsonDict = field(default_factory=dict)  # of this attempt's bits
    chunk_sizer: ChunkSizer = field(default_factory=ChunkSizer)
    is_chunk_in_flight: bool = False  # whether the trainer runs the next chunk already

    def __post_init__(self) -> None:
        self.checkpointer = Checkpointer(
            self.checkpoint_writer,
            self.trainer,
            self.heartbeat,
            self.ledger_writer,
            self.publish,
            self.log.write,
        )

    def run(self) -> Outcome:
        """Take the job to its end, or to a pause or a drain; what diverges ends it."""
        try:
            return self.train()
        except (TickMismatch, ReplayMismatch) as error:
            tick, recorded = max(self.tick, self.claim.tick), self.claim.fingerprint
            outcome = outcomes.divergence_outcome(error, tick, recorded, self.fingerprint)
            self.publish("error", (outcome.error or {})["detail"])
            return outcome
        finally:
            self.checkpoint_writer.discard_pending()

    def train(self) -> Outcome:
        """Build, load, replay, train, end."""
        self.build()
        self.load()
        if (
            self.tick == 0
            and self.spec.checkpoint.at_start
            and not self.checkpoint_writer.has_checkpoint(0)
        ):
            self.checkpointer.save_now(self.tick, self.best)
        if self.tick < self.claim.tick and (reason := self.replay()):
            return outcomes.stop_outcome(reason, self.claim.tick)  # nothing new to keep
        while not (reason := self.reason_to_end()):
            self.train_chunk()
        return self.end(reason)

    def build(self) -> None:
        """Have model, optimizer and data built, and say on what."""
        build_info = self.trainer.build(
            self.spec.to_stored(), self.device, self.log.path, artifacts=self.files.root,
            job=self.claim.lease.job_id, engine=self.claim.engine, background_saves=True,
        )  # fmt: skip
        canary = self.measure_canary(self.spec.compute.threads)
        self.fingerprint = {**build_info["fingerprint"], "canary": canary}
        self.ledger_writer.record_engine(
            build_info["engine"], build_info["device"], self.fingerprint
        )
        self.elapsed = self.claim.elapsed
        self.log.write(
            f"built {build_info['parameters']} parameters, {build_info['engine']}, {self.device}"
        )
        self.report_engine(build_info)

    def report_engine(self, build_info: JsonDict) -> None:
        """Say why the engine is which it is, aloud where it is not the one that was chosen."""
        message = f"engine {build_info['engine']}: {build_info['engine_note']}"
        if build_info["instead"]:
            self.publish("warning", message)
        else:
            self.log.write(message)

    def load(self) -> None:
        """Load what there is to go on from; where nothing is, make sure of the first weights."""
        resume_point = ResumePoint(
            self.claim, self.trainer, self.checkpoint_writer, self.files, self.heartbeat,
            partial(self.publish, "warning"),
        )  # fmt: skip
        if loaded := resume_point.load_newest():
            self.tick, self.end_reason, self.best = loaded["tick"], loaded["ended"], loaded["best"]
            self.log.write(f"loaded checkpoint {self.tick}")
        if self.tick == 0:
            resume_point.check_initial_weights(self.fingerprint["canary"])

    def replay(self) -> str | None:
        """Run again what is recorded beyond the state loaded; the ledger compares every bit.

        Returns what made it stop early, if anything did.
        """
        self.publish("info", f"replaying ticks {self.tick + 1} to {self.claim.tick}")
        digest_ticks = self.ledger_writer.digested_ticks(self.tick, self.claim.tick)
        stop_ticks = StopTicks(
            [*digest_ticks, *self.checkpoint_writer.damaged_ticks, self.claim.tick]
        )
        while self.tick < self.claim.tick:
            if (reason := self.ledger_writer.requested_action) in ("cancel", "pause", "drain"):
                return reason
            self.replay_chunk(stop_ticks, digest_ticks)
        summary = "every bit equal" if self.claim.exact else "equal from the last fingerprint on"
        self.publish("info", f"replayed to tick {self.claim.tick}, {summary}")
        return None

    def replay_chunk(self, stop_ticks: StopTicks, digest_ticks: set[int]) -> None:
        """Run the next recorded ticks, up to the next mark; save what should have been saved."""
        self.heartbeat.phase = "replaying"
        fault_points.hit("replay")
        end_ticks = (
            stop_ticks.next_after(self.tick),
            self.checkpoint_writer.next_due_tick(self.tick),
        )
        ticks = chunk_length(self.tick, self.chunk_sizer, *end_ticks)
        chunk = self._observe(self.trainer.run(ticks, digest=self.tick + ticks in digest_ticks))
        if chunk.last < self.claim.tick and chunk.is_over:
            detail = f"ended at tick {chunk.last}, recorded are {self.claim.tick} ticks"
            raise ReplayMismatch(chunk.last, detail)
        self.ledger_writer.append_replayed(chunk, digest_ticks)
        self._advance(chunk)
        if not chunk.is_over and (
            self.checkpoint_writer.is_due_by_tick(chunk)
            or self.checkpoint_writer.needs_recreation(self.tick)
        ):
            self.checkpointer.save_now(self.tick, self.best)

    def train_chunk(self) -> None:
        """Run new ticks, hand them over, and save where that is due.

        Where nothing is decided at their end, the trainer goes on while they are handed over.
        """
        if not (self.is_chunk_in_flight or self.ledger_writer.wait_for_capacity()):
            return
        self.heartbeat.phase = "training"
        if not self.is_chunk_in_flight:
            self.trainer.start_chunk(self.next_chunk_ticks(self.tick))
        chunk = self._observe(self.trainer.wait_chunk())
        self.elapsed += chunk.seconds
        is_save_due = self.checkpoint_writer.is_due(chunk)
        self.checkpointer.on_trainer_result(self.tick, chunk.save_result)
        self.is_chunk_in_flight = not is_save_due and self.can_run_ahead(chunk)
        if self.is_chunk_in_flight:
            self.trainer.start_chunk(self.next_chunk_ticks(chunk.last))
        self.ledger_writer.append_ticks(chunk, self.elapsed, phase="training")
        self._advance(chunk)
        self.checkpoint_writer.archive_started_job(chunk)
        if self.checkpoint_writer.is_ready:
            self.checkpointer.finish(self.tick)
        if is_save_due or (
            self.is_checkpoint_requested and not (self.is_chunk_in_flight or chunk.is_over)
        ):
            self.checkpointer.begin_save(self.tick, self.best)

    def next_chunk_ticks(self, tick: int) -> int:
        """Return how many new ticks to run after this one."""
        return chunk_length(tick, self.chunk_sizer, self.checkpoint_writer.next_due_tick(tick))

    def can_run_ahead(self, chunk: ChunkResult) -> bool:
        """Whether the trainer may run on before these ticks are in the books.

        Not at slow ticks, where it would gain little and a request would wait for two, but while a
        checkpoint is committed.
        """
        must_stop = chunk.is_over or self.ledger_writer.requested_action or self.is_out_of_time
        is_worthwhile = self.chunk_sizer.can_run_ahead or self.checkpoint_writer.is_ready
        return (
            is_worthwhile
            and self.ledger_writer.is_keeping_up
            and not (must_stop or self.is_checkpoint_requested)
        )

    @property
    def is_checkpoint_requested(self) -> bool:
        """Whether a client waits for a checkpoint, and none is under way."""
        return self.ledger_writer.checkpoint_requested and not self.checkpoint_writer.is_busy

    @property
    def is_out_of_time(self) -> bool:
        """Whether the training has taken the seconds that the spec gives it."""
        budget_seconds = self.spec.budget.seconds
        return budget_seconds is not None and self.elapsed >= budget_seconds

    def reason_to_end(self) -> str | None:
        """Return why this is the last chunk's end, the weightiest reason first, or None."""
        if self.is_chunk_in_flight:
            return None
        action = self.ledger_writer.requested_action
        if self.failure or action == "cancel":
            return "failed" if self.failure else "cancel"
        if self.end_reason or (self.is_out_of_time and self.tick > 0):
            return "ended" if self.end_reason else "seconds"
        if self.checkpoint_writer.has_failed_too_often:
            return "unsaved"
        return None if action == "stop" and self.tick == 0 else action

    def end(self, reason: str) -> Outcome:
        """Keep what the reason says must be kept, and tell the outcome."""
        self.ledger_writer.flush()
        if reason == "cancel":
            return Outcome("cancelled", self.tick)
        self.checkpointer.finish(self.tick)
        if reason in ("failed", "pause", "drain"):
            return self.save_and_stop(reason)
        if reason in ("stop", "seconds"):
            self.validate()
        if reason == "unsaved":
            return outcomes.disk_pause_outcome(
                self.tick, "no checkpoint could be saved for too long"
            )
        if not self.checkpointer.save_final(self.tick, self.best):
            return outcomes.disk_pause_outcome(self.tick, "the final checkpoint could not be saved")
        stopped_by = {"stop": "user", "seconds": "budget"}.get(reason, self.end_reason)
        return Outcome("succeeded", self.tick, stopped_by=stopped_by)

    def save_and_stop(self, reason: str) -> Outcome:
        """Save where the trainer stands (for a failure: before it), unless that is there."""
        tick_to_save = self.tick - 1 if reason == "failed" else self.tick
        if tick_to_save > 0 and not self.checkpoint_writer.has_checkpoint(tick_to_save):
            self.checkpointer.save_now(tick_to_save, self.best)
        if reason == "failed":
            return Outcome("failed", self.tick, error=self.failure)
        return outcomes.stop_outcome(reason, self.tick)

    def validate(self) -> None:
        """Validate where the job ends, unless that tick was validated."""
        self.heartbeat.phase = "validating"
        chunk = self.trainer.validate(self.tick)
        self.ledger_writer.append_ticks(chunk, self.elapsed, phase="validating")
        self.best = chunk.best

    def publish(self, level: Level, text: str, unsaved_reason: str | None = None) -> None:
        """Say what followers of the job should see, in its log and among its events.

        `unwanted`: why the checkpoint that a client asked for is not made.
        """
        self.log.write(text)
        self.ledger_writer.log_event(level, text, unsaved_reason)

    def _observe(self, chunk: ChunkResult) -> ChunkResult:
        self.heartbeat.touch()
        self.chunk_sizer.observe(chunk.count, chunk.seconds)
        return chunk

    def _advance(self, chunk: ChunkResult) -> None:
        self.tick, self.best = chunk.last, chunk.best
        self.end_reason, self.failure = chunk.end_reason, chunk.failure
