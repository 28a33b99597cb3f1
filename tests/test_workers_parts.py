"""The parts of a worker one by one: chunks, log, folder, heartbeat, outcomes, pool child."""

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError

from jobs.errors import (
    FingerprintMismatch,
    LeaseLost,
    NotAccepted,
    StoreFull,
    TickGap,
    TickMismatch,
)
from jobs.files.artifacts import ArtifactStore
from jobs.history.comparison import make_difference
from jobs.ledger.claims import Claim
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.spec.reading import read_spec
from jobs.store.connection import connect
from jobs.trainer_frames import PeerGone
from tests.ledger_helpers import expire_lease
from tests.support import ROOT, small_spec, wait_until
from workers import outcomes
from workers.chunks import MAX_CHUNK_TICKS, ChunkSizer, StopTicks, chunk_length, next_multiple
from workers.drain import Drain
from workers.forkserver_client import ForkServerUnavailable
from workers.heartbeat import Heartbeat
from workers.log import MAX_ENTRY_CHARS, MAX_LOG_BYTES, JobLog
from workers.outcomes import CheckpointDeleted, ReplayMismatch
from workers.store_retry import StoreUnavailable, retry_while_unavailable
from workers.trainer_client import TrainerError
from workers.worker_folder import WorkerFolder

LEASE_SECONDS = 3


@given(
    st.integers(0, 10**9), st.integers(1, MAX_CHUNK_TICKS), st.lists(st.integers(0, 10**9)),
    st.none() | st.integers(1, 10**6),
)  # fmt: skip
def test_a_chunk_ends_at_or_before_the_next_stop_tick(
    tick: int, pace: int, ticks: list[int], every: int | None
) -> None:
    learnt, marks = ChunkSizer(), StopTicks(ticks)
    learnt.ticks = pace
    ran = chunk_length(tick, learnt, marks.next_after(tick), next_multiple(tick, every))
    assert 1 <= ran <= pace
    between = range(tick + 1, tick + ran)
    assert not any(mark in between for mark in ticks)
    assert every is None or (tick + ran - 1) // every == tick // every


def test_a_pace_grows_eightfold_at_most_and_shrinks_at_once() -> None:
    pace = ChunkSizer()
    seen = []
    for count, seconds in [(1, 0.0), (8, 0.0001), (64, 0.0001), (512, 1.0), (25, 100.0)]:
        pace.observe(count, seconds)
        seen.append(pace.ticks)
    assert seen == [8, 64, 512, 25, 1]


def test_a_log_has_the_time_before_each_entry_and_ends_when_it_is_full(tmp_path: Path) -> None:
    log = JobLog(ArtifactStore(tmp_path), "default", "job_1")
    log.write("begun")
    log.write("x" * (MAX_ENTRY_CHARS + 1))
    for _ in range(MAX_LOG_BYTES // MAX_ENTRY_CHARS + 2):
        log.write("y" * MAX_ENTRY_CHARS)
    text = (tmp_path / "default" / "job_1" / "log.txt").read_text()
    first, *_, last = text.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z begun", first)
    assert "\n…\n" in text
    assert last.endswith(f"the log is full ({MAX_LOG_BYTES} bytes)")
    assert len(text) < MAX_LOG_BYTES + 2 * MAX_ENTRY_CHARS


def test_a_log_that_cannot_be_opened_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "default").touch()
    log = JobLog(ArtifactStore(tmp_path), "default", "job_1")
    log.write("nothing")
    log.close()
    assert log.path is None


def test_the_folder_of_a_killed_worker_is_removed_by_the_next_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path /= "l" * 150  # longer than a socket's path may be
    tmp_path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = (
        "import os; from workers.worker_folder import WorkerFolder;"
        " print(WorkerFolder().path, flush=True); os._exit(9)"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    completed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True
    )
    left = Path(completed.stdout.strip())
    assert left.is_dir()

    one, two = WorkerFolder(), WorkerFolder()

    assert not left.exists() and one.path.is_dir() and two.path.is_dir()
    assert one.path.stat().st_mode & 0o777 == 0o700
    one.write("job", {"id": "job_1"})
    assert (one.read("job"), two.read("job")) == ({"id": "job_1"}, None)
    one.remove()
    two.remove()
    assert not one.path.exists()


def test_a_call_is_repeated_while_the_store_is_away_or_full() -> None:
    responses = [ConnectionError("gone"), StoreFull("full"), ConnectionError("gone"), "there"]

    def call() -> str:
        response = responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    assert retry_while_unavailable(call, lambda: True) == "there"


def test_a_call_that_may_not_retry_raises_that_the_store_is_unavailable() -> None:
    def call() -> None:
        raise ConnectionError("gone")

    with pytest.raises(StoreUnavailable, match="gone"):
        retry_while_unavailable(call, lambda: False)


@pytest.fixture
def lease_ledger(store: "redis.Redis") -> LeaseLedger:
    return LeaseLedger(store, LEASE_SECONDS)


@pytest.fixture
def claim(ledger: JobLedger, lease_ledger: LeaseLedger) -> Claim:
    ledger.submit("default", read_spec(small_spec(), max_parameters=10**6))
    return claimed(lease_ledger)


def claimed(lease_ledger: LeaseLedger) -> Claim:
    claim = lease_ledger.claim("cpu", worker="w", device="cpu", canaries={})
    assert claim is not None
    return claim


def test_a_heartbeat_keeps_a_lease_past_its_end(lease_ledger: LeaseLedger, claim: Claim) -> None:
    killed: list[None] = []
    with (
        Heartbeat(
            lease_ledger, claim.lease, renew_seconds=0.3, stall_seconds=60, drain=Drain()
        ) as beat,
        beat.guarding(lambda: killed.append(None)),
    ):
        time.sleep(LEASE_SECONDS + 0.5)
        assert lease_ledger.claim("cpu", worker="x", device="cpu", canaries={}) is None
    assert beat.kill_reason is None and not killed


def test_a_heartbeat_kills_the_trainer_once_when_the_lease_is_lost(
    store: "redis.Redis", lease_ledger: LeaseLedger, claim: Claim
) -> None:
    killed: list[None] = []
    expire_lease(store, claim.lease)
    claimed(lease_ledger)
    with (
        Heartbeat(
            lease_ledger, claim.lease, renew_seconds=0.1, stall_seconds=60, drain=Drain()
        ) as beat,
        beat.guarding(lambda: killed.append(None)),
    ):
        wait_until(lambda: killed, 5)
        time.sleep(0.5)
    assert (beat.kill_reason, len(killed)) == ("fenced", 1)


def test_a_heartbeat_kills_a_stalled_trainer_even_one_that_is_guarded_late(
    lease_ledger: LeaseLedger, claim: Claim
) -> None:
    killed: list[None] = []
    with Heartbeat(
        lease_ledger, claim.lease, renew_seconds=0.3, stall_seconds=0.2, drain=Drain()
    ) as beat:
        wait_until(lambda: beat.kill_reason == "stalled", 5)
        with beat.guarding(lambda: killed.append(None)):
            assert len(killed) == 1


def test_a_heartbeat_outlives_a_store_that_is_away(claim: Claim) -> None:
    nowhere = LeaseLedger(connect("unix:///nowhere"), 1)
    with Heartbeat(
        nowhere, claim.lease, renew_seconds=0.1, stall_seconds=60, drain=Drain()
    ) as beat:
        time.sleep(0.6)
        assert beat.kill_reason is None
        assert "heartbeat" in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("error", "verdict", "status", "says"),
    [
        (PeerGone("cut"), None, "queued", "ended without a word"),
        (PeerGone("cut"), "stalled", "queued", "stood still"),
        (PeerGone("cut"), "drained", "queued", "drain"),
        (PeerGone("cut"), "cancelled", "cancelled", None),
        (TrainerError("OutOfMemoryError", "CUDA out of memory", ""), None, "queued", "out of"),
        (TrainerError("OSError", "[Errno 5] Input/output error", ""), None, "queued", "error"),
        (TrainerError("OSError", "[Errno 30] Read-only file system", ""), None, "queued", "only"),
        (TrainerError("SafetensorError", "No space left on device", ""), None, "queued", "space"),
        (TrainerError("DeviceUnavailable", "torch sees none", ""), None, "queued", "sees none"),
        (TrainerError("AcceleratorError", "CUDA error: fault", ""), None, "queued", "CUDA error"),
        (TrainerError("RuntimeError", "cuDNN error: S", ""), None, "queued", "cuDNN error"),
        (TrainerError("ValueError", "shapes", ""), None, "failed", "ValueError: shapes"),
        (CheckpointDeleted("checkpoint 5 was deleted"), None, "queued", "checkpoint 5 was deleted"),
        (
            TickMismatch(7, "loss", bytes(4), b"\0\0\x80\x3f"),
            None,
            "failed",
            "again it is 3f800000 (1.0)",
        ),
        (ReplayMismatch(7, "ended early"), None, "failed", "ended early"),
        (TickGap(5), None, "queued", "lost ticks"),
        (NotAccepted("tick 5"), None, "queued", "lost ticks"),
        (FingerprintMismatch("other"), None, "queued", "fingerprint"),
        (ForkServerUnavailable("none"), None, "queued", "none"),
        (RuntimeError("ours"), None, "queued", "the worker failed"),
    ],
)
def test_the_error_that_ends_an_attempt_decides_the_jobs_next_status(
    error: Exception, verdict: str | None, status: str, says: str | None
) -> None:
    outcome = outcomes.outcome_of_error(error, verdict, 7)  # type: ignore[arg-type]
    assert outcome is not None
    assert (outcome.status, outcome.tick) == (status, 7)
    detail = outcome.reason or (outcome.error or {}).get("detail")
    assert detail is None if says is None else says in detail


@pytest.mark.parametrize(
    ("column", "raw", "bits"),
    [
        ("loss", struct.pack("<f", 1.0), "3f800000"),
        ("val_loss", struct.pack("<d", 1.0), "3ff0000000000000"),
        ("state", struct.pack("<Q", 0x0102030405060708), "0102030405060708"),
    ],
)
def test_bits_that_differ_are_spelled_alike_in_errors_and_certificates(
    column: str, raw: bytes, bits: str
) -> None:
    zero = bytes(len(raw))
    difference = make_difference(3, column, raw, zero)
    assert difference.recorded is not None and difference.recorded.bits == bits
    text = str(TickMismatch(3, column, raw, zero))
    assert f"recorded as {bits}" in text and f"again it is {zero.hex()}" in text


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(LeaseLost("gone"), None), (PeerGone("cut"), "fenced"), (StoreUnavailable("away"), None)],
)
def test_a_job_whose_lease_is_lost_is_left_alone(error: Exception, verdict: str | None) -> None:
    assert outcomes.outcome_of_error(error, verdict, 7) is None  # type: ignore[arg-type]


def test_a_pool_child_closes_inherited_sockets() -> None:
    """A socket that a fork has copied shows its end to the other side only when the copy goes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        script = (
            "import os, sys; from workers import pool_child; from workers.drain import Drain;"
            "pool_child.init(Drain(), os.getppid()); print('begun', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()],
        ) as child:  # fmt: skip
            assert child.stdout is not None and child.stdin is not None
            assert child.stdout.readline() == "begun\n"
            theirs.close()
            ours.settimeout(5)
            assert ours.recv(1) == b""  # and the child still runs
            assert child.poll() is None
            child.stdin.close()


def test_a_pool_child_whose_parent_has_gone_ends() -> None:
    script = "from workers import drain, pool_child as pool; pool.init(drain.Drain(), 1); print(1)"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, b"", b"")


def test_the_self_test_describes_this_machine() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "workers", "--selftest"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    for fragment in ('"device": "cpu"', '"engines"', '"canary"', '"ticks_per_second"'):
        assert fragment in ran.stdout
