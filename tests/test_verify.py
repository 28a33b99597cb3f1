"""A verify: recorded ticks run again by a real worker, equal to the bit or told where they are not.

Each comparison has its negative control: one recorded bit changed, and the verdict says which.
"""

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.processes import WorkerProcess
from tests.support import small_spec, wait_until
from tests.workshop import Workshop, workshop

SPEC = small_spec(
    model={"family": "mlp", "hidden": [16], "dropout": 0.1},
    data={"source": "example", "name": "digits"},
    validation={"fraction": 0.2, "every_ticks": 100},
    record=["loss", "grad_norm"],
    micro_batches=2,
    budget={"ticks": 450},
    checkpoint={"every_ticks": 200, "keep": 3},
)
EAGER = {"compute": {"engine": "eager"}}  # which takes its time


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("verify")) as made:
        made.worker("usual")
        yield made


@pytest.fixture(scope="module")
def worker(shop: Workshop) -> WorkerProcess:
    return shop.workers[0]


@pytest.fixture(scope="module")
def trained(shop: Workshop) -> dict[str, Any]:
    job = shop.ended(shop.submit(SPEC))
    assert job["status"] == "succeeded", job["error"]
    return job


def sha256_of_history(shop: Workshop, job_id: str, column: str, after: int) -> str:
    path = f"/v1/jobs/{job_id}/history?columns={column}&after={after}"
    binary = {"Accept": "application/octet-stream"}
    return hashlib.sha256(shop.http.get(path, headers=binary).data).hexdigest()


def test_all_ticks_of_a_job_come_again_and_the_certificate_says_so(
    shop: Workshop, trained: dict[str, Any]
) -> None:
    verify = shop.verify(trained["id"])

    assert (verify["kind"], verify["parent"], verify["status"]) == (
        "verify", trained["id"], "succeeded",
    )  # fmt: skip
    assert (verify["tick"], verify["first_tick"], verify["progress"]) == (450, 1, 1.0)
    told = verify["result"]
    assert (told["verdict"], told["first_difference"]) == ("equal", None)
    assert (told["from"], told["to"], told["ticks_compared"]) == (0, 450, 450)
    assert told["columns"] == ["loss", "grad_norm"]
    # val_loss and val_accuracy at 100, 200, 300, 400, 450; digests there
    assert (told["points_compared"], told["digests_compared"]) == (10, 5)
    for column in ("loss", "grad_norm"):
        had = sha256_of_history(shop, trained["id"], column, 0)
        assert told["history_sha256"][column] == had
    final = shop.http.get(f"/v1/jobs/{trained['id']}/checkpoints/final").json
    assert told["weights_sha256"] == {"recorded": final["sha256"], "recomputed": final["sha256"]}
    assert told["state"]["recorded"] == told["state"]["recomputed"] is not None
    assert told["fingerprint"]["run"] == told["fingerprint"]["recorded"] == trained["fingerprint"]
    assert told["data_sha256"]["recomputed"] is not None
    assert told["started_at"] <= told["finished_at"]
    (attempt,) = shop.attempts(verify["id"])
    assert (attempt["replayed"], attempt["digests_compared"], attempt["equal"]) == (450, 5, True)


def test_it_begins_from_a_checkpoint_and_ends_where_it_is_told(
    shop: Workshop, trained: dict[str, Any]
) -> None:
    told = shop.verify(trained["id"], **{"from": 200, "to": 333})["result"]

    assert (told["verdict"], told["from"], told["to"]) == ("equal", 200, 333)
    assert told["ticks_compared"] == 133
    assert told["state"]["recorded"] is None and told["weights_sha256"]["recorded"] is None


@contextmanager
def flipped(shop: Workshop, key: str, at: int) -> Iterator[None]:
    """Turn one bit of a string in the store for a while."""
    (byte,) = shop.store.getrange(key, at, at)
    shop.store.setrange(key, at, bytes([byte ^ 1]))
    yield
    shop.store.setrange(key, at, bytes([byte]))


@pytest.fixture(scope="module")
def paused(shop: Workshop) -> Iterator[str]:
    """A job with its history still in the store."""
    job_id = shop.submit({**SPEC, "micro_batches": 8, "budget": {"ticks": 100_000}, **EAGER})
    shop.until(job_id, lambda job: job["tick"] >= 450)
    shop.ask(job_id, "pause")
    shop.until(job_id, lambda job: job["status"] == "paused")
    yield job_id
    shop.ask(job_id, "cancel")


def test_one_other_bit_of_a_recorded_loss_is_told_with_tick_and_both_values(
    shop: Workshop, paused: str
) -> None:
    with flipped(shop, shop.key(paused, "f32:loss:0"), 4 * 122):  # the lowest bit of tick 123
        verify = shop.verify(paused, to=300)

    told, first = verify["result"], verify["result"]["first_difference"]
    assert (verify["status"], verify["error"], told["verdict"]) == ("succeeded", None, "different")
    assert (first["tick"], first["column"], told["to"]) == (123, "loss", 123)
    recorded, again = (int(first[which]["bits"], 16) for which in ("recorded", "recomputed"))
    assert recorded ^ again == 1
    (value,) = struct.unpack(">f", bytes.fromhex(first["recomputed"]["bits"]))
    assert value == first["recomputed"]["value"]
    assert shop.attempts(verify["id"])[0]["equal"] is False


@pytest.mark.parametrize("column", ["state", "val_loss"])
def test_one_other_bit_of_a_sparse_column_is_told(shop: Workshop, paused: str, column: str) -> None:
    with flipped(shop, shop.key(paused, f"sparse:{column}:0"), 16 + 8):  # of the second point
        first = shop.verify(paused, to=250)["result"]["first_difference"]

    assert (first["tick"], first["column"]) == (200, column)
    assert first["recorded"] != first["recomputed"]


def test_a_weight_that_is_off_by_one_bit_in_a_checkpoint_is_told(
    shop: Workshop, paused: str
) -> None:
    start = shop.checkpoints(paused)[0]["tick"]
    tamper_weights(shop, paused, start)

    told = shop.verify(paused, **{"from": start})["result"]

    assert (told["verdict"], told["ticks_compared"]) == ("different", 0)
    first = told["first_difference"]
    assert (first["tick"], first["column"]) == (start, "state")
    assert first["recorded"] != first["recomputed"]


def tamper_weights(shop: Workshop, job_id: str, tick: int) -> None:
    """Turn the lowest bit of a weight, and let file digests, manifest and record agree with it."""
    key = shop.key(job_id, "checkpoints")
    record = bytes(shop.store.hget(key, str(tick)) or b"").decode()
    (folder,) = (shop.folder(job_id) / "checkpoints").glob(f"{tick}-t*")
    file = folder / "model.safetensors"
    old = file.read_bytes()
    new = old[:-4] + bytes([old[-4] ^ 1]) + old[-3:]
    file.write_bytes(new)
    digests = [hashlib.sha256(data).hexdigest() for data in (old, new)]
    shop.store.hset(key, str(tick), record.replace(*digests))
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(*digests))


def test_other_data_than_were_uploaded_are_told_without_a_tick(shop: Workshop) -> None:
    rows = "".join(f"{x},{2 * x}\n" for x in range(64))
    dataset = shop.http.post(
        "/v1/datasets", data=f"x,y\n{rows}", headers={"Content-Type": "text/csv"}
    ).json
    data = {"source": "dataset", "id": dataset["id"], "target": "y"}
    job = shop.ended(shop.submit(small_spec(data=data)))
    assert shop.verify(job["id"])["result"]["data_sha256"] == {
        "recorded": dataset["sha256"], "recomputed": dataset["sha256"],
    }  # fmt: skip
    (blob,) = (shop.files.root / "blobs").glob(f"*/{dataset['sha256']}_*")
    blob.write_text(blob.read_text().replace("5,10\n", "5,11\n"))

    told = shop.verify(job["id"])["result"]

    assert (told["verdict"], told["ticks_compared"]) == ("different", 0)
    first = told["first_difference"]
    assert (first["column"], first["recorded"]["bits"]) == ("data", dataset["sha256"])

    assert shop.http.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    answer = shop.ask(job["id"], "verify")
    assert (answer.status_code, answer.json["type"]) == (409, "urn:tickforge:problem:data-gone")


def test_it_keeps_its_parents_dataset_from_being_deleted(shop: Workshop) -> None:
    rows = "".join(f"{x},{3 * x}\n" for x in range(64))
    dataset = shop.http.post(
        "/v1/datasets", data=f"x,y\n{rows}", headers={"Content-Type": "text/csv"}
    ).json
    data = {"source": "dataset", "id": dataset["id"], "target": "y"}
    job = shop.ended(shop.submit(small_spec(data=data)))
    busy = shop.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    verify = shop.ask(job["id"], "verify").json

    assert shop.http.delete(f"/v1/datasets/{dataset['id']}").status_code == 409
    assert shop.ask(verify["id"], "cancel").json["status"] == "cancelled"
    assert shop.http.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    shop.ask(busy, "cancel")


def test_a_parent_deleted_meanwhile_fails_it_and_leaves_its_record(
    shop: Workshop,
) -> None:
    job = shop.ended(shop.submit(SPEC))
    busy = shop.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    verify = shop.ask(job["id"], "verify").json
    assert shop.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    shop.ask(busy, "cancel")

    ended = shop.ended(verify["id"])

    assert (ended["status"], ended["error"]["type"]) == ("failed", "parent")
    assert ended["parent"] == job["id"] and ended["result"] is None


def test_a_running_verify_is_watched_stopped_and_cancelled_like_any_job(
    shop: Workshop, paused: str
) -> None:
    tick = shop.job(paused)["tick"]
    first = shop.ask(paused, "verify").json
    seen = shop.until(first["id"], lambda job: job["tick"] > 0)
    assert (seen["phase"], seen["ticks_total"]) == ("replaying", tick)
    assert shop.ask(first["id"], "pause").status_code in (200, 202)
    shop.until(first["id"], lambda job: job["status"] == "paused")
    assert shop.ask(first["id"], "resume").status_code == 202
    shop.until(first["id"], lambda job: job["status"] == "running" and job["attempt"] == 2)
    assert shop.http.post(f"/v1/jobs/{first['id']}/checkpoints").status_code == 409
    shop.ask(first["id"], "stop")
    stopped = shop.ended(first["id"])
    assert (stopped["status"], stopped["stopped_by"]) == ("succeeded", "user")
    told = stopped["result"]
    assert told["verdict"] == "equal" and 0 < told["to"] == stopped["tick"] < tick

    second = shop.ask(paused, "verify").json
    shop.until(second["id"], lambda job: job["status"] == "running")
    shop.ask(second["id"], "cancel")
    assert shop.ended(second["id"])["status"] == "cancelled"


def test_a_verify_whose_trainer_is_killed_begins_anew(
    shop: Workshop, worker: WorkerProcess, paused: str
) -> None:
    verify = shop.ask(paused, "verify").json
    shop.until(verify["id"], lambda job: job["tick"] > 0)
    worker.marked.kill("trainer")

    told = shop.ended(verify["id"])["result"]

    assert (told["verdict"], told["to"]) == ("equal", shop.job(paused)["tick"])
    first, second = shop.attempts(verify["id"])
    assert first["replayed"] < second["replayed"] == told["ticks_compared"]


def test_ticks_of_another_fingerprint_are_not_run_again(
    shop: Workshop, trained: dict[str, Any]
) -> None:
    record = f"job:{{default/{trained['id']}}}"
    shop.store.hset(record, "inexact_upto", "200")
    refused = shop.ask(trained["id"], "verify")
    allowed = shop.verify(trained["id"], **{"from": 200, "to": 210})
    shop.store.hdel(record, "inexact_upto")

    assert refused.status_code == 422
    assert "of another fingerprint" in refused.json["errors"][0]["detail"]
    assert allowed["result"]["verdict"] == "equal"


def test_a_job_that_was_stopped_or_failed_comes_again_up_to_its_last_tick(shop: Workshop) -> None:
    stopped = shop.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    shop.until(stopped, lambda job: job["tick"] >= 20)
    shop.ask(stopped, "stop")
    failed = shop.submit(small_spec(optimizer={"name": "sgd", "lr": 10.0}, budget={"ticks": 2000}))
    assert shop.ended(failed)["error"]["type"] == "nonfinite"

    for job_id in (stopped, failed):
        job, verify = shop.ended(job_id), shop.verify(job_id)
        assert verify["result"]["verdict"] == "equal", verify["result"]
        assert verify["result"]["to"] == job["tick"]


def test_lists_find_it_by_kind_and_parent_and_its_own_history_is_empty(
    shop: Workshop, trained: dict[str, Any]
) -> None:
    verify = shop.verify(trained["id"], to=50)

    found = shop.http.get(f"/v1/jobs?kind=verify&parent={trained['id']}").json["data"]
    assert verify["id"] in [each["id"] for each in found]
    assert {each["parent"] for each in found} == {trained["id"]}
    history = shop.http.get(f"/v1/jobs/{verify['id']}/history").json
    assert (history["tick"], history["loss"], history["last_tick"]) == ([], [], 0)
    assert history["complete"]
    assert shop.checkpoints(verify["id"]) == []
    wait_until(lambda: shop.store.hget(f"job:{{default/{verify['id']}}}", "sealed"), 10)
    assert shop.http.delete(f"/v1/jobs/{verify['id']}").status_code == 204


@pytest.mark.parametrize(
    ("body", "pointer", "rule"),
    [
        ({"to": 451}, "/to", "at most the last accepted tick: 450"),
        ({"from": 450}, "/from", "less than `to`: 450"),
        ({"from": 100}, "/from", "0 or the tick of a checkpoint: 0, 200, 400, 450"),
        ({"from": -1}, "/from", "Input should be greater than or equal to 0"),
        ({"to": True}, "/to", "Input should be a valid integer"),
        ({"until": 3}, "/until", "unknown field"),
    ],
)
def test_a_wrong_range_is_422_with_field_rule_and_value(
    shop: Workshop, trained: dict[str, Any], body: dict[str, Any], pointer: str, rule: str
) -> None:
    answer = shop.http.post(f"/v1/jobs/{trained['id']}/verify", json=body)

    assert answer.status_code == 422
    (fault,) = answer.json["errors"]
    assert (fault["pointer"], fault["value"]) == (pointer, *body.values())
    assert rule in fault["detail"]


def test_what_has_no_ticks_cannot_be_verified(shop: Workshop, trained: dict[str, Any]) -> None:
    verify = shop.verify(trained["id"], to=10)
    answer = shop.ask(verify["id"], "verify")
    assert (answer.status_code, answer.json["job_status"]) == (409, "succeeded")

    busy = shop.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    queued = shop.submit(SPEC)
    answer = shop.ask(queued, "verify")
    assert (answer.status_code, answer.json["job_status"]) == (409, "queued")
    assert answer.json["allowed"] == ["cancel", "pause", "resume"]
    for job_id in (queued, busy):
        shop.ask(job_id, "cancel")


def test_one_idempotency_key_makes_one_verify(shop: Workshop, trained: dict[str, Any]) -> None:
    path, key = f"/v1/jobs/{trained['id']}/verify", {"Idempotency-Key": "once"}
    first = shop.http.post(path, json={"to": 10}, headers=key)
    again = shop.http.post(path, json={"to": 10}, headers=key)
    other = shop.http.post(path, json={"to": 11}, headers=key)

    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == f"/v1/jobs/{first.json['id']}"
    assert other.status_code == 422
    shop.ended(first.json["id"])


def test_it_waits_for_a_worker_with_the_parents_fingerprint(
    shop: Workshop, trained: dict[str, Any]
) -> None:
    record = f"job:{{default/{trained['id']}}}"
    canary = shop.store.hget(record, "canary")
    shop.store.hset(record, "canary", "another machine's")
    verify = shop.ask(trained["id"], "verify").json
    shop.store.hset(record, "canary", canary or b"")

    waiting = shop.job(verify["id"])
    assert (waiting["status"], waiting["queue"]["reason"]) == ("queued", "fingerprint")
    shop.ended(shop.submit(small_spec()))  # which passed it by
    assert shop.job(verify["id"])["status"] == "queued"
    shop.ask(verify["id"], "cancel")
