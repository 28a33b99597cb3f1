"""Forks trained by a real worker: to the bit the continuation of the job that they come from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load

from tests.api_harness import ApiHarness, running_api_harness
from tests.support import small_spec, wait_until

TICKS, TICK = 300, 120
#: what a wrong beginning would change: dropout, momentum, order of rows, patience, the best, a test
DIGITS = {
    "model": {"family": "mlp", "hidden": [8], "dropout": 0.2},
    "data": {"source": "example", "name": "digits"},
    "validation": {"fraction": 0.2, "every_ticks": 50},
    "test": {"fraction": 0.1},
    "stop": {"patience": {"metric": "val_loss", "ticks": 5000}},
    "record": ["loss", "grad_norm"],
    "micro_batches": 2,
    "budget": {"ticks": TICKS},
    "checkpoint": {"every_ticks": 60, "keep": 5},
}
SPECS: dict[str, dict[str, Any]] = {
    "graph": {"compute": {"engine": "graph"}},
    "momentum": {
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "schedule": {"name": "cosine"},
        "compute": {"engine": "eager"},
    },
    "native": {
        "optimizer": {"name": "adam"},
        "compute": {"engine": "native"},
        "micro_batches": 1,
        "record": ["loss"],
    },
}
BINARY = {"Accept": "application/octet-stream"}


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory, faults: Path) -> Iterator[ApiHarness]:
    with running_api_harness(tmp_path_factory.mktemp("forks")) as harness:
        harness.start_worker("usual", TICKFORGE_FAULTS=str(faults))
        yield harness


def fork(harness: ApiHarness, job_id: str, tick: int | None = None, **patch: Any) -> dict[str, Any]:
    """Fork a job and wait for the fork's end."""
    body = {"tick": tick, "spec": patch}
    response = harness.http.post(f"/v1/jobs/{job_id}/fork", json=body)
    job = harness.wait_for_end(harness.expect_accepted(response)["id"])
    assert job["status"] == "succeeded", job["error"]
    return job


def bits(harness: ApiHarness, job_id: str, after: int, lineage: bool = False) -> dict[str, Any]:
    """All that a job has recorded after a tick, and its final weights; not what a clock decides."""
    path = f"/v1/jobs/{job_id}/history?lineage={str(lineage).lower()}"
    job = harness.job(job_id)
    columns = {
        name: harness.http.get(f"{path}&columns={name}&after={after}", headers=BINARY).data
        for name in job["spec"]["record"]
    }
    parts = ["val", "test"] if job["spec"]["test"] else ["val"]
    sparse = [f"{part}_{metric}" for part in parts for metric in ("loss", "accuracy")] + ["state"]
    page = harness.http.get(f"{path}&columns={','.join(sparse)}&after={after}&limit=1000").json
    points = {name: dict(zip(*page[name].values(), strict=True)) for name in sparse}
    final = harness.http.get(f"/v1/jobs/{job_id}/checkpoints/final").json
    return {"columns": columns, "points": points, "best": job["best"], "weights": final["sha256"]}


@pytest.mark.parametrize("name", SPECS)
def test_a_fork_with_an_empty_patch_is_its_parents_continuation(
    harness: ApiHarness, name: str
) -> None:
    parent = harness.wait_for_end(harness.submit(small_spec(**DIGITS) | SPECS[name]))
    assert parent["status"] == "succeeded", parent["error"]
    child = fork(harness, parent["id"], TICK)

    assert (child["first_tick"], child["parent"]) == (TICK + 1, parent["id"])
    assert (child["engine"], child["exact"]) == (parent["engine"], True)
    assert bits(harness, child["id"], TICK) == bits(harness, parent["id"], TICK)
    assert bits(harness, child["id"], 0, lineage=True) == bits(harness, parent["id"], 0)
    assert harness.verify(child["id"])["result"]["verdict"] == "equal"


def extended(harness: ApiHarness, spec: dict[str, Any], ticks: int) -> dict[str, Any]:
    """Train a spec to its end, extend it to more ticks, and wait for the extension's end."""
    short = harness.wait_for_end(harness.submit(spec))
    response = harness.http.post(
        f"/v1/jobs/{short['id']}/extend", json={"budget": {"ticks": ticks}}
    )
    assert harness.request(short["id"], "cancel").status_code == 409  # it has ended, and stays so
    assert harness.http.delete(f"/v1/jobs/{short['id']}").status_code == 204
    accepted = harness.expect_accepted(response)
    assert accepted["best"]["tick"] % 50 == 0  # what the end alone measured does not count
    job = harness.wait_for_end(accepted["id"])
    assert job["status"] == "succeeded", job["error"]
    return job


@pytest.mark.parametrize(
    "stop",
    [
        {"patience": {"metric": "val_loss", "ticks": 60, "min_delta": 0.3}},
        {"converged": {"metric": "val_loss", "window": 60, "rel_change": 0.05}},
    ],
    ids=lambda stop: "-".join([next(iter(stop)), next(iter(stop.values()))["metric"]]),
)
def test_an_extension_is_the_longer_job_though_its_parent_validated_at_its_end(
    harness: ApiHarness, stop: dict[str, Any]
) -> None:
    spec = small_spec(**DIGITS) | {"stop": stop, "checkpoint": {"every_ticks": 60, "keep": 5}}
    del spec["test"]
    longer = harness.wait_for_end(harness.submit(spec))
    end = 130  # between two validations
    child = extended(harness, spec | {"budget": {"ticks": end}}, TICKS)

    assert (child["stopped_by"], child["tick"]) == (longer["stopped_by"], longer["tick"])
    assert (child["tick"], child["best"]) == (longer["tick"], longer["best"])
    assert bits(harness, child["id"], end) == bits(harness, longer["id"], end)


def test_the_first_state_of_a_fork_stays_for_its_verify(harness: ApiHarness, faults: Path) -> None:
    """Killed while it loads and while it saves, it goes on from its own checkpoints."""
    parent = harness.wait_for_end(harness.submit(small_spec(**DIGITS) | SPECS["momentum"]))
    for number, point in enumerate(("load", "checkpoint:commit", "tick")):
        fault = {"point": point, "action": "kill", "nth": 1 + 100 * (point == "tick")}
        (faults / f"{number}.fault").write_text(json.dumps(fault))
    child = fork(harness, parent["id"], TICK, checkpoint={"every_ticks": 60, "keep": 1})

    assert {path.suffix for path in faults.iterdir()} == {".fired"}
    assert len(harness.attempts(child["id"])) > 2
    ticks = [saved["tick"] for saved in harness.checkpoints(child["id"])]
    assert ticks[0] == TICK and 180 not in ticks
    of_child, of_parent = (bits(harness, job["id"], TICK) for job in (child, parent))
    assert of_child["columns"] == of_parent["columns"]
    assert of_child["weights"] == of_parent["weights"]
    result = harness.verify(child["id"])["result"]
    assert (result["verdict"], result["from"], result["to"]) == ("equal", TICK, TICKS)


def test_a_job_begins_with_another_jobs_weights_and_a_fresh_optimizer(
    harness: ApiHarness, faults: Path
) -> None:
    """Also where it is killed at its start, twice; a wider net takes what fits.

    Both are verified after the other job has been deleted.
    """
    spec = small_spec(**DIGITS) | {"model": {"family": "mlp", "hidden": [8], "norm": "batch"}}
    spec["data"]["drop_last"] = True
    source = harness.wait_for_end(harness.submit(spec))
    init = {"job": source["id"], "tick": TICK}
    tuning = spec | {"init": init, "optimizer": {"name": "sgd", "lr": 1e-9}, "budget": {"ticks": 2}}
    tuning["checkpoint"] = {"at_start": True}
    refused = harness.http.post("/v1/jobs", json=tuning | {"model": {"family": "mlp", "hidden": [9],
                                                                     "norm": "batch"}})  # fmt: skip
    assert refused.status_code == 422
    details = [error["detail"] for error in refused.json["errors"]]
    assert (
        "weights that fit: 0.weight is [8, 64] in that checkpoint, [9, 64] in this net" in details
    )
    assert {error["pointer"] for error in refused.json["errors"]} == {"/init"}

    for number, point in enumerate(("load", "tick")):
        fault = {"point": point, "action": "kill"}
        (faults / f"init-{number}.fault").write_text(json.dumps(fault))
    strict = harness.submit(tuning)
    loose = tuning | {"init": {"job": source["id"], "strict": False}}
    loose["model"] = {"family": "mlp", "hidden": [8, 4], "norm": "batch"}
    child = harness.expect_accepted(harness.http.post("/v1/jobs", json=loose))
    assert child["spec"]["init"]["tick"] == TICKS
    assert any(
        "init leaves out what does not fit: 3.weight is" in text for text in child["warnings"]
    )
    there = weights_of(harness, source["id"], TICK)
    final = weights_of(harness, source["id"], TICKS)
    assert harness.http.delete(f"/v1/jobs/{source['id']}").status_code == 204

    for job_id in (strict, child["id"]):
        job = harness.wait_for_end(job_id)
        assert job["status"] == "succeeded", job["error"]
        assert harness.verify(job_id)["result"]["verdict"] == "equal"
    assert not [*faults.glob("*.fault")] and len(harness.attempts(strict)) == 3
    begun = weights_of(harness, strict, 0)
    assert begun.keys() == there.keys() and all(begun[name].equal(there[name]) for name in there)
    begun = weights_of(harness, child["id"], 0)
    assert begun["0.weight"].equal(final["0.weight"])
    assert begun["1.running_mean"].equal(final["1.running_mean"])
    assert begun["3.weight"].shape != final["3.weight"].shape
    assert harness.bytes_on_disk(strict) == harness.job(strict)["bytes"]


def weights_of(harness: ApiHarness, job_id: str, tick: int) -> dict[str, Any]:
    """Return the weights of a checkpoint by name."""
    path = f"/v1/jobs/{job_id}/checkpoints/{tick}/files/model.safetensors"
    return dict(load(harness.http.get(path).data))


def test_a_fork_whose_first_state_is_damaged_is_paused_and_never_begun_from_its_spec(
    harness: ApiHarness, faults: Path
) -> None:
    parent = harness.wait_for_end(harness.submit(small_spec(checkpoint={"every_ticks": 10})))
    block = faults / "busy.fault"
    block.write_text(json.dumps({"point": "tick", "action": "block"}))
    busy = harness.submit(small_spec())
    wait_until(block.with_suffix(".fired").exists, 30)
    response = harness.http.post(f"/v1/jobs/{parent['id']}/fork", json={"tick": 10})
    job_id = harness.expect_accepted(response)["id"]
    (weights,) = harness.folder(job_id).glob("checkpoints/10-*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    block.with_suffix(".fired").unlink()

    child = harness.wait_for(job_id, lambda job: job["status"] in ("paused", "failed", "succeeded"))
    assert (child["status"], child["tick"]) == ("paused", 10)
    assert child["error"]["type"] == "damaged"
    assert harness.wait_for_end(busy)["status"] == "succeeded"
    assert harness.request(job_id, "cancel").status_code == 200
