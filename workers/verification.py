"""Verification of a job: its recorded ticks are run again, compared, and certified.

Reads the parent's history range by range and records nothing in it. An interrupted verification
starts over: no state of an earlier attempt is saved. Knows the trainer's commands; knows no
process and no Celery.
"""

import hashlib
import time
from dataclasses import replace
from itertools import chain
from typing import Any

from jobs import values
from jobs.certificate import Certificate, Difference, Fingerprints, Pair
from jobs.errors import NoSuchCheckpoint, NoSuchJob
from jobs.history import comparison
from jobs.history.comparison import RecordedRange
from jobs.history.errors import DamagedHistory
from jobs.history.selection import sparse_names
from jobs.job import Checkpoint
from jobs.ledger.claims import VerifyRange
from jobs.spec.job_spec import JobSpec
from jobs.values import STATE_COLUMN
from workers import certificate_digests, outcomes
from workers.chunks import StopTicks, chunk_length
from workers.outcomes import Outcome
from workers.parent_job import ParentJob
from workers.trainer_client import ChunkResult, TrainerError
from workers.trainer_session import TrainerSession

#: ticks of the recorded history that are held in memory
RANGE_TICKS = 65_536
NOT_COMMITTED = "not what was committed: {}"


class Verification:
    """One attempt at a verify; `tick` is the last one compared."""

    def __init__(
        self,
        session: TrainerSession,
        verify_range: VerifyRange,
        parent: ParentJob,
    ) -> None:
        self.session, self.verify_range = session, verify_range
        self.claim, self.trainer = session.claim, session.trainer
        self.ledger_writer, self.heartbeat = session.ledger_writer, session.heartbeat
        self.parent = parent
        self.tick, self.elapsed = verify_range.start, session.claim.elapsed
        self.points_compared = self.digests_compared = 0
        self.state: str | None = None  # the digest after the last tick, where it was computed
        self.difference: Difference | None = None
        self.data = Pair(recorded=None, recomputed=None)
        self.validation: Pair | None = None
        self.test: Pair | None = None
        self.current_range: RecordedRange | None = None
        self.hashes: dict[str, Any] = {}  # a running sha256 of each column
        self.stop_ticks = StopTicks([])  # ticks of the current range with recorded points

    def run(self) -> Outcome:
        """Compare the whole range; fail if something of the parent was deleted meanwhile."""
        try:
            return self.verify()
        except NoSuchJob:
            return self.fail("parent", "the job was deleted while its ticks were run again")
        except NoSuchCheckpoint:
            detail = f"the checkpoint of tick {self.verify_range.start}, to begin from, was deleted"
            return self.fail("checkpoint", detail)
        except DamagedHistory as error:
            return self.fail_damaged(str(error), error.files)
        except FileNotFoundError as error:
            return self.fail("data", f"a file that is needed is not there: {error.filename}")

    def verify(self) -> Outcome:
        """Run the range again from its start up to the first difference, and certify it."""
        self.check_data()
        if self.difference is None:
            self.session.build()
        if self.difference is None and self.verify_range.start:
            self.load()
        while self.difference is None and self.tick < self.verify_range.end:
            has_progress = self.tick != self.verify_range.start
            if action := self.ledger_writer.requests.action_after(has_progress=has_progress):
                return self.stop_early(action)
            self.compare_chunk()
        return self.certify()

    def check_data(self) -> None:
        """Compare the data's digests with the recorded ones; on other data nothing is trained."""
        self.heartbeat.phase = "loading"
        spec, start, files = self.claim.spec, self.verify_range.start, self.session.files
        self.data = certificate_digests.data_sha256(spec, files)
        self.validation = certificate_digests.validation_sha256(spec, files)
        self.test = certificate_digests.test_sha256(spec, files)
        pairs = {"data": self.data, "validation_data": self.validation, "test_data": self.test}
        differences = (
            certificate_digests.digest_difference(start, name, pair) for name, pair in pairs.items()
        )
        self.difference = next(filter(None, differences), None)

    def load(self) -> None:
        """Load the checkpoint to start from and compare its state's digest with the recorded one.

        Raises NoSuchCheckpoint if it was deleted, DamagedHistory if its files are damaged.
        """
        start = self.verify_range.start
        checkpoint = self.parent_checkpoint(start)
        try:
            parent = self.verify_range.parent
            loaded = self.session.load(parent, checkpoint, needs_all_files=True)
        except TrainerError:
            self.parent_checkpoint(start)  # was it deleted meanwhile?
            raise
        if loaded is None:
            self.parent_checkpoint(start)  # is it damaged, or was it deleted?
            names = self.parent.damaged_files(checkpoint)
            raise DamagedHistory(NOT_COMMITTED.format(", ".join(names)), *names)
        self.digests_compared += 1
        if loaded["state"] != checkpoint.state:
            states = (bytes.fromhex(text)[::-1] for text in (checkpoint.state, loaded["state"]))
            self.difference = comparison.make_difference(start, STATE_COLUMN, *states)

    def stop_early(self, action: str) -> Outcome:
        """End as requested; a stop certifies the ticks that were compared."""
        if action == "stop":
            return self.certify(stopped_by="user")
        return outcomes.interruption_outcome(action, self.tick)

    def compare_chunk(self) -> None:
        """Run some ticks again and compare them with the recorded ones."""
        self.heartbeat.phase = "replaying"
        started_at = time.monotonic()
        recorded_range = self.recorded_range()
        chunk = self.run_chunk(recorded_range)
        points = list(chunk.sparse)
        if recorded_range.metrics_at(chunk.last) - {point.column for point in points}:
            points += self.trainer.validate(chunk.last).sparse  # recorded when the job was stopped
        # where the training ends by itself, the next recorded tick has not come again
        has_ended_early = chunk.is_over and chunk.last < recorded_range.last
        end = chunk.last + 1 if has_ended_early else chunk.last
        self.difference = recorded_range.first_difference(chunk.first, chunk.columns, points, end)
        last = chunk.last if self.difference is None else self.difference.tick
        self.count_compared(recorded_range, chunk, last)
        if self.difference is None and last == recorded_range.last:
            self.check_unread(recorded_range)
        self.session.chunk_sizer.observe(chunk.count, time.monotonic() - started_at)
        self.elapsed += time.monotonic() - started_at
        self.ledger_writer.record_verify_progress(
            self.tick, chunk.columns["loss"][-1:].tobytes(), self.elapsed,
            self.tick - self.verify_range.start, self.digests_compared,
        )  # fmt: skip

    def run_chunk(self, recorded_range: RecordedRange) -> ChunkResult:
        """Run the next ticks, up to the next tick with recorded points or the range's end."""
        ticks = chunk_length(
            self.tick, self.session.chunk_sizer,
            recorded_range.last, self.stop_ticks.next_after(self.tick),
        )  # fmt: skip
        last = self.tick + ticks
        needs_digest = last == self.verify_range.end or last in recorded_range.sparse[STATE_COLUMN]
        return self.trainer.run(ticks, digest=needs_digest)

    def count_compared(self, recorded_range: RecordedRange, chunk: ChunkResult, last: int) -> None:
        """Count and hash what was compared of a chunk, up to `last`."""
        for name in recorded_range.dense:
            column_hash = self.hashes.setdefault(name, hashlib.sha256())
            column_hash.update(recorded_range.values(name, chunk.first, last).tobytes())
        for name, points in recorded_range.sparse.items():
            count = sum(tick in points for tick in range(chunk.first, last + 1))
            if name == STATE_COLUMN:
                self.digests_compared += count
            else:
                self.points_compared += count
        digests = [point.bits for point in chunk.sparse if point[:2] == (STATE_COLUMN, last)]
        self.state = _format_digest(digests[-1]) if digests else None
        self.tick = last

    def recorded_range(self) -> RecordedRange:
        """Return the recorded range with the next tick. Raises NoSuchJob if the parent is gone."""
        if self.current_range is None or self.current_range.last == self.tick:
            self.current_range = self.ledger_writer.retry(self._read_range)
            self.stop_ticks = StopTicks(chain(*self.current_range.sparse.values()))
        return self.current_range

    def check_unread(self, recorded_range: RecordedRange) -> None:
        """Check the rest of what is recorded of the compared ticks. Raises DamagedHistory."""
        columns, first = list(recorded_range.dense), recorded_range.first
        self.ledger_writer.retry(lambda: self.parent.check_unread(columns, first, self.tick))

    def certify(self, stopped_by: str | None = None) -> Outcome:
        """Check the files of a checkpoint at the last tick, and end with the certificate."""
        if stopped_by and self.current_range is not None and self.difference is None:
            self.check_unread(self.current_range)
        checkpoint = self.checkpoint_or_none(self.tick)
        weights = self.compare_weights(checkpoint)
        if self.difference is None and (names := self.damaged_files(checkpoint)):
            return self.fail_damaged(NOT_COMMITTED.format(", ".join(names)), names, weights)
        certificate = self.make_certificate(checkpoint, weights)
        ticks, digests = certificate.ticks_compared, self.digests_compared
        self.session.log.write(f"{certificate.verdict}: {ticks} ticks, {digests} digests")
        is_complete = self.difference is None and stopped_by is None
        return Outcome(
            "succeeded", self.tick,
            stopped_by=stopped_by, result=certificate, is_complete=is_complete,
        )  # fmt: skip

    def compare_weights(self, checkpoint: Checkpoint | None) -> Pair:
        """Compare the trainer's weights, written once more, with the record of a checkpoint."""
        if checkpoint is None or self.difference is not None:
            return Pair(recorded=checkpoint and checkpoint.sha256, recomputed=None)
        files, lease = self.session.files, self.claim.lease
        recomputed = certificate_digests.weights_sha256(self.trainer, files, lease)
        weights = Pair(recorded=checkpoint.sha256, recomputed=recomputed)
        self.difference = certificate_digests.digest_difference(self.tick, "weights", weights)
        return weights

    def damaged_files(self, checkpoint: Checkpoint | None) -> list[str]:
        """Return the damaged files of a checkpoint, if there is one and it stays."""
        try:
            return [] if checkpoint is None else self.parent.damaged_files(checkpoint)
        except NoSuchCheckpoint:
            return []

    def make_certificate(
        self, checkpoint: Checkpoint | None, weights: Pair, damaged_files: list[str] | None = None
    ) -> Certificate:
        """Return the certificate: what was compared, on which machine, and the verdict."""
        verdict = "equal" if self.difference is None else "different"
        claim, start = self.claim, self.verify_range.start
        sparse = self.current_range.sparse if self.current_range else {STATE_COLUMN: {}}
        digest = sparse[STATE_COLUMN].get(self.tick)
        state = _format_digest(digest) if digest else checkpoint and checkpoint.state
        fields = {
            "job_id": self.verify_range.parent,
            "from": start,
            "to": self.tick,
            "ticks_compared": self.tick - start,
            "columns": list(self.hashes),
            "sparse_columns": _comparable_columns(claim.spec) if self.current_range else [],
            "points_compared": self.points_compared,
            "digests_compared": self.digests_compared,
            "spec_sha256": certificate_digests.spec_sha256(claim.spec),
            "data_sha256": self.data,
            "validation_sha256": self.validation,
            "test_sha256": self.test,
            "history_sha256": {name: sha256.hexdigest() for name, sha256 in self.hashes.items()},
            "state": Pair(recorded=state, recomputed=self.state),
            "weights_sha256": weights,
            "fingerprint": Fingerprints(recorded=claim.fingerprint, run=self.session.fingerprint),
            "verdict": verdict if damaged_files is None else "damaged",
            "first_difference": self.difference,
            "damaged_files": damaged_files or [],
        }
        return Certificate.model_validate(fields)

    def parent_checkpoint(self, tick: int) -> Checkpoint:
        """Return the parent's checkpoint of a tick. Raises NoSuchCheckpoint."""
        return self.ledger_writer.retry(lambda: self.parent.checkpoint(tick))

    def checkpoint_or_none(self, tick: int) -> Checkpoint | None:
        """Return the parent's checkpoint of a tick, or None."""
        try:
            return self.parent_checkpoint(tick)
        except NoSuchCheckpoint:
            return None

    def fail(self, kind: str, detail: str) -> Outcome:
        """Return the outcome of a verify that could not compare."""
        return outcomes.failure_outcome(self.tick, kind, detail)

    def fail_damaged(self, detail: str, files: list[str], weights: Pair | None = None) -> Outcome:
        """Return the outcome of a verify of damaged files, with what it had compared by then."""
        checkpoint = self.checkpoint_or_none(self.tick)
        weights = weights or Pair(recorded=checkpoint and checkpoint.sha256, recomputed=None)
        certificate = self.make_certificate(checkpoint, weights, files)
        self.session.log.write(f"damaged after {certificate.ticks_compared} equal ticks: {detail}")
        return replace(self.fail("damaged", detail), result=certificate)

    def _read_range(self) -> RecordedRange:
        # at multiples, so that no bucket of a summary row lies in two ranges
        last = min((self.tick // RANGE_TICKS + 1) * RANGE_TICKS, self.verify_range.end)
        return self.parent.read_range(_comparable_columns(self.claim.spec), self.tick + 1, last)


def _format_digest(bits: bytes) -> str:
    return str(values.decode_value(STATE_COLUMN, bits))


def _comparable_columns(spec: JobSpec) -> list[str]:
    """Return the sparse columns whose values the spec alone decides: all but `time`."""
    return [name for name in sparse_names(spec) if name != "time"]
