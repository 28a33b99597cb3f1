"""A verify: recorded ticks run again by a real worker, equal to the bit, or reported as different.

Each comparison has its negative control: one recorded bit changed, and the verdict says which.
"""

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.api_harness import ApiHarness, running_api_harness
from tests.processes import WorkerProcess
from tests.support import small_spec, wait_until

SPEC = small_spec(
    model={"family": "mlp", "hidden": [16], "dropout": 0.1},
    data={"source": "example", "name": "digits"},
    validation={"fraction": 0.2, "every_ticks": 100},
    test={"fraction": 0.1},
    record=["loss", "grad_norm"],
    micro_batches=2,
    budget={"ticks": 450},
    checkpoint={"every_ticks": 200, "keep": 3},
)
EAGER = {"compute": {"engine": "eager"}}  # which takes its time


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHarness]:
    with running_api_harness(tmp_path_factory.mktemp("verify")) as harness:
        harness.start_worker("usual")
        yield harness


@pytest.fixture(scope="module")
def worker(harness: ApiHarness) -> WorkerProcess:
    return harness.workers[0]


@pytest.fixture(scope="module")
def trained(harness: ApiHarness) -> dict[str, Any]:
    job = harness.wait_for_end(harness.submit(SPEC))
    assert job["status"] == "succeeded", job["error"]
    return job


def sha256_of_history(harness: ApiHarness, job_id: str, column: str, after: int) -> str:
    path = f"/v1/jobs/{job_id}/history?columns={column}&after={after}"
    binary = {"Accept": "application/octet-stream"}
    return hashlib.sha256(harness.http.get(path, headers=binary).data).hexdigest()


def test_a_verify_repeats_all_ticks_of_a_job_and_its_certificate_says_so(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    verify = harness.verify(trained["id"])

    assert (verify["kind"], verify["parent"], verify["status"]) == (
        "verify", trained["id"], "succeeded",
    )  # fmt: skip
    assert (verify["tick"], verify["first_tick"], verify["progress"]) == (450, 1, 1.0)
    result = verify["result"]
    assert (result["verdict"], result["first_difference"]) == ("equal", None)
    assert (result["from"], result["to"], result["ticks_compared"]) == (0, 450, 450)
    assert result["columns"] == ["loss", "grad_norm"]
    # three metrics at 100, 200, 300, 400, 450; digests there; those of the test at 450
    assert (result["points_compared"], result["digests_compared"]) == (18, 5)
    names = ("loss", "accuracy", "macro_f1")
    assert set(trained["metrics"]) == {
        f"{part}_{name}" for part in ("val", "test") for name in names
    }
    for column in ("loss", "grad_norm"):
        had = sha256_of_history(harness, trained["id"], column, 0)
        assert result["history_sha256"][column] == had
    final = harness.http.get(f"/v1/jobs/{trained['id']}/checkpoints/final").json
    assert result["weights_sha256"] == {"recorded": final["sha256"], "recomputed": final["sha256"]}
    assert result["state"]["recorded"] == result["state"]["recomputed"] is not None
    assert (
        result["fingerprint"]["run"] == result["fingerprint"]["recorded"] == trained["fingerprint"]
    )
    assert result["data_sha256"]["recomputed"] is not None
    assert result["started_at"] <= result["finished_at"]
    (attempt,) = harness.attempts(verify["id"])
    assert (attempt["replayed"], attempt["digests_compared"], attempt["equal"]) == (450, 5, True)


def test_a_verify_begins_from_a_checkpoint_and_ends_at_the_given_tick(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    result = harness.verify(trained["id"], **{"from": 200, "to": 333})["result"]

    assert (result["verdict"], result["from"], result["to"]) == ("equal", 200, 333)
    assert result["ticks_compared"] == 133
    assert result["state"]["recorded"] is None and result["weights_sha256"]["recorded"] is None


@contextmanager
def flipped(harness: ApiHarness, key: str, at: int) -> Iterator[None]:
    """Turn one bit of a string in the store for a while."""
    (byte,) = harness.store.getrange(key, at, at)
    harness.store.setrange(key, at, bytes([byte ^ 1]))
    yield
    harness.store.setrange(key, at, bytes([byte]))


@pytest.fixture(scope="module")
def paused(harness: ApiHarness) -> Iterator[str]:
    """A job with its history still in the store."""
    job_id = harness.submit({**SPEC, "micro_batches": 8, "budget": {"ticks": 100_000}, **EAGER})
    harness.wait_for(job_id, lambda job: job["tick"] >= 450)
    harness.request(job_id, "pause")
    harness.wait_for(job_id, lambda job: job["status"] == "paused")
    yield job_id
    harness.request(job_id, "cancel")


def test_a_changed_bit_of_a_recorded_loss_is_reported_with_tick_and_both_values(
    harness: ApiHarness, paused: str
) -> None:
    with flipped(
        harness, harness.store_key(paused, "f32:loss:0"), 4 * 122
    ):  # the lowest bit of tick 123
        verify = harness.verify(paused, to=300)

    result, first = verify["result"], verify["result"]["first_difference"]
    assert (verify["status"], verify["error"], result["verdict"]) == (
        "succeeded",
        None,
        "different",
    )
    assert (first["tick"], first["column"], result["to"]) == (123, "loss", 123)
    recorded, again = (int(first[which]["bits"], 16) for which in ("recorded", "recomputed"))
    assert recorded ^ again == 1
    (value,) = struct.unpack(">f", bytes.fromhex(first["recomputed"]["bits"]))
    assert value == first["recomputed"]["value"]
    assert harness.attempts(verify["id"])[0]["equal"] is False


def test_a_verify_from_a_checkpoint_repeats_the_test_of_an_earlier_best_state(
    harness: ApiHarness,
) -> None:
    """The rate destroys what was learned: the best state is long gone at the last checkpoint."""
    spec = {**SPEC, "optimizer": {"name": "sgd", "lr": 5.0}, "validation": {"fraction": 0.2}}
    job = harness.wait_for_end(harness.submit(spec))
    assert job["best"]["tick"] < 400

    result = harness.verify(job["id"], **{"from": 400})["result"]

    assert (result["verdict"], result["points_compared"]) == ("equal", 3 + 3)


@pytest.mark.parametrize("column", ["state", "val_loss"])
def test_a_changed_bit_of_a_sparse_column_is_reported(
    harness: ApiHarness, paused: str, column: str
) -> None:
    with flipped(
        harness, harness.store_key(paused, f"sparse:{column}:0"), 16 + 8
    ):  # of the second point
        first = harness.verify(paused, to=250)["result"]["first_difference"]

    assert (first["tick"], first["column"]) == (200, column)
    assert first["recorded"] != first["recomputed"]


def test_a_weight_that_is_off_by_one_bit_in_a_checkpoint_is_reported(
    harness: ApiHarness, paused: str
) -> None:
    start = harness.checkpoints(paused)[0]["tick"]
    tamper_weights(harness, paused, start)

    result = harness.verify(paused, **{"from": start})["result"]

    assert (result["verdict"], result["ticks_compared"]) == ("different", 0)
    first = result["first_difference"]
    assert (first["tick"], first["column"]) == (start, "state")
    assert first["recorded"] != first["recomputed"]


def tamper_weights(harness: ApiHarness, job_id: str, tick: int) -> None:
    """Turn the lowest bit of a weight, and let file digests, manifest and record agree with it."""
    key = harness.store_key(job_id, "checkpoints")
    record = bytes(harness.store.hget(key, str(tick)) or b"").decode()
    (folder,) = (harness.folder(job_id) / "checkpoints").glob(f"{tick}-t*")
    file = folder / "model.safetensors"
    old = file.read_bytes()
    new = old[:-4] + bytes([old[-4] ^ 1]) + old[-3:]
    file.write_bytes(new)
    digests = [hashlib.sha256(data).hexdigest() for data in (old, new)]
    harness.store.hset(key, str(tick), record.replace(*digests))
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(*digests))


def test_data_that_differ_from_the_upload_are_reported_without_a_tick(harness: ApiHarness) -> None:
    rows = "".join(f"{x},{2 * x}\n" for x in range(64))
    dataset = harness.http.post(
        "/v1/datasets", data=f"x,y\n{rows}", headers={"Content-Type": "text/csv"}
    ).json
    data = {"source": "dataset", "id": dataset["id"], "target": "y"}
    job = harness.wait_for_end(harness.submit(small_spec(data=data)))
    assert harness.verify(job["id"])["result"]["data_sha256"] == {
        "recorded": dataset["sha256"], "recomputed": dataset["sha256"],
    }  # fmt: skip
    (blob,) = (harness.files.root / "blobs").glob(f"*/{dataset['sha256']}_*")
    blob.write_text(blob.read_text().replace("5,10\n", "5,11\n"))

    result = harness.verify(job["id"])["result"]

    assert (result["verdict"], result["ticks_compared"]) == ("different", 0)
    first = result["first_difference"]
    assert (first["column"], first["recorded"]["bits"]) == ("data", dataset["sha256"])

    assert harness.http.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    response = harness.request(job["id"], "verify")
    assert (response.status_code, response.json["type"]) == (409, "urn:tickforge:problem:data-gone")


def test_a_verify_keeps_its_parents_dataset_from_being_deleted(harness: ApiHarness) -> None:
    rows = "".join(f"{x},{3 * x}\n" for x in range(64))
    dataset = harness.http.post(
        "/v1/datasets", data=f"x,y\n{rows}", headers={"Content-Type": "text/csv"}
    ).json
    data = {"source": "dataset", "id": dataset["id"], "target": "y"}
    job = harness.wait_for_end(harness.submit(small_spec(data=data)))
    busy = harness.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    verify = harness.request(job["id"], "verify").json

    assert harness.http.delete(f"/v1/datasets/{dataset['id']}").status_code == 409
    assert harness.request(verify["id"], "cancel").json["status"] == "cancelled"
    assert harness.http.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    harness.request(busy, "cancel")


def test_a_parent_deleted_meanwhile_fails_the_verify_and_leaves_its_record(
    harness: ApiHarness,
) -> None:
    job = harness.wait_for_end(harness.submit(SPEC))
    busy = harness.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    verify = harness.request(job["id"], "verify").json
    assert harness.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    harness.request(busy, "cancel")

    ended = harness.wait_for_end(verify["id"])

    assert (ended["status"], ended["error"]["type"]) == ("failed", "parent")
    assert ended["parent"] == job["id"] and ended["result"] is None


def test_a_running_verify_is_watched_stopped_and_cancelled_like_any_job(
    harness: ApiHarness, paused: str
) -> None:
    tick = harness.job(paused)["tick"]
    first = harness.request(paused, "verify").json
    seen = harness.wait_for(first["id"], lambda job: job["tick"] > 0)
    assert (seen["phase"], seen["ticks_total"]) == ("replaying", tick)
    assert harness.request(first["id"], "pause").status_code in (200, 202)
    harness.wait_for(first["id"], lambda job: job["status"] == "paused")
    assert harness.request(first["id"], "resume").status_code == 202
    harness.wait_for(first["id"], lambda job: job["status"] == "running" and job["attempt"] == 2)
    assert harness.http.post(f"/v1/jobs/{first['id']}/checkpoints").status_code == 409
    harness.request(first["id"], "stop")
    stopped = harness.wait_for_end(first["id"])
    assert (stopped["status"], stopped["stopped_by"]) == ("succeeded", "user")
    result = stopped["result"]
    assert result["verdict"] == "equal" and 0 < result["to"] == stopped["tick"] < tick

    second = harness.request(paused, "verify").json
    harness.wait_for(second["id"], lambda job: job["status"] == "running")
    harness.request(second["id"], "cancel")
    assert harness.wait_for_end(second["id"])["status"] == "cancelled"


def test_a_verify_whose_trainer_is_killed_begins_anew(
    harness: ApiHarness, worker: WorkerProcess, paused: str
) -> None:
    verify = harness.request(paused, "verify").json
    harness.wait_for(verify["id"], lambda job: job["tick"] > 0)
    worker.processes.kill("trainer")

    result = harness.wait_for_end(verify["id"])["result"]

    assert (result["verdict"], result["to"]) == ("equal", harness.job(paused)["tick"])
    first, second = harness.attempts(verify["id"])
    assert first["replayed"] < second["replayed"] == result["ticks_compared"]


def test_ticks_of_another_fingerprint_are_not_run_again(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    record = f"job:{{default/{trained['id']}}}"
    harness.store.hset(record, "inexact_upto", "200")
    refused = harness.request(trained["id"], "verify")
    allowed = harness.verify(trained["id"], **{"from": 200, "to": 210})
    harness.store.hdel(record, "inexact_upto")

    assert refused.status_code == 422
    assert "of another fingerprint" in refused.json["errors"][0]["detail"]
    assert allowed["result"]["verdict"] == "equal"


def test_a_job_that_was_stopped_or_failed_comes_again_up_to_its_last_tick(
    harness: ApiHarness,
) -> None:
    stopped = harness.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    harness.wait_for(stopped, lambda job: job["tick"] >= 20)
    harness.request(stopped, "stop")
    failed = harness.submit(
        small_spec(optimizer={"name": "sgd", "lr": 10.0}, budget={"ticks": 2000})
    )
    assert harness.wait_for_end(failed)["error"]["type"] == "nonfinite"

    for job_id in (stopped, failed):
        job, verify = harness.wait_for_end(job_id), harness.verify(job_id)
        assert verify["result"]["verdict"] == "equal", verify["result"]
        assert verify["result"]["to"] == job["tick"]


@pytest.mark.parametrize(
    ("finite", "max_skips", "stopped_by", "error"),
    [(4, 6, "skips", "skips"), (0, None, None, "nonfinite"), (4, None, "budget", None)],
)
def test_a_job_of_skipped_ticks_ends_as_its_rules_say_and_comes_again(
    harness: ApiHarness, finite: int, max_skips: int | None, stopped_by: str | None, error: Any
) -> None:
    targets = [0.5] * finite + [1e30] * (20 - finite)  # its square is no float32
    data = {"source": "inline", "inputs": [[1.0]] * 20, "targets": targets, "shuffle": False}
    stop = {"on_nonfinite": "skip", "max_skips": max_skips}
    job = harness.wait_for_end(harness.submit(
        small_spec(data=data, batch_size=1, budget={"ticks": 20}, stop=stop)
    ))  # fmt: skip

    losses = harness.http.get(f"/v1/jobs/{job['id']}/history").json["loss"]
    assert job["skipped"] == losses.count(None) == len(losses) - finite
    assert job["tick"] == len(losses) == (finite + max_skips if max_skips else 20)
    assert job["stopped_by"] == stopped_by and (job["error"] or {}).get("type") == error
    assert job["status"] == ("failed" if error else "succeeded")
    verify = harness.verify(job["id"])
    assert (verify["result"]["verdict"], verify["skipped"]) == ("equal", None)


def test_lists_find_a_verify_by_kind_and_parent_and_its_own_history_is_empty(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    verify = harness.verify(trained["id"], to=50)

    listed = harness.http.get(f"/v1/jobs?kind=verify&parent={trained['id']}").json["data"]
    assert verify["id"] in [verify_job["id"] for verify_job in listed]
    assert {verify_job["parent"] for verify_job in listed} == {trained["id"]}
    history = harness.http.get(f"/v1/jobs/{verify['id']}/history").json
    assert (history["tick"], history["loss"], history["last_tick"]) == ([], [], 0)
    assert history["complete"]
    assert harness.checkpoints(verify["id"]) == []
    wait_until(lambda: harness.store.hget(f"job:{{default/{verify['id']}}}", "sealed"), 10)
    assert harness.http.delete(f"/v1/jobs/{verify['id']}").status_code == 204


@pytest.mark.parametrize(
    ("body", "pointer", "rule"),
    [
        ({"to": 451}, "/to", "at most the last accepted tick: 450"),
        ({"from": 450}, "/from", "less than `to`: 450"),
        ({"from": 100}, "/from", "0 or the tick of a checkpoint: 0, 200, 400, 450"),
        ({"from": -1}, "/from", "at least 0"),
        ({"to": True}, "/to", "a whole number"),
        ({"until": 3}, "/until", "unknown field"),
    ],
)
def test_a_wrong_range_is_422_with_field_rule_and_value(
    harness: ApiHarness, trained: dict[str, Any], body: dict[str, Any], pointer: str, rule: str
) -> None:
    response = harness.http.post(f"/v1/jobs/{trained['id']}/verify", json=body)

    assert response.status_code == 422
    (fault,) = response.json["errors"]
    assert (fault["pointer"], fault["value"]) == (pointer, *body.values())
    assert rule in fault["detail"]


def test_a_job_without_ticks_cannot_be_verified(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    verify = harness.verify(trained["id"], to=10)
    response = harness.request(verify["id"], "verify")
    assert (response.status_code, response.json["job_status"]) == (409, "succeeded")

    busy = harness.submit({**SPEC, "budget": {"ticks": 100_000}, **EAGER})
    queued = harness.submit(SPEC)
    response = harness.request(queued, "verify")
    assert (response.status_code, response.json["job_status"]) == (409, "queued")
    assert response.json["allowed"] == ["cancel", "pause", "resume"]
    for job_id in (queued, busy):
        harness.request(job_id, "cancel")


def test_one_idempotency_key_makes_one_verify(harness: ApiHarness, trained: dict[str, Any]) -> None:
    path, key = f"/v1/jobs/{trained['id']}/verify", {"Idempotency-Key": "once"}
    first = harness.http.post(path, json={"to": 10}, headers=key)
    again = harness.http.post(path, json={"to": 10}, headers=key)
    other = harness.http.post(path, json={"to": 11}, headers=key)

    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == f"/v1/jobs/{first.json['id']}"
    assert other.status_code == 422
    harness.wait_for_end(first.json["id"])


def test_a_verify_waits_for_a_worker_with_the_parents_fingerprint(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    record = f"job:{{default/{trained['id']}}}"
    canary = harness.store.hget(record, "canary")
    harness.store.hset(record, "canary", "another machine's")
    verify = harness.request(trained["id"], "verify").json
    harness.store.hset(record, "canary", canary or b"")

    waiting = harness.job(verify["id"])
    assert (waiting["status"], waiting["queue"]["reason"]) == ("queued", "fingerprint")
    harness.wait_for_end(harness.submit(small_spec()))  # which passed it by
    assert harness.job(verify["id"])["status"] == "queued"
    harness.request(verify["id"], "cancel")
