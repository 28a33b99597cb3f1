"""Checkpoints that clients ask for, name, pin and delete, with the owner played by hand."""

from pathlib import Path
from typing import Any

import pytest

from jobs.errors import ConcurrentChange
from jobs.files import checkpoint_folders
from jobs.job import Checkpoint
from jobs.ledger.owner import LeaseLedger
from jobs.store.codec import encode_checkpoint, parse_checkpoint
from tests.ledger_helpers import make_checkpoint
from tests.manual_worker import ManualWorker


@pytest.fixture
def job(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}"


@pytest.fixture
def path(job: str) -> str:
    return f"{job}/checkpoints"


def saved_at(worker: ManualWorker, *ticks: int, **about: Any) -> None:
    for tick in ticks:
        worker.record([1.0] * (tick - worker.tick))
        worker.save(b"x" * tick, **about)


def lines(client: Any, job: str) -> list[str]:
    page = client.get(f"{job}/events?limit=1000").json["data"]
    return [event["data"]["message"] for event in page if event["type"] == "log"]


def test_a_checkpoint_request_is_shown_beside_other_requests_and_displaces_none(
    client: Any, worker: ManualWorker, job: str, path: str
) -> None:
    worker.record([1.0])
    assert not worker.ledger.read_checkpoints(worker.lease).request
    client.post(f"{job}/cancel")

    response = client.post(path, json={"name": "here"})

    assert (response.status_code, response.json["requested"]) == (202, "cancel")
    appended = worker.ledger.append_ticks(worker.lease, 2, 0, {}, {}, 0, {})
    assert (appended.requested, appended.checkpoint_requested) == ("cancel", True)


def test_several_requests_are_served_by_one_checkpoint(
    client: Any, worker: ManualWorker, path: str
) -> None:
    worker.record([1.0, 1.0])
    for body in ({"name": "first", "pinned": True}, {"name": "second"}, {}):
        assert client.post(path, json=body).status_code == 202

    checkpoint_set = worker.ledger.read_checkpoints(worker.lease)
    replayed, now = make_checkpoint(1), make_checkpoint(2, periodic=False)
    assert not checkpoint_set.fulfils_request(replayed) and checkpoint_set.fulfils_request(now)
    named = checkpoint_set.with_request_fields(now)
    assert (named.name, named.pinned, named.periodic) == ("second", True, True)
    worker.ledger.commit_checkpoint(
        worker.lease, named, change_count=checkpoint_set.change_count, fulfils_request=True
    )

    assert worker.ledger.read_checkpoints(worker.lease).request is None
    assert client.get(f"{path}/2").json["name"] == "second"


def test_a_request_that_a_job_leaves_behind_is_dropped_with_an_event(
    client: Any, worker: ManualWorker, job: str, path: str
) -> None:
    worker.record([1.0])
    client.post(path)
    worker.end("paused")

    assert lines(client, job) == [
        "the checkpoint that was asked for is not made: the job is paused"
    ]
    client.post(f"{job}/resume")
    assert client.post(path).status_code == 409


def test_only_a_running_job_can_be_saved_and_others_answer_with_the_allowed_verbs(
    client: Any, worker: ManualWorker, job: str, path: str
) -> None:
    worker.record([1.0])
    worker.end("paused")
    paused = client.post(path)
    client.post(f"{job}/cancel")
    ended = client.post(path, json={"name": "late"})

    assert (paused.status_code, paused.json["job_status"]) == (409, "paused")
    assert paused.json["allowed"] == ["cancel", "stop", "pause", "resume"]
    assert (ended.status_code, ended.json["job_status"]) == (409, "cancelled")
    assert ended.json["allowed"] == ["cancel"]


def test_a_request_sent_again_asks_once_and_is_answered_the_same(
    client: Any, worker: ManualWorker, job: str, path: str
) -> None:
    worker.record([1.0])
    key = {"Idempotency-Key": "save-1"}
    first = client.post(path, json={"name": "a"}, headers=key)
    worker.record([1.0])
    checkpoint_set = worker.ledger.read_checkpoints(worker.lease)
    worker.ledger.commit_checkpoint(
        worker.lease,
        make_checkpoint(2),
        change_count=checkpoint_set.change_count,
        fulfils_request=True,
    )

    again = client.post(path, json={"name": "a"}, headers=key)

    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert worker.ledger.read_checkpoints(worker.lease).request is None
    assert client.post(path, json={"name": "b"}, headers=key).status_code == 422
    worker.end("cancelled")
    client.delete(job)
    assert client.post("/v1/jobs", json={}, headers=key).status_code in (410, 422)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x" * 201}, "/name"),
        ({"name": 1}, "/name"),
        ({"pinned": "yes"}, "/pinned"),
        ({"pinned": None}, "/pinned"),
        ({"tick": 3}, "/tick"),
    ],
)
def test_a_wrong_body_is_422_and_names_the_field(
    client: Any, worker: ManualWorker, path: str, body: dict[str, Any], pointer: str
) -> None:
    saved_at(worker, 1)
    for response in (client.post(path, json=body), client.patch(f"{path}/1", json=body)):
        assert response.status_code == 422
        assert [error["pointer"] for error in response.json["errors"]] == [pointer]


def test_a_name_and_a_pin_can_be_given_and_taken_and_files_stay_as_they_are(
    client: Any, worker: ManualWorker, path: str
) -> None:
    saved_at(worker, 1)
    before, tag = client.get(f"{path}/1").json, client.get(path).headers["ETag"]

    named = client.patch(f"{path}/1", json={"name": "x" * 200, "pinned": True})
    assert (named.status_code, named.json) == (200, {**before, "name": "x" * 200, "pinned": True})
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200
    assert client.patch(f"{path}/latest", json={"name": None}).json == {**before, "pinned": True}
    assert client.patch(f"{path}/1", json={}).json["pinned"]
    assert client.patch(f"{path}/1", json={"pinned": False}).json == before
    assert client.patch(f"{path}/7", json={}).status_code == 404
    committed = worker.ledger.read_checkpoints(worker.lease).checkpoints[0]
    assert checkpoint_folders.files_match(
        worker.files, worker.lease.tenant, worker.lease.job_id, committed
    )


def test_a_clients_change_during_a_save_is_never_lost(
    client: Any, worker: ManualWorker, path: str
) -> None:
    """A pin that lands between the owner's decision and its commit."""
    saved_at(worker, 1, 2)
    worker.record([1.0])
    checkpoint_set = worker.ledger.read_checkpoints(worker.lease)
    drop = checkpoint_folders.expired_ticks(checkpoint_set.checkpoints, make_checkpoint(3), 2)
    assert drop == [1]
    client.patch(f"{path}/1", json={"pinned": True})

    with pytest.raises(ConcurrentChange):
        worker.ledger.commit_checkpoint(
            worker.lease, make_checkpoint(3), drop, change_count=checkpoint_set.change_count
        )

    checkpoint_set = worker.ledger.read_checkpoints(worker.lease)
    drop = checkpoint_folders.expired_ticks(checkpoint_set.checkpoints, make_checkpoint(3), 2)
    worker.ledger.commit_checkpoint(
        worker.lease, make_checkpoint(3), drop, change_count=checkpoint_set.change_count
    )
    assert [listed["tick"] for listed in client.get(path).json["data"]] == [1, 2, 3]


def test_a_name_and_a_pin_outlive_another_save_of_the_same_tick(worker: ManualWorker) -> None:
    saved_at(worker, 1)
    checkpoint_set = worker.ledger.read_checkpoints(worker.lease)
    named = checkpoint_set.with_request_fields(make_checkpoint(1, name=None))
    assert (named.name, named.pinned) == (None, False)
    old = checkpoint_set.checkpoints[0].model_copy(update={"name": "mine", "pinned": True})
    again = type(checkpoint_set)(0, 1, None, frozenset(), frozenset(), (old,)).with_request_fields(
        make_checkpoint(1, is_final=True)
    )
    assert (again.name, again.pinned, again.is_final) == ("mine", True, True)


def folders(worker: ManualWorker) -> list[Path]:
    home = worker.files.job_folder(worker.lease.tenant, worker.lease.job_id) / "checkpoints"
    return sorted(path for path in home.iterdir() if "-t" in path.name)


def test_a_deleted_checkpoint_is_404_its_files_are_gone_and_the_job_knows(
    client: Any, worker: ManualWorker, job: str, path: str
) -> None:
    saved_at(worker, 1, 2, 3)
    before, tag = client.get(job).json, client.get(path).headers["ETag"]
    size = client.get(f"{path}/3").json["bytes"]

    assert client.delete(f"{path}/3").status_code == 204

    for method in (client.get, client.delete):
        assert method(f"{path}/3").status_code == 404
    after = client.get(job).json
    assert after["latest_checkpoint"] == 2 and after["bytes"] == before["bytes"] - size
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200
    assert [folder_name.name for folder_name in folders(worker)] == ["1-t1", "2-t1"]
    assert 3 in worker.ledger.read_checkpoints(worker.lease).deleted_ticks


def test_the_last_checkpoint_that_a_live_job_could_resume_from_stays(
    client: Any, worker: ManualWorker, job: str, path: str
) -> None:
    saved_at(worker, 1, 2)
    assert client.delete(f"{path}/2").status_code == 204

    refused = client.delete(f"{path}/1")

    assert (refused.status_code, refused.json["job_status"]) == (409, "running")
    assert refused.json["type"] == "urn:tickforge:problem:last-checkpoint"
    worker.end("cancelled")
    assert client.delete(f"{path}/1").status_code == 204
    ended = client.get(job).json
    assert (ended["latest_checkpoint"], ended["bytes"], folders(worker)) == (None, 0, [])


def test_checkpoints_that_a_deleted_best_one_outdid_are_not_the_best_again(
    client: Any, worker: ManualWorker, path: str
) -> None:
    saved_at(worker, 1, 2, is_best=True)
    saved_at(worker, 3)
    assert client.get(f"{path}/best").json["tick"] == 2

    client.delete(f"{path}/2")

    assert client.get(f"{path}/best").status_code == 404
    assert not any(checkpoint["is_best"] for checkpoint in client.get(path).json["data"])
    saved_at(worker, 4, is_best=True)
    assert client.get(f"{path}/best").json["tick"] == 4


def test_a_call_that_comes_twice_counts_its_replayed_ticks_once(
    client: Any, worker: ManualWorker, job: str, lease_ledger: LeaseLedger
) -> None:
    worker.record([1.0, 2.0, 3.0])
    worker.end("queued", reason="drain")
    claim = lease_ledger.claim("cpu", worker="w", device="cpu", canaries={"1": "c"})
    assert claim is not None
    values = b"".join([b"\x00\x00\x80\x3f", b"\x00\x00\x00\x40"])
    for _ in range(2):
        lease_ledger.append_ticks(claim.lease, 1, 2, {"loss": values}, {}, 0, {})

    attempts = client.get(f"{job}/attempts").json["data"]
    assert [(attempt["replayed"], attempt["compared"]) for attempt in attempts] == [(0, 0), (2, 2)]
    assert [attempt["equal"] for attempt in attempts] == [None, True]


def test_a_record_keeps_its_name_and_pin_through_the_store() -> None:
    one: Checkpoint = make_checkpoint(1, name='a "name" — ✓', pinned=True, periodic=False)
    assert parse_checkpoint(encode_checkpoint(one).encode()) == one
