"""The next job's trainer is forked as the last job ends, which is finalized beside it."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from jobs.store import keys
from tests.needs import CPP_COMPILER, needs
from tests.processes import WorkerProcess, running_fork_server
from tests.support import small_spec, wait_until
from tests.training_records import read_small_spec
from tests.worker_harness import TENANT, WorkerHarness, running_worker_harness
from ticks.engines.graph import build_loop
from workers.forkserver_client import ForkServerProcess, receive_trainer, request_trainer
from workers.trainer_client import TrainerClient
from workers.trainer_supply import TrainerSupply

SHORT = small_spec(budget={"ticks": 3}, compute={"engine": "eager"})
RICH: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [64, 32], "dropout": 0.25},
    "data": {"source": "synthetic", "kind": "regression", "samples": 256, "features": 32},
    "validation": {"fraction": 0.25, "every_ticks": 8},
    "batch_size": 64,
    "budget": {"ticks": 12},
}


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServerProcess]:
    with running_fork_server() as fork_server:
        TrainerSupply(fork_server.socket_path).take(lambda: True).close()  # it has come up
        yield fork_server


@pytest.fixture
def supply(fork_server: ForkServerProcess) -> Iterator[TrainerSupply]:
    supply = TrainerSupply(fork_server.socket_path)
    yield supply
    supply.close()


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    with running_worker_harness(tmp_path_factory.mktemp("supply")) as harness:
        yield harness


@pytest.fixture(scope="module")
def worker(harness: WorkerHarness) -> WorkerProcess:
    return harness.start_worker("usual", TICKFORGE_FAULTS=str(harness.faults))


def children(pid: int | None) -> list[int]:
    """Return the trainers of a fork server that have not ended."""
    return [child.pid for child in psutil.Process(pid).children() if not has_ended(child.pid)]


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_and_wait(pid: int) -> None:
    """Kill a process and wait for all its threads, which a zombie's state does not tell of.

    Until then its sockets are open.
    """
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)


def is_idle(pid: int) -> bool:
    """Return whether a process sleeps, at five looks in a row."""
    looks = [psutil.Process(pid).status() for _ in range(5) if not time.sleep(0.01)]
    return set(looks) == {psutil.STATUS_SLEEPING}


@contextmanager
def two_jobs(harness: WorkerHarness) -> Iterator[tuple[str, str]]:
    """Yield two jobs, the first of which is not built before the context's end."""
    fired = harness.arm("build", "block")
    first = harness.submit(SHORT)
    wait_until(fired.exists, 20)
    yield first, harness.submit(SHORT)
    fired.unlink()


def results(fork_server: ForkServerProcess, warm_up: str, spec: dict[str, Any]) -> list[Any]:
    """Return columns and state digest of a trainer that warmed up for an engine, or did not."""
    with request_trainer(fork_server.socket_path, warm_up=warm_up) as request:
        process = receive_trainer(request)
    wait_until(lambda: is_idle(process.pid), 20)  # a command would end the warming up
    trainer = TrainerClient(process.connection)
    built = trainer.build(read_small_spec(**spec).to_stored(), "cpu", None)
    chunk = trainer.run(8, digest=True)
    process.close()
    columns = {name: values.tobytes() for name, values in chunk.columns.items()}
    return [built["engine"], columns, sorted(map(repr, chunk.sparse))]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("engine", ["eager", pytest.param("graph", marks=needs(CPP_COMPILER))])
def test_a_trainer_that_warmed_up_gives_the_bits_of_a_fresh_one(
    fork_server: ForkServerProcess, engine: str, threads: int
) -> None:
    if engine == "graph":
        build_loop.find_or_compile()  # else it warms up for eager
    spec = {**RICH, "compute": {"engine": engine, "threads": threads}}
    fresh = results(fork_server, "", spec)
    assert fresh[0] == engine and results(fork_server, engine, spec) == fresh


def test_a_trainer_that_was_forked_ahead_is_taken_and_one_that_died_is_not(
    fork_server: ForkServerProcess, supply: TrainerSupply
) -> None:
    taken = []
    for is_killed in (False, True):
        supply.fork_ahead("eager")
        wait_until(lambda: len(children(fork_server.pid)) == 1, 10)
        (ahead,) = children(fork_server.pid)
        if is_killed:
            kill_and_wait(ahead)
            wait_until(lambda: not children(fork_server.pid), 10)
        process = supply.take(never)
        TrainerClient(process.connection).canary(1, "cpu")
        taken.append(process.pid == ahead)
        process.close()
    assert taken == [True, False]


def test_a_trainer_ahead_ends_when_it_is_let_go(
    fork_server: ForkServerProcess, supply: TrainerSupply
) -> None:
    supply.fork_ahead("eager")
    wait_until(lambda: len(children(fork_server.pid)) == 1, 10)
    supply.close()
    wait_until(lambda: not children(fork_server.pid), 10)


def test_a_trainer_is_waited_for_before_the_next_one_gets_its_job(
    fork_server: ForkServerProcess, supply: TrainerSupply
) -> None:
    first = supply.take(never)
    with supply.ending(first):
        pass
    second = supply.take(never)
    with pytest.raises(OSError):
        os.fstat(first.pidfd)  # closed once its process had ended
    second.close()


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_the_next_jobs_trainer_is_there_before_its_claim_and_an_idle_worker_holds_none(
    harness: WorkerHarness, worker: WorkerProcess, is_cancelled: bool
) -> None:
    (fork_server,) = worker.processes.processes_of("template")
    with two_jobs(harness) as (first, second):
        finishing = harness.arm("store:finish:before", "block", job=first)
    wait_until(finishing.exists, 20)
    wait_until(lambda: len(children(fork_server.pid)) == 1, 10)  # the first one's has ended
    ahead = children(fork_server.pid)
    if is_cancelled:
        harness.ledger.request_transition(TENANT, second, "cancel")
    else:
        building = harness.arm("build", "block", job=second)
    finishing.unlink()
    if not is_cancelled:
        wait_until(building.exists, 20)
        assert children(fork_server.pid) == ahead
        building.unlink()
    for job_id in (first, second):
        harness.wait_for(job_id, lambda job: job.is_terminal)
    wait_until(lambda: not children(fork_server.pid), 10)


def test_a_job_trains_while_the_one_before_it_is_finalized(
    harness: WorkerHarness, worker: WorkerProcess
) -> None:
    with two_jobs(harness) as (first, second):
        fired = harness.arm("segment:write", "block", job=first)
    assert harness.wait_for(second, lambda job: job.is_terminal).status == "succeeded"
    assert fired.exists()  # a thread of the runner still stands there
    fired.unlink()
    wait_until(lambda: not harness.store.scard(keys.UNFINALIZED_JOBS), 20)
    for job_id in (first, second):
        assert (harness.files.job_folder(TENANT, job_id) / "history" / "loss").is_dir()
