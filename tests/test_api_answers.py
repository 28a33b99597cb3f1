"""Predicts over HTTP: asked, waited for, read, listed, cancelled, deleted; answered by hand."""

import json
from typing import Any

import pytest

from api.app import ENDPOINTS
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from jobs.startup import prepare_store
from jobs.store import keys
from jobs.store.connection import Store
from tests.answers import (
    RESULT,
    ROW,
    TABLE_NET,
    TEXT_NET,
    announce_worker,
    answering,
    claim_answer,
    make_net,
)
from tests.datasets import upload_new
from tests.support import settings_for, small_spec

ASK = {"rows": [ROW]}


@pytest.fixture
def net(client: Any, store: Store, settings: Settings) -> str:
    """A job with a final checkpoint of a net of a table."""
    announce_worker(store)
    return make_net(client, store, settings, TABLE_NET)


def ask(client: Any, net: str, body: Any = ASK, query: str = "wait=0", **options: Any) -> Any:
    return client.post(f"/v1/jobs/{net}/checkpoints/final/predict?{query}", json=body, **options)


def test_a_predict_that_ends_within_its_wait_is_200_with_its_result(
    client: Any, net: str, store_server: str
) -> None:
    with answering(store_server):
        response = ask(client, net, query="wait=30")
    assert response.status_code == 200, response.json
    job = response.json
    assert (job["kind"], job["status"], job["result"]) == ("predict", "succeeded", RESULT)
    assert (job["parent"], job["tick"], job["spec"]) == (net, 20, None)
    assert client.get(response.headers["Location"]).json == job
    assert client.get(job["links"]["checkpoint"]).json["tick"] == 20


def test_a_predict_that_takes_longer_is_202_and_can_be_waited_for(
    client: Any, net: str, store: Store
) -> None:
    response = ask(client, net)
    assert (response.status_code, response.json["status"]) == (202, "queued")
    assert response.json["queue"] == {"position": 1, "reason": "busy"}
    path = response.headers["Location"]
    assert path == f"/v1/jobs/{response.json['id']}"
    leases, claim = claim_answer(store)
    running = client.get(path).json
    assert (running["status"], running["attempt"], running["worker"]) == ("running", 1, "w")
    assert claim.request == ASK
    leases.succeed(claim, RESULT)
    ended = client.get(f"{path}?wait=10&until=end")
    assert (ended.json["status"], ended.json["result"]) == ("succeeded", RESULT)
    assert client.get(path, headers={"If-None-Match": ended.headers["ETag"]}).status_code == 304


def test_the_wait_of_a_body_counts_and_is_not_part_of_what_is_asked(
    client: Any, net: str, store_server: str
) -> None:
    once = {"Idempotency-Key": "k"}
    queued = ask(client, net, {**ASK, "wait": 0}, query="wait=60", headers=once)
    assert queued.status_code == 202
    with answering(store_server):
        again = ask(client, net, {**ASK, "wait": 30}, headers=once)
    assert (again.status_code, again.json["id"]) == (200, queued.json["id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    for wait in (-1, 61, "x", True):
        assert ask(client, net, {**ASK, "wait": wait}, headers=once).status_code == 422


def test_without_a_worker_that_answers_a_predict_waits_and_says_so(
    client: Any, store: Store, settings: Settings
) -> None:
    net = make_net(client, store, settings, TABLE_NET)
    queued = ask(client, net)
    assert queued.status_code == 202
    assert queued.json["queue"]["reason"] == "no_worker"
    assert "no live worker answers" in queued.json["warnings"][0]
    announce_worker(store)
    assert client.get(queued.headers["Location"]).json["warnings"] == []


def test_an_idempotency_key_of_a_predict_lives_as_long_as_the_answer(
    client: Any, net: str, store: Store
) -> None:
    once = {"Idempotency-Key": "the key"}
    first = ask(client, net, headers=once)
    assert ask(client, net, headers=once).json["id"] == first.json["id"]
    other = ask(client, net, {"rows": [ROW, ROW]}, headers=once)
    assert (other.status_code, other.json["type"]) == (
        422, "urn:tickforge:problem:idempotency-mismatch",
    )  # fmt: skip
    leases, claim = claim_answer(store)
    leases.succeed(claim, RESULT)
    assert client.delete(f"/v1/jobs/{first.json['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{first.json['id']}").status_code == 404
    assert ask(client, net, headers=once).status_code == 410
    of_a_job = {"Idempotency-Key": "a job's"}
    assert client.post("/v1/jobs", json=small_spec(), headers=of_a_job).status_code == 202
    assert ask(client, net, headers=of_a_job).status_code == 422


def test_a_predict_is_cancelled_at_once_while_it_waits_and_by_its_worker_while_it_runs(
    client: Any, net: str, store: Store
) -> None:
    queued, running = (ask(client, net).json["id"] for _ in range(2))
    cancelled = client.post(f"/v1/jobs/{queued}/cancel")
    assert (cancelled.status_code, cancelled.json["status"]) == (200, "cancelled")
    leases, claim = claim_answer(store)
    assert claim.answer_id == running
    under_way = client.post(f"/v1/jobs/{running}/cancel")
    assert (under_way.status_code, under_way.json["requested"]) == (202, "cancel")
    assert client.delete(f"/v1/jobs/{running}").status_code == 409
    assert leases.renew(claim) == "cancel"
    leases.end_cancelled(claim)
    assert client.post(f"/v1/jobs/{running}/cancel").status_code == 200
    for verb in ("pause", "stop", "resume"):
        refused = client.post(f"/v1/jobs/{running}/{verb}")
        assert (refused.status_code, refused.json["allowed"]) == (409, ["cancel"])


def test_predicts_are_listed_by_their_kind_alone(client: Any, net: str, store: Store) -> None:
    ids = [ask(client, net).json["id"] for _ in range(3)]
    assert {job["id"] for job in client.get("/v1/jobs").json["data"]} == {net}
    pages = [client.get("/v1/jobs?kind=predict&limit=2").json]
    pages += [client.get(f"/v1/jobs?kind=predict&limit=2&after={pages[0]['next_after']}").json]
    assert [job["id"] for page in pages for job in page["data"]] == ids[::-1]
    assert pages[1]["next_after"] is None
    store.delete(keys.answer("default", ids[1]))  # as if its time were over
    left = client.get(f"/v1/jobs?kind=predict&order=asc&parent={net}&status=queued").json
    assert [job["id"] for job in left["data"]] == [ids[0], ids[2]]
    assert client.get("/v1/jobs?kind=predict&status=failed").json["data"] == []


def test_what_a_predict_of_rows_has_none_of_is_told_though_the_predict_is_there(
    client: Any, net: str
) -> None:
    """As is that of any other id, though one cannot ask about a job that is not there."""
    answer, unknown = ask(client, net).json["id"], "job_" + "a" * 26
    parts = {
        entry.path.removeprefix("/v1/jobs/<job_id>").replace("<which>", "final"): entry.body
        for entry in ENDPOINTS
        if entry.path.startswith("/v1/jobs/<job_id>/") and entry.path.count("<") <= 2
        and (entry.method == "GET" or entry.path.endswith(("/fork", "/extend")))
    }  # fmt: skip
    problem_types = {}
    for part, body in parts.items():
        send = client.get if body is None else client.post
        options = {} if body is None else {"json": {"tick": 0, "spec": {}}}
        if part == "/extend":
            options = {"json": {"budget": {"ticks": 9}}}
        there, nowhere = (send(f"/v1/jobs/{job}{part}", **options) for job in (answer, unknown))
        types = [response.json["type"].rpartition(":")[2] for response in (there, nowhere)]
        problem_types[part] = types
    of_a_job = {
        part: types[0] for part, types in problem_types.items() if types[1] == "no-such-job"
    }
    assert {*of_a_job} >= {"/history", "/events", "/logs", "/result", "/fork", "/rows", "/extend"}
    assert {*of_a_job.values()} == {"no-such-part"}, of_a_job


def test_beyond_the_bound_of_waits_a_predict_is_202_at_once(client: Any, net: str) -> None:
    limit = client.application.extensions["tickforge.held"]
    for _ in range(limit.limit):
        assert limit.acquire()
    response = ask(client, net, query="wait=60")
    assert (response.status_code, response.headers["Retry-After"]) == (202, "2")


def test_a_tenants_queued_predicts_are_bounded_in_number_and_bytes(
    client: Any, net: str, store: Store, store_server: str, tmp_path: Any
) -> None:
    from api.app import create_app

    few = settings_for(
        store_server, tmp_path / "data",
        TICKFORGE_MAX_QUEUED_ANSWERS="2", TICKFORGE_MAX_ANSWER_BYTES=str(1 << 20),
    )  # fmt: skip
    http = create_app(few).test_client()
    http.environ_base["HTTP_AUTHORIZATION"] = client.environ_base["HTTP_AUTHORIZATION"]
    large = {"rows": [{**ROW, "kind": "x" * 1_000_000}]}
    first = ask(http, net, large).json["id"]
    refused = ask(http, net, large)
    assert (refused.status_code, refused.json["name"]) == (429, "answer_bytes")
    prepare_store(store, ArtifactStore(few.artifacts), few)
    usage = client.get("/v1/usage").json
    assert usage["answer_bytes"] == {"used": refused.json["used"], "limit": 1 << 20}
    assert usage["queued_answers"] == {"used": 1, "limit": 2}
    assert ask(http, net).status_code == 202
    assert ask(http, net).json["type"] == "urn:tickforge:problem:queue-full"
    http.post(f"/v1/jobs/{first}/cancel")
    assert ask(http, net, large).status_code == 202, "an ended answer's request is gone"


#: body -> (pointer, part of the rule) of each fault
FAULTS: list[tuple[Any, list[tuple[str, str]]]] = [
    ({}, [("", "exactly one of")]),
    ({"rows": []}, [("/rows", "at least 1")]),
    ({"rows": [ROW], "inputs": [[1.0]]}, [("", "exactly one of")]),
    ({"rows": [ROW], "colour": 1}, [("/colour", "unknown field")]),
    ({"rows": [{**ROW, "age": "old"}]}, [("/rows/0/age", "a number")]),
    ({"rows": [ROW, {**ROW, "age": None}]}, [("/rows/1/age", "missing")]),
    ({"rows": [{**ROW, "age": True}]}, [("/rows/0/age", "a number")]),
    *(
        ({"rows": [{**ROW, "age": age}]}, [("/rows/0/age", "the range of float32")])
        for age in (1e39, -1e300, 10**400, "1e39", 3.4028235677973366e38)
    ),
    ({"rows": [{**ROW, "age": "inf"}]}, [("/rows/0/age", "a number")]),
    ({"rows": [{**ROW, "age": [1]}]}, [("/rows/0/age", "a number or a text")]),
    ({"rows": [{**ROW, "born": "1.2.2026"}]}, [("/rows/0/born", "ISO 8601")]),
    ({"rows": [{**ROW, "colour": "pink"}]}, [("/rows/0/colour", "one of black, white")]),
    ({"rows": [{**ROW, "size": 1}]}, [("/rows/0/size", "a column of the training's table")]),
    (
        {"rows": [{"weight": "x"}]},
        [("/rows/0/age", "required"), ("/rows/0/weight", "a number"), ("/rows/0/born", "required"),
         ("/rows/0/colour", "required")],
    ),
    ({"rows": [1]}, [("/rows/0", "an object")]),
    ({"rows": [{}] * 10_001}, [("/rows", "at most 10000 items")]),
    ({"inputs": [[1, 2, 3]]}, [("/inputs/0", "a row of 6 numbers")]),
    ({"inputs": [[1, 2, 3, 4, 5, "6"]]}, [("/inputs/0/5", "number")]),
    ({"inputs": []}, [("/inputs", "at least 1")]),
    ({"prompt": "a"}, [("/prompt", "this net reads rows")]),
    ({"rows": [ROW], "temperature": 1}, [("/temperature", "an option of a prompt")]),
]  # fmt: skip
TEXT_FAULTS: list[tuple[Any, list[tuple[str, str]]]] = [
    ({"rows": [ROW]}, [("/rows", "continues a text")]),
    ({"prompt": ""}, [("/prompt", "at least 1")]),
    ({"prompt": "abc"}, [("/prompt", "character 3")]),
    ({"prompt": "a", "max_tokens": 0}, [("/max_tokens", "1")]),
    ({"prompt": "a", "max_tokens": 4097}, [("/max_tokens", "4096")]),
    ({"prompt": "a", "temperature": -1, "top_k": 0, "top_p": 0, "seed": -1, "stop": [""]},
     [("/temperature", "0"), ("/top_k", "1"), ("/top_p", "0"), ("/seed", "0"), ("/stop/0", "1")]),
    ({"prompt": "a", "top_p": 1.1}, [("/top_p", "1")]),
    ({"prompt": "a", "stop": ["b"] * 17}, [("/stop", "16")]),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["table", "text"])
def test_what_does_not_fit_the_net_is_422_with_pointer_and_rule_before_anything_is_queued(
    client: Any, store: Store, settings: Settings, kind: str
) -> None:
    config, faults = (TABLE_NET, FAULTS) if kind == "table" else (TEXT_NET, TEXT_FAULTS)
    net = make_net(client, store, settings, config)
    for body, expected in faults:
        response = ask(client, net, body)
        assert response.status_code == 422, body
        errors = [(error["pointer"], error["detail"]) for error in response.json["errors"]]
        assert [pointer for pointer, _ in errors] == [pointer for pointer, _ in expected], errors
        for (_, detail), (_, rule) in zip(errors, expected, strict=True):
            assert rule in detail, (body, detail)
        unset = [
            error["pointer"] for error in response.json["errors"] if error.get("value") is None
        ]
        sent = [pointer for pointer in unset if body.get(pointer.removeprefix("/")) is not None]
        assert sent == [], "what was sent is shown"
    assert client.get("/v1/jobs?kind=predict").json["data"] == []
    assert ask(client, net, json.loads('{"inputs": [[NaN]]}')).status_code == 422


def test_a_result_that_would_be_too_large_is_422(
    client: Any, store: Store, settings: Settings
) -> None:
    wide = {**TABLE_NET, "outputs": 1000, "classes": ["x" * 50 + str(n) for n in range(1000)]}
    net = make_net(client, store, settings, wide)
    response = ask(client, net, {"rows": [ROW] * 1000})
    assert "at most 103 rows of 1,000 outputs" in response.json["errors"][0]["detail"]


def test_a_checkpoint_that_is_not_there_is_404(client: Any, net: str) -> None:
    for which in ("best", "7", "x"):
        response = client.post(f"/v1/jobs/{net}/checkpoints/{which}/predict", json=ASK)
        assert response.json["type"] == "urn:tickforge:problem:no-such-checkpoint", which


@pytest.mark.parametrize("kind", ["predict", "evaluate"])
def test_a_job_about_a_dataset_waits_for_an_answering_worker_and_can_only_be_cancelled(
    client: Any, net: str, store: Store, kind: str
) -> None:
    table = b"age,weight,born,colour,kind\n1,2,2026-01-31,black,cat\n2,3,2026-01-31,white,dog\n"
    dataset = upload_new(client, table)["id"]
    path, once = f"/v1/jobs/{net}/checkpoints/final/{kind}", {"Idempotency-Key": "k"}
    queued = client.post(f"{path}?wait=0", json={"dataset": dataset}, headers=once)
    assert (queued.status_code, queued.json["kind"]) == (202, kind), queued.json
    assert queued.json["queue"] == {"position": 1, "reason": None}, "a worker is free"
    assert (queued.json["parent"], queued.json["tick"]) == (net, 20)
    again = client.post(f"{path}?wait=0", json={"dataset": dataset}, headers=once)
    assert (again.json["id"], again.headers["Idempotent-Replayed"]) == (queued.json["id"], "true")
    assert ask(client, net, headers=once).status_code == 422, "the key was used otherwise"
    assert client.delete(f"/v1/datasets/{dataset}").status_code == 409
    assert store.smembers(keys.QUEUES) == {b"cpu"}, "Celery wakes nobody for it"
    assert [job["id"] for job in client.get("/v1/jobs").json["data"]] == [net]
    job = f"/v1/jobs/{queued.json['id']}"
    for verb in ("pause", "stop", "resume"):
        refused = client.post(f"{job}/{verb}")
        assert (refused.status_code, refused.json["allowed"]) == (409, ["cancel"])
    assert client.get(f"{job}/result").status_code == (409 if kind == "predict" else 404)
    assert client.get(f"{job}/history").json["tick"] == []
    assert client.post(f"{job}/cancel").json["status"] == "cancelled"
    assert client.delete(f"/v1/datasets/{dataset}").status_code == 204
    gone = client.post(path, json={"dataset": dataset})
    assert (gone.status_code, gone.json["errors"][0]["pointer"]) == (422, "/dataset")
    assert client.delete(job).status_code == 204


def test_predicts_of_both_kinds_are_listed_in_one_order_page_by_page(client: Any, net: str) -> None:
    dataset = upload_new(client, b"age,weight,born,colour\n1,2,2026-01-31,black\n")["id"]
    bodies = [ASK, {"dataset": dataset}, ASK, ASK, {"dataset": dataset}, ASK]
    ids = [ask(client, net, body).json["id"] for body in bodies]
    for order, expected in (("desc", ids[::-1]), ("asc", ids)):
        seen, after = list[str](), ""
        while after is not None:
            query = f"kind=predict&limit=2&order={order}" + (f"&after={after}" if after else "")
            page = client.get(f"/v1/jobs?{query}").json
            seen += [job["id"] for job in page["data"]]
            after = page["next_after"]
        assert seen == expected


def test_columns_that_a_dataset_lacks_are_all_told_before_anything_is_queued(
    client: Any, net: str
) -> None:
    dataset = upload_new(client, b"age,colour\n1,black\n")["id"]
    refused = ask(client, net, {"dataset": dataset})
    assert [error["detail"] for error in refused.json["errors"]] == [
        "a dataset with the column 'weight', which it lacks",
        "a dataset with the column 'born', which it lacks",
    ]
    text = upload_new(client, b"a text", "text/plain")["id"]
    assert "not a text" in ask(client, net, {"dataset": text}).json["errors"][0]["detail"]
    assert client.get("/v1/jobs?kind=predict").json["data"] == []
