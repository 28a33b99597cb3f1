"""An API process that is killed between two steps of a fork leaves the job whole, or nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import redis

from jobs.files.artifacts import ArtifactStore
from jobs.job_deletion import JobDeletion
from jobs.settings import Settings
from jobs.store import keys
from tests.api_process import running_api
from tests.manual_worker import ManualWorker
from tests.support import small_spec, wait_until
from tests.test_api_forks import PROBLEM, parent

__all__ = ["parent"]
TENANT = "default"
#: (fault point, how often a fork passes it before)
STEPS = [
    ("fork:held", 1), ("fork:copy", 1), ("fork:copy", 3), ("file:fsync", 1), ("file:rename", 1),
    ("checkpoint:share", 1), ("fork:copy", 8), ("fork:publish", 1), ("fork:published", 1),
    ("store:submit:before", 1), ("store:submit:after", 1), ("api:recorded", 1),
    ("archive:rename", 1), ("api:answered", 1),
]  # fmt: skip


INIT_STEPS = ("fork:held", "fork:copy", "fork:published", "store:submit:after", "api:recorded")


def names_on_disk(settings: Settings) -> set[str]:
    return {path.name for path in (settings.artifacts / TENANT).iterdir()}


def end_what_is_half_done(store: "redis.Redis", settings: Settings) -> None:
    """Do what a worker does a minute after a process has died."""
    for member in store.zrange(keys.PENDING_JOB_REMOVALS, 0, -1):  # type: ignore[union-attr]
        store.zadd(keys.PENDING_JOB_REMOVALS, {member: 1})
    JobDeletion(store, ArtifactStore(settings.artifacts)).complete_interrupted()


def send_fork(http: httpx.Client, job_id: str, key: str) -> "httpx.Response | None":
    return send(http, f"/v1/jobs/{job_id}/fork", {"tick": 12}, key)


def send(http: httpx.Client, path: str, body: Any, key: str) -> "httpx.Response | None":
    try:
        return http.post(path, json=body, headers={"Idempotency-Key": key})
    except httpx.TransportError:
        return None


def test_a_kill_at_any_step_leaves_a_whole_fork_or_nothing(
    parent: str, store: "redis.Redis", settings: Settings, store_server: str, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    env = {"TICKFORGE_API_PROCESSES": "1", "TICKFORGE_FAULTS": str(faults)}
    with running_api(store_server, settings.artifacts.parent, **env) as http:
        for number, (point, nth) in enumerate(STEPS):
            fault = faults / f"{number}.fault"
            fault.write_text(json.dumps({"point": point, "action": "kill", "nth": nth}))
            assert send_fork(http, parent, f"k{number}") is None, point
            assert not fault.exists(), f"{point} was not passed {nth} times"
            end_what_is_half_done(store, settings)
            new_jobs = {job["id"] for job in wait_for_jobs(http)} - {parent}
            assert names_on_disk(settings) == {parent, *new_jobs}, point
            assert store.zcard(keys.PENDING_JOB_REMOVALS) == 0

            again = wait_until(lambda key=f"k{number}": send_fork(http, parent, key), 20)
            assert again.status_code == 202, again.text
            assert new_jobs <= {again.json()["id"]}, point
            check_whole(http, again.json()["id"])
            remove(http, again.json()["id"])
        assert names_on_disk(settings) == {parent}


def test_a_kill_at_any_step_leaves_a_job_with_its_first_weights_or_nothing(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings,
    store_server: str, tmp_path: Path,
) -> None:  # fmt: skip
    source = submit()
    worker = ManualWorker(store, settings)
    header = json.dumps({"0.weight": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}})
    weights = len(header).to_bytes(8, "little") + header.encode() + bytes(range(48))
    worker.record([1.0] * 20)
    worker.save(weights, is_final=True)
    worker.end(stopped_by="budget")
    body, faults = small_spec(init={"job": source, "strict": False}), tmp_path / "faults"
    faults.mkdir()
    env = {"TICKFORGE_API_PROCESSES": "1", "TICKFORGE_FAULTS": str(faults)}
    with running_api(store_server, settings.artifacts.parent, **env) as http:
        for point in INIT_STEPS:
            fault = faults / f"{point}.fault"
            fault.write_text(json.dumps({"point": point, "action": "kill"}))
            assert send(http, "/v1/jobs", body, point) is None, point
            end_what_is_half_done(store, settings)
            new_jobs = {job["id"] for job in wait_for_jobs(http)} - {source}
            assert names_on_disk(settings) == {source, *new_jobs}, point

            again = wait_until(lambda key=point: send(http, "/v1/jobs", body, key), 20)
            assert again.status_code == 202, again.text
            job = again.json()
            assert new_jobs <= {job["id"]} and job["spec"]["init"]["tick"] == 20, point
            assert job["bytes"] == len(weights)
            copies = [path for path in settings.artifacts.glob(f"{TENANT}/{job['id']}/init/*")]
            assert [path.read_bytes() for path in copies] == [weights], point
            remove(http, job["id"])
        assert names_on_disk(settings) == {source}


def wait_for_jobs(http: httpx.Client) -> list[dict[str, Any]]:
    """List all jobs, once a process of the API is there again."""

    def list_jobs() -> "list[dict[str, Any]] | None":
        try:
            return list(http.get("/v1/jobs").json()["data"])
        except httpx.TransportError:
            return None

    return wait_until(list_jobs, 20) or []


def check_whole(http: httpx.Client, job_id: str) -> None:
    job = http.get(f"/v1/jobs/{job_id}").json()
    assert (job["status"], job["tick"], job["first_tick"]) == ("queued", 12, 13)
    assert len(http.get(f"/v1/jobs/{job_id}/history?lineage=true").json()["tick"]) == 12
    for checkpoint in http.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]:
        for file in checkpoint["files"]:
            path = f"/v1/jobs/{job_id}/checkpoints/{checkpoint['tick']}/files/{file['name']}"
            assert len(http.get(path).raise_for_status().content) == file["bytes"]


def remove(http: httpx.Client, job_id: str) -> None:
    http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 204


def test_a_copy_that_stood_still_too_long_makes_no_job(
    client: Any, parent: str, store: "redis.Redis", settings: Settings, monkeypatch: Any
) -> None:
    """Its files may be gone: a worker has taken them for those of a dead process."""
    from jobs.forks import held_folder

    publish: Callable[..., None] = held_folder.HeldFolder.publish

    def publish_late(folder: held_folder.HeldFolder) -> None:
        publish(folder)
        (member,) = store.zrange(keys.PENDING_JOB_REMOVALS, 0, -1)  # type: ignore[misc]
        store.zincrby(keys.PENDING_JOB_REMOVALS, -31_000, member)

    monkeypatch.setattr(held_folder.HeldFolder, "publish", publish_late)
    response = client.post(f"/v1/jobs/{parent}/fork", json={"tick": 12})
    assert (response.status_code, response.json["type"]) == (503, PROBLEM + "disk-away")
    assert names_on_disk(settings) == {parent}
    assert [job["id"] for job in client.get("/v1/jobs").json["data"]] == [parent]
