"""Resuming on a worker alone, without API: damaged checkpoints, full disks, other machines."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.queries import worker_registry
from tests.damage import flipped_bit
from tests.process_pipes import unread_bytes
from tests.processes import WorkerProcess, send_signal
from tests.support import small_spec, wait_until
from tests.worker_harness import SPEC, TENANT, WorkerHarness, running_worker_harness


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    with running_worker_harness(tmp_path_factory.mktemp("workers")) as harness:
        yield harness


@pytest.fixture(scope="module")
def worker(harness: WorkerHarness) -> WorkerProcess:
    return harness.start_worker("usual")


@pytest.fixture(scope="module")
def straight(harness: WorkerHarness, worker: WorkerProcess) -> tuple[bytes, str]:
    return harness.result_bits(harness.submit())


def test_a_damaged_checkpoint_is_passed_over_and_made_again(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    job_id = harness.pause_at(220)
    newest = harness.index.get_checkpoint(TENANT, job_id, "latest")
    weights = harness.folder(job_id) / "checkpoints" / newest.folder / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)

    harness.resume(job_id)

    assert harness.result_bits(job_id) == straight
    assert f"checkpoint {newest.tick} is damaged" in harness.read_log(job_id)
    assert f"saved checkpoint {newest.tick}, state {newest.state}" in harness.read_log(job_id)
    _, second = harness.index.list_attempts(TENANT, job_id)
    assert (second.replayed, second.equal) == (newest.tick - 200, True)


def test_a_job_without_a_good_checkpoint_is_replayed_from_the_beginning(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    job_id = harness.pause_at(220)
    for manifest in (harness.folder(job_id) / "checkpoints").glob("*/manifest.json"):
        manifest.unlink()
    tick = harness.job(job_id).tick

    harness.resume(job_id)

    assert harness.result_bits(job_id) == straight
    assert harness.index.list_attempts(TENANT, job_id)[1].replayed == tick


def test_damaged_code_for_clients_costs_a_resume_no_tick(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    """All checkpoints share that file: if it counted, none would be left to resume from."""
    job_id = harness.pause_at(220)
    (code,) = (harness.folder(job_id) / "code").iterdir()
    with flipped_bit(code):
        harness.resume(job_id)
        assert harness.result_bits(job_id) == straight
    assert harness.index.list_attempts(TENANT, job_id)[1].replayed == 0


def test_a_recorded_bit_that_does_not_come_again_fails_the_job_loudly(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    job_id = harness.pause_at(220)
    for manifest in (harness.folder(job_id) / "checkpoints").glob("*/manifest.json"):
        manifest.unlink()
    (column,) = harness.store.keys(f"*{job_id}*:f32:loss:0")
    harness.store.setrange(column, 4 * 99, b"\x00\x00\x80\x3f")  # tick 100: 1.0

    harness.resume(job_id)

    job = harness.wait_for(job_id, lambda job: job.is_terminal)
    assert job.status == "failed" and job.error is not None
    assert (job.error.type, job.error.tick) == ("diverged", 100)
    assert "recorded as 3f800000 (1.0), computed again" in job.error.detail
    assert harness.index.list_attempts(TENANT, job_id)[1].equal is False


def test_checkpoints_that_cannot_be_saved_stop_no_training_but_pause_its_end(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    slow = small_spec(budget={"ticks": 3000}, compute={"engine": "eager"})
    low = harness.submit(slow)  # keeps the worker while we get ready
    job_id = harness.submit()
    blocker = harness.folder(job_id) / "checkpoints"
    blocker.parent.mkdir(parents=True)
    blocker.touch()

    paused = harness.wait_for(job_id, lambda job: job.status == "paused")

    assert (paused.tick, paused.latest_checkpoint) == (600, None)
    assert "checkpoint_error at tick 200" in harness.read_log(job_id)
    blocker.unlink()
    harness.resume(job_id)
    assert harness.result_bits(job_id) == straight
    assert harness.job(low).status == "succeeded"


def test_a_sigterm_drains_and_another_worker_goes_on(
    harness: WorkerHarness, worker: WorkerProcess, straight: tuple[bytes, str]
) -> None:
    job_id = harness.submit()
    harness.wait_for(job_id, lambda job: job.tick >= 100)

    assert worker.stop() == 0

    job = harness.job(job_id)
    assert (job.status, job.latest_checkpoint) == ("queued", job.tick)
    assert (
        worker_registry.live_workers(harness.store) == []
        and worker.processes.living_processes() == []
    )
    harness.start_worker("next")
    assert harness.result_bits(job_id) == straight
    first, second = harness.index.list_attempts(TENANT, job_id)
    assert (first.outcome, second.replayed, second.equal) == ("drain", 0, None)


def test_a_dead_runners_job_goes_on_before_its_lease_is_over(
    straight: tuple[bytes, str], tmp_path: Path
) -> None:
    with running_worker_harness(tmp_path) as harness:
        worker = harness.start_worker("patient", TICKFORGE_LEASE_SECONDS="3600")
        job_id = harness.submit()
        harness.wait_for(job_id, lambda job: job.tick >= 100)
        worker.processes.kill("child")

        assert harness.result_bits(job_id) == straight
        first, second = harness.index.list_attempts(TENANT, job_id)
        assert "runner ended" in (first.outcome or "") and second.outcome == "succeeded"


def test_a_worker_with_other_kernels_leaves_a_begun_job_alone_unless_it_is_best_effort(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    """What torch answers without AVX is another machine's bits, and the canary tells."""
    begun = [harness.pause_at(220)]
    spec = {**SPEC, "compute": {**SPEC["compute"], "exact": "best_effort"}}
    begun.append(harness.submit(spec))
    harness.wait_for(begun[1], lambda job: job.tick >= 220)
    harness.ledger.request_transition(TENANT, begun[1], "pause")
    harness.wait_for(begun[1], lambda job: job.status == "paused")
    for worker in harness.workers:
        worker.stop()
    harness.start_worker("other", ATEN_CPU_CAPABILITY="default")

    for job_id in begun:
        harness.resume(job_id)

    completed = harness.wait_for(begun[1], lambda job: job.is_terminal)
    assert (completed.status, completed.exact) == ("succeeded", False)
    assert completed.inexact_from is not None and completed.inexact_from > 220
    harness.wait_for(begun[0], lambda job: bool(job.queue and job.queue.reason == "fingerprint"))
    harness.start_worker("equal")
    assert harness.result_bits(begun[0]) == straight
    assert harness.job(begun[0]).exact


def test_a_worker_ends_though_a_wake_up_is_on_its_way_to_its_pool_child(
    harness: WorkerHarness, worker: WorkerProcess
) -> None:
    """Celery forgets it, and its child would wait 30 s for somebody to read its result."""
    worker = harness.workers[-1]
    (child,) = worker.processes.processes_of("child")
    wait_until(lambda: harness.idle_workers() == len(harness.living_workers()), 30)
    send_signal(child, signal.SIGSTOP)
    wait_until(lambda: unread_bytes(child.pid) or harness.wake_workers(), 30)
    wake_up = unread_bytes(child.pid)

    worker.process.terminate()

    wait_until(lambda: unread_bytes(child.pid) > wake_up, 30)  # the pool says that it closes
    send_signal(child, signal.SIGCONT)
    assert worker.process.wait(15) == 0


def test_the_end_of_a_worker_s_main_process_is_the_end_of_all_its_processes(
    harness: WorkerHarness,
) -> None:
    """No supervisor helps here: the kernel and the closed sockets do it."""
    job_id = harness.submit(small_spec(budget={"ticks": 10**8}, compute={"engine": "eager"}))
    owner = harness.wait_for(job_id, lambda job: job.tick > 0).worker
    worker = next(
        started_worker for started_worker in harness.workers if started_worker.name == owner
    )
    roles = ("worker", "child", "template", "trainer")
    assert [len(worker.processes.processes_of(role)) for role in roles] == [1, 1, 1, 1]

    worker.process.kill()

    wait_until(lambda: not worker.processes.living_processes(), 5)
    harness.ledger.request_transition(TENANT, job_id, "cancel")


def test_a_worker_ends_though_its_fork_server_has_not_come_up(harness: WorkerHarness) -> None:
    """Before it claims, a runner waits for a canary, but not when it is to leave."""
    worker = harness.add_worker("early")
    wait_until(lambda: worker.processes.processes_of("template"), 30)
    send_signal(worker.processes.processes_of("template")[0], signal.SIGSTOP)
    wait_until(lambda: worker.processes.processes_of("child"), 30)
    (child,) = worker.processes.processes_of("child")
    harness.wake_workers()
    wait_until(
        lambda: child.num_ctx_switches().voluntary > 100, 30
    )  # it asks twenty times a second

    assert worker.stop() == 0
