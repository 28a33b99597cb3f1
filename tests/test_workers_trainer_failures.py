"""Trainers that die, hang or need too much memory: their job alone is harmed, and says why."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.ledger.owner import MAX_ATTEMPTS_WITHOUT_PROGRESS
from jobs.memory_estimate import estimate_memory_bytes
from jobs.queries import worker_registry
from jobs.store import keys
from jobs.store.connection import Store
from tests.ledger_helpers import make_job_spec
from tests.processes import WorkerProcess, running_fork_server, send_signal
from tests.support import small_spec, wait_until
from tests.worker_harness import SPEC, TENANT, WorkerHarness, running_worker_harness
from workers import exit_status, memory
from workers.forkserver_client import ForkServerProcess, fetch_exit_status, spawn_trainer
from workers.log import TAIL_LINES, TAIL_WIDTH, JobLog
from workers.trainer_client import TrainerClient

STALL = 4  # s; a busy machine needs some for a build
ENDLESS = small_spec(budget={"ticks": 10**8})


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    with running_worker_harness(tmp_path_factory.mktemp("trainers")) as harness:
        yield harness


@pytest.fixture(scope="module")
def worker(harness: WorkerHarness) -> WorkerProcess:
    faults = str(harness.faults)
    inherited = signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as a script's background job
    try:
        return harness.start_worker(
            "usual", TICKFORGE_FAULTS=faults, TICKFORGE_STALL_SECONDS=str(STALL)
        )
    finally:
        signal.signal(signal.SIGQUIT, inherited)


@pytest.fixture(scope="module")
def straight(harness: WorkerHarness, worker: WorkerProcess) -> tuple[bytes, str]:
    return harness.result_bits(harness.submit())


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServerProcess]:
    with running_fork_server() as fork_server:
        yield fork_server


@pytest.mark.parametrize("role", ["worker", "child", "template", "trainer"])
def test_no_process_of_a_worker_ignores_the_sigquit_that_its_script_ignores(
    harness: WorkerHarness, worker: WorkerProcess, role: str
) -> None:
    job_id = harness.submit(ENDLESS)
    harness.wait_for(job_id, lambda job: job.tick > 0)

    process = worker.processes.processes_of(role)[0]

    assert not ignores(process.pid, signal.SIGQUIT)
    harness.ledger.request_transition(TENANT, job_id, "cancel")
    harness.wait_for(job_id, lambda job: job.is_terminal)


def ignores(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_fork_server_reports_how_a_trainer_ended(
    fork_server: ForkServerProcess, number: signal.Signals
) -> None:
    process = spawn_trainer(fork_server.socket_path)
    assert fetch_exit_status(fork_server.socket_path, process.pid) is None
    os.kill(process.pid, number)
    process.connection.recv(1)
    process.close()

    status = fetch_exit_status(fork_server.socket_path, process.pid)

    assert status is not None and os.WTERMSIG(status) == number
    assert number.name in exit_status.describe_exit(status)
    assert fetch_exit_status(fork_server.socket_path, 1) is None


def test_a_fork_server_leaves_no_zombie_behind(fork_server: ForkServerProcess) -> None:
    processes = [spawn_trainer(fork_server.socket_path) for _ in range(3)]
    for process in processes:
        process.close()
    assert fork_server.pid is not None
    wait_until(lambda: psutil.Process(fork_server.pid).children() == [], 5)


def test_an_ending_in_words_blames_the_kernel_only_when_it_was_killing() -> None:
    killed = signal.SIGKILL.value
    assert "by hand, or by the kernel" in exit_status.describe_exit(killed)
    assert "was killing for want of memory" in exit_status.describe_exit(killed, out_of_memory=True)
    assert "exit code 3" in exit_status.describe_exit(3 << 8)
    assert "without a word" in exit_status.describe_exit(None)
    assert exit_status.count_oom_kills() >= 0


def test_the_tail_of_a_log_is_short_and_plain(harness: WorkerHarness) -> None:
    log = JobLog(harness.files, TENANT, "job_tail")
    for number in range(100):
        log.write(f"line {number} \x1b[31m \udc80")
    lines = log.tail().splitlines()

    assert len(lines) == TAIL_LINES and lines[-1].endswith("line 99 \\x1b[31m \\udc80")
    log.write("x" * 8000)
    assert max(len(line) for line in log.tail().splitlines()) == TAIL_WIDTH
    log.close()


def test_a_job_whose_trainer_dies_each_time_fails_and_says_how_it_died(
    tmp_path: Path, straight: tuple[bytes, str]
) -> None:
    with running_worker_harness(tmp_path) as harness:
        worker = harness.start_worker("struck", TICKFORGE_FAULTS=str(harness.faults))
        met = harness.arm("build", "stop")  # each time: it stands still until it is struck
        poison = harness.submit(ENDLESS)
        other = harness.submit(SPEC)
        for _ in range(MAX_ATTEMPTS_WITHOUT_PROGRESS):
            wait_until(met.exists, 20)
            (trainer,) = worker.processes.processes_of("trainer")
            met = harness.arm("build", "stop", job=poison)
            send_signal(trainer, signal.SIGSEGV)
            send_signal(trainer, signal.SIGCONT)
        job = harness.wait_for(poison, lambda job: job.is_terminal)

        assert (job.status, job.tick, job.attempt) == ("failed", 0, 5) and job.error is not None
        assert job.error.type == "poison"
        assert "5 attempts ended without a new tick" in job.error.detail
        assert "the trainer was killed by SIGSEGV" in job.error.detail
        assert "Fatal Python error: Segmentation fault" in job.error.detail
        outcomes = [
            attempt.outcome or "" for attempt in harness.index.list_attempts(TENANT, poison)
        ]
        assert len(outcomes) == 5 and all("SIGSEGV" in outcome for outcome in outcomes)
        assert harness.result_bits(other) == straight and harness.job(other).attempt == 1


@pytest.mark.parametrize("how", ["sleeping", "stopped"])
def test_a_trainer_that_hangs_is_ended_and_the_job_goes_on(
    harness: WorkerHarness, worker: WorkerProcess, straight: tuple[bytes, str], how: str
) -> None:
    """Asleep its other threads run; stopped none does, as when one holds the GIL for ever."""
    action = {"sleeping": "block", "stopped": "stop"}[how]
    harness.arm("tick", action, at=300)
    job_id = harness.submit(SPEC)

    assert harness.result_bits(job_id) == straight
    first, _ = harness.index.list_attempts(TENANT, job_id)
    reason = "the trainer stood still and was killed"
    assert first.outcome == reason and ("warning", reason) in harness.log_events(job_id)


# memory


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"family": "mlp", "hidden": [2048, 2048]}, "batch_size": 32},
        {"model": {"family": "mlp", "hidden": [2048, 2048]}, "optimizer": {"name": "sgd"},
         "batch_size": 32},
        {"model": {"family": "mlp", "hidden": [512] * 4, "dropout": 0.1}, "batch_size": 4096,
         "data": {"source": "synthetic", "kind": "regression", "samples": 8192, "features": 8,
                  "seed": 1}},
        {"data": {"source": "synthetic", "kind": "regression", "samples": 200_000, "features": 100,
                  "seed": 1}, "validation": {"fraction": 0.25}},
        {"model": {"family": "transformer_lm", "layers": 2, "heads": 4, "width": 256},
         "data": {"source": "example", "name": "genesis", "window": 128},
         "objective": "language_model"},
    ],
)  # fmt: skip
def test_an_estimate_is_near_what_a_trainer_takes(
    fork_server: ForkServerProcess, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Between the trainer's peak and 1.5 times that, but for 5 % below."""
    whole = make_job_spec(**{**changes, "budget": {"ticks": 5}})
    process = spawn_trainer(fork_server.socket_path)
    try:
        trainer = TrainerClient(process.connection)
        trainer.build(whole.to_stored(), "cpu", None)
        trainer.run(3)
        trainer.save(tmp_path)
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    finally:
        process.close()
    peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    assert 0.95 * peak < estimate_memory_bytes(whole) < 1.5 * peak


def test_a_job_that_has_no_memory_for_a_trial_is_trained_by_eager(
    fork_server: ForkServerProcess,
) -> None:
    whole = make_job_spec(
        model={"family": "mlp", "hidden": [2100, 2100]},
        optimizer={"name": "adamw"},
        compute={"engine": "graph"},
        budget={"ticks": 70},
    )
    process = spawn_trainer(fork_server.socket_path)
    try:
        limit = estimate_memory_bytes(whole)
        trainer = TrainerClient(process.connection, memory_bytes=limit)
        reply = trainer.build(whole.to_stored(), "cpu", None, keeps_trial=True)
        assert reply["engine"] == "eager" and reply["is_fallback"]
        assert "there is not enough memory to try it" in reply["engine_note"]
        assert trainer.run(5).count == 5
    finally:
        process.close()


def test_the_memory_of_a_machine_is_never_more_than_its_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CGROUP_LIMIT_FILES", (group,))
    whole = memory.machine_memory()
    group.write_text("max\n")
    assert memory.machine_memory() == whole
    group.write_text("1000000\n")
    assert memory.machine_memory() == 1_000_000


SHARE = 450 << 20
#: 40,000 rows at once: some 1.5 GB
HUNGRY = small_spec(
    model={"family": "mlp", "hidden": [512] * 4},
    data={"source": "synthetic", "kind": "regression", "samples": 40_000, "features": 8, "seed": 1},
    batch_size=40_000,
)


def test_a_job_too_large_for_a_worker_waits_and_one_that_is_after_all_fails_alone(
    tmp_path: Path, straight: tuple[bytes, str]
) -> None:
    with running_worker_harness(tmp_path) as harness:
        harness.start_worker("small", TICKFORGE_TRAINER_MEMORY_BYTES=str(SHARE))
        hungry = harness.submit(HUNGRY)
        assert harness.result_bits(harness.submit(SPEC)) == straight
        waiting = harness.job(hungry)
        assert waiting.queue is not None and waiting.queue.reason == "no_worker"

        # now let the estimate be wrong by far
        harness.store.hset(keys.job(TENANT, hungry), "memory", 0)
        other = harness.submit(SPEC)
        failed = harness.wait_for(hungry, lambda job: job.is_terminal)

        assert (failed.status, failed.attempt) == ("failed", 5) and failed.error is not None
        assert "allocate memory" in failed.error.detail
        assert harness.result_bits(other) == straight and harness.job(other).attempt == 1


def test_a_trainer_is_the_first_to_go_where_memory_runs_out(fork_server: ForkServerProcess) -> None:
    process = spawn_trainer(fork_server.socket_path)
    trainer = TrainerClient(process.connection, memory_bytes=2 << 30)
    trainer.build(make_job_spec().to_stored(), "cpu", None)
    score = Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip()
    limits = resource.prlimit(process.pid, resource.RLIMIT_DATA)
    process.close()

    assert (score, limits) == ("500", (2 << 30, 2 << 30))
    assert Path(f"/proc/{fork_server.pid}/oom_score_adj").read_text().strip() != "500"


# at the door


def announced(store: Store, name: str, **about: Any) -> None:
    worker_registry.register(store, name, {"queue": "cpu", **about}, seconds=60)


def test_a_spec_too_large_for_every_worker_is_refused_with_both_numbers(
    client: Any, store: Store
) -> None:
    announced(store, "one", memory_bytes=SHARE)
    announced(store, "two", memory_bytes=SHARE // 2)
    announced(store, "other", memory_bytes=1 << 50, queue="cuda")

    on_cpu = {**HUNGRY, "compute": {"device": "cpu"}}  # auto would take the GPU, which has room
    for path in ("/v1/jobs", "/v1/jobs/plan"):
        response = client.post(path, json=on_cpu)
        (fault,) = response.json["errors"]
        assert response.status_code == 422 and fault["pointer"] == "/batch_size"
        assert (
            f"has {SHARE}" in fault["detail"]
            and str(estimate_memory_bytes(make_job_spec(**HUNGRY))) in fault["detail"]
        )
    assert client.get("/v1/jobs").json["data"] == []
    assert client.post("/v1/jobs", json=small_spec()).status_code == 202


def test_while_no_worker_reports_its_memory_no_spec_is_refused_and_a_plan_says_so(
    client: Any, store: Store
) -> None:
    unknown = "whether its memory suffices is not known: that is for live workers to tell"
    assert unknown in client.post("/v1/jobs/plan", json=HUNGRY).json["warnings"]
    announced(store, "one", memory_bytes=SHARE)
    announced(store, "silent")
    assert unknown in client.post("/v1/jobs/plan", json=HUNGRY).json["warnings"]
    assert client.post("/v1/jobs", json=HUNGRY).status_code == 202
    announced(store, "silent", memory_bytes=1 << 40)
    assert client.post("/v1/jobs/plan", json=HUNGRY).json["warnings"] == []
