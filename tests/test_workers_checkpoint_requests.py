"""Checkpoints on a real worker: asked for, pinned, deleted, refused; the replay audit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_harness import ApiHarness, running_api_harness
from tests.support import small_spec, wait_until
from tests.test_workers_verify import tamper_weights

SPEC = small_spec(
    model={"family": "mlp", "hidden": [16], "dropout": 0.1},
    micro_batches=4,
    validation={"fraction": 0.2, "every_ticks": 50},
    budget={"ticks": 100_000},
    checkpoint={"every_ticks": 100, "keep": 2},
    compute={"engine": "eager"},
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where faults are armed for the worker."""
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory, faults: Path) -> Iterator[ApiHarness]:
    with running_api_harness(tmp_path_factory.mktemp("care")) as harness:
        harness.start_worker("usual", TICKFORGE_FAULTS=str(faults))
        yield harness


def block(faults: Path, point: str, job_id: str) -> Path:
    """Let the job stand still at a point until the returned file, made then, is deleted."""
    armed = faults / f"{point}.tmp"
    armed.write_text(json.dumps({"point": point, "action": "block", "job": job_id}))
    armed.rename(armed.with_suffix(".fault"))
    return armed.with_suffix(".fired")


def path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}/checkpoints"


def paused_at(harness: ApiHarness, job_id: str, tick: int) -> dict[str, Any]:
    harness.wait_for(job_id, lambda job: job["tick"] >= tick)
    harness.request(job_id, "pause")
    return harness.wait_for(job_id, lambda job: job["status"] == "paused")


def ticks(harness: ApiHarness, job_id: str) -> list[int]:
    return [checkpoint["tick"] for checkpoint in harness.checkpoints(job_id)]


def test_a_requested_checkpoint_is_saved_at_once_and_stays_while_it_is_pinned(
    harness: ApiHarness,
) -> None:
    job_id = harness.submit(SPEC)
    harness.wait_for(job_id, lambda job: job["tick"] >= 10)
    response = harness.http.post(path(job_id), json={"name": "by hand", "pinned": True})
    assert (response.status_code, response.json["requested"]) == (202, None)
    wait_until(lambda: any(checkpoint["pinned"] for checkpoint in harness.checkpoints(job_id)), 20)
    (mine,) = (checkpoint for checkpoint in harness.checkpoints(job_id) if checkpoint["pinned"])
    assert mine["name"] == "by hand" and mine["tick"] >= 10

    harness.wait_for(job_id, lambda job: (job["latest_checkpoint"] or 0) >= mine["tick"] + 250)
    assert mine["tick"] in ticks(harness, job_id)
    harness.http.patch(f"{path(job_id)}/{mine['tick']}", json={"pinned": False})
    wait_until(lambda: mine["tick"] not in ticks(harness, job_id), 20)

    job = paused_at(harness, job_id, 0)
    harness.request(job_id, "cancel")
    wait_until(lambda: harness.store.hget(f"job:{{default/{job_id}}}", "sealed"), 10)
    assert harness.job(job_id)["bytes"] == harness.bytes_on_disk(job_id)
    harness.http.delete(f"{path(job_id)}/{job['tick']}")
    assert harness.job(job_id)["bytes"] == harness.bytes_on_disk(job_id)


def test_a_disk_that_refuses_the_checkpoint_is_reported_and_the_request_dropped(
    harness: ApiHarness,
) -> None:
    job_id = harness.submit({**SPEC, "checkpoint": {"every_seconds": 86_400, "keep_best": False}})
    harness.wait_for(job_id, lambda job: job["tick"] >= 1)
    blocker = harness.folder(job_id) / "checkpoints"
    blocker.touch()

    assert harness.http.post(path(job_id)).status_code == 202

    def log_lines() -> list[str]:
        messages = [event["message"] for event in harness.events(job_id, "log")]
        return [line.split(":")[0].split(" at ")[0] for line in messages]

    wanted = ["checkpoint_error", "the checkpoint that was asked for is not made"]
    wait_until(lambda: log_lines() == wanted, 20, "both lines")
    blocker.unlink()
    harness.http.post(path(job_id), json={"name": "now"})
    wait_until(
        lambda: [checkpoint["name"] for checkpoint in harness.checkpoints(job_id)] == ["now"], 20
    )
    harness.request(job_id, "cancel")
    assert harness.wait_for_end(job_id)["status"] == "cancelled"


def test_a_job_resumed_without_its_newest_checkpoint_replays_and_reports_the_comparison(
    harness: ApiHarness,
) -> None:
    job_id = harness.submit(SPEC)
    job = paused_at(harness, job_id, 320)
    *older, newest = ticks(harness, job_id)
    assert newest == job["tick"] == job["latest_checkpoint"]
    start = max(tick for tick in older if tick < newest)
    assert harness.http.delete(f"{path(job_id)}/{newest}").status_code == 204

    harness.request(job_id, "resume")
    harness.wait_for(job_id, lambda seen: seen["tick"] > newest + 10)
    harness.request(job_id, "cancel")

    assert harness.wait_for_end(job_id)["status"] == "cancelled"
    assert newest not in ticks(harness, job_id)
    _, second = harness.attempts(job_id)
    assert (second["replayed"], second["compared"]) == (newest - start, newest - start)
    assert second["equal"] is True and second["digests_compared"] >= 1


def test_a_checkpoint_requested_in_a_replay_is_of_the_ticks_after_the_replay(
    harness: ApiHarness, faults: Path
) -> None:
    job_id = harness.submit(SPEC)
    job = paused_at(harness, job_id, 220)
    harness.http.delete(f"{path(job_id)}/{job['tick']}")
    fired = block(faults, "replay", job_id)

    harness.request(job_id, "resume")
    wait_until(fired.exists, 20, "the replay")
    assert harness.http.post(path(job_id), json={"name": "later"}).status_code == 202
    fired.unlink()
    wait_until(
        lambda: "later" in [checkpoint["name"] for checkpoint in harness.checkpoints(job_id)], 20
    )
    harness.request(job_id, "cancel")

    (named,) = (checkpoint for checkpoint in harness.checkpoints(job_id) if checkpoint["name"])
    assert named["tick"] > job["tick"]


def test_a_job_whose_checkpoint_is_deleted_while_it_loads_replays_without_it(
    harness: ApiHarness, faults: Path
) -> None:
    job_id = harness.submit(SPEC)
    job = paused_at(harness, job_id, 120)
    fired = block(faults, "load", job_id)

    harness.request(job_id, "resume")
    wait_until(fired.exists, 20, "the load")
    assert harness.http.delete(f"{path(job_id)}/{job['tick']}").status_code == 204
    fired.unlink()
    harness.wait_for(job_id, lambda seen: seen["tick"] > job["tick"] + 10)
    harness.request(job_id, "cancel")

    assert harness.wait_for_end(job_id)["status"] == "cancelled"
    outcomes = [attempt["outcome"] for attempt in harness.attempts(job_id)]
    assert outcomes[1] == f"checkpoint {job['tick']} was deleted while it was loaded"
    assert harness.attempts(job_id)[2]["equal"] is True


def test_a_state_that_does_not_come_again_fails_the_job_with_both_values_and_fingerprints(
    harness: ApiHarness,
) -> None:
    job_id = harness.submit(SPEC)
    job = paused_at(harness, job_id, 120)
    harness.http.delete(f"{path(job_id)}/{job['tick']}")
    key = harness.store_key(job_id, "sparse:state:0")
    points = harness.store.getrange(key, 0, -1)
    last = len(points) - 16
    tick = int.from_bytes(points[last : last + 8], "little")
    had = int.from_bytes(points[last + 8 :], "little") ^ 1
    harness.store.setrange(key, last + 8, had.to_bytes(8, "little"))

    harness.request(job_id, "resume")
    failed = harness.wait_for_end(job_id)

    error = failed["error"]
    assert (failed["status"], error["type"], error["tick"]) == ("failed", "diverged", tick)
    for value in (f"{had:016x}", f"{had ^ 1:016x}"):
        assert value in error["detail"]
    assert error["detail"].count(json.dumps(failed["fingerprint"])) == 2
    attempts = harness.attempts(job_id)
    assert attempts[1]["equal"] is False


def test_a_weight_that_is_off_by_one_bit_after_a_load_fails_the_job(harness: ApiHarness) -> None:
    job_id = harness.submit(SPEC)
    job = paused_at(harness, job_id, 20)
    tamper_weights(harness, job_id, job["tick"])

    harness.request(job_id, "resume")
    failed = harness.wait_for_end(job_id)

    assert (failed["error"]["type"], failed["error"]["tick"]) == ("diverged", job["tick"])
    assert "run again on" in failed["error"]["detail"]
    assert harness.attempts(job_id)[1]["equal"] is False
