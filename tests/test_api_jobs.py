"""Jobs over HTTP: submitted once, listed, changed, asked, deleted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.manual_worker import ManualWorker
from tests.support import ADMIN_KEY, settings_for, small_spec

Submit = Callable[..., str]


def test_a_submission_is_answered_202_with_the_job_and_where_it_is(client: Any) -> None:
    response = client.post("/v1/jobs", json=small_spec(name="first"))

    assert response.status_code == 202
    job = response.json
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert (job["status"], job["tick"], job["name"]) == ("queued", 0, "first")
    assert job["queue"] == {"position": 1, "reason": "no_worker"}
    assert job["spec"]["optimizer"]["name"] == "adamw"
    later = client.get(response.headers["Location"])
    assert later.json == {**job, "warnings": []}
    assert later.headers["ETag"] == response.headers["ETag"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_answer_to_a_submission_warns_of_a_queue_without_a_worker(
    client: Any, device: str
) -> None:
    spec = small_spec(compute={"device": device})
    expected = f"no live worker serves the queue {device}: the job would wait for one"
    assert expected in client.post("/v1/jobs/plan", json=spec).json["warnings"]
    assert expected in client.post("/v1/jobs", json=spec).json["warnings"]


def test_a_submission_wakes_its_queue_once(client: Any, submit: Submit, store: Store) -> None:
    submit()
    assert store.llen("tickforge.cpu") == 1


def test_submissions_to_a_busy_worker_leave_no_more_wake_ups_than_jobs_wait(
    submit: Submit, store: Store, settings: Settings
) -> None:
    for _ in range(5):  # each is claimed without its wake-up, as a busy worker does
        submit()
        ManualWorker(store, settings).end("cancelled")

    assert store.llen("tickforge.cpu") == 1
    submit(), submit()
    assert store.llen("tickforge.cpu") == 2


def test_the_same_key_and_body_make_one_job(client: Any, store: Store) -> None:
    key = {"Idempotency-Key": "k1"}
    first = client.post("/v1/jobs", json=small_spec(), headers=key)
    again = client.post("/v1/jobs", json=small_spec(), headers=key)

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.json) == (202, first.json)
    assert len(client.get("/v1/jobs").json["data"]) == 1


def test_bodies_are_compared_as_json_not_as_text(client: Any) -> None:
    key = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
    one = (
        '{"model":{"family":"mlp"},"budget":{"ticks":5},'
        '"data":{"source":"example","name":"digits"}}'
    )
    other = (
        '{ "data": {"name": "digits", "source": "\\u0065xample"},'
        ' "budget": {"ticks": 5.0}, "model": {"family": "mlp"}}'
    )
    first = client.post("/v1/jobs", data=one, headers=key)
    assert first.status_code == 202, first.json
    again = client.post("/v1/jobs", data=other, headers=key)
    assert again.json["id"] == first.json["id"]


def test_the_same_key_with_another_body_is_422_and_after_deletion_410(client: Any) -> None:
    key = {"Idempotency-Key": "k1"}
    job_id = client.post("/v1/jobs", json=small_spec(), headers=key).json["id"]

    other = client.post("/v1/jobs", json=small_spec(seed=2), headers=key)
    assert other.status_code == 422
    assert other.json["errors"][0]["header"] == "Idempotency-Key"

    client.post(f"/v1/jobs/{job_id}/cancel")
    client.delete(f"/v1/jobs/{job_id}")
    assert client.post("/v1/jobs", json=small_spec(), headers=key).status_code == 410


def test_a_job_is_304_until_it_changes(client: Any, submit: Submit) -> None:
    path = f"/v1/jobs/{submit()}"
    tag = client.get(path).headers["ETag"]

    same = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)

    client.patch(path, json={"notes": "looked at"})
    changed = client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_pages_cover_all_jobs_newest_first_while_more_come(client: Any, submit: Submit) -> None:
    job_ids = [submit(name=f"job {n}") for n in range(5)]
    page = client.get("/v1/jobs?limit=2").json
    submit()  # newer than the first page: it may not shift the second
    seen = [job["id"] for job in page["data"]]
    while page["has_more"]:
        page = client.get(f"/v1/jobs?limit=2&after={page['next_after']}").json
        seen += [job["id"] for job in page["data"]]

    assert page["next_after"] is None
    assert seen == job_ids[::-1]
    oldest = client.get("/v1/jobs?order=asc&limit=5").json["data"]
    assert [job["id"] for job in oldest] == job_ids


def test_filters_are_any_of_the_statuses_and_all_of_the_rest(client: Any, submit: Submit) -> None:
    a = submit(name="x", labels={"team": "a:b", "kind": "1"})
    b = submit(name="x", labels={"team": "a:b"})
    c = submit(name="y")
    client.post(f"/v1/jobs/{c}/cancel")

    def ids(query: str) -> list[str]:
        return [job["id"] for job in client.get(f"/v1/jobs?{query}").json["data"]]

    assert ids("label=team:a:b") == [b, a]
    assert ids("label=team:a:b&label=kind:1") == [a]
    assert ids("status=cancelled&status=queued") == [c, b, a]
    assert ids("status=cancelled") == [c]
    assert ids("name=x&status=queued&kind=train") == [b, a]
    assert ids("name=z") == []


def test_a_patch_changes_the_named_fields_and_nothing_else(client: Any, submit: Submit) -> None:
    path = f"/v1/jobs/{submit(name='old', labels={'a': '1'})}"
    before = client.get(path).json
    response = client.patch(path, json={"labels": {"b": "2"}, "priority": 7, "name": "new"})

    assert response.status_code == 200
    changed = {"labels": {"b": "2"}, "priority": 7, "name": "new"}
    assert response.json == {**before, **changed}
    assert client.get("/v1/jobs?label=b:2").json["data"] == [response.json]
    assert client.get("/v1/jobs?label=a:1").json["data"] == []
    assert client.patch(path, json={}).json == response.json


def test_verbs_of_a_queued_job(client: Any, submit: Submit) -> None:
    path = f"/v1/jobs/{submit()}"

    stopped = client.post(f"{path}/stop")
    assert (stopped.status_code, stopped.json["job_status"]) == (409, "queued")
    assert stopped.json["allowed"] == ["cancel", "pause", "resume"]

    for verb, status, code in (
        ("resume", "queued", 200),
        ("pause", "paused", 200),
        ("pause", "paused", 200),
        ("resume", "queued", 202),
        ("cancel", "cancelled", 200),
        ("cancel", "cancelled", 200),
    ):
        response = client.post(f"{path}/{verb}")
        assert (response.status_code, response.json["status"]) == (code, status), verb
    for verb in ("resume", "pause", "stop"):
        response = client.post(f"{path}/{verb}", json={})
        assert (response.status_code, response.json["allowed"]) == (409, ["cancel"]), verb


def test_verbs_of_a_running_job_are_under_way(
    client: Any, submit: Submit, store: Store, settings: Settings
) -> None:
    path = f"/v1/jobs/{submit()}"
    ManualWorker(store, settings).record([1.0, 0.5])

    paused = client.post(f"{path}/pause")
    assert (paused.status_code, paused.json["requested"]) == (202, "pause")
    assert (paused.json["status"], paused.json["tick"], paused.json["loss"]) == ("running", 2, 0.5)
    withdrawn = client.post(f"{path}/resume")
    assert (withdrawn.status_code, withdrawn.json["requested"]) == (200, None)
    assert client.post(f"{path}/stop").json["requested"] == "stop"
    assert client.delete(path).status_code == 409


def test_a_resume_wakes_the_queue_again(
    client: Any, submit: Submit, store: Store, settings: Settings
) -> None:
    path = f"/v1/jobs/{submit()}"
    client.post(f"{path}/pause")
    store.delete("tickforge.cpu")
    client.post(f"{path}/resume")
    assert store.llen("tickforge.cpu") == 1


def test_a_deleted_job_is_gone_with_its_files(
    client: Any, submit: Submit, store: Store, settings: Settings
) -> None:
    job_id = submit()
    worker = ManualWorker(store, settings)
    worker.record([1.0])
    worker.save()
    worker.end("cancelled")
    folder = Path(worker.files.job_folder("default", job_id))
    assert folder.exists()

    response = client.delete(f"/v1/jobs/{job_id}")
    assert (response.status_code, response.data) == (204, b"")
    assert not folder.exists()
    for path in ("", "/history", "/checkpoints", "/attempts", "/checkpoints/latest"):
        assert client.get(f"/v1/jobs/{job_id}{path}").status_code == 404, path
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 404
    assert client.get("/v1/jobs").json["data"] == []


def test_attempts_show_the_worker_and_its_ticks(
    client: Any, submit: Submit, store: Store, settings: Settings
) -> None:
    path = f"/v1/jobs/{submit()}/attempts"
    for losses in ([1.0, 2.0], [3.0]):
        worker = ManualWorker(store, settings)
        worker.record(losses)
        worker.end("queued", reason="drain")

    attempts = client.get(path).json["data"]
    assert [attempt["number"] for attempt in attempts] == [1, 2]
    assert [(attempt["first_tick"], attempt["last_tick"]) for attempt in attempts] == [
        (1, 2),
        (3, 3),
    ]
    assert attempts[0]["worker"] == "by-hand"
    newest = client.get(f"{path}?order=desc&limit=1").json
    assert [attempt["number"] for attempt in newest["data"]] == [2]
    rest = client.get(f"{path}?order=desc&after={newest['next_after']}").json
    assert ([attempt["number"] for attempt in rest["data"]], rest["has_more"]) == ([1], False)


def test_a_plan_counts_exactly_and_stores_nothing(client: Any) -> None:
    response = client.post("/v1/jobs/plan", json=small_spec(budget={"epochs": 3}))

    assert response.status_code == 200
    body = response.json
    assert (body["ticks_per_epoch"], body["ticks_total"]) == (4, 12)
    assert body["parameters"] == 3 * 4 + 4 + 2 * 4 + 4 * 1 + 1  # linear, LayerNorm, linear
    assert body["checkpoint_bytes"] > 3 * 4 * body["parameters"]
    assert body["memory_bytes"] > body["checkpoint_bytes"]
    assert body["history_bytes"] == int(12 * (4 + 24 / 1024))
    assert body["engine"]["likely"] == "eager"
    assert body["engine"]["workers"] == 0
    assert "no live worker" in body["warnings"][0]
    assert body["spec"]["batch_size"] == 8
    assert client.get("/v1/jobs").json["data"] == []


def test_a_job_with_a_budget_of_time_has_no_total(client: Any) -> None:
    body = client.post("/v1/jobs/plan", json=small_spec(budget={"seconds": 5})).json
    assert (body["ticks_total"], body["history_bytes"], body["seconds"]) == (None, None, 5)


@pytest.mark.parametrize("priority", [-100, 100])
def test_bounds_themselves_are_allowed(client: Any, submit: Submit, priority: int) -> None:
    assert client.get(f"/v1/jobs/{submit(priority=priority)}").json["priority"] == priority


def test_a_submission_sent_again_is_answered_the_same(client: Any) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/jobs", json=small_spec(), headers=headers)
    client.post(first.headers["Location"] + "/pause")
    again = client.post("/v1/jobs", json=small_spec(), headers=headers)

    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert client.get(first.headers["Location"]).json["status"] == "paused"


def test_the_tag_of_a_submission_serves_the_first_look(client: Any) -> None:
    response = client.post("/v1/jobs", json=small_spec())
    looked = client.get(
        response.headers["Location"], headers={"If-None-Match": response.headers["ETag"]}
    )

    assert looked.status_code == 304


def test_a_nearly_full_disk_refuses_jobs_and_answers_reads(
    store_server: str, store: Any, tmp_path: Path
) -> None:
    settings = settings_for(store_server, tmp_path, TICKFORGE_MIN_FREE_BYTES="1e15")
    client = create_app(settings).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    refused = client.post("/v1/jobs", json=small_spec())

    assert refused.status_code == 507 and "bytes of disk are free" in refused.json["detail"]
    assert client.get("/v1/jobs").json["data"] == []


def test_a_page_of_jobs_with_large_specs_is_bounded_by_bytes(client: Any, store: Any) -> None:
    rows = [[float(n)] * 100 for n in range(1000)]
    data = {"source": "inline", "inputs": rows, "targets": [0.0] * 1000}
    for _ in range(12):
        response = client.post("/v1/jobs", json=small_spec(data=data))
        assert response.status_code == 202, response.json

    first = client.get("/v1/jobs?limit=100").json
    assert first["has_more"] and 1 <= len(first["data"]) < 12
    rest = client.get(f"/v1/jobs?limit=100&after={first['next_after']}").json
    assert len(first["data"]) + len(rest["data"]) == 12
    assert read_bytes(store, lambda: client.get("/v1/jobs?limit=1")) < 1_000_000
    assert read_bytes(store, lambda: client.get("/v1/jobs?limit=100&status=paused")) < 100_000


def read_bytes(store: Any, act: Callable[[], Any]) -> int:
    """How many bytes the store sends meanwhile."""
    before = store.info("stats")["total_net_output_bytes"]
    assert act().status_code == 200
    return int(store.info("stats")["total_net_output_bytes"]) - int(before)
