"""Resuming on a worker alone, without API: damaged checkpoints, full disks, other machines."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobs.queries import worker_registry
from tests.house import SPEC, TENANT, House
from tests.processes import WorkerProcess
from tests.support import running_store, small_spec, wait_until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as held:
        server = held.enter_context(running_store())
        yield House(server.url, tmp_path_factory.mktemp("workers"), held)


@pytest.fixture(scope="module")
def worker(house: House) -> WorkerProcess:
    return house.worker("usual")


@pytest.fixture(scope="module")
def straight(house: House, worker: WorkerProcess) -> tuple[bytes, str]:
    return house.bits(house.submit())


def test_a_damaged_checkpoint_is_passed_over_and_made_again(
    house: House, straight: tuple[bytes, str]
) -> None:
    job_id = house.paused_at(220)
    newest = house.index.get_checkpoint(TENANT, job_id, "latest")
    weights = house.folder(job_id) / "checkpoints" / newest.folder / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)

    house.resume(job_id)

    assert house.bits(job_id) == straight
    assert f"checkpoint {newest.tick} is damaged" in house.log(job_id)
    assert f"saved checkpoint {newest.tick}, state {newest.state}" in house.log(job_id)
    _, second = house.index.list_attempts(TENANT, job_id)
    assert (second.replayed, second.equal) == (newest.tick - 200, True)


def test_without_any_good_checkpoint_all_is_replayed_from_the_beginning(
    house: House, straight: tuple[bytes, str]
) -> None:
    job_id = house.paused_at(220)
    for manifest in (house.folder(job_id) / "checkpoints").glob("*/manifest.json"):
        manifest.unlink()
    tick = house.job(job_id).tick

    house.resume(job_id)

    assert house.bits(job_id) == straight
    assert house.index.list_attempts(TENANT, job_id)[1].replayed == tick


def test_a_recorded_bit_that_does_not_come_again_fails_the_job_loudly(
    house: House, straight: tuple[bytes, str]
) -> None:
    job_id = house.paused_at(220)
    for manifest in (house.folder(job_id) / "checkpoints").glob("*/manifest.json"):
        manifest.unlink()
    (column,) = house.store.keys(f"*{job_id}*:f32:loss:0")
    house.store.setrange(column, 4 * 99, b"\x00\x00\x80\x3f")  # tick 100: 1.0

    house.resume(job_id)

    job = house.until(job_id, lambda job: job.is_terminal)
    assert job.status == "failed" and job.error is not None
    assert (job.error.type, job.error.tick) == ("diverged", 100)
    assert "recorded as 0000803f" in job.error.detail
    assert house.index.list_attempts(TENANT, job_id)[1].equal is False


def test_checkpoints_that_cannot_be_saved_stop_no_training_but_pause_its_end(
    house: House, straight: tuple[bytes, str]
) -> None:
    slow = small_spec(budget={"ticks": 3000}, compute={"engine": "eager"})
    low = house.submit(slow)  # keeps the worker while we get ready
    job_id = house.submit()
    blocker = house.folder(job_id) / "checkpoints"
    blocker.parent.mkdir(parents=True)
    blocker.touch()

    paused = house.until(job_id, lambda job: job.status == "paused")

    assert (paused.tick, paused.latest_checkpoint) == (600, None)
    assert "checkpoint_error at tick 200" in house.log(job_id)
    blocker.unlink()
    house.resume(job_id)
    assert house.bits(job_id) == straight
    assert house.job(low).status == "succeeded"


def test_a_sigterm_drains_and_another_worker_goes_on(
    house: House, worker: WorkerProcess, straight: tuple[bytes, str]
) -> None:
    job_id = house.submit()
    house.until(job_id, lambda job: job.tick >= 100)

    assert worker.stop() == 0

    job = house.job(job_id)
    assert (job.status, job.latest_checkpoint) == ("queued", job.tick)
    assert worker_registry.live_workers(house.store) == [] and worker.marked.alive() == []
    house.worker("next")
    assert house.bits(job_id) == straight
    first, second = house.index.list_attempts(TENANT, job_id)
    assert (first.outcome, second.replayed, second.equal) == ("drain", 0, None)


def test_a_dead_runners_job_goes_on_before_its_lease_is_over(
    straight: tuple[bytes, str], tmp_path: Path
) -> None:
    with running_store() as server, ExitStack() as held:
        house = House(server.url, tmp_path, held)
        worker = house.worker("patient", TICKFORGE_LEASE_SECONDS="3600")
        job_id = house.submit()
        house.until(job_id, lambda job: job.tick >= 100)
        worker.marked.kill("child")

        assert house.bits(job_id) == straight
        first, second = house.index.list_attempts(TENANT, job_id)
        assert "runner ended" in (first.outcome or "") and second.outcome == "succeeded"


def test_a_worker_with_other_kernels_leaves_a_begun_job_alone_unless_it_is_best_effort(
    house: House, straight: tuple[bytes, str]
) -> None:
    """What torch answers without AVX is another machine's bits, and the canary tells."""
    begun = [house.paused_at(220)]
    spec = {**SPEC, "compute": {"exact": "best_effort"}}
    begun.append(house.submit(spec))
    house.until(begun[1], lambda job: job.tick >= 220)
    house.ledger.request_transition(TENANT, begun[1], "pause")
    house.until(begun[1], lambda job: job.status == "paused")
    for worker in house.workers:
        worker.stop()
    house.worker("other", ATEN_CPU_CAPABILITY="default")

    for job_id in begun:
        house.resume(job_id)

    done = house.until(begun[1], lambda job: job.is_terminal)
    assert (done.status, done.exact) == ("succeeded", False)
    assert done.inexact_from is not None and done.inexact_from > 220
    house.until(begun[0], lambda job: bool(job.queue and job.queue.reason == "fingerprint"))
    house.worker("equal")
    assert house.bits(begun[0]) == straight
    assert house.job(begun[0]).exact


def test_the_end_of_a_worker_s_main_process_is_the_end_of_all_its_processes(house: House) -> None:
    """No supervisor helps here: the kernel and the leashes do it."""
    job_id = house.submit(small_spec(budget={"ticks": 10**8}, compute={"engine": "eager"}))
    owner = house.until(job_id, lambda job: job.tick > 0).worker
    worker = next(each for each in house.workers if each.name == owner)
    roles = ("worker", "child", "template", "trainer")
    assert [len(worker.marked.role(role)) for role in roles] == [1, 1, 1, 1]

    worker.process.kill()

    wait_until(lambda: not worker.marked.alive(), 5)
    house.ledger.request_transition(TENANT, job_id, "cancel")
