"""One attempt at a job, told from a fresh trainer to an outcome.

Knows the trainer's commands, the books and the checkpoints; knows no process, no Celery, no lease.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from jobs import fault_points
from jobs.errors import TickMismatch
from jobs.files import ArtifactStore
from jobs.ledger import Claim
from jobs.spec.job_spec import JobSpec
from workers import outcomes
from workers.beginning import Beginning
from workers.books import Books, Level
from workers.chunks import Marks, Pace, length
from workers.heartbeat import Heartbeat
from workers.log import JobLog
from workers.outcomes import Outcome, Unequal
from workers.saving import Saver
from workers.states import States
from workers.trainer import Header, Ran, Trainer


@dataclass
class Attempt:
    """What an attempt works with; then where it stands, which is all that changes."""

    claim: Claim
    spec: JobSpec
    device: str
    trainer: Trainer
    canary: Callable[[int], str]  # what this machine answers with so many threads
    books: Books
    saver: Saver
    files: ArtifactStore
    beat: Heartbeat
    log: JobLog

    tick: int = 0
    elapsed: float = 0.0  # training seconds over all attempts
    best: Header | None = None
    ended: str | None = None  # why the trainer itself came to an end
    failed: Header | None = None
    fingerprint: Header = field(default_factory=dict)  # of this attempt's bits
    pace: Pace = field(default_factory=Pace)
    ahead: bool = False  # whether the trainer runs the next chunk already

    def __post_init__(self) -> None:
        self.states = States(
            self.saver, self.trainer, self.beat, self.books, self.tell, self.log.say
        )

    def run(self) -> Outcome:
        """Take the job to its end, or to a pause or a drain; what diverges ends it."""
        try:
            return self.train()
        except (TickMismatch, Unequal) as error:
            tick, recorded = max(self.tick, self.claim.tick), self.claim.fingerprint
            outcome = outcomes.diverged(error, tick, recorded, self.fingerprint)
            self.tell("error", (outcome.error or {})["detail"])
            return outcome
        finally:
            self.saver.discard()

    def train(self) -> Outcome:
        """Build, load, replay, train, end."""
        self.build()
        self.load()
        if self.tick == 0 and self.spec.checkpoint.at_start and not self.saver.has(0):
            self.states.keep(self.tick, self.best)
        if self.tick < self.claim.tick and (why := self.replay()):
            return outcomes.left(why, self.claim.tick)  # nothing new to keep
        while not (why := self.reason_to_end()):
            self.train_chunk()
        return self.end(why)

    def build(self) -> None:
        """Have model, optimizer and data built, and say on what."""
        built = self.trainer.build(
            self.spec.to_stored(), self.device, self.log.path, artifacts=self.files.root,
            job=self.claim.lease.job_id, engine=self.claim.engine, aside=True,
        )  # fmt: skip
        canary = self.canary(self.spec.compute.threads)
        self.fingerprint = {**built["fingerprint"], "canary": canary}
        self.books.describe(built["engine"], built["device"], self.fingerprint)
        self.elapsed = self.claim.elapsed
        self.log.say(f"built {built['parameters']} parameters, {built['engine']}, {self.device}")
        self.tell_engine(built)

    def tell_engine(self, built: Header) -> None:
        """Say why the engine is which it is, aloud where it is not the one that was chosen."""
        said = f"engine {built['engine']}: {built['engine_note']}"
        if built["instead"]:
            self.tell("warning", said)
        else:
            self.log.say(said)

    def load(self) -> None:
        """Load what there is to go on from; where nothing is, make sure of the first weights."""
        begun = Beginning(
            self.claim, self.trainer, self.saver, self.files, self.beat,
            partial(self.tell, "warning"),
        )  # fmt: skip
        if loaded := begun.load_newest():
            self.tick, self.ended, self.best = loaded["tick"], loaded["ended"], loaded["best"]
            self.log.say(f"loaded checkpoint {self.tick}")
        if self.tick == 0:
            begun.check_first_weights(self.fingerprint["canary"])

    def replay(self) -> str | None:
        """Run again what is recorded beyond the state loaded; the ledger compares every bit.

        Returns what made it stop early, if anything did.
        """
        self.tell("info", f"replaying ticks {self.tick + 1} to {self.claim.tick}")
        compared = self.books.digested_ticks(self.tick, self.claim.tick)
        marks = Marks([*compared, *self.saver.damaged, self.claim.tick])
        while self.tick < self.claim.tick:
            if (why := self.books.asked) in ("cancel", "pause", "drain"):
                return why
            self.replay_chunk(marks, compared)
        equal = "every bit equal" if self.claim.exact else "equal from the last fingerprint on"
        self.tell("info", f"replayed to tick {self.claim.tick}, {equal}")
        return None

    def replay_chunk(self, marks: Marks, compared: set[int]) -> None:
        """Run the next recorded ticks, up to the next mark; save what should have been saved."""
        self.beat.phase = "replaying"
        fault_points.hit("replay")
        ends = (marks.after(self.tick), self.saver.next_due(self.tick))
        ticks = length(self.tick, self.pace, *ends)
        ran = self._learnt(self.trainer.run(ticks, digest=self.tick + ticks in compared))
        if ran.last < self.claim.tick and ran.is_over:
            detail = f"ended at tick {ran.last}, recorded are {self.claim.tick} ticks"
            raise Unequal(ran.last, detail)
        self.books.repeat(ran, compared)
        self._advance(ran)
        if not ran.is_over and (
            self.saver.due_by_tick(ran) or self.saver.is_to_be_made_again(self.tick)
        ):
            self.states.keep(self.tick, self.best)

    def train_chunk(self) -> None:
        """Run new ticks, hand them over, and save where that is due.

        Where nothing is decided at their end, the trainer goes on while they are handed over.
        """
        if not (self.ahead or self.books.has_room()):
            return
        self.beat.phase = "training"
        if not self.ahead:
            self.trainer.start(self.fitting(self.tick))
        ran = self._learnt(self.trainer.ran())
        self.elapsed += ran.seconds
        due = self.saver.due(ran)
        self.states.hear(self.tick, ran.written)
        self.ahead = not due and self.may_go_on(ran)
        if self.ahead:
            self.trainer.start(self.fitting(ran.last))
        self.books.add(ran, self.elapsed, phase="training")
        self._advance(ran)
        self.saver.keep_begun(ran)
        if self.saver.is_ready:
            self.states.finish(self.tick)
        if due or (self.is_wanted and not (self.ahead or ran.is_over)):
            self.states.begin(self.tick, self.best)

    def fitting(self, tick: int) -> int:
        """Return how many new ticks to run after this one."""
        return length(tick, self.pace, self.saver.next_due(tick))

    def may_go_on(self, ran: Ran) -> bool:
        """Whether the trainer may run on before these ticks are in the books.

        Not at slow ticks, where it would gain little and a request would wait for two, but while a
        checkpoint is committed.
        """
        ends = ran.is_over or self.books.asked or self.is_out_of_time
        gains = self.pace.may_go_on or self.saver.is_ready
        return gains and self.books.at_ease and not (ends or self.is_wanted)

    @property
    def is_wanted(self) -> bool:
        """Whether a client waits for a checkpoint, and none is under way."""
        return self.books.wanted and not self.saver.is_busy

    @property
    def is_out_of_time(self) -> bool:
        """Whether the training has taken the seconds that the spec gives it."""
        seconds = self.spec.budget.seconds
        return seconds is not None and self.elapsed >= seconds

    def reason_to_end(self) -> str | None:
        """Return why this is the last chunk's end, the weightiest reason first, or None."""
        if self.ahead:
            return None
        requested = self.books.asked
        if self.failed or requested == "cancel":
            return "failed" if self.failed else "cancel"
        if self.ended or (self.is_out_of_time and self.tick > 0):
            return "ended" if self.ended else "seconds"
        if self.saver.gave_up:
            return "unsaved"
        return None if requested == "stop" and self.tick == 0 else requested

    def end(self, why: str) -> Outcome:
        """Keep what the reason says must be kept, and tell the outcome."""
        self.books.settle()
        if why == "cancel":
            return Outcome("cancelled", self.tick)
        self.states.finish(self.tick)
        if why in ("failed", "pause", "drain"):
            return self.keep_and_leave(why)
        if why in ("stop", "seconds"):
            self.validate()
        if why == "unsaved":
            return outcomes.unsaved(self.tick, "no checkpoint could be saved for too long")
        if not self.states.keep_final(self.tick, self.best):
            return outcomes.unsaved(self.tick, "the final checkpoint could not be saved")
        stopped_by = {"stop": "user", "seconds": "budget"}.get(why, self.ended)
        return Outcome("succeeded", self.tick, stopped_by=stopped_by)

    def keep_and_leave(self, why: str) -> Outcome:
        """Save where the trainer stands (for a failure: before it), unless that is there."""
        standing = self.tick - 1 if why == "failed" else self.tick
        if standing > 0 and not self.saver.has(standing):
            self.states.keep(standing, self.best)
        if why == "failed":
            return Outcome("failed", self.tick, error=self.failed)
        return outcomes.left(why, self.tick)

    def validate(self) -> None:
        """Validate where the job ends, unless that tick was validated."""
        self.beat.phase = "validating"
        ran = self.trainer.validate(self.tick)
        self.books.add(ran, self.elapsed, phase="validating")
        self.best = ran.best

    def tell(self, level: Level, text: str, unwanted: str | None = None) -> None:
        """Say what followers of the job should see, in its log and among its events.

        `unwanted`: why the checkpoint that a client asked for is not made.
        """
        self.log.say(text)
        self.books.tell(level, text, unwanted)

    def _learnt(self, ran: Ran) -> Ran:
        self.beat.moved()
        self.pace.learn(ran.count, ran.seconds)
        return ran

    def _advance(self, ran: Ran) -> None:
        self.tick, self.best = ran.last, ran.best
        self.ended, self.failed = ran.ended, ran.failed
