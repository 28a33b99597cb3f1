"""Recording a history: calls, rows, segments moved to files, replays compared in both places."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import redis

from jobs.errors import LeaseLost, TickGap, TickMismatch
from jobs.files.artifacts import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.history.summary_rows import BUCKET, SEGMENT
from jobs.job import Job, Lease, SparsePoint
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from jobs.recording.segment_mover import SegmentMover
from jobs.recording.segments import Segments
from jobs.recording.writer import MAX_TICKS_PER_CALL, HistoryWriter
from jobs.spec.reading import read_spec
from jobs.store import keys
from tests.histories import recorded_bytes, recorded_points
from tests.support import small_spec

Losses = npt.NDArray[np.float32]


class HistoryHarness:
    """A submitted and claimed job with the two ends of its history."""

    def __init__(self, store: "redis.Redis", folder: Path, ticks: int) -> None:
        folder.mkdir()
        self.store, self.files = store, ArtifactStore(folder)
        self.ledger = LeaseLedger(store, lease_seconds=60)
        spec = read_spec(small_spec(budget={"ticks": ticks}), max_parameters=10**9)
        self.job_id = JobLedger(store).submit("default", spec).job_id
        self.lease = self.claim()
        self.history = HistoryReader(store, self.files)

    def claim(self) -> Lease:
        self.store.zadd(keys.leases("cpu"), {f"default/{self.job_id}": 1}, xx=True)
        claim = self.ledger.claim("cpu", worker="w", device="cpu", canaries={})
        assert claim is not None
        return claim.lease

    def recorder(self, lease: Lease | None = None) -> HistoryWriter:
        return HistoryWriter(self.ledger, self.store, self.files, lease or self.lease)

    @property
    def job(self) -> Job:
        return JobQueries(self.store).get_job("default", self.job_id)

    def stored(self, part: str) -> int:
        """Bytes of this part of the history that lie in the store."""
        names: list[bytes] = list(self.store.scan_iter(f"*{self.job_id}*:{part}:*"))
        return sum(self.store.strlen(name) for name in names)


@pytest.fixture
def harness(store: "redis.Redis", tmp_path: Path) -> HistoryHarness:
    return HistoryHarness(store, tmp_path / "files", 3_000_000)


def losses(count: int, seed: int = 0) -> Losses:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def hand_over(recorder: HistoryWriter, values: Losses, lengths: Any, first: int = 1) -> None:
    at = 0
    while at < len(values):
        piece = values[at : at + next(lengths)]
        recorder.append(first + at, {"loss": piece})
        at += len(piece)
    recorder.close()


def chunks(seed: int, most: int) -> Any:
    random = np.random.default_rng(seed)
    while True:
        yield int(random.integers(1, most))


def test_three_million_ticks_leave_little_in_the_store_and_an_exact_view(
    harness: HistoryHarness,
) -> None:
    values = losses(3_000_000)
    values[1_234_567] = 99.0
    hand_over(harness.recorder(), values, chunks(1, 200_000))

    assert harness.stored("f32") + harness.stored("rows") < 5 * 2**20
    view = harness.history.read_view(harness.job, points=1000)["loss"]
    starts, ends = view["tick_first"], view["tick_last"]
    assert starts[0] == 1 and ends[-1] == 3_000_000
    assert [start for start in starts[1:]] == [end + 1 for end in ends[:-1]]
    for at in range(0, 1000, 37):
        piece = values[starts[at] - 1 : ends[at]]
        assert (view["min"][at], view["max"][at]) == (piece.min(), piece.max())
    assert max(view["max"]) == 99.0
    assert recorded_bytes(harness.history, harness.job) == values.tobytes()


def test_an_error_of_a_segment_move_is_raised_to_the_caller_that_waits_for_it(
    harness: HistoryHarness,
) -> None:
    harness.recorder().append(1, {"loss": losses(SEGMENT)})
    mover = SegmentMover(
        Segments(JobLedger(harness.store), harness.store, harness.files),
        harness.lease,
        segments_in_files=0,
    )
    harness.claim()

    mover.schedule(SEGMENT + 1)
    with pytest.raises(LeaseLost):
        mover.wait_idle()
    mover.close()
    assert harness.stored("f32") == 4 * SEGMENT


def test_an_ended_jobs_history_lies_in_files_alone(harness: HistoryHarness) -> None:
    values = losses(SEGMENT + 5000)
    hand_over(harness.recorder(), values, chunks(2, 100_000))
    harness.ledger.finish(harness.lease, "cancelled", len(values))
    sealed = Segments(JobLedger(harness.store), harness.store, harness.files).finalize_some()

    assert sealed == 1 and harness.stored("f32") == harness.stored("rows") == 0
    assert harness.store.scard(keys.UNFINALIZED_JOBS) == 0
    assert recorded_bytes(harness.history, harness.job) == values.tobytes()
    assert harness.job.bytes >= 4 * len(values)


def test_summary_rows_are_those_of_the_values_however_the_ticks_came(
    harness: HistoryHarness,
) -> None:
    values = losses(5 * BUCKET + 100)
    hand_over(harness.recorder(), values, chunks(3, 700))
    rows = harness.history._columns.rows(
        harness.history._columns.read_extent("default", harness.job_id), "loss", 0, 5
    )

    whole = values[: 5 * BUCKET].reshape(5, BUCKET)
    assert rows["min"].tolist() == whole.min(axis=1).tolist()
    assert rows["max"].tolist() == whole.max(axis=1).tolist()
    assert rows["finite"].tolist() == [BUCKET] * 5


def test_the_next_owner_goes_on_inside_a_bucket(harness: HistoryHarness) -> None:
    values = losses(3 * BUCKET)
    harness.recorder().append(1, {"loss": values[:1500]})
    harness.recorder(harness.claim()).append(1301, {"loss": values[1300:]})

    view = harness.history.read_view(harness.job, points=3)["loss"]
    assert view["max"] == values.reshape(3, BUCKET).max(axis=1).tolist()


def test_a_replay_into_a_moved_segment_is_compared_with_the_file(harness: HistoryHarness) -> None:
    values = losses(SEGMENT + 10)
    hand_over(harness.recorder(), values, chunks(4, 200_000))
    recorder = harness.recorder(harness.claim())
    recorder.append(SEGMENT - 49, {"loss": values[SEGMENT - 50 :]}, replayed=True)

    values.view(np.uint32)[SEGMENT - 30] ^= 1
    with pytest.raises(TickMismatch) as caught:
        recorder.append(SEGMENT - 49, {"loss": values[SEGMENT - 50 :]}, replayed=True)
    assert (caught.value.tick, caught.value.column) == (SEGMENT - 29, "loss")


def test_a_digest_in_a_moved_segment_is_compared_with_the_file(harness: HistoryHarness) -> None:
    values, at = losses(SEGMENT + 10), SEGMENT - 30
    recorder = harness.recorder()
    recorder.append(1, {"loss": values[:at]}, [SparsePoint("state", at, b"12345678")])
    recorder.append(at + 1, {"loss": values[at:]})
    recorder.close()
    recorder = harness.recorder(harness.claim())
    again = {"loss": values[at - 20 : at]}
    recorder.append(at - 19, again, [SparsePoint("state", at, b"12345678")], replayed=True)

    with pytest.raises(TickMismatch) as caught:
        recorder.append(at - 19, again, [SparsePoint("state", at, b"12345679")], replayed=True)
    assert (caught.value.tick, caught.value.column) == (at, "state")


def test_a_long_chunk_goes_in_calls_of_bounded_length(harness: HistoryHarness) -> None:
    before = harness.store.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    harness.recorder().append(1, {"loss": losses(10 * MAX_TICKS_PER_CALL)})

    after = harness.store.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert after - before == 10


def test_a_gap_is_refused_and_the_history_stays(harness: HistoryHarness) -> None:
    recorder = harness.recorder()
    recorder.append(1, {"loss": losses(2000)})

    with pytest.raises(TickGap):
        recorder.append(2500, {"loss": losses(10)})
    assert harness.job.tick == 2000


def test_nonfinite_losses_keep_their_bits(harness: HistoryHarness) -> None:
    odd = np.array([0x7FC00001, 0x7F800000, 0xFF800000, 0x3F800000], np.uint32).view(np.float32)
    harness.recorder().append(1, {"loss": odd})

    page = harness.history.read(harness.job)
    assert page["loss"] == [None, None, None, 1.0]
    assert [entry["value"] for entry in page["nonfinite"]] == ["nan", "inf", "-inf"]
    assert recorded_bytes(harness.history, harness.job) == odd.tobytes()


def test_sparse_points_come_with_the_ticks_they_belong_to(harness: HistoryHarness) -> None:
    point = SparsePoint("val_loss", 20, struct.pack("<d", 0.5))
    state = SparsePoint("state", 20, struct.pack("<Q", 0xAB))
    harness.recorder().append(1, {"loss": losses(20)}, [point, state], metrics={"val_loss": 0.5})

    assert recorded_points(harness.history, harness.job) == {
        "tick": [20],
        "value": [f"{0xAB:016x}"],
    }
    assert harness.recorder().list_digest_ticks(0, 30) == {20}
    assert harness.recorder().list_digest_ticks(20, 30) == set()
    assert harness.job.metrics == {"val_loss": 0.5}


def test_a_states_digest_that_comes_late_is_put_in_its_place(harness: HistoryHarness) -> None:
    recorder = harness.recorder()
    states = {tick: SparsePoint("state", tick, struct.pack("<Q", tick)) for tick in (10, 20, 30)}
    recorder.append(1, {"loss": losses(20)}, [states[10]])
    recorder.append(21, {"loss": losses(20)}, [states[30]])
    for _ in range(2):  # a reply may be lost
        recorder.append(21, {}, [states[20]])

    assert recorded_points(harness.history, harness.job)["tick"] == [10, 20, 30]
    wrong = SparsePoint("state", 20, struct.pack("<Q", 21))
    with pytest.raises(TickMismatch):
        recorder.append(21, {}, [wrong])
