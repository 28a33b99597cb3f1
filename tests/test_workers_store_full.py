"""A store whose memory is full: new jobs are refused, running ones succeed, reads are answered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from jobs.errors import StoreFull
from jobs.history.summary_rows import SEGMENT
from jobs.ledger.client import JobLedger
from jobs.queries.jobs import JobQueries
from jobs.settings import Settings
from jobs.store.connection import connect
from tests.ledger_helpers import submit_job
from tests.manual_worker import ManualWorker
from tests.processes import JobClient, ServiceProcess, running_service
from tests.support import small_spec, wait_until

SPEC = small_spec(
    model={"family": "mlp", "hidden": [16], "dropout": 0.1},
    budget={"ticks": 1200},
    validation={"fraction": 0.25, "every_ticks": 200},
    checkpoint={"every_ticks": 400},
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("full")) as running:
        yield running


@pytest.fixture
def embedded(service: ServiceProcess) -> Iterator["redis.Redis"]:
    """A client of the service's own store."""
    folder = (service.folder / "data" / "store.socket").read_text().strip()
    (socket,) = Path(folder).glob("*.sock*") if Path(folder).is_dir() else (Path(folder),)
    store = connect(f"unix://{socket}")
    yield store
    store.config_set("maxmemory", 0)
    store.close()


def test_a_full_store_refuses_new_jobs_and_running_ones_end_bit_for_bit(
    service: ServiceProcess, embedded: "redis.Redis"
) -> None:
    jobs = JobClient(service)
    straight = jobs.submit(SPEC)
    jobs.wait_for_end(straight, seconds=60)
    running, waiting = jobs.submit(SPEC), jobs.submit(SPEC)
    jobs.wait_for_tick(running, 100)
    embedded.config_set("maxmemory", 1)

    with service.http as http:
        assert refusals(http) == [507, 507, 507]
        for path in ("", "/history", "/events", "/attempts", "/checkpoints"):
            assert http.get(f"/v1/jobs/{running}{path}").status_code == 200
        assert http.get("/v1/jobs").status_code == http.get("/v1/workers").status_code == 200
    for job_id in (running, waiting):
        job = jobs.wait_for_end(job_id, seconds=60)
        assert (job["status"], job["attempt"], job["error"]) == ("succeeded", 1, None)
        assert jobs.result_bits(job_id) == jobs.result_bits(straight)
    wait_until(lambda: not list(embedded.scan_iter("*:f32:*")), 20, "the move to files")

    embedded.config_set("maxmemory", 0)
    assert jobs.result_bits(
        jobs.wait_for_end(jobs.submit(SPEC), seconds=60)["id"]
    ) == jobs.result_bits(straight)


def refusals(http: Any) -> list[int]:
    """The statuses of what would add something: a job, a dataset, a key."""
    csv = {"Content-Type": "text/csv"}
    return [
        http.post("/v1/jobs", json=SPEC).status_code,
        http.post("/v1/datasets?name=rows", content=b"a,b\n1,2\n3,4\n", headers=csv).status_code,
        http.post("/v1/keys", json={"tenant": "new", "scopes": ["read"]}).status_code,
    ]


def test_a_full_store_accepts_requests(service: ServiceProcess, embedded: "redis.Redis") -> None:
    jobs = JobClient(service)
    job_id = jobs.submit(small_spec(budget={"ticks": 10**8}, compute={"engine": "eager"}))
    jobs.wait_for_tick(job_id, 100)
    embedded.config_set("maxmemory", 1)

    jobs.request(job_id, "pause")
    paused = jobs.wait_for(job_id, lambda job: job["status"] == "paused")
    assert paused["latest_checkpoint"] == paused["tick"]
    jobs.request(job_id, "cancel")
    assert jobs.wait_for_end(job_id)["status"] == "cancelled"


def test_a_full_store_accepts_every_call_of_an_owner(
    store: "redis.Redis", settings: Settings
) -> None:
    submit_job(JobLedger(store), budget={"ticks": SEGMENT + 100})
    worker = ManualWorker(store, settings)
    store.config_set("maxmemory", 1)
    try:
        worker.record(np.ones(SEGMENT + 50, np.float32))  # moves a segment too
        worker.save()
        assert worker.ledger.renew(worker.lease, phase="training") is None
        worker.record(np.ones(50, np.float32))
        worker.end(stopped_by="budget")
        with pytest.raises(StoreFull):
            submit_job(JobLedger(store))
    finally:
        store.config_set("maxmemory", 0)
    job = JobQueries(store).get_job("default", worker.lease.job_id)
    assert (job.status, job.tick, job.latest_checkpoint) == (
        "succeeded", SEGMENT + 100, SEGMENT + 50,
    )  # fmt: skip
