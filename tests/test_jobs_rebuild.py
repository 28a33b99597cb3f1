"""A store that is lost is built again from the artifacts: the same answers, the same bits."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from jobs.store.numbering import NUMBERS_PER_REBUILD
from tests.api_process import running_api as api_alone
from tests.datasets import PETS
from tests.rebuild_harness import CSV, LONG, FilledService, LostStore, read_all_answers, result_bits
from tests.support import running_store, small_spec, wait_until


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LostStore]:
    with running_store() as server:
        lost = LostStore(tmp_path_factory.mktemp("lost"), server)
        try:
            yield lost
        finally:
            lost.end()


class Seen:
    """The responses before the store was lost, and the output of its rebuild."""

    filled: FilledService
    before: dict[str, Any]
    after: dict[str, Any]  # when no worker has changed anything yet
    refused: str
    dry: str
    rebuilt: str


@pytest.fixture(scope="module")
def rebuilt(lost: LostStore) -> Iterator[tuple[Seen, httpx.Client]]:
    """Fill, look, lose the store, rebuild."""
    seen = Seen()
    lost.service.start()
    with lost.http() as http:
        seen.filled = FilledService(lost, http)
        seen.before = read_all_answers(http, seen.filled)
    lost.lose_store()
    with pytest.raises(AssertionError) as refusal:
        lost.service.start()
    seen.refused = str(refusal.value)
    lost.service.end()
    dry = lost.rebuild("--dry-run")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    completed = lost.rebuild()
    assert completed.returncode == 0, completed.stdout + completed.stderr
    seen.dry, seen.rebuilt = dry.stdout, completed.stdout
    with api_alone(lost.server.url, lost.data) as http:
        seen.after = read_all_answers(http, seen.filled)
        yield seen, http


@pytest.fixture
def seen(rebuilt: tuple[Seen, httpx.Client]) -> Seen:
    return rebuilt[0]


@pytest.fixture
def http(rebuilt: tuple[Seen, httpx.Client]) -> httpx.Client:
    """The API on the store that was built again, without a worker of its own."""
    return rebuilt[1]


def test_every_response_after_a_rebuild_is_what_it_was(seen: Seen) -> None:
    for path, response in seen.before.items():
        assert seen.after[path] == response, path
    statuses = {status for status, _ in seen.before.values()}
    assert {200, 401, 404} <= statuses
    for kind in ("predict", "evaluate"):
        _, job = seen.after[f"/v1/jobs/{seen.filled.ids[kind]} None"]
        assert (job["dataset"], job["progress"]) == (seen.filled.datasets["used"], 1.0)
    assert seen.after["a signed link"][0] == 200


def test_a_start_on_the_empty_store_says_what_to_do(seen: Seen) -> None:
    assert "the store is empty" in seen.refused and "python -m jobs.rebuild" in seen.refused


def test_a_rebuild_counts_what_it_restores(seen: Seen) -> None:
    for line in ("1 datasets restored", "1 deleted datasets restored", "1 keys restored",
                 "1 deleted keys restored", "1 deleted jobs restored", "5 succeeded jobs restored",
                 "1 paused jobs restored", "0 faults"):  # fmt: skip
        assert f" {line}\n" in f" {seen.rebuilt}", seen.rebuilt
    assert "1 running jobs would be restored" in seen.dry


def test_idempotency_keys_answer_as_before(http: httpx.Client, seen: Seen) -> None:
    ids = seen.filled.ids
    for name in ("second", "running"):
        again = submit(http, {**LONG, "name": name}, f"j-{name}")
        assert again.json()["id"] == ids[name]
        assert again.headers["Idempotent-Replayed"] == "true"
    other = submit(http, {**LONG, "name": "another"}, "j-second")
    deleted = submit(http, {**small_spec(), "name": "deleted"}, "j-deleted")
    assert (other.status_code, deleted.status_code) == (422, 410)
    body = {"tenant": "other", "scopes": ["read"], "name": "deleted"}
    key = http.post("/v1/keys", json=body, headers={"Idempotency-Key": "k-deleted"})
    assert key.status_code == 410
    gone = http.post("/v1/datasets?name=deleted", content=b"a,b\n1,2\n3,4\n",
                     headers={**CSV, "Idempotency-Key": "d-deleted"})  # fmt: skip
    same = http.post("/v1/datasets?name=used", content=PETS,
                     headers={**CSV, "Idempotency-Key": "d-used"})  # fmt: skip
    assert (gone.status_code, same.status_code) == (410, 201)
    assert same.json()["id"] == seen.filled.datasets["used"]


def test_new_jobs_come_behind_all_there_were(http: httpx.Client, seen: Seen) -> None:
    job_id = http.post("/v1/jobs", json=small_spec(name="new")).json()["id"]
    assert http.get("/v1/jobs?limit=1").json()["data"][0]["id"] == job_id
    http.post(f"/v1/jobs/{job_id}/cancel")


def test_live_jobs_go_on_to_the_same_bits(lost: LostStore, seen: Seen) -> None:
    ids = seen.filled.ids
    lost.service.start()
    with lost.http() as http:
        http.post(f"/v1/jobs/{ids['paused']}/resume")
        for name in ("running", "paused", "first", "second"):
            job = wait_until(lambda name=name: ended(http, ids[name]), 40, f"the end of {name}")
            assert (job["status"], job["exact"]) == ("succeeded", True), job
            assert result_bits(http, ids[name]) == result_bits(http, ids["straight"]), name
        running = http.get(f"/v1/jobs/{ids['running']}").json()
        assert running["notes"] == "said while it ran"
        attempts = http.get(f"/v1/jobs/{ids['running']}/attempts").json()["data"]
        assert attempts[0]["outcome"] == "lost" and len(attempts) == 2
        events = http.get(f"/v1/jobs/{ids['running']}/events?limit=1000").json()["data"]
        lines = [event["data"]["message"] for event in events if event["type"] == "log"]
        assert any("the store was lost" in line for line in lines)
        numbers = [event["seq"] for event in events]
        assert numbers == sorted(numbers)
        shown = [number for number in numbers if number < NUMBERS_PER_REBUILD]
        assert 0 < len(shown) < len(numbers) and shown == list(range(1, len(shown) + 1))
        order = [started(http, ids[name]) for name in ("running", "first", "second")]
        assert order[1] < order[2]


def submit(http: httpx.Client, spec: dict[str, Any], key: str) -> httpx.Response:
    return http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key})


def ended(http: httpx.Client, job_id: str) -> Any:
    job = http.get(f"/v1/jobs/{job_id}").json()
    return job if job["finished_at"] else None


def started(http: httpx.Client, job_id: str) -> str:
    return str(http.get(f"/v1/jobs/{job_id}").json()["started_at"])
