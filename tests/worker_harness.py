"""A store, a data folder and real workers, without an API."""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from jobs import celery_app
from jobs.errors import IllegalTransition
from jobs.fault_points import ARMED_SUFFIX, FIRED_SUFFIX
from jobs.files.artifacts import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.job import Job
from jobs.ledger.client import JobLedger
from jobs.queries import worker_registry
from jobs.queries.jobs import JobQueries
from jobs.spec.reading import read_spec
from jobs.store import keys
from jobs.store.connection import Store, connect
from tests.histories import recorded_bytes
from tests.processes import WorkerProcess
from tests.support import running_store, settings_for, small_spec, wait_until

TENANT = "default"
PAUSE_TRIES = 10
SPEC = small_spec(
    model={"family": "mlp", "hidden": [16], "dropout": 0.1},
    budget={"ticks": 600},
    checkpoint={"every_ticks": 200, "keep": 3},
    compute={"engine": "eager"},
)


class WorkerHarness:
    """A store, a data folder, and workers on them."""

    def __init__(self, url: str, data: Path, stack: ExitStack) -> None:
        self._url, self._data, self._stack = url, data, stack
        self.workers: list[WorkerProcess] = []
        self._settings = settings = settings_for(url, data)
        self.store = connect(url)
        self.ledger, self.index = JobLedger(self.store), JobQueries(self.store)
        self.files = ArtifactStore(settings.artifacts)
        self.history = HistoryReader(self.store, self.files)
        self.faults = data / "faults"
        self.faults.mkdir(parents=True, exist_ok=True)

    def start_worker(self, name: str, **env: str) -> WorkerProcess:
        """Start a worker and wait until it has announced itself."""
        worker = self.add_worker(name, **env)
        wait_until(
            lambda: name in [entry["name"] for entry in worker_registry.live_workers(self.store)],
            30,
        )
        return worker

    def add_worker(self, name: str, **env: str) -> WorkerProcess:
        """Start a worker without waiting for it."""
        worker = WorkerProcess(self._url, self._data, name, **env)
        self.workers.append(worker)
        self._stack.callback(worker.end)
        return worker

    def living_workers(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.process.poll() is None]

    def idle_workers(self) -> int:
        """Return how many workers wait for a wake-up: one whose child has a task does not."""
        clients: Any = self.store.client_list()
        return sum(client["cmd"] == "brpop" and "b" in client["flags"] for client in clients)

    def submit(self, body: dict[str, Any] = SPEC) -> str:
        job_id = self.ledger.submit(TENANT, read_spec(body, max_parameters=10**7)).job_id
        self.wake_workers()
        return job_id

    def wake_workers(self) -> None:
        """Wake this harness's workers; another harness's Celery app may have been used last."""
        celery_app.configure_broker(self._settings)
        celery_app.wake_workers("cpu")

    def job(self, job_id: str) -> Job:
        return self.index.get_job(TENANT, job_id)

    def wait_for(self, job_id: str, condition: Callable[[Job], bool]) -> Job:
        wait_until(lambda: condition(self.job(job_id)), 30)
        return self.job(job_id)

    def arm(self, point: str, action: str, **options: Any) -> Path:
        """Arm a fault at a point of the workers' code; return the file that exists once it fired.

        For workers started with `TICKFORGE_FAULTS=str(harness.faults)`.
        """
        file = self.faults / f"{secrets.token_hex(6)}{ARMED_SUFFIX}"
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps({"point": point, "action": action, **options}))
        draft.rename(file)
        return file.with_suffix(FIRED_SUFFIX)

    def log_events(self, job_id: str) -> list[tuple[str, str]]:
        """Return level and message of the `log` events of a job."""
        return log_events(self.store, job_id)

    def folder(self, job_id: str) -> Path:
        return self.files.job_folder(TENANT, job_id)

    def read_log(self, job_id: str) -> str:
        return (self.folder(job_id) / "log.txt").read_text()

    def result_bits(self, job_id: str) -> tuple[bytes, str]:
        """Return losses and final weights of a job that succeeded."""
        job = self.wait_for(job_id, lambda job: job.is_terminal)
        assert job.status == "succeeded", job.error
        losses = recorded_bytes(self.history, job)
        return losses, self.index.get_checkpoint(TENANT, job_id, "final").sha256

    def pause_at(self, tick: int) -> str:
        """Return a job that was paused at this tick or a later one, before its last.

        On a busy machine a job may end before we come to pause it: then another one is tried.
        """
        for _ in range(PAUSE_TRIES):
            job_id = self.submit()
            self.wait_for(job_id, lambda job: job.tick >= tick)
            with contextlib.suppress(IllegalTransition):
                self.ledger.request_transition(TENANT, job_id, "pause")
            job = self.wait_for(job_id, lambda job: job.status == "paused" or job.is_terminal)
            if job.status == "paused" and job.tick < 600:
                return job_id
        raise AssertionError(f"{PAUSE_TRIES} jobs ended before they were paused")

    def resume(self, job_id: str) -> None:
        self.ledger.request_transition(TENANT, job_id, "resume")
        self.wake_workers()


def log_events(store: Store, job_id: str) -> list[tuple[str, str]]:
    """Return level and message of each `log` event of a job."""
    texts: Any = store.lrange(keys.events(TENANT, job_id), 0, -1)
    lines = [event["data"] for event in map(json.loads, texts) if event["type"] == "log"]
    return [(line["level"], line["message"]) for line in lines]


@contextmanager
def running_worker_harness(data: Path) -> Iterator[WorkerHarness]:
    """Run a store for a harness whose data lie in a folder; end the harness's workers before it."""
    with running_store() as server, ExitStack() as held:
        yield WorkerHarness(server.url, data, held)
