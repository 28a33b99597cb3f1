"""Large states are written while the training goes on: the same files, and nothing half done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from jobs.archive.jobs import JobArchive
from jobs.files.checkpoint_folders import files_match
from jobs.ledger.checkpoint_requests import CheckpointRequests
from jobs.ledger.checkpoint_set import RequestedCheckpoint
from jobs.store import keys
from tests.histories import recorded_points
from tests.support import small_spec, wait_until
from tests.training_records import read_small_spec, start_training
from tests.worker_harness import TENANT, WorkerHarness, running_worker_harness
from ticks import state_files
from ticks.process.state_writer import MIN_BYTES, BackgroundStateWriter

#: 0.7 million parameters, with Adam's moments a little more than what is saved in the background
BIG: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [840, 840], "dropout": 0.1},
    "batch_size": 2,
    "compute": {"engine": "eager"},
}
SPEC = small_spec(
    **BIG,
    budget={"ticks": 160},
    validation={"fraction": 0.25, "every_ticks": 10},
    checkpoint={"every_ticks": 40, "every_seconds": None, "keep": 10, "keep_best": False},
)


def test_a_copy_is_the_state_of_its_tick_whatever_comes_after(tmp_path: Path) -> None:
    training, writer = start_training(read_small_spec(**BIG)), BackgroundStateWriter()
    training.run(3)
    for name in ("at once", "background"):
        (tmp_path / name).mkdir()
    at_once = state_files.save(training, tmp_path / "at once")
    assert writer.start(state_files.capture(training), tmp_path / "background")
    for _ in range(5):
        training.run(1)

    assert writer.poll(wait=True) == at_once and at_once["tick"] == 3
    for file in (tmp_path / "at once").iterdir():
        assert (tmp_path / "background" / file.name).read_bytes() == file.read_bytes()
    assert writer.poll() is None


def test_the_room_for_a_copy_is_made_behind_the_first_tick_and_used_again(tmp_path: Path) -> None:
    training, writer = start_training(read_small_spec(**BIG)), BackgroundStateWriter()
    training.run(1)
    writer.preallocate(training)
    assert writer._copy_buffer is not None
    room = writer._copy_buffer.result().data_ptr()
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        assert writer.start(state_files.capture(training), tmp_path / str(number))
        writer.poll(wait=True)
        training.run(1)
    assert writer._copy_buffer.result().data_ptr() == room


def test_a_small_state_is_not_worth_a_copy(tmp_path: Path) -> None:
    training, writer = start_training(read_small_spec()), BackgroundStateWriter()
    training.run(1)
    assert (
        not writer.start(state_files.capture(training), tmp_path) and list(tmp_path.iterdir()) == []
    )


def test_an_error_of_a_background_save_is_raised_when_it_is_polled(tmp_path: Path) -> None:
    training, writer = start_training(read_small_spec(**BIG)), BackgroundStateWriter()
    training.run(1)
    assert writer.start(state_files.capture(training), tmp_path / "missing")
    with pytest.raises(SafetensorError, match="missing"):
        writer.poll(wait=True)
    assert writer.poll(wait=True) is None


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    with running_worker_harness(tmp_path_factory.mktemp("background")) as harness:
        harness.start_worker("usual", TICKFORGE_FAULTS=str(harness.faults))
        yield harness


@pytest.fixture(scope="module")
def straight(harness: WorkerHarness) -> tuple[bytes, str]:
    spec = {**SPEC, "checkpoint": {"every_ticks": None, "every_seconds": None}}
    return harness.result_bits(harness.submit(spec))


def digests(harness: WorkerHarness, job_id: str) -> dict[str, list[Any]]:
    return recorded_points(harness.history, harness.job(job_id))


def only_named_folders(harness: WorkerHarness, job_id: str) -> bool:
    """Whether each folder of the job is a committed checkpoint's, and each of those is whole."""
    checkpoints = harness.index.list_checkpoints(TENANT, job_id)
    folders = {item.name for item in (harness.folder(job_id) / "checkpoints").iterdir()}
    assert all(files_match(harness.files, TENANT, job_id, item) for item in checkpoints)
    return folders == {item.folder for item in checkpoints}


def test_background_checkpoints_change_no_bit_and_hold_the_states_of_their_ticks(
    harness: WorkerHarness, straight: tuple[bytes, str], tmp_path: Path
) -> None:
    assert 12 * read_small_spec(**SPEC).parameters > MIN_BYTES
    fired = harness.arm("checkpoint:fsync", "delay", seconds=0.5)  # ticks are validated meanwhile
    job_id = harness.submit(SPEC)

    assert harness.result_bits(job_id) == straight and fired.exists()
    by_tick = {
        committed.tick: committed for committed in harness.index.list_checkpoints(TENANT, job_id)
    }
    assert list(by_tick) == [40, 80, 120, 160] and only_named_folders(harness, job_id)
    recorded = digests(harness, job_id)
    assert recorded["tick"] == sorted(recorded["tick"]) and set(by_tick) <= set(recorded["tick"])
    training = start_training(read_small_spec(**SPEC))
    while training.ticks_done < 40:
        training.run(40 - training.ticks_done)
    saved = state_files.save(training, tmp_path)
    assert saved["state"] == by_tick[40].state == recorded["value"][recorded["tick"].index(40)]


def test_a_trainer_killed_during_a_background_save_loses_no_bit(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    fired = [harness.arm("checkpoint:write", "kill", nth=nth) for nth in (2, 9)]
    job_id = harness.submit(SPEC)

    assert harness.result_bits(job_id) == straight
    assert all(fired_file.exists() for fired_file in fired) and harness.job(job_id).attempt == 3
    wait_until(lambda: only_named_folders(harness, job_id), 10)


def test_a_runner_killed_while_it_completes_a_checkpoint_loses_no_bit(
    harness: WorkerHarness, straight: tuple[bytes, str]
) -> None:
    fired = harness.arm("checkpoint:rename", "kill")
    job_id = harness.submit(SPEC)

    assert harness.result_bits(job_id) == straight and fired.exists()
    wait_until(lambda: only_named_folders(harness, job_id), 10)


@pytest.mark.parametrize("point", ["checkpoint:write", "checkpoint:rename"])
def test_a_full_disk_in_a_background_save_is_reported_and_costs_no_tick(
    harness: WorkerHarness, straight: tuple[bytes, str], point: str
) -> None:
    fired = harness.arm(point, "enospc")
    job_id = harness.submit(SPEC)

    assert harness.result_bits(job_id) == straight and fired.exists()
    error_lines = [text for level, text in harness.log_events(job_id) if level == "error"]
    assert len(error_lines) == 1 and error_lines[0].startswith("checkpoint_error")
    assert harness.job(job_id).attempt == 1 and only_named_folders(harness, job_id)


ENDLESS = {**SPEC, "budget": {"ticks": 100_000}, "validation": None}


@pytest.mark.parametrize("verb", ["cancel", "pause", "stop"])
def test_a_request_during_a_background_save_leaves_nothing_half_done(
    harness: WorkerHarness, verb: Any
) -> None:
    fired = harness.arm("checkpoint:fsync", "block")
    job_id = harness.submit(ENDLESS)
    wait_until(fired.exists, 20)
    harness.ledger.request_transition(TENANT, job_id, verb)
    if verb != "cancel":  # which alone does not wait for the save
        fired.unlink()
    ends = {"cancel": "cancelled", "pause": "paused", "stop": "succeeded"}
    job = harness.wait_for(job_id, lambda job: job.status == ends[verb])
    fired.unlink(missing_ok=True)

    wait_until(lambda: only_named_folders(harness, job_id), 10)
    checkpoint_ticks = [
        checkpoint.tick for checkpoint in harness.index.list_checkpoints(TENANT, job_id)
    ]
    assert checkpoint_ticks == ([] if verb == "cancel" else [40, job.tick])


def test_a_client_that_asks_for_a_large_checkpoint_gets_one_of_that_moment(
    harness: WorkerHarness,
) -> None:
    job_id = harness.submit({**ENDLESS, "checkpoint": {"every_ticks": None, "every_seconds": None}})
    requested_at = harness.wait_for(job_id, lambda job: job.tick >= 10).tick
    fired = harness.arm("checkpoint:fsync", "block")
    requests = CheckpointRequests(
        harness.store, harness.files, JobArchive(harness.store, harness.files)
    )
    by_hand = RequestedCheckpoint("by hand", pinned=True)
    requests.request(TENANT, job_id, by_hand, lambda job: job.model_dump_json())
    wait_until(fired.exists, 20)
    saved_from = harness.job(job_id).tick
    harness.wait_for(job_id, lambda job: job.tick > saved_from)  # it trains while the disk is slow
    fired.unlink()
    wait_until(lambda: harness.index.list_checkpoints(TENANT, job_id), 20)
    (requested,) = harness.index.list_checkpoints(TENANT, job_id)

    assert (requested.name, requested.pinned) == ("by hand", True)
    assert requested_at <= requested.tick < harness.job(job_id).tick
    assert not harness.store.hexists(keys.job(TENANT, job_id), "wanted")
    harness.ledger.request_transition(TENANT, job_id, "cancel")
