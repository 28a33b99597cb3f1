"""A service that is filled, loses its store and is rebuilt, for tests of the archive."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from jobs.job import TERMINAL_STATUSES
from tests.datasets import PETS, spec_on_dataset
from tests.processes import ServiceProcess
from tests.support import (
    ADMIN_KEY,
    ROOT,
    StoreServer,
    process_environment,
    small_spec,
    wait_until,
)

CSV = {"Content-Type": "text/csv"}
BINARY = {"Accept": "application/octet-stream"}
#: dropout, momentum, validation: all that a replay could get wrong
LONG = small_spec(
    model={"family": "mlp", "hidden": [8], "dropout": 0.1},
    budget={"ticks": 1000},
    validation={"fraction": 0.25, "every_ticks": 100},
    checkpoint={"every_ticks": 200, "keep": 2},
)
#: one of its rows is too much
FAILING = small_spec(
    model={"family": "mlp", "hidden": [4], "norm": "none"},
    data={
        "source": "inline",
        "inputs": [[float(row % 7), 1.0] for row in range(40)],
        "targets": [float(row % 5) + 0.5 if row != 28 else 1e30 for row in range(40)],
        "shuffle": False,
    },
    optimizer={"name": "sgd", "lr": 0.01, "momentum": 0.9},
    budget={"ticks": 100},
    batch_size=1,
)
HOLD_TICK, PAUSE_TICK = 700, 300  # ticks before which the trainer of a job stands still


class LostStore:
    """A folder with artifacts and a store that can be thrown away."""

    def __init__(self, folder: Path, server: StoreServer) -> None:
        self.folder, self.server = folder, server
        self.points = folder / "points"
        self.points.mkdir()
        env = {"TICKFORGE_ADMIN_KEY": ADMIN_KEY, "TICKFORGE_FAULTS": str(self.points)}
        env |= {"TICKFORGE_API_PROCESSES": "1", "TICKFORGE_REDIS_URL": server.url}
        self.service = ServiceProcess(folder, workers=1, **env)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """Return a client of the running service with the admin key."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        with httpx.Client(
            base_url=self.service.url, headers=headers, timeout=20, verify=False
        ) as client:
            yield client

    def arm(self, name: str, **fault: Any) -> Path:
        """Arm a fault point in the running service; return the file that exists once it fired."""
        file = self.points / f"{name}.fault"
        file.write_text(json.dumps(fault))
        return file.with_suffix(".fired")

    def lose_store(self) -> None:
        """Kill everything at once, and remove all that the store had."""
        self.service.end()
        self.server.kill()
        for path in self.server.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.server.start()

    def rebuild(self, *flags: str) -> "subprocess.CompletedProcess[str]":
        """Run `python -m jobs.rebuild`."""
        env = process_environment(self.server.url, self.data)
        return subprocess.run(
            [sys.executable, "-m", "jobs.rebuild", *flags],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def end(self) -> None:
        """Kill whatever is left of it."""
        self.service.end()


class FilledService:
    """All kinds of resources, made over HTTP; `ids` has each job's id by its role."""

    def __init__(self, lost: LostStore, http: httpx.Client) -> None:
        self._lost_store, self._http = lost, http
        self.ids: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.link = ""
        self.datasets: dict[str, str] = {}
        self._make_keys()
        self._make_datasets()
        self._make_ended_jobs()
        self._make_paused_job()
        self._make_running_job()
        self._make_queued_jobs()

    def submit(self, name: str, spec: dict[str, Any], key: str | None = None) -> str:
        """Submit a job, with an idempotency key or without."""
        headers = {"Idempotency-Key": key} if key else {}
        response = self._http.post("/v1/jobs", json={**spec, "name": name}, headers=headers)
        assert response.status_code == 202, response.text
        self.ids[name] = str(response.json()["id"])
        return self.ids[name]

    def wait_for_end(self, name: str) -> dict[str, Any]:
        """Wait until a job has ended and its history lies in files."""
        job_id = self.ids[name]
        job = wait_until(
            lambda: self._job_if(job_id, lambda job: job["status"] in TERMINAL_STATUSES), 30, name
        )
        archive = self._lost_store.data / "artifacts" / "default" / job_id / "archive"
        wait_until(
            lambda: any(
                '"status":"' + job["status"] in path.read_text() for path in archive.glob("*.jsonl")
            ),
            15,
            "its last record",
        )
        return dict(job)

    def _job_if(self, job_id: str, condition: Any) -> dict[str, Any] | None:
        job: dict[str, Any] = self._http.get(f"/v1/jobs/{job_id}").json()
        return job if condition(job) else None

    def _make_keys(self) -> None:
        for name, scopes in (("live", ["submit", "read"]), ("deleted", ["read"])):
            body = {"tenant": "other", "scopes": scopes, "name": name}
            response = self._http.post(
                "/v1/keys", json=body, headers={"Idempotency-Key": f"k-{name}"}
            )
            self.secrets[name] = response.json()["secret"]
            self.ids[f"key {name}"] = response.json()["id"]
        deletion = self._http.delete(f"/v1/keys/{self.ids['key deleted']}")
        assert deletion.status_code == 204

    def _make_datasets(self) -> None:
        for name, data in (("used", PETS), ("deleted", b"a,b\n1,2\n3,4\n")):
            headers = {**CSV, "Idempotency-Key": f"d-{name}"}
            response = self._http.post(f"/v1/datasets?name={name}", content=data, headers=headers)
            assert response.status_code == 201, response.text
            self.datasets[name] = response.json()["id"]
        self._http.post("/v1/datasets", content=PETS, headers={**CSV, "Idempotency-Key": "d-same"})
        assert self._http.delete(f"/v1/datasets/{self.datasets['deleted']}").status_code == 204

    def _make_ended_jobs(self) -> None:
        self.submit("straight", LONG)
        self.submit("on data", spec_on_dataset(self.datasets["used"]), key="j-data")
        self.submit("failed", FAILING)
        self.submit("deleted", small_spec(), key="j-deleted")
        for name in ("straight", "on data", "failed", "deleted"):
            self.wait_for_end(name)
        assert self._http.delete(f"/v1/jobs/{self.ids['deleted']}").status_code == 204

        self._change_checkpoints()
        self._ask_about_a_dataset()

    def _ask_about_a_dataset(self) -> None:
        """Have a dataset predicted, and a net evaluated on it."""
        for kind in ("predict", "evaluate"):
            path = f"/v1/jobs/{self.ids['on data']}/checkpoints/final/{kind}?wait=0"
            response = self._http.post(path, json={"dataset": self.datasets["used"]})
            assert response.status_code in (200, 202), response.text  # 200 if it has ended already
            self.ids[kind] = response.json()["id"]
            assert self.wait_for_end(kind)["status"] == "succeeded"

    def _change_checkpoints(self) -> None:
        """Name a checkpoint, delete one, and verify the ended job."""
        job_path = f"/v1/jobs/{self.ids['straight']}"
        patched = self._http.patch(
            f"{job_path}/checkpoints/final", json={"name": "best", "pinned": True}
        )
        assert patched.status_code == 200, patched.text
        assert self._http.delete(f"{job_path}/checkpoints/800").status_code == 204
        response = self._http.post(f"{job_path}/verify", headers={"Idempotency-Key": "v"})
        assert response.status_code == 202, response.text
        self.ids["verify"] = response.json()["id"]
        assert self.wait_for_end("verify")["status"] == "succeeded"

    def _make_paused_job(self) -> None:
        fired_file = self._block_at_tick("paused", PAUSE_TICK)
        job_id = self.submit("paused", LONG)
        wait_until(fired_file.exists, 30, "the tick at which its trainer stands still")
        self._http.post(f"/v1/jobs/{job_id}/pause")
        fired_file.unlink()
        wait_until(
            lambda: self._job_if(job_id, lambda job: job["status"] == "paused"), 20, "a pause"
        )

    def _make_running_job(self) -> None:
        fired_file = self._block_at_tick("running", HOLD_TICK)
        job_id = self.submit("running", LONG, key="j-running")
        wait_until(fired_file.exists, 30, "the tick at which its trainer stands still")
        wait_until(lambda: self._job_if(job_id, lambda job: job["latest_checkpoint"] == 600), 20)
        patched = self._http.patch(f"/v1/jobs/{job_id}", json={"notes": "said while it ran"})
        assert patched.status_code == 200

    def _make_queued_jobs(self) -> None:
        self.submit("second", LONG, key="j-second")
        self.submit("first", {**LONG, "priority": 5})
        self._http.patch(f"/v1/jobs/{self.ids['second']}", json={"labels": {"said": "later"}})
        self.submit("cancelled", LONG)
        self._http.post(f"/v1/jobs/{self.ids['cancelled']}/cancel")
        with httpx.Client(
            base_url=self._http.base_url, headers=bearer(self.secrets["live"])
        ) as other:
            self.ids["other"] = other.post("/v1/jobs", json=small_spec()).json()["id"]
            path = f"/v1/jobs/{self.ids['other']}/links"
            # its tenant has no dataset: the secret was made, and archived, for this link
            self.link = other.post(path, json={"path": "curve.txt"}).json()["url"]

    def _block_at_tick(self, name: str, tick: int) -> Path:
        """Let the next trainer stand still before a tick until the returned file is deleted."""
        return self._lost_store.arm(name, point="tick", action="block", at=tick)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def read_all_answers(http: httpx.Client, filled: FilledService) -> dict[str, Any]:
    """Return the response of every GET that does not depend on what trains now."""
    responses: dict[str, Any] = {}

    def get(path: str, **options: Any) -> None:
        response = http.get(path, **options)
        responses[f"{path} {options.get('headers')}"] = (
            response.status_code,
            without_queue_position(response),
        )

    for name in (
        "straight", "on data", "failed", "paused", "cancelled", "second", "first", "deleted",
        "verify",
    ):  # fmt: skip
        job_path = f"/v1/jobs/{filled.ids[name]}"
        for path in ("", "/history?columns=loss,lr,state", "/history?points=7", "/events",
                     "/attempts", "/checkpoints", "/checkpoints/final", "/logs"):  # fmt: skip
            get(job_path + path)
        get(f"{job_path}/history", headers=BINARY)
        get(f"{job_path}/checkpoints/latest/files/model.safetensors")
    jobs = [f"/v1/jobs/{filled.ids[kind]}" for kind in ("predict", "evaluate")]
    parts = ("", "/events", "/attempts", "/rows", "/result")
    for status in ("succeeded", "failed", "cancelled", "paused"):
        get(f"/v1/jobs?status={status}")
    for name in filled.datasets.values():
        for path in ("", "/content", "/rows"):
            get(f"/v1/datasets/{name}{path}")
    for path in (
        *(job_path + part for job_path in jobs for part in parts),
        "/v1/jobs?kind=predict",
        "/v1/jobs?kind=evaluate",
        "/v1/datasets",
        "/v1/keys",
        "/v1/jobs?label=said:later",
        "/v1/jobs?name=first",
        f"/v1/jobs?parent={filled.ids['straight']}",
        f"/v1/jobs/{filled.ids['other']}",
        f"/v1/jobs/{filled.ids['other']}?tenant=other",
    ):
        get(path)
    for secret in filled.secrets.values():
        get("/v1/jobs", headers=bearer(secret))
        get(f"/v1/jobs/{filled.ids['straight']}", headers=bearer(secret))
    link = http.base_url.copy_with(raw_path=httpx.URL(filled.link).raw_path)
    opened = httpx.get(link)
    responses["a signed link"] = opened.status_code, opened.text
    return responses


def without_queue_position(response: httpx.Response) -> Any:
    """Return a response's body without the queue position: jobs that ran are queued now."""
    if response.headers.get("Content-Type") != "application/json":
        return response.content
    body = response.json()
    for job in [body, *(body.get("data") or [])]:
        job.pop("queue", None)
    return body


def result_bits(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """Return all that must be equal in two runs of one spec."""
    job_path = f"/v1/jobs/{job_id}"
    points = http.get(f"{job_path}/history?columns=loss,val_loss,state").json()
    return {
        "loss": http.get(f"{job_path}/history", headers=BINARY).content,
        "val_loss": points["val_loss"],
        "weights": http.get(f"{job_path}/checkpoints/final").json()["sha256"],
    }
