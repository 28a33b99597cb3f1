"""A job goes on by itself after every fault, and no bit of it differs from an undisturbed run."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from faults.processes import role_of
from tests.processes import JobClient, ServiceProcess, running_service, send_signal
from tests.support import small_spec, wait_until
from ticks.engines import selection

Bits = dict[str, Any]
TICKS = {1: 2400, 2: 500}  # by threads: with two, and others on the machine, a tick takes longer


def spec(threads: int = 1) -> dict[str, Any]:
    """Dropout, AdamW, shuffled rows, validation, checkpoints in between: some seconds of ticks."""
    return small_spec(
        model={"family": "mlp", "hidden": [32, 32], "dropout": 0.1},
        data={"source": "synthetic", "kind": "classification", "samples": 400, "features": 8,
              "classes": 3, "seed": 2},
        budget={"ticks": TICKS[threads]},
        validation={"fraction": 0.25, "every_ticks": 250},
        checkpoint={"every_ticks": 400, "every_seconds": 1},
        compute={"threads": threads, "engine": "eager"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("faults"), workers=2) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left_over(service: ServiceProcess) -> Iterator[None]:
    """After each test the service has all its processes again, and no trainer."""
    yield
    whole = {"serve": 1, "store": 1, "worker": 2, "child": 2, "template": 2, "trainer": 0}

    def is_whole() -> bool:
        counts = Counter(map(role_of, service.processes.living_processes()))
        return {role: counts[role] for role in whole} == whole

    wait_until(is_whole, 20)


@pytest.fixture(scope="module")
def jobs(service: ServiceProcess) -> JobClient:
    return JobClient(service)


@pytest.fixture(scope="module")
def straight(jobs: JobClient) -> dict[int, Bits]:
    """What undisturbed runs give, by thread count."""
    return {threads: bits_of(jobs, jobs.submit(spec(threads))) for threads in TICKS}


def bits_of(jobs: JobClient, job_id: str) -> Bits:
    job = jobs.wait_for_end(job_id, seconds=60)
    assert (job["status"], job["tick"], job["error"]) == ("succeeded", job["ticks_total"], None)
    assert job["exact"]
    return jobs.result_bits(job_id)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_killed_trainer_changes_no_bit(
    service: ServiceProcess, jobs: JobClient, straight: dict[int, Bits], threads: int
) -> None:
    job_id = jobs.submit(spec(threads))
    for tick in (1, 300):
        jobs.wait_for_tick(job_id, tick)
        service.processes.kill("trainer")

    assert bits_of(jobs, job_id) == straight[threads]
    assert jobs.get(job_id)["attempt"] >= 2


def test_a_killed_worker_changes_no_bit(
    service: ServiceProcess, jobs: JobClient, straight: dict[int, Bits]
) -> None:
    job_id = jobs.submit(spec())
    jobs.wait_for_tick(job_id, 300)

    send_signal(owner_of(service).parent(), signal.SIGKILL)

    assert bits_of(jobs, job_id) == straight[1]
    assert jobs.get(job_id)["attempt"] == 2


@pytest.mark.parametrize("engine", selection.available_engines()[1:])
def test_a_killed_trainer_and_a_killed_worker_change_no_bit_of_a_fast_engine(
    service: ServiceProcess, jobs: JobClient, engine: str
) -> None:
    ticks = 30_000 if engine == "native" else 15_000  # so that a kill lands inside them
    fast = {**spec(), "budget": {"ticks": ticks}, "compute": {"engine": engine}}
    checked = {
        **fast,
        "validation": {"fraction": 0.25, "every_ticks": 500},
        "checkpoint": {"every_ticks": 2000, "every_seconds": None},
    }
    straight = bits_of(jobs, jobs.submit(checked))
    job_id = jobs.submit(checked)
    jobs.wait_for_tick(job_id, 1)
    service.processes.kill("trainer")
    jobs.wait_for(job_id, lambda job: job["attempt"] == 2 and job["tick"] > 0)
    jobs.wait_for_tick(job_id, 2200)
    send_signal(owner_of(service).parent(), signal.SIGKILL)

    assert bits_of(jobs, job_id) == straight
    job = jobs.get(job_id)
    assert (job["attempt"], job["engine"]) == (3, engine)


@pytest.mark.parametrize(
    ("role", "attempts"), [("child", 2), ("template", 1), ("store", 1), ("api", 1)]
)
def test_a_killed_process_changes_no_bit(
    service: ServiceProcess, jobs: JobClient, straight: dict[int, Bits], role: str, attempts: int
) -> None:
    job_id = jobs.submit(spec())
    jobs.wait_for_tick(job_id, 300)

    service.processes.kill(role)

    assert bits_of(jobs, job_id) == straight[1]
    assert jobs.get(job_id)["attempt"] == attempts


def test_killing_all_but_the_store_changes_no_bit(
    service: ServiceProcess, jobs: JobClient, straight: dict[int, Bits]
) -> None:
    job_id = jobs.submit(spec(2))
    jobs.wait_for_tick(job_id, 200)

    service.processes.kill("worker", "child", "template", "trainer", "api")

    assert bits_of(jobs, job_id) == straight[2]


def test_a_worker_frozen_past_its_lease_is_fenced_and_changes_no_bit(
    service: ServiceProcess, jobs: JobClient, straight: dict[int, Bits]
) -> None:
    job_id = jobs.submit(spec())
    jobs.wait_for_tick(job_id, 500)
    owner = owner_of(service)
    send_signal(owner, signal.SIGSTOP)
    jobs.wait_for(job_id, lambda job: job["attempt"] == 2 and job["tick"] > 600)
    send_signal(owner, signal.SIGCONT)

    assert bits_of(jobs, job_id) == straight[1]


def owner_of(service: ServiceProcess) -> psutil.Process:
    """The pool child whose worker's fork server has a trainer."""
    (trainer,) = service.processes.processes_of("trainer")
    worker = trainer.parent().parent().pid
    return next(
        child for child in service.processes.processes_of("child") if child.ppid() == worker
    )


def test_a_pause_and_a_resume_change_no_bit(jobs: JobClient, straight: dict[int, Bits]) -> None:
    job_id = jobs.submit(spec())
    jobs.wait_for_tick(job_id, 333)
    jobs.request(job_id, "pause")
    paused = jobs.wait_for(job_id, lambda job: job["status"] == "paused")
    assert paused["latest_checkpoint"] == paused["tick"]
    jobs.request(job_id, "resume")

    assert bits_of(jobs, job_id) == straight[1]


def test_after_a_child_and_the_store_were_replaced_no_process_spins(
    service: ServiceProcess, jobs: JobClient
) -> None:
    """A pool child that kept its parent's sockets would make the parent's epoll return at once."""
    service.processes.kill("child")
    wait_until(lambda: len(service.processes.processes_of("child")) == 2, 15, "new pool children")
    job_id = jobs.submit(small_spec(budget={"ticks": 10**8}, compute={"engine": "eager"}))
    jobs.wait_for_tick(job_id, 1)
    service.processes.kill("store")
    jobs.wait_for_tick(job_id, jobs.wait_for_tick(job_id, 1)["tick"] + 1)
    time.sleep(1)

    workers = service.processes.processes_of("worker")
    before = [sum(worker.cpu_times()[:2]) for worker in workers]
    time.sleep(1)
    used = [sum(w.cpu_times()[:2]) - had for w, had in zip(workers, before, strict=True)]
    jobs.request(job_id, "cancel")
    assert len(used) == 2 and max(used) < 0.5


def test_a_stop_and_a_new_start_change_no_bit(
    service: ServiceProcess, jobs: JobClient, straight: dict[int, Bits]
) -> None:
    job_id = jobs.submit(spec())
    jobs.wait_for_tick(job_id, 100)
    code, seconds, rest = service.stop()
    assert (code, rest, service.processes.living_processes()) == (0, "", [])
    assert seconds < 15

    service.start()

    assert bits_of(jobs, job_id) == straight[1]
    assert jobs.get(job_id)["attempt"] == 2


def test_after_a_sigkill_of_serve_nothing_is_left_and_a_new_start_changes_no_bit(
    service: ServiceProcess, jobs: JobClient, straight: dict[int, Bits]
) -> None:
    job_id = jobs.submit(spec(2))
    jobs.wait_for_tick(job_id, 260)
    service.kill()

    service.start()

    assert bits_of(jobs, job_id) == straight[2]
