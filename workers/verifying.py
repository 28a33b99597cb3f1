"""A verify, told from a fresh trainer to its certificate: recorded ticks run again and compared.

Reads the parent's history a stretch at a time and records nothing. Interrupted, it begins anew: an
earlier attempt's state is not kept. Knows the trainer's commands; knows no process, no Celery.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobs import bits, checkpoints
from jobs.bits import STATE_COLUMN
from jobs.certificate import Certificate, Difference, Fingerprints, Pair
from jobs.claims import Claim, VerifyRange
from jobs.errors import NoSuchCheckpoint, NoSuchJob
from jobs.files import ArtifactStore
from jobs.history import recorded
from jobs.history.asked import sparse_names
from jobs.history.columns import ColumnReader
from jobs.history.errors import DamagedHistory
from jobs.history.recorded import RecordedRange
from jobs.index import JobQueries
from jobs.job import Checkpoint
from jobs.spec.job_spec import JobSpec
from workers import certifying, outcomes
from workers.books import Books
from workers.chunks import Marks, Pace, length
from workers.heartbeat import Heartbeat
from workers.log import JobLog
from workers.outcomes import Outcome
from workers.trainer import Header, Ran, Trainer, TrainerFault

#: ticks of the recorded history that are held in memory
STRETCH = 65_536


@dataclass
class Verification:
    """What a verify works with; then what it has compared, which is all that changes."""

    claim: Claim
    verifies: VerifyRange
    device: str
    trainer: Trainer
    canary: Callable[[int], str]
    books: Books
    columns: ColumnReader
    index: JobQueries
    files: ArtifactStore
    beat: Heartbeat
    log: JobLog

    tick: int = 0  # the last one compared
    elapsed: float = 0.0
    points: int = 0
    digests: int = 0
    state: str | None = None  # where the trainer stands, where that was asked for
    difference: Difference | None = None
    fingerprint: Header = field(default_factory=dict)
    data: Pair = field(default_factory=lambda: Pair(recorded=None, recomputed=None))
    validation: Pair | None = None
    stretch: RecordedRange | None = None
    history: dict[str, Any] = field(default_factory=dict)  # a running sha256 of each column
    marks: Marks = field(default_factory=lambda: Marks([]))  # its ticks with recorded points
    pace: Pace = field(default_factory=Pace)

    def run(self) -> Outcome:
        """Compare all there is to compare; what was deleted meanwhile fails the verify."""
        self.tick, self.elapsed = self.verifies.start, self.claim.elapsed
        try:
            return self.verify()
        except NoSuchJob:
            return self.failed("parent", "the job was deleted while its ticks were run again")
        except NoSuchCheckpoint:
            detail = f"the checkpoint of tick {self.verifies.start}, to begin from, was deleted"
            return self.failed("checkpoint", detail)
        except DamagedHistory as error:
            return self.failed("damaged", str(error))
        except FileNotFoundError as error:
            return self.failed("data", f"a file that is needed is not there: {error.filename}")

    def verify(self) -> Outcome:
        """Begin where the ticks to be compared begin, and run them again up to a difference."""
        self.check_data()
        if self.difference is None:
            self.build()
        if self.difference is None and self.verifies.start:
            self.load()
        while self.difference is None and self.tick < self.verifies.end:
            if why := self.requested():
                return self.leave(why)
            self.compare_chunk()
        return self.certified()

    def check_data(self) -> None:
        """Hash the data as they lie there now: on other data nothing is trained."""
        self.beat.phase = "loading"
        spec, start = self.claim.spec, self.verifies.start
        self.data = certifying.data_sha256(spec, self.files)
        self.validation = certifying.validation_sha256(spec, self.files)
        self.difference = certifying.unequal_files(
            start, "data", self.data
        ) or certifying.unequal_files(start, "validation_data", self.validation)

    def build(self) -> None:
        """Have model, optimizer and data built; raises Unfit on another fingerprint."""
        threads = self.claim.spec.compute.threads
        built = self.trainer.build(
            self.claim.spec.to_stored(), self.device, self.log.path, artifacts=self.files.root,
            job=self.claim.lease.job_id, engine=self.claim.engine,
        )  # fmt: skip
        self.fingerprint = {**built["fingerprint"], "canary": self.canary(threads)}
        self.books.describe(built["engine"], built["device"], self.fingerprint)

    def load(self) -> None:
        """Load the checkpoint to begin from; its state must be what was saved and recorded."""
        lease, start = self.claim.lease, self.verifies.start
        checkpoint = self.checkpoint(start)
        if not checkpoints.files_match(self.files, lease.tenant, self.verifies.parent, checkpoint):
            self.checkpoint(start)  # is it damaged, or was it deleted?
            raise DamagedHistory(f"the files of checkpoint {start} are not what was committed")
        folder = checkpoints.folder_path(self.files, lease.tenant, self.verifies.parent, checkpoint)
        try:
            state = self.trainer.load(folder)["state"]
        except TrainerFault:
            self.checkpoint(start)  # was it deleted meanwhile?
            raise
        self.digests += 1
        if state != checkpoint.state:
            had, got = (bytes.fromhex(text)[::-1] for text in (checkpoint.state, state))
            self.difference = recorded.make_difference(start, STATE_COLUMN, had, got)

    def requested(self) -> str | None:
        """Return what ends it early; a stop certifies what was compared, so it waits for that."""
        asked = self.books.asked
        return None if asked == "stop" and self.tick == self.verifies.start else asked

    def leave(self, why: str) -> Outcome:
        """Leave before the end."""
        if why == "stop":
            return self.certified(stopped_by="user")
        return outcomes.left(why, self.tick)

    def compare_chunk(self) -> None:
        """Run some ticks again and hold them against what is recorded."""
        self.beat.phase = "replaying"
        begun = time.monotonic()
        stretch = self.read()
        ticks = length(self.tick, self.pace, stretch.last, self.marks.after(self.tick))
        ran = self.trainer.run(ticks, digest=self.needs_digest(stretch, self.tick + ticks))
        points = list(ran.sparse)
        if stretch.has_validation_at(ran.last) and not any(
            each.column != STATE_COLUMN for each in points
        ):
            points += self.trainer.validate(ran.last).sparse  # it was validated there at its stop
        # where the training ends by itself, the next tick that is recorded has not come again
        short = ran.is_over and ran.last < stretch.last
        last = ran.last + 1 if short else ran.last
        self.difference = stretch.first_difference(ran.first, ran.columns, points, last)
        upto = ran.last if self.difference is None else self.difference.tick
        self.count(stretch, ran, upto)
        self.pace.learn(ran.count, time.monotonic() - begun)
        self.elapsed += time.monotonic() - begun
        self.books.progress(
            self.tick, ran.columns["loss"][-1:].tobytes(), self.elapsed,
            self.tick - self.verifies.start, self.digests,
        )  # fmt: skip

    def needs_digest(self, stretch: RecordedRange, tick: int) -> bool:
        """Whether the state after a tick is to be digested."""
        return tick == self.verifies.end or tick in stretch.sparse[STATE_COLUMN]

    def count(self, stretch: RecordedRange, ran: Ran, upto: int) -> None:
        """Note what was compared, up to a tick."""
        for name in stretch.dense:
            kept = self.history.setdefault(name, hashlib.sha256())
            kept.update(stretch.values(name, ran.first, upto).tobytes())
        for name, points in stretch.sparse.items():
            count = sum(at in points for at in range(ran.first, upto + 1))
            self.digests += count if name == STATE_COLUMN else 0
            self.points += 0 if name == STATE_COLUMN else count
        states = [each for each in ran.sparse if each.column == STATE_COLUMN and each.tick == upto]
        self.state = str(bits.decode_value(STATE_COLUMN, states[-1].bits)) if states else None
        self.tick = upto

    def read(self) -> RecordedRange:
        """Return the stretch with the next tick; raises NoSuchJob once the parent is deleted."""
        if self.stretch is None or self.stretch.last == self.tick:
            self.stretch = self.books.read(self._read)
            self.marks = Marks(at for points in self.stretch.sparse.values() for at in points)
        return self.stretch

    def certified(self, stopped_by: str | None = None) -> Outcome:
        """End with the certificate, whatever its verdict: what could be compared was compared."""
        kept = self.kept_at(self.tick)
        weights = Pair(recorded=kept and kept.sha256, recomputed=None)
        if kept is not None and self.difference is None:
            lease = self.claim.lease
            again = certifying.weights_sha256(self.trainer, self.files, lease)
            weights = Pair(recorded=kept.sha256, recomputed=again)
            self.difference = certifying.unequal_files(self.tick, "weights", weights)
        whole = self.difference is None and stopped_by is None
        told = self.certificate(kept, weights)
        self.log.say(f"{told.verdict}: {told.ticks_compared} ticks, {self.digests} digests")
        return Outcome("succeeded", self.tick, stopped_by=stopped_by, result=told, whole=whole)

    def certificate(self, kept: Checkpoint | None, weights: Pair) -> Certificate:
        """Say what was compared, on what, and what came of it."""
        spec, start = self.claim.spec, self.verifies.start
        had = self.stretch.sparse[STATE_COLUMN].get(self.tick) if self.stretch else None
        state = str(bits.decode_value(STATE_COLUMN, had)) if had else (kept and kept.state)
        told = {
            "job_id": self.verifies.parent,
            "from": start,
            "to": self.tick,
            "ticks_compared": self.tick - start,
            "columns": list(self.history),
            "sparse_columns": _names(spec) if self.stretch else [],
            "points_compared": self.points,
            "digests_compared": self.digests,
            "spec_sha256": certifying.spec_sha256(spec),
            "data_sha256": self.data,
            "validation_sha256": self.validation,
            "history_sha256": {name: kept.hexdigest() for name, kept in self.history.items()},
            "state": Pair(recorded=state, recomputed=self.state),
            "weights_sha256": weights,
            "fingerprint": Fingerprints(recorded=self.claim.fingerprint, run=self.fingerprint),
            "verdict": "equal" if self.difference is None else "different",
            "first_difference": self.difference,
        }
        return Certificate.model_validate(told)

    def checkpoint(self, tick: int) -> Checkpoint:
        """Return the parent's checkpoint of a tick; raises NoSuchCheckpoint."""
        tenant, parent = self.claim.lease.tenant, self.verifies.parent
        return self.books.read(lambda: self.index.get_checkpoint(tenant, parent, str(tick)))

    def kept_at(self, tick: int) -> Checkpoint | None:
        """Return the parent's checkpoint of a tick, if it has one."""
        try:
            return self.checkpoint(tick)
        except NoSuchCheckpoint:
            return None

    def failed(self, kind: str, detail: str) -> Outcome:
        """Fail the verify: it could not compare."""
        return outcomes.failed(self.tick, kind, detail)

    def _read(self) -> RecordedRange:
        extent = self.columns.read_extent(self.claim.lease.tenant, self.verifies.parent)
        last = min(self.tick + STRETCH, self.verifies.end)
        if extent.tick < last:
            raise DamagedHistory(f"the history ends at tick {extent.tick}")
        names = _names(self.claim.spec)
        return recorded.read_range(self.columns, extent, names, self.tick + 1, last)


def _names(spec: JobSpec) -> list[str]:
    """Sparse columns whose values are a matter of the spec alone: all but `time`."""
    return [name for name in sparse_names(spec) if name != "time"]
