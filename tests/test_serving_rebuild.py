"""serve.py on its own store: neither an API killed in a submission nor a rebuild loses a job."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import JobClient, ServiceProcess, running_service
from tests.support import ROOT, small_spec, wait_until

#: between record and wake-up; before the record is on disk; before it has its name
POINTS = ("api:recorded", "archive:fsync", "archive:rename")


def test_a_rebuilt_embedded_store_has_each_job_once_whatever_was_killed(tmp_path: Path) -> None:
    points = tmp_path / "points"
    points.mkdir()
    env = {"TICKFORGE_FAULTS": str(points), "TICKFORGE_API_PROCESSES": "1"}
    with running_service(tmp_path, **env) as service:
        jobs, job_ids = JobClient(service), {}
        for point in POINTS:
            # in the API alone: the worker may be archiving the job before
            fault = {"point": point, "action": "kill", "job": None}
            (points / "one.fault").write_text(json.dumps(fault))
            with service.http as http, pytest.raises(httpx.TransportError):
                http.post("/v1/jobs", json=small_spec(), headers={"Idempotency-Key": point})
            job_ids[point] = wait_until(lambda point=point: posted(service, point), 20, "an answer")
        before = {job_id: but_size(jobs.wait_for_end(job_id)) for job_id in job_ids.values()}
        assert service.stop()[0] == 0
        shutil.rmtree(tmp_path / "data" / "store")

        with pytest.raises(AssertionError, match="serving.rebuild --data"):
            service.start()
        service.end()
        completed = rebuilt(service)
        assert (completed.returncode, completed.stderr) == (0, ""), (
            completed.stdout + completed.stderr
        )
        assert "3 succeeded jobs restored" in completed.stdout

        service.start()
        for point in POINTS:
            assert posted(service, point) == job_ids[point]
        with service.http as http:
            listed = {job["id"]: but_size(job) for job in http.get("/v1/jobs").json()["data"]}
        assert listed == before


def but_size(job: dict[str, Any]) -> dict[str, Any]:
    """A job, less the bytes of its history: they count once it has moved to files."""
    return {name: value for name, value in job.items() if name != "bytes"}


def rebuilt(service: ServiceProcess) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "serving.rebuild", "--data", str(service.folder / "data")]
    return subprocess.run(
        command, cwd=ROOT, env=service.processes.make_environment(service.folder),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def posted(service: ServiceProcess, key: str) -> Any:
    """The job that this idempotency key makes, once the API answers."""
    try:
        with service.http as http:
            headers = {"Idempotency-Key": key}
            response = http.post("/v1/jobs", json=small_spec(), headers=headers)
    except httpx.TransportError:
        return None
    return response.json()["id"] if response.status_code == 202 else None
