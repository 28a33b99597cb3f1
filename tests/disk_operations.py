"""Every request that changes something, each on things of its own, and how its change is seen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis

from jobs.archive.jobs import JobArchive
from jobs.settings import Settings
from jobs.store import keys
from tests.datasets import PETS, upload
from tests.manual_worker import ManualWorker
from tests.support import small_spec

TENANT = "default"
NEW, OLD = b"a,b\n1,2\n3,4\n", b"a,b\n5,6\n"


@dataclass
class Operation:
    """A request, and whether its change is there; `is_new` makes something that was not there."""

    name: str
    send: Callable[[], Any]
    is_done: Callable[[], bool]
    is_new: bool = False
    repeated_status: int | None = None  # of a repetition after a change that was not archived
    statuses: list[int] = field(default_factory=list)


class DiskOperations:
    """Makes what the requests need, then `all` of them."""

    def __init__(self, client: Any, store: "redis.Redis", settings: Settings) -> None:
        self._client, self._store, self._settings = client, store, settings
        self.all = [
            *self._of_new_things(),
            *self._of_running_jobs(),
            *self._of_waiting_jobs(),
            *self._of_deletions(),
        ]

    def _submit(self, **changes: Any) -> str:
        response = self._client.post("/v1/jobs", json=small_spec(**changes))
        assert response.status_code == 202, response.json
        return f"/v1/jobs/{response.json['id']}"

    def _job(self, path: str, field_name: str) -> Any:
        return (self._client.get(path).json or {}).get(field_name)

    def _listed(self, path: str, name: str) -> bool:
        data = self._client.get(path).json["data"]
        return name in [item["name"] for item in data]

    def _of_new_things(self) -> list[Operation]:
        client, key = self._client, {"Idempotency-Key": "fresh"}
        body = {"tenant": "t", "scopes": ["read"], "name": "fresh"}
        named = small_spec(name="fresh")
        return [
            Operation("submit", lambda: client.post("/v1/jobs", json=named, headers=key),
                      lambda: self._listed("/v1/jobs?limit=1000", "fresh"), is_new=True),
            Operation("make key", lambda: client.post("/v1/keys", json=body, headers=key),
                      lambda: self._listed("/v1/keys?tenant=t", "fresh"), is_new=True),
            Operation("upload", lambda: upload(client, NEW, name="fresh", key="up"),
                      lambda: self._listed("/v1/datasets", "fresh"), is_new=True),
            self._append(),
        ]  # fmt: skip

    def _append(self) -> Operation:
        path = f"/v1/datasets/{upload(self._client, OLD).json['id']}/append?name=appended"
        headers = {"Idempotency-Key": "append", "Content-Type": "text/csv"}
        return Operation(
            "append",
            lambda: self._client.post(path, data=NEW, headers=headers),
            lambda: self._listed("/v1/datasets", "appended"),
            is_new=True,
        )

    def _of_running_jobs(self) -> list[Operation]:
        client = self._client
        paths = [self._run() for _ in range(5)]
        patched, paused, requested, named, dropped = paths
        key, checkpoint = {"Idempotency-Key": "ask"}, f"{named}/checkpoints/1"
        gone = f"{dropped}/checkpoints/1"
        return [
            Operation("patch running", lambda: client.patch(patched, json={"notes": "said"}),
                      lambda: self._job(patched, "notes") == "said"),
            Operation("pause running", lambda: client.post(f"{paused}/pause"),
                      lambda: self._job(paused, "requested") == "pause"),
            Operation("ask for a checkpoint",
                      lambda: client.post(f"{requested}/checkpoints", json={}, headers=key),
                      lambda: self._has_request(requested, key["Idempotency-Key"]), is_new=True),
            Operation("name a checkpoint", lambda: client.patch(checkpoint, json={"name": "n"}),
                      lambda: self._job(checkpoint, "name") == "n"),
            Operation("delete a checkpoint", lambda: client.delete(gone),
                      lambda: client.get(gone).status_code == 404, repeated_status=404),
        ]  # fmt: skip

    def _has_request(self, path: str, key: str) -> bool:
        job_id = path.removeprefix("/v1/jobs/")
        return bool(
            self._store.hexists(keys.job(TENANT, job_id), "wanted")
            and self._store.hexists(keys.checkpoint_responses(TENANT, job_id), key)
        )

    def _run(self) -> str:
        path = self._submit(priority=100)
        worker = ManualWorker(self._store, self._settings)
        worker.record([1.0])
        worker.save()
        worker.record([2.0])
        worker.save()
        JobArchive(self._store, worker.files).save(TENANT, worker.lease.job_id, lease=worker.lease)
        return path

    def _of_waiting_jobs(self) -> list[Operation]:
        client = self._client
        patched, cancelled, paused, resumed = (self._submit() for _ in range(4))
        assert client.post(f"{resumed}/pause").status_code == 200
        return [
            Operation("patch queued", lambda: client.patch(patched, json={"name": "said"}),
                      lambda: self._job(patched, "name") == "said"),
            Operation("cancel queued", lambda: client.post(f"{cancelled}/cancel"),
                      lambda: self._job(cancelled, "status") == "cancelled"),
            Operation("pause queued", lambda: client.post(f"{paused}/pause"),
                      lambda: self._job(paused, "status") == "paused"),
            Operation("resume", lambda: client.post(f"{resumed}/resume"),
                      lambda: self._job(resumed, "status") == "queued"),
        ]  # fmt: skip

    def _of_deletions(self) -> list[Operation]:
        client, job = self._client, self._submit()
        assert client.post(f"{job}/cancel").status_code == 200
        body, quotas = {"tenant": "t", "scopes": ["read"], "name": "old"}, {"quotas": {"queued": 7}}
        key = client.post("/v1/keys", json=body).json["id"]
        dataset = f"/v1/datasets/{upload(client, PETS, name='old').json['id']}"
        return [
            Operation("delete job", lambda: client.delete(job),
                      lambda: client.get(job).status_code == 404),
            Operation("delete key", lambda: client.delete(f"/v1/keys/{key}"),
                      lambda: not self._listed("/v1/keys?tenant=t", "old")),
            Operation("delete dataset", lambda: client.delete(dataset),
                      lambda: client.get(dataset).status_code == 404),
            Operation("patch tenant", lambda: client.patch("/v1/tenants/u", json=quotas),
                      lambda: client.get("/v1/tenants/u").json["quotas"]["queued"] == 7),
        ]  # fmt: skip
