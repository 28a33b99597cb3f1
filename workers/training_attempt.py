"""One attempt at training a job, from a fresh trainer to an outcome.

Knows the trainer's commands, the ledger writer and the checkpointer; knows no process, no Celery
and no lease.
"""

from typing import Literal

from jobs import fault_points
from jobs.errors import TickMismatch
from jobs.spec.spec_warnings import find_spec_warnings
from workers import outcomes
from workers.checkpointing.checkpointer import Checkpointer
from workers.chunks import StopTicks, chunk_length
from workers.outcomes import Outcome, ReplayMismatch
from workers.replay_batch import ReplayBatch
from workers.resume import ResumePoint
from workers.trainer_client import ChunkResult, JsonDict
from workers.trainer_session import TrainerSession

#: a job that went on for so long after its best validation could have ended
MIN_TICKS_AFTER_BEST = 100
#: why an attempt ends, as `reason_to_end` returns it (`end_reason` is the trainer's own reason)
EndReason = Literal[
    "cancel",  # requested by a client
    "pause",  # likewise
    "stop",  # likewise
    "drain",  # the worker must leave
    "failed",  # the trainer reported a failure, such as a loss that is not finite
    "ended",  # the trainer ended the training: the budget's ticks, or a stop rule
    "seconds",  # the budget's seconds are over
    "unsaved",  # checkpoints could not be saved for too long
]


class TrainingAttempt:
    """The position of an attempt and the loop that advances it, chunk by chunk."""

    def __init__(self, session: TrainerSession, checkpointer: Checkpointer) -> None:
        self.session, self.checkpointer = session, checkpointer
        self.claim, self.spec, self.trainer = session.claim, session.claim.spec, session.trainer
        self.ledger_writer, self.heartbeat = session.ledger_writer, session.heartbeat
        self.tick = 0
        self.elapsed = 0.0  # training seconds over all attempts
        self.engine = ""
        self.measured_ticks, self.measured_seconds = 0, 0.0  # of new ones, after the first chunk
        self.best: JsonDict | None = None
        self.end_reason: str | None = None  # why the trainer itself ended the training
        self.failure: JsonDict | None = None
        self.end_failure: JsonDict | None = None  # why an end now would be no success
        self.is_skip_reported = False
        self.is_chunk_in_flight = False  # whether the trainer already runs the next chunk

    def run(self) -> Outcome:
        """Take the job to its end, to a pause or to a drain; ticks that differ fail it."""
        try:
            return self.train()
        except (TickMismatch, ReplayMismatch) as error:
            tick, recorded = max(self.tick, self.claim.tick), self.claim.fingerprint
            outcome = outcomes.divergence_outcome(error, tick, recorded, self.session.fingerprint)
            self.session.report("error", (outcome.error or {})["detail"])
            return outcome
        finally:
            self.checkpointer.discard_pending()

    def train(self) -> Outcome:
        """Build, load, replay, train, end."""
        self.build()
        self.load()
        if self.is_start_checkpoint_missing():
            self.checkpointer.save_now(self.tick, self.best)
        if self.tick < self.claim.tick and (reason := self.replay()):
            return outcomes.interruption_outcome(reason, self.claim.tick)  # nothing new to save
        while not (reason := self.reason_to_end()):
            self.train_chunk()
        return self.end(reason)

    def build(self) -> None:
        """Build model, optimizer and data, and report the engine and why it was chosen."""
        reply = self.session.build(background_saves=True, keeps_trial=True)
        self.elapsed = self.claim.elapsed
        self.engine, parameters, device = reply["engine"], reply["parameters"], self.session.device
        self.session.log.write(f"built {parameters} parameters, {self.engine}, {device}")
        message = f"engine {self.engine}: {reply['engine_note']}"
        if reply["is_fallback"]:
            self.session.report("warning", message)
        else:
            self.session.log.write(message)
        if self.claim.attempt == 1:
            for warning in [*find_spec_warnings(self.spec), *reply["warnings"]]:
                self.session.report("warning", warning)

    def load(self) -> None:
        """Load the checkpoint to resume from; without one, check the initial weights."""
        resume_point = ResumePoint(self.session, self.checkpointer)
        if loaded := resume_point.load_newest():
            self.tick, self.best = loaded["tick"], loaded["best"]
            self.end_reason, self.end_failure = loaded["end_reason"], loaded["end_failure"]
            self.session.log.write(f"loaded checkpoint {self.tick}")
        if self.tick == 0:
            resume_point.check_initial_weights()

    def is_start_checkpoint_missing(self) -> bool:
        """Return whether the spec wants a checkpoint of tick 0 and there is none."""
        is_wanted = self.tick == 0 and self.spec.checkpoint.at_start
        return is_wanted and not self.checkpointer.has_checkpoint(0)

    def replay(self) -> str | None:
        """Run the ticks recorded beyond the loaded state again; the ledger compares every bit.

        Returns the requested action that ended the replay early, if any.
        """
        self.session.report("info", f"replaying ticks {self.tick + 1} to {self.claim.tick}")
        digest_ticks = self.ledger_writer.digested_ticks(self.tick, self.claim.tick)
        best_tick = self.ledger_writer.best_tick(self.claim.tick)
        stop_ticks = StopTicks([*digest_ticks, *self.checkpointer.damaged_ticks, self.claim.tick])
        batch = ReplayBatch(lambda chunk: self.ledger_writer.append_replayed(chunk, digest_ticks))
        while self.tick < self.claim.tick:
            if (action := self.ledger_writer.requests.action) in ("cancel", "pause", "drain"):
                batch.flush()
                return action
            self.replay_chunk(batch, stop_ticks, digest_ticks, best_tick)
        batch.flush()
        summary = "every bit equal" if self.claim.exact else "equal from the last fingerprint on"
        self.session.report("info", f"replayed to tick {self.claim.tick}, {summary}")
        return None

    def replay_chunk(
        self,
        batch: ReplayBatch,
        stop_ticks: StopTicks,
        digest_ticks: set[int],
        best_tick: int | None,
    ) -> None:
        """Run the next recorded ticks, up to the next stop tick, and save where that was due."""
        self.heartbeat.phase = "replaying"
        fault_points.hit("replay")
        ticks = self.next_chunk_ticks(self.tick, stop_ticks.next_after(self.tick))
        chunk = self._observe(self.trainer.run(ticks, digest=self.tick + ticks in digest_ticks))
        if chunk.last < self.claim.tick and chunk.is_over:
            batch.flush()  # an earlier difference weighs more
            detail = f"ended at tick {chunk.last}, recorded are {self.claim.tick} ticks"
            raise ReplayMismatch(chunk.last, detail)
        batch.add(chunk)
        self._advance(chunk)
        if self.checkpointer.is_due_in_replay(chunk, best_tick):
            batch.flush()
            self.checkpointer.save_now(self.tick, self.best)

    def train_chunk(self) -> None:
        """Run new ticks, record them, and save where that is due.

        The trainer runs the next chunk while this one is recorded, unless a save is due or
        `can_run_ahead` says no.
        """
        if not (self.is_chunk_in_flight or self.ledger_writer.wait_for_capacity()):
            return
        self.heartbeat.phase = "training"
        if not self.is_chunk_in_flight:
            self.trainer.start_chunk(self.next_chunk_ticks(self.tick))
        chunk = self._observe(self.trainer.wait_chunk())
        self._count_time(chunk)
        is_save_due = self.checkpointer.is_due(chunk)
        self.checkpointer.on_trainer_result(self.tick, chunk.save_result)
        self.is_chunk_in_flight = not is_save_due and self.can_run_ahead(chunk)
        if self.is_chunk_in_flight:
            self.trainer.start_chunk(self.next_chunk_ticks(chunk.last))
        self.ledger_writer.append_ticks(chunk, self.elapsed, phase="training")
        self._advance(chunk)
        self._report_skipped(chunk)
        self.checkpointer.on_ticks_recorded(chunk)
        can_save_request = not (self.is_chunk_in_flight or chunk.is_over)
        if is_save_due or (self.checkpointer.is_requested and can_save_request):
            self.checkpointer.begin_save(self.tick, self.best)

    def _count_time(self, chunk: ChunkResult) -> None:
        if self.elapsed > self.claim.elapsed:  # the first chunk's time has that of allocations
            self.measured_ticks += chunk.count
            self.measured_seconds += chunk.seconds
        self.elapsed += chunk.seconds

    def _report_skipped(self, chunk: ChunkResult) -> None:
        """Tell once an attempt that the update of a tick was not applied."""
        if chunk.is_last_skipped and not self.is_skip_reported:
            self.is_skip_reported = True
            self.session.report(
                "warning",
                f"the loss of tick {chunk.last} is not finite: its update is not applied, "
                "as of all such ticks from here on (stop.on_nonfinite is skip)",
            )

    def next_chunk_ticks(self, tick: int, stop_tick: int | None = None) -> int:
        """Return how many ticks to run after `tick`, at most up to `stop_tick`."""
        due_tick = self.checkpointer.next_due_tick(tick)
        return chunk_length(tick, self.session.chunk_sizer, stop_tick, due_tick)

    def can_run_ahead(self, chunk: ChunkResult) -> bool:
        """Return whether the trainer may run on before the ticks of this chunk are recorded.

        Not with slow chunks, where it would gain little and a request would wait for two of them,
        except while a checkpoint is committed.
        """
        has_request = self.ledger_writer.requests.action or self.checkpointer.is_requested
        must_stop = chunk.is_over or has_request or self.is_out_of_time
        is_worthwhile = self.session.chunk_sizer.can_run_ahead or self.checkpointer.is_ready
        return is_worthwhile and self.ledger_writer.is_keeping_up and not must_stop

    @property
    def is_out_of_time(self) -> bool:
        """Return whether the training has taken the seconds of the spec's budget."""
        return self.spec.budget.seconds is not None and self.elapsed >= self.spec.budget.seconds

    def reason_to_end(self) -> EndReason | None:
        """Return why to end after this chunk, or None; of several reasons the weightiest."""
        if self.is_chunk_in_flight:
            return None
        if self.failure:
            return "failed"
        action = self.ledger_writer.requests.action_after(has_progress=self.tick > 0)
        if action == "cancel":
            return "cancel"
        if self.end_reason:
            return "ended"
        if self.is_out_of_time and self.tick > 0:
            return "seconds"
        return "unsaved" if self.checkpointer.has_failed_too_often else action

    def end(self, reason: EndReason) -> Outcome:
        """Save what this reason requires and return the outcome."""
        self.session.on_ending(self.engine)
        self.ledger_writer.flush()
        if reason == "cancel":
            return Outcome("cancelled", self.tick)
        self.checkpointer.finish(self.tick)
        if reason in ("failed", "pause", "drain"):
            return self.save_and_stop(reason)
        if reason in ("stop", "seconds"):
            self.validate()
        if reason == "unsaved":
            detail = "no checkpoint could be saved for too long"
            return outcomes.disk_pause_outcome(self.tick, detail)
        if not self.checkpointer.save_final(self.tick, self.best):
            return outcomes.disk_pause_outcome(self.tick, "the final checkpoint could not be saved")
        if self.end_failure:
            return Outcome("failed", self.tick, error=self.end_failure)
        self._report_early_best()
        stopped_by = {"stop": "user", "seconds": "budget"}.get(reason, self.end_reason)
        return Outcome("succeeded", self.tick, stopped_by=stopped_by)

    def _report_early_best(self) -> None:
        """Tell of a best validation in the first half, after which the job did not improve."""
        if self.best is None or self.spec.stop.patience is not None:
            return
        metric, tick = self.best["metric"], self.best["tick"]
        if tick <= self.tick // 2 and self.tick - tick >= MIN_TICKS_AFTER_BEST:
            outcome = (
                "is kept as the checkpoint best" if self.spec.checkpoint.keep_best else "is past"
            )
            text = f"the best {metric}, at tick {tick:,} of {self.tick:,}, {outcome}"
            self.session.report("info", f"{text}; see stop.patience")

    def save_and_stop(self, reason: EndReason) -> Outcome:
        """Save the trainer's state, after a failure the one before it, unless it is saved."""
        tick_to_save = self.tick - 1 if reason == "failed" else self.tick
        if tick_to_save > 0 and not self.checkpointer.has_checkpoint(tick_to_save):
            self.checkpointer.save_now(tick_to_save, self.best)
        if reason == "failed":
            is_by_skips = self.failure is not None and self.failure["type"] == "skips"
            stopped_by = "skips" if is_by_skips else None
            return Outcome("failed", self.tick, stopped_by=stopped_by, error=self.failure)
        return outcomes.interruption_outcome(reason, self.tick)

    def validate(self) -> None:
        """Validate at the last tick, unless that was done."""
        self.heartbeat.phase = "validating"
        chunk = self.trainer.validate(self.tick)
        self.ledger_writer.append_ticks(chunk, self.elapsed, phase="validating")
        self.best = chunk.best

    def _observe(self, chunk: ChunkResult) -> ChunkResult:
        self.heartbeat.touch()
        self.session.chunk_sizer.observe(chunk.count, chunk.seconds)
        return chunk

    def _advance(self, chunk: ChunkResult) -> None:
        self.tick, self.best = chunk.last, chunk.best
        self.end_reason, self.failure = chunk.end_reason, chunk.failure
        self.end_failure = chunk.end_failure
