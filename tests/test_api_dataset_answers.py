"""Predicts and evaluations of datasets over HTTP, before any worker has them: bounds, and what
is told of them."""

from typing import Any

import pytest

from jobs.device_choice import ON_CPU
from jobs.job import DatasetPredictions, Evaluation, JobResult
from jobs.ledger.claims import Claim, QuestionProgress
from jobs.ledger.client import ANSWERS_QUEUE
from jobs.ledger.owner import LeaseLedger
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Store
from tests.answers import ROW, TABLE_NET, make_net
from tests.datasets import upload_new
from tests.support import settings_for, small_spec

TABLE = b"age,weight,born,colour,kind\n1,2,2026-01-31,black,cat\n2,3,2026-01-31,white,dog\n"
#: bytes that two rows of TABLE_NET can take
RESULT_BYTES = 2 * 256


@pytest.fixture
def net(client: Any, store: Store, settings: Settings) -> str:
    """A job with a final checkpoint of a net of a table."""
    return make_net(client, store, settings, TABLE_NET)


@pytest.fixture
def dataset(client: Any) -> str:
    """A dataset that the net reads."""
    return str(upload_new(client, TABLE)["id"])


def ask(client: Any, net: str, dataset: str, kind: str = "predict") -> Any:
    path = f"/v1/jobs/{net}/checkpoints/final/{kind}?wait=0"
    return client.post(path, json={"dataset": dataset})


def claim_question(store: Store) -> tuple[LeaseLedger, Claim]:
    """Claim the next job about a dataset, as a worker does."""
    ledger = LeaseLedger(store, lease_seconds=60)
    claim = ledger.claim(ANSWERS_QUEUE, worker="w", device="cpu", canaries={})
    assert claim is not None, "there is no such job to claim"
    return ledger, claim


RESULTS: dict[str, JobResult] = {
    "predict": DatasetPredictions(rows=2, errors=0, bytes=7),
    "evaluate": Evaluation(rows=2, metrics={"loss": 0.5}),
}


@pytest.mark.parametrize("kind", ["predict", "evaluate"])
def test_a_job_about_a_dataset_names_it_and_tells_of_itself_not_of_its_nets_training(
    client: Any, store: Store, net: str, dataset: str, kind: str
) -> None:
    queued = ask(client, net, dataset, kind).json
    own = {
        "dataset": dataset, "parent": net, "tick": 20, "first_tick": 0, "epoch": 0.0,
        "ticks_total": None, "device_choice": {"device": "cpu", "why": ON_CPU.why},
    }  # fmt: skip
    assert {name: queued[name] for name in own} == own
    assert (queued["progress"], queued["elapsed_seconds"]) == (0.0, 0.0)
    assert client.get(queued["links"]["dataset"]).json["id"] == dataset
    assert client.get(queued["links"]["checkpoint"]).json["tick"] == 20
    assert "rows" not in queued["links"] and ("result" in queued["links"]) == (kind == "predict")
    rows = client.get(f"/v1/jobs/{queued['id']}/rows")
    assert (rows.status_code, rows.json["type"]) == (404, "urn:tickforge:problem:no-such-part")
    assert dataset in rows.json["detail"]

    ledger, claim = claim_question(store)
    ledger.renew(claim.lease, progress=QuestionProgress(1.5, 1, 4))
    running = client.get(f"/v1/jobs/{queued['id']}").json
    assert (running["progress"], running["elapsed_seconds"]) == (0.25, 1.5)
    ledger.finish(claim.lease, "queued", 20, reason="its process died", elapsed=1.5)
    assert client.get(f"/v1/jobs/{queued['id']}").json["progress"] == 0.0, "it begins again"
    ledger, claim = claim_question(store)
    ledger.renew(claim.lease, progress=QuestionProgress(1.5, 2, 4))
    store.zadd(keys.leases(ANSWERS_QUEUE), {keys.job_member("default", queued["id"]): 1})
    ledger, claim = claim_question(store)
    assert client.get(f"/v1/jobs/{queued['id']}").json["progress"] == 0.0, "its worker died"
    ledger.finish(claim.lease, "succeeded", 20, result=RESULTS[kind], file_bytes=0, elapsed=2.5)
    ended = client.get(f"/v1/jobs/{queued['id']}").json
    assert (ended["progress"], ended["elapsed_seconds"], ended["status"]) == (1.0, 2.5, "succeeded")
    assert {name: ended[name] for name in own} == own and ended["device"] == "cpu"
    *_, attempt = client.get(f"/v1/jobs/{queued['id']}/attempts").json["data"]
    assert (attempt["first_tick"], attempt["last_tick"], attempt["outcome"]) == (0, 0, "succeeded")

    store.hdel(keys.job("default", queued["id"]), "elapsed", "rows_done", "rows_total")
    earlier = client.get(f"/v1/jobs/{queued['id']}").json  # as earlier builds recorded it
    assert (earlier["dataset"], earlier["progress"]) == (dataset, 1.0)
    assert 0 <= earlier["elapsed_seconds"] < 60


def test_a_link_is_signed_for_what_a_job_of_its_kind_has_and_for_nothing_else(
    client: Any, store: Store, net: str, dataset: str
) -> None:
    parts = ("result", "curve.svg", "export/tensorboard", "checkpoints/final/files/model.py")
    predict, evaluate = (ask(client, net, dataset, kind).json["id"] for kind in RESULTS)
    for job, signed in ((net, parts[1:]), (predict, parts[:1]), (evaluate, ())):
        for part in parts:
            response = client.post(f"/v1/jobs/{job}/links", json={"path": part})
            assert response.status_code == (201 if part in signed else 404), (job, part)
            assert part in signed or response.json["type"].endswith(":no-such-part")
    for job in (net, evaluate):
        missing = client.get(f"/v1/jobs/{job}/result")
        assert (missing.status_code, missing.json["type"][-12:]) == (404, "no-such-part")
    client.post(f"/v1/jobs/{predict}/cancel")
    for response in (
        client.post(f"/v1/jobs/{predict}/links", json={"path": "result"}),
        client.get(f"/v1/jobs/{predict}/result"),
    ):
        assert (response.status_code, response.json["job_status"]) == (409, "cancelled")


def test_a_job_about_a_dataset_that_ends_every_process_fails_and_says_so(
    client: Any, store: Store, net: str, dataset: str
) -> None:
    job = ask(client, net, dataset).json["id"]
    before = used(client)
    for _ in range(5):
        ledger, claim = claim_question(store)
        ledger.finish(claim.lease, "queued", 20, reason="the answering process ended: killed")
    assert ledger.claim(ANSWERS_QUEUE, worker="w", device="cpu", canaries={}) is None
    failed = client.get(f"/v1/jobs/{job}").json
    assert (failed["status"], failed["error"]["type"], failed["progress"]) == (
        "failed", "poison", 0.0,
    )  # fmt: skip
    assert "5 attempts ended without an answer; the last one: the ans" in failed["error"]["detail"]
    assert used(client) < before, "what its result might have taken is free"


def test_weights_to_begin_with_are_those_of_a_job_that_trains(
    client: Any, net: str, dataset: str
) -> None:
    evaluation = ask(client, net, dataset, "evaluate").json["id"]
    refused = client.post("/v1/jobs", json=small_spec(init={"job": evaluation, "tick": None}))
    (error,) = refused.json["errors"]
    assert error["pointer"] == "/init/job"
    assert "evaluate" in error["detail"] and "a job that trains" in error["detail"]


def test_a_training_and_a_predict_of_rows_name_no_dataset(client: Any, net: str) -> None:
    assert client.get(f"/v1/jobs/{net}").json["dataset"] is None
    path = f"/v1/jobs/{net}/checkpoints/final/predict?wait=0"
    answer = client.post(path, json={"rows": [ROW]}).json
    assert answer["dataset"] is None and set(answer["links"]) == {"self", "checkpoint"}


def used(client: Any) -> int:
    return int(client.get("/v1/usage").json["artifact_bytes"]["used"])


def test_a_result_is_counted_in_the_quota_from_its_request_to_its_end(
    client: Any, net: str, dataset: str
) -> None:
    before = used(client)
    limit = before + 2 * RESULT_BYTES - 1
    client.patch("/v1/tenants/default", json={"quotas": {"artifact_bytes": limit}})
    first = ask(client, net, dataset)
    assert first.status_code == 202 and used(client) == before + RESULT_BYTES
    assert ask(client, net, dataset, "evaluate").status_code == 202, "it has no file"
    refused = ask(client, net, dataset)
    assert refused.json["type"] == "urn:tickforge:problem:quota"
    members = {name: refused.json[name] for name in ("name", "used", "needed", "limit")}
    assert members == {
        "name": "artifact_bytes", "used": before + RESULT_BYTES, "needed": RESULT_BYTES,
        "limit": limit,
    }  # fmt: skip
    assert f"this needs {RESULT_BYTES} more" in refused.json["detail"]
    client.post(f"/v1/jobs/{first.json['id']}/cancel")
    assert used(client) == before
    assert ask(client, net, dataset).status_code == 202


def test_counters_are_counted_again_with_what_is_reserved(
    client: Any, store: Store, net: str, dataset: str
) -> None:
    from jobs.tenants import recount_tenants

    ask(client, net, dataset)
    before = used(client)
    recount_tenants(store)
    assert used(client) == before


def test_a_result_beyond_the_services_limit_is_422_with_both_numbers(
    client: Any, store: Store, store_server: str, settings: Settings, tmp_path: Any
) -> None:
    from api.app import create_app

    wide = {**TABLE_NET, "outputs": 900, "classes": ["é" * 500 + str(n) for n in range(900)]}
    net = make_net(client, store, settings, wide)
    few = settings_for(store_server, tmp_path / "data", TICKFORGE_MAX_RESULT_BYTES=str(1 << 20))
    http = create_app(few).test_client()
    http.environ_base["HTTP_AUTHORIZATION"] = client.environ_base["HTTP_AUTHORIZATION"]
    assert http.get("/v1/version").json["limits"]["result_bytes"] == 1 << 20
    refused = ask(http, net, upload_new(client, TABLE)["id"])
    (error,) = refused.json["errors"]
    assert (refused.status_code, error["pointer"]) == (422, "/dataset")
    assert "a dataset of at most 1 rows" in error["detail"]
    assert "at most 1,048,576 bytes" in error["detail"] and "can take 1,8" in error["detail"]
    assert http.get("/v1/jobs?kind=predict").json["data"] == []


def test_a_result_that_the_disk_has_no_room_for_is_507(
    client: Any, store: Store, store_server: str, settings: Settings, tmp_path: Any
) -> None:
    from api.app import create_app

    huge = {**TABLE_NET, "outputs": 10**12, "objective": "mse"}
    net, dataset = make_net(client, store, settings, huge), upload_new(client, TABLE)["id"]
    much = settings_for(store_server, tmp_path / "data", TICKFORGE_MAX_RESULT_BYTES=str(10**15 - 1))
    http = create_app(much).test_client()
    http.environ_base["HTTP_AUTHORIZATION"] = client.environ_base["HTTP_AUTHORIZATION"]
    refused = ask(http, net, dataset)
    assert (refused.status_code, refused.json["type"]) == (
        507,
        "urn:tickforge:problem:storage-full",
    )
    assert "52000000000128 are needed" in refused.json["detail"]
