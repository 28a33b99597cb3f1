"""A service that is filled, loses its store and is rebuilt: what tests of the archive share."""

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
from tests.datasets import PETS, spec_on
from tests.processes import Serving
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
HELD_AT, PAUSED_AT = 700, 300  # ticks before which the trainer of a job stands still


class Lost:
    """A folder with artifacts and a store that can be thrown away."""

    def __init__(self, folder: Path, server: StoreServer) -> None:
        self.folder, self.server = folder, server
        self.points = folder / "points"
        self.points.mkdir()
        env = {"TICKFORGE_ADMIN_KEY": ADMIN_KEY, "TICKFORGE_FAULTS": str(self.points)}
        env |= {"TICKFORGE_API_PROCESSES": "1", "TICKFORGE_REDIS_URL": server.url}
        self.service = Serving(folder, workers=1, **env)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """A client of the running service with the admin key."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        with httpx.Client(base_url=self.service.url, headers=headers, timeout=20) as client:
            yield client

    def arm(self, name: str, **fault: Any) -> None:
        """Arm a fault point in the running service."""
        (self.points / f"{name}.fault").write_text(json.dumps(fault))

    def lose(self) -> None:
        """Kill everything at once, and throw away all that the store had."""
        self.service.end()
        self.server.kill()
        for path in self.server.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.server.start()

    def rebuild(self, *flags: str) -> "subprocess.CompletedProcess[str]":
        """`python -m jobs.rebuild`."""
        env = process_environment(self.server.url, self.data)
        return subprocess.run(
            [sys.executable, "-m", "jobs.rebuild", *flags],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def end(self) -> None:
        """Leave nothing."""
        self.service.end()


class Filled:
    """Everything that a service can have, made over HTTP; `ids` by what each job is."""

    def __init__(self, lost: Lost, http: httpx.Client) -> None:
        self._lost, self._http = lost, http
        self.ids: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.datasets: dict[str, str] = {}
        self._keys()
        self._datasets()
        self._ended()
        self._paused()
        self._running()
        self._waiting()

    def submit(self, name: str, spec: dict[str, Any], key: str | None = None) -> str:
        """Submit a job, with an idempotency key or without."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._http.post("/v1/jobs", json={**spec, "name": name}, headers=headers)
        assert answer.status_code == 202, answer.text
        self.ids[name] = str(answer.json()["id"])
        return self.ids[name]

    def ended(self, name: str) -> dict[str, Any]:
        """Wait until a job has ended and its history lies in files."""
        job_id = self.ids[name]
        job = wait_until(
            lambda: self._job(job_id, lambda job: job["status"] in TERMINAL_STATUSES), 30, name
        )
        archive = self._lost.data / "artifacts" / "default" / job_id / "archive"
        wait_until(
            lambda: any(
                '"status":"' + job["status"] in path.read_text() for path in archive.glob("*.jsonl")
            ),
            15,
            "its last record",
        )
        return dict(job)

    def _job(self, job_id: str, true: Any) -> dict[str, Any] | None:
        job: dict[str, Any] = self._http.get(f"/v1/jobs/{job_id}").json()
        return job if true(job) else None

    def _keys(self) -> None:
        for name, scopes in (("live", ["submit", "read"]), ("deleted", ["read"])):
            body = {"tenant": "other", "scopes": scopes, "name": name}
            made = self._http.post("/v1/keys", json=body, headers={"Idempotency-Key": f"k-{name}"})
            self.secrets[name] = made.json()["secret"]
            self.ids[f"key {name}"] = made.json()["id"]
        gone = self._http.delete(f"/v1/keys/{self.ids['key deleted']}")
        assert gone.status_code == 204

    def _datasets(self) -> None:
        for name, data in (("used", PETS), ("deleted", b"a,b\n1,2\n3,4\n")):
            headers = {**CSV, "Idempotency-Key": f"d-{name}"}
            made = self._http.post(f"/v1/datasets?name={name}", content=data, headers=headers)
            assert made.status_code == 201, made.text
            self.datasets[name] = made.json()["id"]
        self._http.post("/v1/datasets", content=PETS, headers={**CSV, "Idempotency-Key": "d-same"})
        assert self._http.delete(f"/v1/datasets/{self.datasets['deleted']}").status_code == 204

    def _ended(self) -> None:
        self.submit("straight", LONG)
        self.submit("on data", spec_on(self.datasets["used"]), key="j-data")
        self.submit("failed", FAILING)
        self.submit("deleted", small_spec(), key="j-deleted")
        for name in ("straight", "on data", "failed", "deleted"):
            self.ended(name)
        assert self._http.delete(f"/v1/jobs/{self.ids['deleted']}").status_code == 204

        self._cared_for()

    def _cared_for(self) -> None:
        """A named checkpoint, a deleted one, and a verify, all of an ended job."""
        here = f"/v1/jobs/{self.ids['straight']}"
        named = self._http.patch(f"{here}/checkpoints/final", json={"name": "best", "pinned": True})
        assert named.status_code == 200, named.text
        assert self._http.delete(f"{here}/checkpoints/800").status_code == 204
        made = self._http.post(f"{here}/verify", headers={"Idempotency-Key": "v"})
        assert made.status_code == 202, made.text
        self.ids["verify"] = made.json()["id"]
        assert self.ended("verify")["status"] == "succeeded"

    def _paused(self) -> None:
        self._hold("paused", PAUSED_AT, 2.0)
        job_id = self.submit("paused", LONG)
        wait_until(lambda: self._job(job_id, lambda job: job["tick"] > 0), 20, "a tick")
        self._http.post(f"/v1/jobs/{job_id}/pause")
        wait_until(lambda: self._job(job_id, lambda job: job["status"] == "paused"), 20, "a pause")

    def _running(self) -> None:
        self._hold("running", HELD_AT, 120.0)
        job_id = self.submit("running", LONG, key="j-running")
        held = self._lost.points / "running.fired"
        wait_until(held.exists, 30, "the tick at which its trainer stands still")
        wait_until(lambda: self._job(job_id, lambda job: job["latest_checkpoint"] == 600), 20)
        said = self._http.patch(f"/v1/jobs/{job_id}", json={"notes": "said while it ran"})
        assert said.status_code == 200

    def _waiting(self) -> None:
        self.submit("second", LONG, key="j-second")
        self.submit("first", {**LONG, "priority": 5})
        self._http.patch(f"/v1/jobs/{self.ids['second']}", json={"labels": {"said": "later"}})
        self.submit("cancelled", LONG)
        self._http.post(f"/v1/jobs/{self.ids['cancelled']}/cancel")
        with httpx.Client(
            base_url=self._http.base_url, headers=bearer(self.secrets["live"])
        ) as other:
            self.ids["other"] = other.post("/v1/jobs", json=small_spec()).json()["id"]

    def _hold(self, name: str, tick: int, seconds: float) -> None:
        self._lost.arm(name, point="tick", action="delay", at=tick, seconds=seconds)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def told(http: httpx.Client, filled: Filled) -> dict[str, Any]:
    """What every GET answers that does not hang on what trains now."""
    found: dict[str, Any] = {}

    def get(path: str, **how: Any) -> None:
        answer = http.get(path, **how)
        found[f"{path} {how.get('headers')}"] = (answer.status_code, without_place(answer))

    for name in (
        "straight", "on data", "failed", "paused", "cancelled", "second", "first", "deleted",
        "verify",
    ):  # fmt: skip
        here = f"/v1/jobs/{filled.ids[name]}"
        for path in ("", "/history?columns=loss,lr,state", "/history?points=7", "/events",
                     "/attempts", "/checkpoints", "/checkpoints/final", "/logs"):  # fmt: skip
            get(here + path)
        get(f"{here}/history", headers=BINARY)
        get(f"{here}/checkpoints/latest/files/model.safetensors")
    for status in ("succeeded", "failed", "cancelled", "paused"):
        get(f"/v1/jobs?status={status}")
    for name in filled.datasets.values():
        for path in ("", "/content", "/rows"):
            get(f"/v1/datasets/{name}{path}")
    for path in (
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
    return found


def without_place(answer: httpx.Response) -> Any:
    """An answer's body, less where a job stands in its queue: what ran waits there now."""
    if answer.headers.get("Content-Type") != "application/json":
        return answer.content
    body = answer.json()
    for job in [body, *(body.get("data") or [])]:
        job.pop("queue", None)
    return body


def bits(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """All that must be equal in two runs of one spec."""
    here = f"/v1/jobs/{job_id}"
    points = http.get(f"{here}/history?columns=loss,val_loss,state").json()
    return {
        "loss": http.get(f"{here}/history", headers=BINARY).content,
        "val_loss": points["val_loss"],
        "weights": http.get(f"{here}/checkpoints/final").json()["sha256"],
    }
