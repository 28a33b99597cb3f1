"""A full disk under checkpoints and under segments: training goes on, bounded, with an event."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import redis

from jobs.files import checkpoint_folders
from jobs.history.history import HistoryReader
from jobs.history.summary_rows import SEGMENT
from jobs.ledger.client import JobLedger
from jobs.queries.jobs import JobQueries
from jobs.recording.segments import Segments
from jobs.recording.writer import MAX_SEGMENTS_IN_STORE
from jobs.settings import Settings
from jobs.store import keys
from tests.histories import recorded_bytes
from tests.ledger_helpers import submit_job
from tests.manual_worker import ManualWorker
from tests.processes import WorkerProcess
from tests.support import small_spec, wait_until
from tests.worker_harness import SPEC, TENANT, WorkerHarness, log_events, running_worker_harness
from workers.checkpointing.schedule import MIN_FAILURES, FailureTracker
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter

ENDLESS = small_spec(
    model={"family": "mlp", "hidden": [64]},
    budget={"ticks": 10**8},
    checkpoint={"every_ticks": 100},
    compute={"engine": "eager"},
)


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    with running_worker_harness(tmp_path_factory.mktemp("disk")) as harness:
        yield harness


@pytest.fixture(scope="module")
def worker(harness: WorkerHarness) -> WorkerProcess:
    faults = str(harness.faults)
    return harness.start_worker(
        "usual", TICKFORGE_FAULTS=faults, TICKFORGE_DISK_PATIENCE_SECONDS="1"
    )


@pytest.fixture(scope="module")
def straight(harness: WorkerHarness, worker: WorkerProcess) -> tuple[bytes, str]:
    return harness.result_bits(harness.submit())


@pytest.mark.parametrize("point", ["checkpoint:write", "checkpoint:fsync", "checkpoint:rename"])
def test_a_checkpoint_without_room_is_reported_and_costs_no_bit(
    harness: WorkerHarness, straight: tuple[bytes, str], point: str
) -> None:
    harness.arm(point, "enospc")
    job_id = harness.submit(SPEC)

    assert harness.result_bits(job_id) == straight
    error_lines = [text for level, text in harness.log_events(job_id) if level == "error"]
    assert (
        error_lines
        and "checkpoint_error at tick" in error_lines[0]
        and "No space left" in error_lines[0]
    )
    assert list((harness.folder(job_id) / "checkpoints").glob("tmp-*")) == []


def test_a_disk_that_stays_full_pauses_the_job_and_the_last_good_checkpoint_stays(
    harness: WorkerHarness, worker: WorkerProcess
) -> None:
    job_id = harness.submit(ENDLESS)
    harness.wait_for(job_id, lambda job: job.latest_checkpoint is not None)
    processes = worker.processes.processes_of("trainer") + worker.processes.processes_of("template")
    for process in processes:
        allow(process, 1000)  # no file of theirs may be longer: as a full disk, the write fails

    paused = harness.wait_for(job_id, lambda job: job.status == "paused")

    assert paused.error is not None and paused.error.type == "checkpoint"
    assert "no checkpoint could be saved" in paused.error.detail
    errors = [text for level, text in harness.log_events(job_id) if level == "error"]
    assert len([text for text in errors if text.startswith("checkpoint_error")]) >= MIN_FAILURES
    newest = harness.index.get_checkpoint(TENANT, job_id, "latest")
    assert newest.tick < paused.tick
    assert checkpoint_folders.files_match(harness.files, TENANT, job_id, newest)

    allow(worker.processes.processes_of("template")[0], resource.RLIM_INFINITY)
    harness.resume(job_id)
    harness.wait_for(job_id, lambda job: (job.latest_checkpoint or 0) > paused.tick)
    harness.ledger.request_transition(TENANT, job_id, "cancel")
    harness.wait_for(job_id, lambda job: job.is_terminal)
    _, second = harness.index.list_attempts(TENANT, job_id)
    assert (second.replayed, second.equal) == (paused.tick - newest.tick, True)


def allow(process: psutil.Process, file_bytes: int) -> None:
    """Set the longest file that a running process may write."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))


def test_a_disk_that_is_full_for_a_while_is_reported_and_then_used_again(tmp_path: Path) -> None:
    """A real one: a file system of its own, filled to its last byte."""
    with (
        small_disk(tmp_path / "disk", megabytes=4) as disk,
        running_worker_harness(disk) as small,
    ):
        small.start_worker("small")
        job_id = small.submit(ENDLESS)
        small.wait_for(job_id, lambda job: job.latest_checkpoint is not None)
        fill(disk / "filler")
        wait_until(lambda: any(level == "error" for level, _ in small.log_events(job_id)), 20)
        full = small.job(job_id)
        small.wait_for(job_id, lambda job: job.tick > full.tick + 500)
        (disk / "filler").unlink()
        small.wait_for(job_id, lambda job: (job.latest_checkpoint or 0) > full.tick)
        small.ledger.request_transition(TENANT, job_id, "cancel")
        assert small.wait_for(job_id, lambda job: job.is_terminal).status == "cancelled"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system in memory; skips the test where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a file system of its own")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened:
        free = shutil.disk_usage(file.parent).free
        try:
            while True:
                opened.write(b"\0" * max(1, min(free, 1 << 16)))
        except OSError:
            return


def test_failed_saves_are_retried_after_growing_delays_up_to_a_limit() -> None:
    impatient, patient = FailureTracker(0), FailureTracker(3600)
    for number in range(1, MIN_FAILURES + 3):
        impatient.record()
        patient.record()
        assert not patient.is_retry_due
        assert impatient.is_limit_reached == (number >= MIN_FAILURES)
    assert not patient.is_limit_reached
    impatient.reset()
    assert not impatient.is_limit_reached and impatient.count == 0


# segments: in this process, for a full one is a million ticks


class LimitedDiskWorker(ManualWorker):
    """A manual worker whose process may be forbidden to write long files."""

    def __init__(self, store: "redis.Redis", settings: Settings) -> None:
        submit_job(JobLedger(store), budget={"ticks": 10**8})
        super().__init__(store, settings)
        self.store, self.recorder = store, self._recorder
        self.losses = np.random.default_rng(1).standard_normal(8 * SEGMENT).astype(np.float32)

    def train(self, ticks: int) -> None:
        self.record(self.losses[self.tick : self.tick + ticks])
        self.recorder.wait_idle()

    def raw(self) -> bytes:
        """The losses as they are read back."""
        job = JobQueries(self.store).get_job(TENANT, self.lease.job_id)
        return recorded_bytes(HistoryReader(self.store, self.files), job)

    def in_store(self) -> int:
        """Segments of losses that lie in the store."""
        return len(list(self.store.scan_iter("*:f32:loss:*")))

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """No file of this process may grow beyond 64 KiB: the write of a segment fails."""
        had = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, had[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, had)


@pytest.fixture
def owner(
    store: "redis.Redis", settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> LimitedDiskWorker:
    monkeypatch.setattr("jobs.recording.segment_mover.RETRY_SECONDS", 0.0)
    return LimitedDiskWorker(store, settings)


def make_ledger_writer(owner: LimitedDiskWorker) -> LedgerWriter:
    beat = Heartbeat(owner.ledger, owner.lease, renew_seconds=20, stall_seconds=600, drain=Drain())
    return LedgerWriter(
        owner.ledger, owner.recorder, owner.claim, beat, Drain(), lambda _line: None
    )


def test_a_full_segment_without_a_file_stays_in_the_store_and_is_moved_later(
    owner: LimitedDiskWorker,
) -> None:
    with owner.full_disk():
        owner.train(SEGMENT + 10)
        owner.train(10)
    assert owner.recorder.last_move_error is not None and not owner.recorder.is_backlogged
    assert owner.in_store() == 2

    owner.train(10)

    assert owner.recorder.last_move_error is None and owner.in_store() == 1
    owner.end("cancelled")
    Segments(JobLedger(owner.store), owner.store, owner.files).finalize_some()
    assert owner.raw() == owner.losses[: owner.tick].tobytes()


def test_training_waits_once_enough_full_segments_wait_for_the_disk(
    owner: LimitedDiskWorker,
) -> None:
    with owner.full_disk():
        owner.train(MAX_SEGMENTS_IN_STORE * SEGMENT)
        assert not owner.recorder.is_backlogged
        owner.train(10)
        assert owner.recorder.is_backlogged


def test_an_attempt_that_waits_for_the_disk_hears_requests_and_goes_on_when_there_is_room(
    owner: LimitedDiskWorker,
) -> None:
    writer = make_ledger_writer(owner)
    with owner.full_disk():
        owner.train(MAX_SEGMENTS_IN_STORE * SEGMENT + 10)
        assert not writer.wait_for_capacity()
        JobLedger(owner.store).request_transition(TENANT, owner.lease.job_id, "pause")
        assert not writer.wait_for_capacity()
    assert writer.requests.client_action == "pause"
    assert not writer.wait_for_capacity() and writer.wait_for_capacity()
    levels = [level for level, _ in log_events(owner.store, owner.lease.job_id)]
    assert levels == ["error", "info"], "logged once when it begins, and once when it is over"


def test_a_history_that_could_not_be_finalized_at_its_end_is_finalized_later(
    owner: LimitedDiskWorker,
) -> None:
    segments = Segments(JobLedger(owner.store), owner.store, owner.files)
    owner.train(100_000)
    owner.end("cancelled")
    with owner.full_disk(), pytest.raises(OSError, match="File too large"):
        segments.finalize_some()
    assert owner.raw() == owner.losses[:100_000].tobytes()

    assert segments.finalize_some() == 1
    assert owner.in_store() == 0 and owner.store.scard(keys.UNFINALIZED_JOBS) == 0
    assert owner.raw() == owner.losses[:100_000].tobytes()


def test_a_worker_whose_disk_is_full_at_a_jobs_end_finalizes_it_afterwards(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    fired = harness.arm("segment:write", "enospc")
    job_id = harness.submit(SPEC)

    assert harness.result_bits(job_id) == straight
    wait_until(fired.exists, 10)
    wait_until(lambda: not harness.store.exists(f"job:{{{TENANT}/{job_id}}}:f32:loss:0"), 30)
    assert harness.result_bits(job_id) == straight
