"""The API and a real worker on one store, for tests that send requests and look behind them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from api.app import create_app
from jobs.files.artifacts import ArtifactStore
from jobs.queries import worker_registry
from jobs.store.connection import connect
from tests.processes import WorkerProcess
from tests.support import ADMIN_KEY, running_store, settings_for, wait_until
from tests.support_api import ReadingClient


class ApiHarness:
    """Sends requests as a client does; `store` and `files` are what lies behind the API."""

    def __init__(self, url: str, data: Path, stack: ExitStack, **env: str) -> None:
        self._url, self._data, self._stack, self._env = url, data, stack, env
        settings = settings_for(url, data, **env)
        self.store, self.files = connect(url), ArtifactStore(settings.artifacts)
        app = create_app(settings)
        app.test_client_class = ReadingClient
        self.http: Any = app.test_client()
        self.workers: list[WorkerProcess] = []
        self.http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"

    def start_worker(self, name: str, **env: str) -> WorkerProcess:
        """Start a worker and wait until it has announced itself."""
        worker = WorkerProcess(self._url, self._data, name, **{**self._env, **env})
        self._stack.callback(worker.end)
        self.workers.append(worker)
        wait_until(
            lambda: name in [entry["name"] for entry in worker_registry.live_workers(self.store)],
            30,
        )
        return worker

    def submit(self, spec: dict[str, Any]) -> str:
        return str(self.expect_accepted(self.http.post("/v1/jobs", json=spec))["id"])

    def verify(self, job_id: str, **options: Any) -> dict[str, Any]:
        """Verify a job and wait for the verify's end."""
        accepted = self.expect_accepted(self.http.post(f"/v1/jobs/{job_id}/verify", json=options))
        return self.wait_for_end(accepted["id"])

    def expect_accepted(self, response: Any) -> dict[str, Any]:
        assert response.status_code == 202, response.json
        return dict(response.json)

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/jobs/{job_id}").json)

    def wait_for(self, job_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        wait_until(lambda: condition(self.job(job_id)), 30, "what the test waits for")
        return self.job(job_id)

    def wait_for_end(self, job_id: str) -> dict[str, Any]:
        return self.wait_for(job_id, lambda job: job["finished_at"] is not None)

    def request(self, job_id: str, verb: str) -> Any:
        return self.http.post(f"/v1/jobs/{job_id}/{verb}")

    def checkpoints(self, job_id: str) -> list[dict[str, Any]]:
        return list(self.http.get(f"/v1/jobs/{job_id}/checkpoints").json["data"])

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        return list(self.http.get(f"/v1/jobs/{job_id}/attempts").json["data"])

    def events(self, job_id: str, kind: str) -> list[dict[str, Any]]:
        page = self.http.get(f"/v1/jobs/{job_id}/events?limit=1000").json["data"]
        return [event["data"] for event in page if event["type"] == kind]

    def store_key(self, job_id: str, part: str) -> str:
        """Return the store's key of a part of a job."""
        return f"job:{{default/{job_id}}}:{part}"

    def folder(self, job_id: str) -> Path:
        return self.files.job_folder("default", job_id)

    def bytes_on_disk(self, job_id: str) -> int:
        """Return what Job.bytes counts: files that checkpoints list, and the history's."""
        job_folder = self.folder(job_id)
        files = [file for file in job_folder.rglob("*") if file.is_file()]
        sizes = {  # by inode: a file that is linked counts once
            file.stat().st_ino: file.stat().st_size
            for file in files
            if file.name not in ("manifest.json", "log.txt")
            and {"checkpoints", "history", "code", "init"} & set(file.parts)
        }
        return sum(sizes.values())


@contextmanager
def running_api_harness(data: Path, **env: str) -> Iterator[ApiHarness]:
    """Run a harness on a store of its own, with these settings; `start_worker` starts workers."""
    with ExitStack() as stack:
        server = stack.enter_context(running_store())
        harness = ApiHarness(server.url, data, stack, **env)
        stack.callback(harness.store.close)
        yield harness
