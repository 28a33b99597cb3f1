"""A store that is away, or comes back without its last second: nothing is lost, all is bounded."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from jobs.errors import NotAccepted, TickGap
from jobs.files.artifacts import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.job import Job, SparsePoint
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from jobs.recording.writer import HistoryWriter
from jobs.store.connection import connect
from tests.histories import recorded_bytes, recorded_points
from tests.ledger_helpers import claim_job, make_checkpoint, submit_job
from tests.manual_worker import FINGERPRINT
from tests.support import StoreServer, running_store, small_spec, wait_until
from tests.worker_harness import TENANT, WorkerHarness, log_events
from workers.delivery import BufferedCall, WriteBuffer
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter
from workers.store_retry import StoreUnavailable
from workers.trainer_client import ChunkResult, encode_value

LOSSES = np.random.default_rng(5).standard_normal(100_000).astype(np.float32)


def ran(first: int, count: int) -> ChunkResult:
    """A chunk as a trainer gives it, with a point at its last tick."""
    last = first + count - 1
    points = [SparsePoint("state", last, encode_value(float(last)))]
    return ChunkResult(first, count, {"loss": LOSSES[first - 1 : last]}, points, {}, None, False)


class LedgerWriterHarness:
    """The ledger writer of a claimed job on a store that may be killed."""

    def __init__(self, server: StoreServer, folder: Path, backlog: WriteBuffer) -> None:
        self.server, self.store = server, connect(server.url)
        self.ledger = LeaseLedger(self.store, lease_seconds=60)
        submit_job(JobLedger(self.store), budget={"ticks": 100_000})
        self.claim = claim_job(self.ledger)
        self.log_lines: list[str] = []
        self.drain = Drain()
        self.heartbeat = Heartbeat(
            self.ledger, self.claim.lease, renew_seconds=5, stall_seconds=600, drain=self.drain
        )
        self.files = ArtifactStore(folder)
        recorder = HistoryWriter(self.ledger, self.store, self.files, self.claim.lease)
        self.writer = LedgerWriter(
            self.ledger,
            recorder,
            self.claim,
            self.heartbeat,
            self.drain,
            self.log_lines.append,
            backlog,
        )
        self.writer.record_engine("eager", "cpu", FINGERPRINT)

    def train(self, first: int, last: int, chunk: int = 100) -> None:
        for at in range(first, last + 1, chunk):
            self.writer.append_ticks(
                ran(at, min(chunk, last + 1 - at)), at / 1000, phase="training"
            )

    def save(self, tick: int) -> None:
        self.writer.commit_checkpoint(make_checkpoint(tick, folder=f"{tick}-t1"), keep_count=2)

    @property
    def job(self) -> Job:
        return JobQueries(self.store).get_job(TENANT, self.claim.lease.job_id)

    def recorded(self) -> tuple[int, bytes, int]:
        """The accepted tick, the losses' bits, how many points there are."""
        history, job = HistoryReader(self.store, self.files), self.job
        points = recorded_points(history, job)["tick"]
        return job.tick, recorded_bytes(history, job), len(points)

    def snapshot(self) -> Path:
        """What the server has on disk now; it is started again."""
        self.server.kill()
        copy = self.server.folder / "kept"
        shutil.copytree(self.server.folder / "appendonlydir", copy)
        self.server.start()
        return copy

    def roll_back(self, copy: Path) -> None:
        """Let the server come back as it was."""
        self.server.kill()
        shutil.rmtree(self.server.folder / "appendonlydir")
        shutil.copytree(copy, self.server.folder / "appendonlydir")
        self.server.start()


@contextmanager
def running_writer(folder: Path, **bounds: int) -> Iterator[LedgerWriterHarness]:
    with running_store() as server:
        writer_harness = LedgerWriterHarness(server, folder, WriteBuffer(**bounds))
        with writer_harness.heartbeat, closing(writer_harness.writer):
            yield writer_harness
        writer_harness.store.close()


@pytest.fixture
def writer_harness(tmp_path: Path) -> Iterator[LedgerWriterHarness]:
    with running_writer(tmp_path) as harness:
        yield harness


def test_training_goes_on_while_the_store_is_dead_and_every_tick_is_sent_afterwards(
    writer_harness: LedgerWriterHarness,
) -> None:
    writer_harness.train(1, 1000)
    writer_harness.server.kill()
    writer_harness.train(1001, 50_000)
    writer_harness.server.start()
    writer_harness.writer.flush()

    assert writer_harness.recorded() == (50_000, LOSSES[:50_000].tobytes(), 500)
    assert [line.split(" (")[0] for line in writer_harness.log_lines] == [
        "the store takes nothing",
        "the store has taken all that waited for it",
    ]


def test_an_error_during_an_outage_of_the_store_is_among_the_events_once(
    writer_harness: LedgerWriterHarness,
) -> None:
    writer_harness.train(1, 1000)
    writer_harness.writer.log_event("warning", "as it should be")
    writer_harness.server.kill()
    writer_harness.writer.log_event("error", "checkpoint_error at tick 1000")
    writer_harness.writer.log_event("info", "no reply is awaited")
    writer_harness.server.start()
    writer_harness.writer.flush()
    expected = [("warning", "as it should be"), ("error", "checkpoint_error at tick 1000")]
    assert log_events(writer_harness.store, writer_harness.claim.lease.job_id) == expected

    writer_harness.ledger.add_log_event(
        writer_harness.claim.lease, "error", "checkpoint_error at tick 1000", number=2
    )
    assert log_events(writer_harness.store, writer_harness.claim.lease.job_id) == expected, (
        "its reply was lost"
    )


def test_a_frozen_store_holds_up_one_call_alone(writer_harness: LedgerWriterHarness) -> None:
    writer_harness.train(1, 1000)
    os.kill(writer_harness.server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        writer_harness.train(1001, 1100)
        waited = time.monotonic() - began
        writer_harness.train(1101, 50_000)
        assert time.monotonic() - began < 2 * waited, "every call waited"
    finally:
        os.kill(writer_harness.server.pid, signal.SIGCONT)
    wait_until(lambda: not writer_harness.heartbeat.is_store_unavailable, 10)
    writer_harness.train(50_001, 50_100)

    assert writer_harness.recorded() == (50_100, LOSSES[:50_100].tobytes(), 501)


def test_an_attempt_with_a_full_buffer_waits_for_the_store(tmp_path: Path) -> None:
    with running_writer(tmp_path, max_ticks=500) as writer_harness:
        writer_harness.server.kill()
        writer_harness.train(1, 400)
        writer_harness.drain.request()
        writer_harness.drain._requested_at = -1e9  # long ago: its grace is over
        with pytest.raises(StoreUnavailable):
            writer_harness.train(401, 600)


def test_a_slow_trainings_calls_are_bounded_too(tmp_path: Path) -> None:
    with running_writer(tmp_path, max_calls=5) as writer_harness:
        writer_harness.server.kill()
        writer_harness.train(1, 4, chunk=1)
        writer_harness.drain.request()
        writer_harness.drain._requested_at = -1e9
        with pytest.raises(StoreUnavailable):
            writer_harness.train(5, 6, chunk=1)


def test_a_checkpoint_waits_for_the_ticks_before_it(writer_harness: LedgerWriterHarness) -> None:
    writer_harness.train(1, 1000)
    writer_harness.server.kill()
    writer_harness.train(1001, 2000)
    writer_harness.server.start()
    writer_harness.save(2000)

    assert (writer_harness.job.tick, writer_harness.job.latest_checkpoint) == (2000, 2000)


def test_a_store_that_lost_its_last_second_is_sent_the_ticks_again(
    writer_harness: LedgerWriterHarness,
) -> None:
    writer_harness.train(1, 1050)
    disk_copy = writer_harness.snapshot()
    writer_harness.train(1051, 3050)
    writer_harness.save(3050)
    writer_harness.train(3051, 4000)
    writer_harness.roll_back(disk_copy)
    assert (writer_harness.job.tick, writer_harness.job.latest_checkpoint) == (1050, None)
    writer_harness.train(4001, 4100)
    writer_harness.writer.flush()

    assert writer_harness.recorded() == (4100, LOSSES[:4100].tobytes(), 42)
    assert writer_harness.job.latest_checkpoint == 3050
    assert (
        "the store lost ticks (the accepted tick is 1050), they are handed over again"
        in writer_harness.log_lines
    )


def test_a_checkpoint_that_was_committed_late_is_sent_again_with_the_ticks_before_it(
    writer_harness: LedgerWriterHarness,
) -> None:
    writer_harness.train(1, 1300)
    disk_copy = writer_harness.snapshot()
    writer_harness.train(1301, 1500)
    writer_harness.save(1200)
    writer_harness.train(1501, 2000)
    writer_harness.roll_back(disk_copy)
    writer_harness.train(2001, 2100)
    writer_harness.writer.flush()

    assert writer_harness.recorded()[:2] == (2100, LOSSES[:2100].tobytes())
    assert writer_harness.job.latest_checkpoint == 1200


def test_a_store_that_lost_even_the_fingerprint_is_sent_it_again(
    writer_harness: LedgerWriterHarness,
) -> None:
    store = connect(writer_harness.server.url)
    store.hdel(
        f"job:{{{TENANT}/{writer_harness.job.id}}}", "fingerprint", "canary", "engine", "identity"
    )
    disk_copy = writer_harness.snapshot()
    writer_harness.writer.record_engine("eager", "cpu", FINGERPRINT)
    writer_harness.train(1, 300)
    writer_harness.roll_back(disk_copy)
    writer_harness.train(301, 400)
    writer_harness.writer.flush()

    assert (writer_harness.job.tick, writer_harness.job.engine) == (400, "eager")


def test_calls_before_the_last_two_checkpoints_are_dropped(
    writer_harness: LedgerWriterHarness,
) -> None:
    writer_harness.train(1, 100)
    disk_copy = writer_harness.snapshot()
    for last in (1000, 2000, 3000):
        writer_harness.train(last - 999 if last > 1000 else 101, last)
        writer_harness.save(last)
    writer_harness.roll_back(disk_copy)

    with pytest.raises((TickGap, NotAccepted)):
        writer_harness.train(3001, 3100)


def test_a_buffer_holds_all_that_a_store_may_have_lost() -> None:
    backlog = WriteBuffer(max_ticks=100)

    def buffer_call(last: int, count: int, commits: bool = False) -> None:
        backlog.add(BufferedCall(last, count, lambda: None, commits))
        backlog.mark_sent()

    for last in (10, 20, 30):
        buffer_call(last, 10)
    assert backlog.requeue_from(20) and backlog.next_pending is not None
    assert (backlog.next_pending.last, backlog.pending_ticks) == (20, 20)
    assert not backlog.requeue_from(20) and not backlog.requeue_from(15)
    backlog.mark_sent()
    backlog.mark_sent()
    buffer_call(130, 100)
    assert backlog.requeue_from(0) and backlog.pending_ticks == 100


SPEC = small_spec(
    model={"family": "mlp", "hidden": [16], "dropout": 0.1},
    budget={"ticks": 5000},
    checkpoint={"every_ticks": 2500, "every_seconds": None},
    compute={"engine": "eager"},
)


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def harness(
    server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerHarness]:
    with ExitStack() as held:
        harness = WorkerHarness(server.url, tmp_path_factory.mktemp("away"), held)
        harness.start_worker("usual")
        yield harness


@pytest.fixture(scope="module")
def straight(harness: WorkerHarness) -> tuple[bytes, str]:
    return harness.result_bits(harness.submit(SPEC))


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_worker_trains_on_while_its_store_is_away_and_no_bit_is_lost(
    server: StoreServer, harness: WorkerHarness, straight: tuple[bytes, str], how: str
) -> None:
    job_id = harness.submit(SPEC)
    harness.wait_for(job_id, lambda job: job.tick >= 300)
    away(server, how)
    wait_until(lambda: "the training goes on" in harness.read_log(job_id), 10)
    back(server, how)

    assert harness.result_bits(job_id) == straight
    assert harness.job(job_id).attempt == 1
    assert "the store has taken all that waited for it" in harness.read_log(job_id)


def away(server: StoreServer, how: str) -> None:
    if how == "killed":
        server.kill()
    else:
        os.kill(server.pid, signal.SIGSTOP)


def back(server: StoreServer, how: str) -> None:
    server.start() if how == "killed" else os.kill(server.pid, signal.SIGCONT)


def test_a_worker_sends_again_the_calls_that_its_store_has_lost(
    server: StoreServer, harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    job_id = harness.submit(SPEC)
    harness.wait_for(job_id, lambda job: job.tick >= 300)
    log = server.folder / "appendonlydir"
    server.kill()
    shutil.copytree(log, server.folder / "kept")
    server.start()
    first = harness.job(job_id).tick
    harness.wait_for(job_id, lambda job: job.tick >= first + 500)
    server.kill()
    shutil.rmtree(log)
    shutil.copytree(server.folder / "kept", log)
    server.start()

    assert harness.result_bits(job_id) == straight
    assert harness.job(job_id).attempt == 1
    assert "handed over again" in harness.read_log(job_id)
