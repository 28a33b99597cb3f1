"""What may be forked, what a fork's answer says, and what a refused or broken one leaves."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis

from jobs.job import SparsePoint
from jobs.settings import Settings
from jobs.store import keys
from tests.manual_worker import ManualWorker
from tests.support import settings_for, small_spec
from tests.tracker_files import parse_message, read_events, read_log

STATE = {
    "tick": 0, "state": "0" * 16, "metrics": {"val_loss": 0.5}, "ended": None,
    "best": {"metric": "val_loss", "tick": 8, "value": 0.25}, "validated_at": 8, "tested_at": None,
    "rules": {"best": 0.25, "best_tick": 8}, "optimizer": {"name": "adamw"}, "versions": {},
}  # fmt: skip
PROBLEM = "urn:tickforge:problem:"


def state_at(tick: int, **changes: Any) -> dict[str, bytes]:
    files = {"state.json": {**STATE, "tick": tick, **changes}, "config.json": {}}
    return {name: json.dumps(fields).encode() for name, fields in files.items()} | {
        "model.py": b"code", "state.safetensors": b"tensors"
    }  # fmt: skip


@pytest.fixture
def parent(submit: Callable[..., str], store: "redis.Redis", settings: Settings) -> str:
    """A job of 20 ticks that has ended, with checkpoints at 8, its best, at 12 and at the end."""
    job_id = submit(validation={"fraction": 0.25, "every_ticks": 4}, checkpoint={"every_ticks": 4})
    worker = ManualWorker(store, settings)
    for count, flags in ((8, {"is_best": True}), (4, {}), (8, {"is_final": True})):
        first = worker.tick + 1
        losses = 1 / np.arange(first, first + count)
        points = [SparsePoint("time", first + count - 1, np.float64(0.1).tobytes())]
        worker.record(losses, points, metrics={"val_loss": 0.5}, best=STATE["best"])
        worker.save(b"weights of %d" % worker.tick, (), state_at(worker.tick), **flags)
    worker.end(stopped_by="budget")
    return job_id


def fork(client: Any, job_id: str, tick: int | None = None, **patch: Any) -> Any:
    return client.post(f"/v1/jobs/{job_id}/fork", json={"tick": tick, "spec": patch})


def job_folders(settings: Settings) -> set[str]:
    """All entries of the tenant's folder, hidden ones too."""
    return {path.name for path in (settings.artifacts / "default").iterdir()}


@pytest.mark.parametrize("keep_best", [True, False])
def test_the_first_state_of_a_fork_is_its_best_where_it_keeps_one(
    client: Any, parent: str, keep_best: bool
) -> None:
    patch = {"checkpoint": {"keep_best": keep_best}, "budget": {"ticks": 30}}
    job = fork(client, parent, 8, **patch).json
    (saved,) = client.get(f"/v1/jobs/{job['id']}/checkpoints").json["data"]
    assert (saved["tick"], saved["is_best"]) == (8, keep_best)
    status = client.get(f"/v1/jobs/{job['id']}/checkpoints/best").status_code
    assert status == (200 if keep_best else 404)


def test_a_fork_has_the_line_and_the_state_as_its_own(
    client: Any, parent: str, store: "redis.Redis", settings: Settings
) -> None:
    response = fork(client, parent, 12, name="next", budget={"ticks": 30})
    assert response.status_code == 202, response.json
    job = response.json
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["parent"], job["name"]) == ("train", parent, "next")
    assert (job["first_tick"], job["tick"], job["ticks_total"]) == (13, 12, 30)
    best = {**STATE["best"], "metrics": {}}  # of a build that wrote none
    assert (job["best"], job["attempt"], job["progress"]) == (best, 0, 12 / 30)
    assert job["loss"] == pytest.approx(1 / 12)
    listed = client.get(f"/v1/jobs/{job['id']}/checkpoints").json["data"]
    assert [(saved["tick"], saved["is_best"], saved["is_final"]) for saved in listed] == [
        (8, True, False), (12, False, False),
    ]  # fmt: skip

    folder = settings.artifacts / "default" / parent
    inodes = {path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    copies = [path for path in (folder.parent / job["id"]).rglob("*") if path.is_file()]
    assert not inodes & {path.stat().st_ino for path in copies}
    assert client.delete(f"/v1/jobs/{parent}").status_code == 204

    assert client.get(f"/v1/jobs?parent={parent}").json["data"][0]["id"] == job["id"]
    path = f"/v1/jobs/{job['id']}/history"
    assert client.get(path).json["tick"] == []
    line = client.get(f"{path}?lineage=true&columns=loss,lr,time").json
    assert (line["tick"], line["last_tick"]) == (list(range(1, 13)), 12)
    assert line["lineage"] == [{"job_id": parent, "last_tick": 12}]
    assert line["loss"] == [float(np.float32(1 / tick)) for tick in range(1, 13)]
    assert line["time"]["tick"] == [8, 12]
    saved = client.get(f"/v1/jobs/{job['id']}/checkpoints/12/files/model.safetensors")
    assert saved.data == b"weights of 12"
    events = [event["data"].get("message") for event in
              client.get(f"/v1/jobs/{job['id']}/events").json["data"]]  # fmt: skip
    assert f"goes on after tick 12 of {parent}" in events


def test_the_learning_rates_of_a_line_are_those_that_were_used(client: Any, parent: str) -> None:
    patch = {"optimizer": {"lr": 0.5}, "schedule": {"name": "linear"}, "budget": {"ticks": 30}}
    child = fork(client, parent, 12, **patch).json["id"]
    grandchild = fork(client, child, None, optimizer={"lr": 0.25}).json
    assert grandchild["first_tick"] == 13

    page = client.get(f"/v1/jobs/{grandchild['id']}/history?lineage=true&columns=lr").json
    assert page["lr"] == [0.001] * 12 and page["lineage"][0]["job_id"] == parent
    view = client.get(f"/v1/jobs/{child}/history?lineage=true&columns=lr&points=1").json
    assert view["lr"]["max"] == [0.001]


@pytest.mark.parametrize(
    ("patch", "pointer", "rule"),
    [
        ({"model": {"hidden": [8]}}, "/spec/model/hidden", "the weights are those of this net"),
        ({"model": {"norm": "none"}}, "/spec/model/norm", "only dropout may change"),
        ({"model": {"dropout": 0.5}}, "/spec/model/dropout", "0 stays 0"),
        ({"data": {"samples": 64}}, "/spec/data/samples", "the state belongs to these data"),
        ({"data": None}, "/spec/data", "the state belongs to these data"),
        ({"objective": "cross_entropy"}, "/spec/objective", "trained on this objective"),
        ({"validation": {"fraction": 0.5}}, "/spec/validation/fraction", "trained on"),
        ({"validation": None}, "/spec/validation", "trained on"),
        ({"test": {"fraction": 0.1}}, "/spec/test", "trained on"),
        ({"record": ["loss", "grad_norm"]}, "/spec/record", "the history of the line"),
        ({"seed": 7}, "/spec/seed", "it decides which rows are held out"),
        ({"optimizer": {"name": "sgd"}}, "/spec/optimizer/name", "`init` takes the weights alone"),
        ({"optimizer": {"lr": 11}}, "/spec/optimizer/lr", "10"),
        ({"budget": {"ticks": 12}}, "/spec/budget", "more than the 12 ticks"),
        ({"budget": {"ticks": None, "seconds": 1}}, "/spec/budget/seconds", "more than the"),
        ({"schedule": {"warmup_ticks": 20}}, "/spec/schedule/warmup_ticks", "below the 20"),
        ({"batch_size": 64}, "/spec/batch_size", "at most the 24 training rows"),
        ({"facts": {}}, "/spec/facts", "unknown field"),
        ({"nonsense": 1}, "/spec/nonsense", "unknown field"),
        ({"compute": {"threads": "1"}}, "/spec/compute/threads", "a whole number"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("/") else "",
)
def test_what_a_fork_cannot_change_is_422_in_the_plan_and_in_the_fork(
    client: Any, parent: str, settings: Settings, store: "redis.Redis",
    patch: dict[str, Any], pointer: str, rule: str,
) -> None:  # fmt: skip
    if "seconds" in patch.get("budget", {}):
        store.hset(keys.job("default", parent), "elapsed", "2.0")
        patch, tick = {**patch, "budget": {**patch["budget"]}}, 20
    else:
        tick = 12
    for path in ("fork", "fork/plan"):
        body = {"tick": tick, "spec": patch}
        response = client.post(f"/v1/jobs/{parent}/{path}", json=body)
        assert response.status_code == 422, response.json
        assert response.json["type"] == PROBLEM + "invalid-spec"
        (error,) = response.json["errors"]
        assert error["pointer"] == pointer and rule in error["detail"], error
    assert len(job_folders(settings)) == 1 and store.zcard(keys.PENDING_JOB_REMOVALS) == 0


def test_a_schedule_that_depends_on_the_total_is_named_when_the_total_changes(
    client: Any, parent: str
) -> None:
    cosine = fork(client, parent, 12, schedule={"name": "cosine"}).json
    assert cosine["spec"]["schedule"]["name"] == "cosine"
    refused = fork(client, cosine["id"], 12, budget={"ticks": 40})
    assert refused.status_code == 422
    (error,) = refused.json["errors"]
    assert error["pointer"] == "/spec/schedule" and "from 20 to 40" in error["detail"]
    named = {"budget": {"ticks": 40}, "schedule": {"name": "cosine"}}
    assert fork(client, cosine["id"], 12, **named).status_code == 202
    assert fork(client, cosine["id"], 12, optimizer={"lr": 0.1}).status_code == 202


def test_a_plan_of_a_fork_makes_nothing(client: Any, parent: str, settings: Settings) -> None:
    body = {"spec": {"budget": {"ticks": 50}, "clip_norm": 0.5, "batch_size": None}}
    plan = client.post(f"/v1/jobs/{parent}/fork/plan", json=body).json

    assert (plan["ticks_total"], plan["spec"]["clip_norm"]) == (50, 0.5)
    assert plan["spec"]["batch_size"] == 24  # the default: all training rows
    assert len(client.get("/v1/jobs").json["data"]) == len(job_folders(settings)) == 1


def test_a_tick_without_a_checkpoint_is_409_that_names_the_kept_ones(
    client: Any, parent: str
) -> None:
    response = fork(client, parent, 13)
    assert (response.status_code, response.json["type"]) == (409, PROBLEM + "not-kept")
    assert response.json["ticks"] == [8, 12, 20]
    queued = client.post("/v1/jobs", json=small_spec()).json["id"]
    response = client.post(f"/v1/jobs/{queued}/extend", json={"budget": {"ticks": 30}})
    assert (response.status_code, response.json["ticks"]) == (409, [])
    verify = client.post(f"/v1/jobs/{parent}/verify").json["id"]
    assert fork(client, verify).json["type"] == PROBLEM + "illegal-move"


def test_an_extension_replaces_the_budget_and_begins_at_the_end(client: Any, parent: str) -> None:
    body = {"budget": {"epochs": 20}}
    response = client.post(f"/v1/jobs/{parent}/extend", json=body)
    assert response.status_code == 202, response.json
    job = response.json
    assert (job["first_tick"], job["ticks_total"]) == (21, 60)
    assert job["spec"]["budget"] == {"ticks": None, "epochs": 20, "seconds": None}
    body = {"budget": {"ticks": 20}}
    (error,) = client.post(f"/v1/jobs/{parent}/extend", json=body).json["errors"]
    assert error["pointer"] == "/budget"


def test_one_idempotency_key_makes_one_fork(client: Any, parent: str, settings: Settings) -> None:
    def send(key: str, tick: int = 12, path: str = "fork") -> Any:
        headers = {"Idempotency-Key": key}
        body = {"tick": tick} if path == "fork" else {"budget": {"ticks": 30}}
        return client.post(f"/v1/jobs/{parent}/{path}", json=body, headers=headers)

    first, again = send("k"), send("k")
    assert first.status_code == again.status_code == 202
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert send("k", tick=8).json["type"] == PROBLEM + "idempotency-mismatch"
    assert send("k", path="extend").status_code == 422
    assert len(job_folders(settings)) == 2
    client.post(f"/v1/jobs/{first.json['id']}/cancel")
    assert client.delete(f"/v1/jobs/{first.json['id']}").status_code == 204
    assert send("k").status_code == 410


def test_a_forks_copies_count_in_the_quota_of_artifacts(client: Any, parent: str) -> None:
    before = client.get("/v1/tenants/default").json["usage"]["artifact_bytes"]["used"]
    child = fork(client, parent, 12).json
    after = client.get("/v1/tenants/default").json["usage"]["artifact_bytes"]["used"]
    assert after - before == child["bytes"] > 0
    client.patch("/v1/tenants/default", json={"quotas": {"artifact_bytes": after + 10}})
    refused = fork(client, parent, 12)
    assert (refused.status_code, refused.json["name"]) == (429, "artifact_bytes")
    client.patch("/v1/tenants/default", json={"quotas": {"artifact_bytes": None}})
    client.post(f"/v1/jobs/{child['id']}/cancel")
    assert client.delete(f"/v1/jobs/{child['id']}").status_code == 204
    assert client.get("/v1/tenants/default").json["usage"]["artifact_bytes"]["used"] == before


def test_a_damaged_checkpoint_is_not_copied(
    client: Any, parent: str, settings: Settings, store: "redis.Redis"
) -> None:
    (file,) = settings.artifacts.glob(f"default/{parent}/checkpoints/12-*/model.safetensors")
    file.write_bytes(b"weights of 13")
    response = fork(client, parent, 12)
    assert (response.status_code, response.json["type"]) == (500, PROBLEM + "damaged")
    shutil.rmtree(file.parent)
    assert fork(client, parent, 12).status_code == 500
    assert len(job_folders(settings)) == 1 and store.zcard(keys.PENDING_JOB_REMOVALS) == 0
    assert fork(client, parent, 8).status_code == 202


def test_a_state_without_the_numbers_of_one_is_damaged(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings
) -> None:
    job_id = submit()
    worker = ManualWorker(store, settings)
    worker.record([1.0] * 8)
    worker.save(more_files={"state.json": b"{}"})
    response = fork(client, job_id)
    assert (response.status_code, response.json["type"]) == (500, PROBLEM + "damaged")
    assert job_folders(settings) == {job_id}


def test_a_copy_without_room_is_507_and_leaves_nothing(
    parent: str, store_server: str, settings: Settings
) -> None:
    from api.app import create_app
    from tests.support import ADMIN_KEY

    full = settings_for(
        store_server, settings.artifacts.parent, TICKFORGE_MIN_FREE_BYTES=str(10**15)
    )
    http = create_app(full).test_client()
    http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    response = fork(http, parent, 12)
    assert (response.status_code, response.json["type"]) == (507, PROBLEM + "storage-full")
    assert len(job_folders(settings)) == 1


def test_a_fork_of_another_tenants_job_is_404(client: Any, parent: str) -> None:
    key = client.post("/v1/keys", json={"tenant": "other", "scopes": ["submit"]}).json["secret"]
    headers = {"Authorization": f"Bearer {key}"}
    for path, body in (("fork", {}), ("fork/plan", {}), ("extend", {"budget": {"ticks": 30}})):
        response = client.post(f"/v1/jobs/{parent}/{path}", json=body, headers=headers)
        assert (response.status_code, response.json["type"]) == (404, PROBLEM + "no-such-job")


@pytest.mark.parametrize(
    ("init", "pointer", "rule"),
    [
        ({"job": "job_" + "a" * 26}, "/init/job", "there is none of this id"),
        ({"tick": 13}, "/init/tick", "it keeps: 8, 12, 20"),
        ({"tick": -1}, "/init/tick", "at least 0"),
        ({"job": "x"}, "/init/job", "the id of a job"),
        ({"strict": 1}, "/init/strict", "true or false"),
        ({}, "/init", "0.weight is [4, 4] in that checkpoint, [4, 3] in this net"),
        ({"tick": 8, "strict": False}, "/init", "0.weight is [4, 4] in that"),
    ],
)
def test_an_init_that_cannot_be_is_422_at_submission_and_in_the_plan(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings,
    init: dict[str, Any], pointer: str, rule: str,
) -> None:  # fmt: skip
    job_id = submit()
    worker = ManualWorker(store, settings)
    header = json.dumps({"0.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}})
    weights = len(header).to_bytes(8, "little") + header.encode() + bytes(64)
    for count in (8, 4, 8):
        worker.record([1.0] * count)
        worker.save(weights)
    worker.end(stopped_by="budget")
    body = small_spec(init={"job": job_id, **init})
    for path in ("/v1/jobs", "/v1/jobs/plan"):
        response = client.post(path, json=body)
        assert response.status_code == 422, response.json
        error = response.json["errors"][0]
        assert error["pointer"] == pointer and rule in error["detail"], error
    assert job_folders(settings) == {job_id}
    (file,) = settings.artifacts.glob(f"default/{job_id}/checkpoints/20-*/model.safetensors")
    file.write_bytes(b"\xff" * file.stat().st_size)
    damaged = client.post("/v1/jobs", json=small_spec(init={"job": job_id}))
    assert (damaged.status_code, damaged.json["type"]) == (500, PROBLEM + "damaged")


def test_a_forks_export_begins_after_its_parents_ticks_unless_the_line_is_asked_for(
    client: Any, parent: str, store: "redis.Redis", settings: Settings
) -> None:
    path = (
        f"/v1/jobs/{fork(client, parent, 12, budget={'ticks': 30}).json['id']}/export/tensorboard"
    )
    response = client.get(path)
    assert (response.headers["X-First-Tick"], response.headers["X-Last-Tick"]) == ("13", "12")
    assert not read_events(response.data)
    worker = ManualWorker(store, settings)
    worker.record([0.5] * 4, [SparsePoint("time", 16, np.float64(0.5).tobytes())], elapsed=8.05)
    worker.end(stopped_by="user")
    own = read_events(client.get(path).data)
    assert [tick for tick, _, _ in own] == [13, 14, 15, 16]
    times = [seconds for _, seconds, _ in own]
    started = own[0][1] - (times[-1] - own[0][1]) / 3  # tick 12, where the fork began
    assert times[-1] - started == pytest.approx(0.4, abs=1e-5)
    content = io.BytesIO(client.get(path.replace("tensorboard", "wandb")).data)
    with tarfile.open(fileobj=content) as tar:
        log = next(tar.extractfile(member) for member in tar if member.isfile())
        assert log is not None
        ends = [parse_message(record) for record in read_log(log.read())]
    (end,) = (parse_message(fields[18][0]) for fields in ends if 18 in fields)
    assert end[2] == [7]  # seconds, without the parent's 0.1
    line = read_events(client.get(f"{path}?lineage=true").data)
    assert [tick for tick, _, _ in line] == list(range(1, 17))
    assert [values["loss"] for _, _, values in line[:12]] == [
        np.float32(1 / n) for n in range(1, 13)
    ]
