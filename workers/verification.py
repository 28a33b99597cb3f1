"""A verify, told from a fresh trainer to its certificate: recorded ticks run again and compared.

Reads the parent's history a stretch at a time and records nothing. Interrupted, it begins anew: an
earlier attempt's state is not kept. Knows the trainer's commands; knows no process, no Celery.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobs import values
from jobs.certificate import Certificate, Difference, Fingerprints, Pair
from jobs.errors import NoSuchCheckpoint, NoSuchJob
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.history import comparison
from jobs.history.column_reader import ColumnReader
from jobs.history.comparison import RecordedRange
from jobs.history.errors import DamagedHistory
from jobs.history.selection import sparse_names
from jobs.job import Checkpoint
from jobs.ledger.claims import Claim, VerifyRange
from jobs.queries.jobs import JobQueries
from jobs.spec.job_spec import JobSpec
from jobs.values import STATE_COLUMN
from workers import certificate_digests, outcomes
from workers.chunks import ChunkSizer, StopTicks, chunk_length
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter
from workers.log import JobLog
from workers.outcomes import Outcome
from workers.trainer_client import ChunkResult, JsonDict, TrainerClient, TrainerError

#: ticks of the recorded history that are held in memory
RANGE_TICKS = 65_536


@dataclass
class Verification:
    """What a verify works with; then what it has compared, which is all that changes."""

    claim: Claim
    verify_range: VerifyRange
    device: str
    trainer: TrainerClient
    measure_canary: Callable[[int], str]
    ledger_writer: LedgerWriter
    column_reader: ColumnReader
    job_queries: JobQueries
    files: ArtifactStore
    heartbeat: Heartbeat
    log: JobLog

    tick: int = 0  # the last one compared
    elapsed: float = 0.0
    points_compared: int = 0
    digests_compared: int = 0
    state: str | None = None  # where the trainer stands, where that was asked for
    difference: Difference | None = None
    fingerprint: JsonDict = field(default_factory=dict)
    data: Pair = field(default_factory=lambda: Pair(recorded=None, recomputed=None))
    validation: Pair | None = None
    current_range: RecordedRange | None = None
    column_hashes: dict[str, Any] = field(default_factory=dict)  # a running sha256 of each column
    stop_ticks: StopTicks = field(
        default_factory=lambda: StopTicks([])
    )  # its ticks with recorded points
    chunk_sizer: ChunkSizer = field(default_factory=ChunkSizer)

    def run(self) -> Outcome:
        """Compare all there is to compare; what was deleted meanwhile fails the verify."""
        self.tick, self.elapsed = self.verify_range.start, self.claim.elapsed
        try:
            return self.verify()
        except NoSuchJob:
            return self.fail("parent", "the job was deleted while its ticks were run again")
        except NoSuchCheckpoint:
            detail = f"the checkpoint of tick {self.verify_range.start}, to begin from, was deleted"
            return self.fail("checkpoint", detail)
        except DamagedHistory as error:
            return self.fail("damaged", str(error))
        except FileNotFoundError as error:
            return self.fail("data", f"a file that is needed is not there: {error.filename}")

    def verify(self) -> Outcome:
        """Begin where the ticks to be compared begin, and run them again up to a difference."""
        self.check_data()
        if self.difference is None:
            self.build()
        if self.difference is None and self.verify_range.start:
            self.load()
        while self.difference is None and self.tick < self.verify_range.end:
            if reason := self.reason_to_stop():
                return self.stop_early(reason)
            self.compare_chunk()
        return self.certify()

    def check_data(self) -> None:
        """Hash the data as they lie there now: on other data nothing is trained."""
        self.heartbeat.phase = "loading"
        spec, start = self.claim.spec, self.verify_range.start
        self.data = certificate_digests.data_sha256(spec, self.files)
        self.validation = certificate_digests.validation_sha256(spec, self.files)
        self.difference = certificate_digests.digest_difference(
            start, "data", self.data
        ) or certificate_digests.digest_difference(start, "validation_data", self.validation)

    def build(self) -> None:
        """Have model, optimizer and data built; raises Unfit on another fingerprint."""
        threads = self.claim.spec.compute.threads
        build_info = self.trainer.build(
            self.claim.spec.to_stored(), self.device, self.log.path, artifacts=self.files.root,
            job=self.claim.lease.job_id, engine=self.claim.engine,
        )  # fmt: skip
        self.fingerprint = {**build_info["fingerprint"], "canary": self.measure_canary(threads)}
        self.ledger_writer.record_engine(
            build_info["engine"], build_info["device"], self.fingerprint
        )

    def load(self) -> None:
        """Load the checkpoint to begin from; its state must be what was saved and recorded."""
        lease, start = self.claim.lease, self.verify_range.start
        checkpoint = self.parent_checkpoint(start)
        if not checkpoint_folders.files_match(
            self.files, lease.tenant, self.verify_range.parent, checkpoint
        ):
            self.parent_checkpoint(start)  # is it damaged, or was it deleted?
            raise DamagedHistory(f"the files of checkpoint {start} are not what was committed")
        folder = checkpoint_folders.folder_path(
            self.files, lease.tenant, self.verify_range.parent, checkpoint
        )
        try:
            state = self.trainer.load(folder)["state"]
        except TrainerError:
            self.parent_checkpoint(start)  # was it deleted meanwhile?
            raise
        self.digests_compared += 1
        if state != checkpoint.state:
            recorded_bits, loaded_bits = (
                bytes.fromhex(text)[::-1] for text in (checkpoint.state, state)
            )
            self.difference = comparison.make_difference(
                start, STATE_COLUMN, recorded_bits, loaded_bits
            )

    def reason_to_stop(self) -> str | None:
        """Return what ends it early; a stop certifies what was compared, so it waits for that."""
        action = self.ledger_writer.requested_action
        return None if action == "stop" and self.tick == self.verify_range.start else action

    def stop_early(self, reason: str) -> Outcome:
        """Leave before the end."""
        if reason == "stop":
            return self.certify(stopped_by="user")
        return outcomes.stop_outcome(reason, self.tick)

    def compare_chunk(self) -> None:
        """Run some ticks again and hold them against what is recorded."""
        self.heartbeat.phase = "replaying"
        started_at = time.monotonic()
        recorded_range = self.recorded_range()
        ticks = chunk_length(
            self.tick, self.chunk_sizer, recorded_range.last, self.stop_ticks.next_after(self.tick)
        )
        chunk = self.trainer.run(ticks, digest=self.needs_digest(recorded_range, self.tick + ticks))
        points = list(chunk.sparse)
        if recorded_range.has_validation_at(chunk.last) and not any(
            point.column != STATE_COLUMN for point in points
        ):
            points += self.trainer.validate(chunk.last).sparse  # it was validated there at its stop
        # where the training ends by itself, the next tick that is recorded has not come again
        has_ended_early = chunk.is_over and chunk.last < recorded_range.last
        last_expected = chunk.last + 1 if has_ended_early else chunk.last
        self.difference = recorded_range.first_difference(
            chunk.first, chunk.columns, points, last_expected
        )
        last_compared = chunk.last if self.difference is None else self.difference.tick
        self.count_compared(recorded_range, chunk, last_compared)
        self.chunk_sizer.observe(chunk.count, time.monotonic() - started_at)
        self.elapsed += time.monotonic() - started_at
        self.ledger_writer.record_verify_progress(
            self.tick, chunk.columns["loss"][-1:].tobytes(), self.elapsed,
            self.tick - self.verify_range.start, self.digests_compared,
        )  # fmt: skip

    def needs_digest(self, recorded_range: RecordedRange, tick: int) -> bool:
        """Whether the state after a tick is to be digested."""
        return tick == self.verify_range.end or tick in recorded_range.sparse[STATE_COLUMN]

    def count_compared(
        self, recorded_range: RecordedRange, chunk: ChunkResult, last_compared: int
    ) -> None:
        """Note what was compared, up to a tick."""
        for name in recorded_range.dense:
            column_hash = self.column_hashes.setdefault(name, hashlib.sha256())
            column_hash.update(recorded_range.values(name, chunk.first, last_compared).tobytes())
        for name, points in recorded_range.sparse.items():
            count = sum(tick in points for tick in range(chunk.first, last_compared + 1))
            self.digests_compared += count if name == STATE_COLUMN else 0
            self.points_compared += 0 if name == STATE_COLUMN else count
        digest_points = [
            point
            for point in chunk.sparse
            if point.column == STATE_COLUMN and point.tick == last_compared
        ]
        self.state = (
            str(values.decode_value(STATE_COLUMN, digest_points[-1].bits))
            if digest_points
            else None
        )
        self.tick = last_compared

    def recorded_range(self) -> RecordedRange:
        """Return the stretch with the next tick; raises NoSuchJob once the parent is deleted."""
        if self.current_range is None or self.current_range.last == self.tick:
            self.current_range = self.ledger_writer.read_with_retry(self._read_range)
            self.stop_ticks = StopTicks(
                tick for points in self.current_range.sparse.values() for tick in points
            )
        return self.current_range

    def certify(self, stopped_by: str | None = None) -> Outcome:
        """End with the certificate, whatever its verdict: what could be compared was compared."""
        checkpoint = self.checkpoint_or_none(self.tick)
        weights = Pair(recorded=checkpoint and checkpoint.sha256, recomputed=None)
        if checkpoint is not None and self.difference is None:
            lease = self.claim.lease
            recomputed = certificate_digests.weights_sha256(self.trainer, self.files, lease)
            weights = Pair(recorded=checkpoint.sha256, recomputed=recomputed)
            self.difference = certificate_digests.digest_difference(self.tick, "weights", weights)
        is_complete = self.difference is None and stopped_by is None
        certificate = self.make_certificate(checkpoint, weights)
        self.log.write(
            f"{certificate.verdict}: {certificate.ticks_compared} ticks, {self.digests_compared} digests"
        )
        return Outcome(
            "succeeded",
            self.tick,
            stopped_by=stopped_by,
            result=certificate,
            is_complete=is_complete,
        )

    def make_certificate(self, checkpoint: Checkpoint | None, weights: Pair) -> Certificate:
        """Say what was compared, on what, and what came of it."""
        spec, start = self.claim.spec, self.verify_range.start
        recorded_digest = (
            self.current_range.sparse[STATE_COLUMN].get(self.tick) if self.current_range else None
        )
        state = (
            str(values.decode_value(STATE_COLUMN, recorded_digest))
            if recorded_digest
            else (checkpoint and checkpoint.state)
        )
        fields = {
            "job_id": self.verify_range.parent,
            "from": start,
            "to": self.tick,
            "ticks_compared": self.tick - start,
            "columns": list(self.column_hashes),
            "sparse_columns": _comparable_columns(spec) if self.current_range else [],
            "points_compared": self.points_compared,
            "digests_compared": self.digests_compared,
            "spec_sha256": certificate_digests.spec_sha256(spec),
            "data_sha256": self.data,
            "validation_sha256": self.validation,
            "history_sha256": {
                name: column_hash.hexdigest() for name, column_hash in self.column_hashes.items()
            },
            "state": Pair(recorded=state, recomputed=self.state),
            "weights_sha256": weights,
            "fingerprint": Fingerprints(recorded=self.claim.fingerprint, run=self.fingerprint),
            "verdict": "equal" if self.difference is None else "different",
            "first_difference": self.difference,
        }
        return Certificate.model_validate(fields)

    def parent_checkpoint(self, tick: int) -> Checkpoint:
        """Return the parent's checkpoint of a tick; raises NoSuchCheckpoint."""
        tenant, parent = self.claim.lease.tenant, self.verify_range.parent
        return self.ledger_writer.read_with_retry(
            lambda: self.job_queries.get_checkpoint(tenant, parent, str(tick))
        )

    def checkpoint_or_none(self, tick: int) -> Checkpoint | None:
        """Return the parent's checkpoint of a tick, if it has one."""
        try:
            return self.parent_checkpoint(tick)
        except NoSuchCheckpoint:
            return None

    def fail(self, kind: str, detail: str) -> Outcome:
        """Fail the verify: it could not compare."""
        return outcomes.failure_outcome(self.tick, kind, detail)

    def _read_range(self) -> RecordedRange:
        extent = self.column_reader.read_extent(self.claim.lease.tenant, self.verify_range.parent)
        last = min(self.tick + RANGE_TICKS, self.verify_range.end)
        if extent.tick < last:
            raise DamagedHistory(f"the history ends at tick {extent.tick}")
        names = _comparable_columns(self.claim.spec)
        return comparison.read_range(self.column_reader, extent, names, self.tick + 1, last)


def _comparable_columns(spec: JobSpec) -> list[str]:
    """Sparse columns whose values are a matter of the spec alone: all but `time`."""
    return [name for name in sparse_names(spec) if name != "time"]
