"""Wrong input of every kind: its documented status, a body that names the fault, nothing stored."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from api.errors import URN_PREFIX
from tests.support import ADMIN_KEY, small_spec

UNKNOWN = "job_" + "a" * 26
JSON = "application/json"


def changed(path: str, value: Any) -> dict[str, Any]:
    """A small spec with the field at a dotted path set to `value`."""
    body = small_spec()
    *outer, last = path.split(".")
    part = body
    for name in outer:
        part = part.setdefault(name, {})
    part[last] = value
    return body


def without(name: str) -> dict[str, Any]:
    body = small_spec()
    del body[name]
    return body


def inline(inputs: Any, targets: Any, **fields: Any) -> dict[str, Any]:
    data = {"source": "inline", "inputs": inputs, "targets": targets}
    return small_spec(**{"data": data, "batch_size": 1, **fields})


def nested(depth: int) -> str:
    return '{"model":' + "[" * depth + "]" * depth + "}"


ROWS = [[1.0, 2.0], [3.0, 4.0]]
NORM = {"family": "mlp", "norm": "batch"}

#: name -> (body, JSON pointers of its faults)
SPECS: dict[str, tuple[Any, list[str]]] = {
    "not an object": ([1, 2], [""]),
    "nothing": (None, [""]),
    "no model": (without("model"), ["/model"]),
    "unknown field": (small_spec(epochs=3), ["/epochs"]),
    "unknown inner field": (changed("model.width", 3), ["/model/width"]),
    "a later feature": (changed("compute.processes", 2), ["/compute/processes"]),
    "two faults at once": (small_spec(seed=-1, micro_batches=0), ["/micro_batches", "/seed"]),
    "below its bound": (small_spec(batch_size=0), ["/batch_size"]),
    "above its bound": (small_spec(batch_size=65_537), ["/batch_size"]),
    "a rate of 0": (changed("optimizer.lr", 0), ["/optimizer/lr"]),
    "a rate above 10": (changed("optimizer.lr", 10.1), ["/optimizer/lr"]),
    "a number beyond float64": (changed("optimizer.lr", 10**400), ["/optimizer/lr"]),
    "an integer beyond int64": (small_spec(seed=2**63), ["/seed"]),
    "a seed of more than 32 bits": (small_spec(seed=2**32), ["/seed"]),
    "data of a seed of more than 32 bits": (changed("data.seed", 2**32), ["/data/seed"]),
    "dropout of 1": (changed("model.dropout", 1), ["/model/dropout"]),
    "no hidden layer": (changed("model.hidden", []), ["/model/hidden"]),
    "65 hidden layers": (changed("model.hidden", [1] * 65), ["/model/hidden"]),
    "a hidden layer of 0": (changed("model.hidden", [4, 0]), ["/model/hidden/1"]),
    "true for 1": (small_spec(seed=True), ["/seed"]),
    "text for a number": (small_spec(batch_size="8"), ["/batch_size"]),
    "a fraction for a count": (small_spec(batch_size=8.5), ["/batch_size"]),
    "null for a number": (small_spec(seed=None), ["/seed"]),
    "1 for true": (changed("data.shuffle", 1), ["/data/shuffle"]),
    "a number for a text": (small_spec(name=7), ["/name"]),
    "a name of 201 characters": (small_spec(name="x" * 201), ["/name"]),
    "a label's value too long": (small_spec(labels={"a": "x" * 256}), ["/labels/a"]),
    "33 labels": (small_spec(labels={str(n): "" for n in range(33)}), ["/labels"]),
    "unknown family": (changed("model.family", "cnn"), ["/model/family"]),
    "unknown norm": (changed("model.norm", "l2"), ["/model/norm"]),
    "unknown optimizer": (changed("optimizer.name", "lion"), ["/optimizer/name"]),
    "unknown objective": (small_spec(objective="hinge"), ["/objective"]),
    "unknown source": (changed("data.source", "url"), ["/data/source"]),
    "unknown example": (
        small_spec(data={"source": "example", "name": "../../etc/passwd"}),
        ["/data/name"],
    ),
    "unknown column": (small_spec(record=["loss", "mood"]), ["/record/1"]),
    "a column twice": (small_spec(record=["loss", "loss"]), ["/record"]),
    "another optimizer's field": (
        small_spec(optimizer={"name": "sgd", "lr": 0.1, "betas": [0.9, 0.99]}),
        ["/optimizer/betas"],
    ),
    "empty budget": (small_spec(budget={}), ["/budget"]),
    "budget of 0 ticks": (small_spec(budget={"ticks": 0}), ["/budget/ticks"]),
    "budget above 10^9 ticks": (small_spec(budget={"ticks": 10**9 + 1}), ["/budget/ticks"]),
    "batch larger than the rows": (small_spec(batch_size=33), ["/batch_size"]),
    "batch larger than the rows, without a last one": (
        small_spec(
            batch_size=33,
            budget={"epochs": 1},
            data={"source": "synthetic", "kind": "regression", "samples": 32, "drop_last": True},
        ),
        ["/batch_size"],
    ),
    "more parts than rows of a batch": (small_spec(micro_batches=9), ["/micro_batches"]),
    "BatchNorm with batch 1": (small_spec(model=NORM, batch_size=1), ["/batch_size"]),
    "BatchNorm with a last batch of 1": (
        small_spec(model=NORM, batch_size=31),
        ["/batch_size"],
    ),
    "warmup as long as the job": (
        small_spec(schedule={"warmup_ticks": 20}),
        ["/schedule/warmup_ticks"],
    ),
    "cosine without a total": (
        small_spec(schedule={"name": "cosine"}, budget={"seconds": 5}),
        ["/schedule/name"],
    ),
    "patience without validation": (
        changed("stop.patience", {"metric": "val_loss", "ticks": 5}),
        ["/stop/patience/metric"],
    ),
    "a target on both sides": (
        changed("stop.target", {"metric": "loss", "below": 1, "above": 0}),
        ["/stop/target"],
    ),
    "a target on no side": (changed("stop.target", {"metric": "loss"}), ["/stop/target"]),
    "nesterov without momentum": (
        small_spec(optimizer={"name": "sgd", "nesterov": True}),
        ["/optimizer"],
    ),
    "validation of more than half": (small_spec(validation={"fraction": 0.6}), [
        "/validation/fraction"
    ]),
    "validation of no row": (small_spec(validation={"fraction": 0.01}), ["/validation/fraction"]),
    "classes for numbers": (small_spec(objective="cross_entropy"), ["/objective"]),
    "numbers for classes": (
        inline(ROWS, [0.5, 1.0], objective="cross_entropy"),
        ["/objective"],
    ),
    "a ragged row": (inline([[1.0, 2.0], [3.0]], [0.0, 1.0]), ["/data/inputs/1"]),
    "an empty row": (inline([[], []], [0.0, 1.0]), ["/data/inputs/0", "/data/inputs/1"]),
    "no rows": (inline([], []), ["/data/inputs", "/data/targets"]),
    "a row too few": (inline(ROWS, [0.0]), ["/data/targets"]),
    "targets of two forms": (inline(ROWS, [[0.0], [1.0, 2.0]]), ["/data/targets/1"]),
    "too many parameters": (
        small_spec(model={"family": "mlp", "hidden": [65_536, 65_536]}),
        ["/model/hidden"],
    ),
}  # fmt: skip

#: name -> (body as it is sent, headers, status, kind of problem)
BODIES: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "no JSON": (b"{'a': 1}", {}, 400, "malformed-json"),
    "cut JSON": (b'{"model": {"family": ', {}, 400, "malformed-json"),
    "empty": (b"", {}, 400, "malformed-json"),
    "two documents": (b"{} {}", {}, 400, "malformed-json"),
    "NaN": (b'{"optimizer": {"lr": NaN}}', {}, 422, "invalid-spec"),
    "minus infinity": (b'{"optimizer": {"lr": -Infinity}}', {}, 422, "invalid-spec"),
    "a name twice": (b'{"seed": 1, "seed": 2}', {}, 400, "malformed-json"),
    "no UTF-8": (b'{"name": "\xff"}', {}, 400, "malformed-json"),
    "UTF-16": ('{"name": "x"}'.encode("utf-16"), {}, 400, "malformed-json"),
    "half a surrogate pair": (b'{"name": "\\ud800"}', {}, 400, "malformed-json"),
    "nested too deep": (nested(40).encode(), {}, 400, "malformed-json"),
    "nested far too deep": (nested(100_000).encode(), {}, 400, "malformed-json"),
    "a number of 5,000 digits": (b'{"seed": ' + b"9" * 5000 + b"}", {}, 400, "malformed-json"),
    "1e999": (
        json.dumps(changed("optimizer.lr", 7.5)).replace("7.5", "1e999").encode(),
        {}, 422, "invalid-spec",
    ),
    "too large": (b" " * (1 << 20) + b"{}", {}, 413, "too-large"),
    "no media type": (b"{}", {"Content-Type": ""}, 415, "unsupported-media-type"),
    "a form": (
        b"a=1",
        {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported-media-type",
    ),
    "another charset": (
        b"{}", {"Content-Type": "application/json; charset=latin-1"}, 415, "unsupported-media-type",
    ),
    "compressed": (b"{}", {"Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
    "another form asked for": (b"{}", {"Accept": "text/html"}, 406, "not-acceptable"),
    "an empty idempotency key": (b"{}", {"Idempotency-Key": ""}, 400, "invalid-parameter"),
    "a long idempotency key": (b"{}", {"Idempotency-Key": "k" * 256}, 400, "invalid-parameter"),
}  # fmt: skip

#: (method and path, status, names of parameters); {id} is a job's
REQUESTS: list[tuple[str, int, list[str]]] = [
    ("GET /v1/jobs?page=2", 400, ["page"]),
    ("GET /v1/jobs?limit=0", 400, ["limit"]),
    ("GET /v1/jobs?limit=1001", 400, ["limit"]),
    ("GET /v1/jobs?limit=ten", 400, ["limit"]),
    ("GET /v1/jobs?limit=1_0", 400, ["limit"]),
    ("GET /v1/jobs?limit=%205", 400, ["limit"]),
    ("GET /v1/jobs?limit=", 400, ["limit"]),
    ("GET /v1/jobs?limit=5&limit=6", 400, ["limit"]),
    ("GET /v1/jobs?order=up", 400, ["order"]),
    ("GET /v1/jobs?after=nowhere", 400, ["after"]),
    ("GET /v1/jobs?after=-1", 400, ["after"]),
    ("GET /v1/jobs?status=done", 400, ["status"]),
    ("GET /v1/jobs?label=team", 400, ["label"]),
    ("GET /v1/jobs?label=:x", 400, ["label"]),
    ("GET /v1/jobs?parent=me", 400, ["parent"]),
    ("GET /v1/jobs?key=secret&order=up", 400, ["key", "order"]),
    ("GET /v1/jobs/{id}?wait=31&until=soon", 400, ["until", "wait"]),
    ("GET /v1/jobs/{id}/events?after=x&wait=-1", 400, ["after", "wait"]),
    ("GET /v1/jobs/{id}/logs?after=-1", 400, ["after"]),
    ("GET /v1/events?job=x", 400, ["job"]),
    ("GET /v1/jobs/{id}/attempts?after=x", 400, ["after"]),
    ("GET /v1/jobs/{id}/checkpoints?order=newest", 400, ["order"]),
    ("POST /v1/jobs/{id}/cancel?force=1", 400, ["force"]),
    ("GET /v1/jobs/job_", 404, []),
    (f"GET /v1/jobs/{UNKNOWN}", 404, []),
    (f"GET /v1/jobs/{UNKNOWN.upper()}", 404, []),
    (f"GET /v1/jobs/{UNKNOWN}%0a", 404, []),
    (f"GET /v1/jobs/{UNKNOWN}/history", 404, []),
    (f"POST /v1/jobs/{UNKNOWN}/cancel", 404, []),
    (f"DELETE /v1/jobs/{UNKNOWN}", 404, []),
    ("GET /v1/jobs/..%2f..%2fetc%2fpasswd", 404, []),
    ("GET /v1/jobs/{id}/checkpoints/latest", 404, []),
    ("GET /v1/jobs/{id}/nothing", 404, []),
    ("GET /v1/datasets/ds_aaaaaaaaaaaaaaaaaaaaaaaaaa", 404, []),
    ("GET /v1/datasets?after=-1", 400, ["after"]),
    ("GET /v1/jobs/", 404, []),
    ("GET /v2/jobs", 404, []),
    ("PUT /v1/jobs", 405, []),
    ("DELETE /v1/jobs", 400, ["label"]),
    ("DELETE /v1/jobs?older_than=30", 400, ["older_than"]),
    ("GET /v1/jobs/{id}/cancel", 405, []),
    ("POST /v1/jobs/{id}", 405, []),
    ("POST /healthz", 405, []),
    ("BREW /v1/jobs", 405, []),
    ("POST /v1/jobs/{id}/stop", 409, []),
    ("DELETE /v1/jobs/{id}", 409, []),
]

PATCHES: dict[str, tuple[Any, list[str]]] = {
    "the spec": ({"seed": 1}, ["/seed"]),
    "the status": ({"status": "succeeded"}, ["/status"]),
    "priority 101": ({"priority": 101}, ["/priority"]),
    "priority true": ({"priority": True}, ["/priority"]),
    "a name of 201 characters": ({"name": "x" * 201}, ["/name"]),
    "name null": ({"name": None}, ["/name"]),
    "labels with a number": ({"labels": {"a": 1}}, ["/labels/a"]),
    "labels as a list": ({"labels": []}, ["/labels"]),
    "no object": ([], [""]),
}

KEYS = {
    "missing": None,
    "unknown": "Bearer " + "k" * 40,
    "empty": "Bearer ",
    "another scheme": "Basic YTpi",
    "no scheme": "k" * 40,
    "no text": "Bearer \xff\xfe",
    "two": "Bearer a, Bearer b",
}


def check_problem(answer: Any, status: int) -> dict[str, Any]:
    """What every refusal has."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert "Traceback" not in answer.text and "/api/" not in answer.text
    problem: dict[str, Any] = json.loads(answer.text, parse_constant=pytest.fail)
    assert problem["type"].startswith(URN_PREFIX)
    assert problem["status"] == status
    assert problem["title"] and problem["detail"]
    return problem


@pytest.fixture(autouse=True)
def nothing_stored(client: Any) -> Any:
    """Afterwards there is no job but those a test made in due form, and the service answers."""
    yield
    assert client.get("/healthz").status_code == 200
    jobs = client.get("/v1/jobs").json["data"]
    assert [job["name"] for job in jobs if job["name"] != "in due form"] == []


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/plan"])
@pytest.mark.parametrize("name", SPECS)
def test_a_wrong_spec_is_422_and_each_fault_has_its_pointer(
    client: Any, name: str, path: str
) -> None:
    body, pointers = SPECS[name]
    response = client.post(path, data=json.dumps(body), content_type=JSON)
    problem = check_problem(response, 422)
    assert sorted(error["pointer"] for error in problem["errors"]) == sorted(pointers)
    assert all(error["detail"] for error in problem["errors"])


@pytest.mark.parametrize("name", BODIES)
def test_a_wrong_body_is_refused_before_it_is_looked_at(client: Any, name: str) -> None:
    body, headers, status, kind = BODIES[name]
    response = client.post("/v1/jobs", data=body, headers={"Content-Type": JSON, **headers})
    assert check_problem(response, status)["type"] == URN_PREFIX + kind


@pytest.mark.parametrize(("line", "status", "parameters"), REQUESTS)
def test_a_wrong_request_is_refused_by_name(
    client: Any, submit: Callable[..., str], line: str, status: int, parameters: list[str]
) -> None:
    method, path = line.replace("{id}", submit(name="in due form")).split(" ")
    response = client.open(path, method=method)
    problem = check_problem(response, status)
    assert sorted(error["parameter"] for error in problem.get("errors", [])) == parameters
    assert (status == 405) == ("Allow" in response.headers)
    assert (status == 409) == ("job_status" in problem and "allowed" in problem)


@pytest.mark.parametrize("name", PATCHES)
def test_a_wrong_patch_is_422_and_changes_nothing(
    client: Any, submit: Callable[..., str], name: str
) -> None:
    path = f"/v1/jobs/{submit(name='in due form')}"
    before = client.get(path).json
    body, pointers = PATCHES[name]
    problem = check_problem(client.patch(path, json=body), 422)
    assert [error["pointer"] for error in problem["errors"]] == pointers
    assert client.get(path).json == before


@pytest.mark.parametrize("name", KEYS)
def test_without_a_valid_key_everything_is_401(client: Any, name: str) -> None:
    given = KEYS[name]
    headers = {} if given is None else {"Authorization": given}
    client.environ_base.pop("HTTP_AUTHORIZATION")
    for line in ("POST /v1/jobs", "GET /v1/nothing", "GET /metrics", "GET /v1/jobs?zz=1"):
        method, path = line.split(" ")
        response = client.open(path, method=method, headers=headers, json=small_spec())
        check_problem(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"


def test_a_deleted_jobs_id_is_404(client: Any, submit: Callable[..., str]) -> None:
    path = f"/v1/jobs/{submit(name='in due form')}"
    client.post(f"{path}/cancel")
    client.delete(path)
    for verb in ("GET", "PATCH", "DELETE"):
        check_problem(client.open(path, method=verb, json={}), 404)


def test_the_body_of_a_verb_may_be_empty(client: Any, submit: Callable[..., str]) -> None:
    path = f"/v1/jobs/{submit(name='in due form')}/cancel"
    check_problem(client.post(path, json={"force": True}), 422)
    check_problem(client.post(path, data="now"), 415)


def test_a_wrong_value_is_shown_again_but_cut(client: Any) -> None:
    body = small_spec(seed="x" * 5000, labels={"a": 1}, batch_size=0)
    problem = check_problem(client.post("/v1/jobs", json=body), 422)
    shown = {error["pointer"]: error["value"] for error in problem["errors"]}
    assert shown == {"/seed": "x" * 200 + "…", "/labels/a": 1, "/batch_size": 0}
    assert "value" not in client.post("/v1/jobs", json={}).json["errors"][0]


def test_a_body_with_thousands_of_faults_gets_a_short_answer(client: Any) -> None:
    response = client.post("/v1/jobs", json=inline([["x"]] * 5000, [0.0] * 5000))
    problem = check_problem(response, 422)
    assert len(problem["errors"]) == 100
    assert problem["errors_left_out"] == 4900


@pytest.mark.parametrize("place", ["", "/labels", "/data/types", "/model"])
def test_a_problem_is_short_however_long_what_was_sent_is(client: Any, place: str) -> None:
    faults = {f"{at:03}" + "~é" * 300: 1 for at in range(200)}
    bodies: dict[str, dict[str, Any]] = {
        "": faults,
        "/labels": {"labels": faults},
        "/data/types": {"data": {"source": "dataset", "id": "ds_" + "a" * 26, "types": faults}},
        "/model": {"model": {"family": "mlp", **faults}},
    }
    response = client.post("/v1/jobs", json=small_spec(**bodies[place]))
    problem = check_problem(response, 422)
    assert len(response.data) < 80_000
    assert all(len(error["pointer"]) <= 201 for error in problem["errors"])
    assert len(problem["errors"]) + problem.get("errors_left_out", 0) in (1, 200)
    if place != "/labels":  # too many labels are one error
        assert problem["errors"][-1]["pointer"].startswith(f"{place}/0")
        assert problem["errors"][-1]["pointer"].endswith("…")


def test_the_whole_size_is_allowed_but_not_a_byte_more(client: Any) -> None:
    text = json.dumps(small_spec(name="in due form")).encode()
    fits = text + b" " * ((1 << 20) - len(text))
    headers = {"Content-Type": JSON}
    assert client.post("/v1/jobs", data=fits, headers=headers).status_code == 202
    check_problem(client.post("/v1/jobs", data=fits + b" ", headers=headers), 413)
