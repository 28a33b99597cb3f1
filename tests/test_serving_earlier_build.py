"""A data folder of the build before: its jobs start, resume and verify equal, as they were meant.

`data/data_folder_of_revision_1.tar.gz` are the artifacts that a service of the first revision of
specs left behind when it was killed: a regression whose target nobody scaled, with a constant
column and 0.29 of 100 rows held out; classes {0, 5, 9} in the body under a seed of 2^40; a paused
job and a queued one. The store is rebuilt from them.
"""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import JobClient, ServiceProcess
from tests.support import ROOT, wait_until

FOLDER = ROOT / "tests" / "data" / "data_folder_of_revision_1.tar.gz"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service of this build on the folder of the build before."""
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "data").mkdir()
    with tarfile.open(FOLDER) as archive:
        archive.extractall(folder / "data", filter="data")
    service = ServiceProcess(folder)
    rebuild = [sys.executable, "-m", "serving.rebuild", "--data", str(folder / "data")]
    env = service.processes.make_environment(folder)
    subprocess.run(rebuild, cwd=ROOT, env=env, check=True, capture_output=True, timeout=60)
    try:
        service.start()
        yield service
    finally:
        service.end()


@pytest.fixture(scope="module")
def jobs(service: ServiceProcess) -> dict[str, dict[str, Any]]:
    """The folder's jobs by name, the queued one run to its end."""
    with service.http as http:
        listed = {job["name"]: job for job in http.get("/v1/jobs").json()["data"]}
    JobClient(service).wait_for_end(listed["queued"]["id"])
    return listed


def certificate(service: ServiceProcess, job_id: str) -> dict[str, Any]:
    """The certificate of a verify of all ticks of a job."""
    with service.http as http:
        verify = http.post(f"/v1/jobs/{job_id}/verify").raise_for_status().json()["id"]
    result: dict[str, Any] = JobClient(service).wait_for_end(verify)["result"]
    return result


def needs_the_same_machine(service: ServiceProcess, jobs: dict[str, dict[str, Any]]) -> None:
    """Skip where the folder's bits belong to another processor or another release of torch."""
    recorded = jobs["regression"]["fingerprint"]
    here = JobClient(service).get(jobs["queued"]["id"])["fingerprint"]
    if recorded != here:
        pytest.skip(f"the ticks were made on {recorded}, here is {here}")


def test_what_a_stored_spec_lacks_has_the_defaults_of_its_time(
    jobs: dict[str, dict[str, Any]],
) -> None:
    assert jobs["regression"]["spec"]["data"]["standardize_target"] is False
    assert jobs["regression"]["spec"]["validation"]["split"] == "random"
    assert jobs["regression"]["warnings"] == []
    assert jobs["inline"]["spec"]["seed"] == 2**40
    assert jobs["paused"]["status"] == "paused"
    assert jobs["regression"]["status"] == jobs["inline"]["status"] == "succeeded"


def test_a_job_that_was_queued_trains_as_it_was_meant(
    service: ServiceProcess, jobs: dict[str, dict[str, Any]]
) -> None:
    job = JobClient(service).get(jobs["queued"]["id"])

    assert (job["status"], job["tick"]) == ("succeeded", 100)
    assert job["spec"]["validation"]["split"] == "random"


@pytest.mark.parametrize("name", ["regression", "inline"])
def test_ended_jobs_verify_equal(
    service: ServiceProcess, jobs: dict[str, dict[str, Any]], name: str
) -> None:
    needs_the_same_machine(service, jobs)

    assert certificate(service, jobs[name]["id"])["verdict"] == "equal"


def test_a_paused_job_resumes_and_verifies_equal(
    service: ServiceProcess, jobs: dict[str, dict[str, Any]]
) -> None:
    needs_the_same_machine(service, jobs)
    client, paused = JobClient(service), jobs["paused"]

    client.request(paused["id"], "resume")
    client.wait_for_tick(paused["id"], paused["tick"] + 100)
    client.request(paused["id"], "stop")
    ended = client.wait_for_end(paused["id"])
    assert (ended["status"], ended["exact"], ended["stopped_by"]) == ("succeeded", True, "user")
    assert certificate(service, paused["id"])["verdict"] == "equal"


def test_a_new_job_on_the_old_dataset_has_the_defaults_of_today(
    service: ServiceProcess, jobs: dict[str, dict[str, Any]]
) -> None:
    data = {"source": "dataset", "id": jobs["paused"]["spec"]["data"]["id"], "target": "y"}
    spec = {"model": {"family": "mlp", "hidden": [4]}, "data": data, "budget": {"ticks": 5}}
    client = JobClient(service)
    ended = client.wait_for_end(client.submit(spec))

    assert ended["status"] == "succeeded" and ended["spec"]["data"]["standardize_target"] is True


def test_the_folder_is_whole(service: ServiceProcess, jobs: dict[str, dict[str, Any]]) -> None:
    with service.http as http:
        for name in ("regression", "inline"):
            history = http.get(f"/v1/jobs/{jobs[name]['id']}/history").raise_for_status().json()
            assert history["complete"] and history["tick"][-1] == jobs[name]["tick"]
        listed = http.get(f"/v1/jobs/{jobs['regression']['id']}/checkpoints").json()["data"]
    assert [checkpoint["tick"] for checkpoint in listed] == [100, 200]
    folder = Path(service.folder / "data" / "artifacts" / "default")
    wait_until(lambda: (folder / jobs["queued"]["id"] / "checkpoints").is_dir(), 10)


def test_old_jobs_are_forked_and_extended_and_mean_what_they_meant(
    service: ServiceProcess, jobs: dict[str, dict[str, Any]]
) -> None:
    needs_the_same_machine(service, jobs)
    parent, inline = jobs["regression"], jobs["inline"]
    with service.http as http:
        forked = http.post(f"/v1/jobs/{parent['id']}/fork", json={"tick": 100})
        child = JobClient(service).wait_for_end(forked.raise_for_status().json()["id"])
        assert child["status"] == "succeeded", child["error"]
        lines = [
            http.get(f"/v1/jobs/{job['id']}/history?after=100&columns=loss,val_loss").json()
            for job in (child, parent)
        ]
        budget = {"budget": {"ticks": inline["tick"] + 20}}
        response = http.post(f"/v1/jobs/{inline['id']}/extend", json=budget)
        longer = JobClient(service).wait_for_end(response.raise_for_status().json()["id"])
    assert child["spec"] == parent["spec"]
    assert lines[0]["loss"] == lines[1]["loss"] and len(lines[0]["loss"]) == 100
    assert lines[0]["val_loss"] == lines[1]["val_loss"]
    assert (longer["tick"], longer["spec"]["seed"]) == (inline["tick"] + 20, 2**40)
    assert certificate(service, longer["id"])["verdict"] == "equal"
