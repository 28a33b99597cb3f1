"""The whole service with many clients that follow and wait: it trains, and it stops in time."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import JobClient, ServiceProcess, running_service
from tests.sse import SSE
from tests.support import small_spec, wait_until

STREAMS, WAITS = 50, 20
VALIDATED, KILLED = 500, 1_200  # every so many ticks; and where the trainer stands still


class Followers:
    """Clients in threads, each to the end of its one answer."""

    def __init__(self, service: ServiceProcess, job_id: str) -> None:
        key = service.http.headers["Authorization"]
        self._http = httpx.Client(
            base_url=service.url,
            headers={"Authorization": key},
            timeout=120,
            limits=httpx.Limits(max_connections=None),
        )
        self._path = f"/v1/jobs/{job_id}"
        self.begun, self.ended = 0, 0
        self._lock = threading.Lock()
        ways = [self._follow] * STREAMS + [self._wait] * WAITS
        self.threads = [threading.Thread(target=way) for way in ways]
        for thread in self.threads:
            thread.start()

    def _follow(self) -> None:
        with self._http.stream("GET", f"{self._path}/events", headers=SSE) as response:
            pieces = response.iter_raw()
            self._count(response.status_code == 200 and bool(next(pieces)), 0)
            for _ in pieces:
                pass
        self._count(0, 1)

    def _wait(self) -> None:
        self._count(1, 0)
        response = self._http.get(f"{self._path}?wait=30&until=end")
        self._count(0, response.status_code == 200)

    def _count(self, begun: int, ended: int) -> None:
        with self._lock:
            self.begun, self.ended = self.begun + begun, self.ended + ended

    def close(self) -> None:
        for thread in self.threads:
            thread.join(120)
        self._http.close()


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the faults that are armed in the service."""
    return tmp_path_factory.mktemp("points")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, points: Path) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder, TICKFORGE_FAULTS=str(points)) as service:
        yield service


@pytest.mark.slow
def test_a_jobs_events_are_streamed_to_its_end_though_its_worker_was_killed(
    service: ServiceProcess, points: Path
) -> None:
    jobs = JobClient(service)
    spec: dict[str, Any] = small_spec(
        budget={"ticks": 2_000},
        validation={"fraction": 0.25, "every_ticks": VALIDATED},
        compute={"engine": "eager"},
    )
    fault = {"point": "tick", "action": "block", "at": KILLED}
    (points / "hold.fault").write_text(json.dumps(fault))
    job_id = jobs.submit(spec)
    wait_until((points / "hold.fired").exists, 30, "the tick at which the trainer stands still")
    jobs.wait_for_tick(job_id, VALIDATED)
    service.processes.kill("trainer")
    ended = jobs.wait_for_end(job_id)
    with service.http as http:
        log = http.get(f"/v1/jobs/{job_id}/logs")
        events = http.get(f"/v1/jobs/{job_id}/events?limit=1000").json()["data"]
    assert ended["status"] == "succeeded"
    assert log.headers["X-Complete"] == "true"
    assert log.text.splitlines()[-1].endswith("succeeded at tick 2000 budget")

    story = [(event["type"], event["data"]) for event in events]
    lines = [data["message"] for kind, data in story if kind == "log"]
    assert lines[0].startswith("the trainer was killed by SIGKILL")
    assert lines[1].startswith("replaying ticks ")
    assert lines[2].endswith("every bit equal")
    assert {"validation", "checkpoint"} < {kind for kind, _ in story}
    assert story[-1][0] == "status" and story[-1][1]["stopped_by"] == "budget"


@pytest.mark.slow
def test_the_service_stops_in_time_with_open_streams_and_long_polls(
    service: ServiceProcess,
) -> None:
    jobs = JobClient(service)
    job_id = jobs.submit(small_spec(budget={"ticks": 10**9}, compute={"engine": "eager"}))
    jobs.wait_for_tick(job_id, 1)
    followers = Followers(service, job_id)
    wait_until(lambda: followers.begun == STREAMS + WAITS, 20, "so many clients")

    code, seconds, output = service.stop()

    followers.close()
    assert (code, output) == (0, "")
    assert seconds < 15
    assert followers.ended == STREAMS + WAITS
