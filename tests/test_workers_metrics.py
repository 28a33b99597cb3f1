"""Metrics through the whole service: Job, events, every form of history, report.json, forks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_harness import ApiHarness, running_api_harness
from tests.support import small_spec

NAMES = ("loss", "accuracy", "macro_f1", "auc")
#: the last quarter, which is held out, has one class alone: no area under a curve
ONE_CLASS = {
    "data": {
        "source": "inline",
        "inputs": [[float(row % 5), float(row % 3)] for row in range(40)],
        "targets": [row % 2 if row < 30 else 1 for row in range(40)],
    },
    "objective": "cross_entropy",
    "validation": {"fraction": 0.25, "split": "last", "every_ticks": 10},
    "class_weights": "balanced",
    "label_smoothing": 0.1,
}
TWO_CLASSES = {
    **ONE_CLASS,
    "data": {**ONE_CLASS["data"], "targets": [row % 2 for row in range(40)]},  # type: ignore[dict-item]
    "checkpoint": {"best": {"metric": "val_auc"}, "every_ticks": 5, "keep": 9},
}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHarness]:
    with running_api_harness(tmp_path_factory.mktemp("metrics")) as harness:
        harness.start_worker("usual")
        yield harness


@pytest.fixture(scope="module")
def undefined(harness: ApiHarness) -> dict[str, Any]:
    """A job whose AUC is never defined."""
    return harness.wait_for_end(harness.submit(small_spec(**ONE_CLASS)))


@pytest.fixture(scope="module")
def trained(harness: ApiHarness) -> dict[str, Any]:
    """A job of two classes whose best is that of the greatest AUC."""
    return harness.wait_for_end(harness.submit(small_spec(**TWO_CLASSES)))


def test_an_undefined_metric_is_null_in_job_events_and_every_form_of_history(
    harness: ApiHarness, undefined: dict[str, Any]
) -> None:
    path = f"/v1/jobs/{undefined['id']}"
    assert undefined["status"] == "succeeded" and undefined["error"] is None
    assert list(undefined["metrics"]) == [f"val_{name}" for name in NAMES]
    assert undefined["metrics"]["val_auc"] is None
    assert (
        undefined["best"]["metric"] == "val_loss"
        and undefined["best"]["metrics"]["val_auc"] is None
    )
    events = harness.http.get(f"{path}/events").json["data"]
    shown = [event["data"]["metrics"] for event in events if event["type"] == "validation"]
    assert [metrics["val_auc"] for metrics in shown] == [None, None]
    history = f"{path}/history?columns=val_auc,val_macro_f1"
    page = harness.http.get(history).json
    assert page["val_auc"] == {"tick": [10, 20], "value": [None, None]}
    assert {(entry["tick"], entry["column"]) for entry in page["nonfinite"]} == {
        (10, "val_auc"), (20, "val_auc"),
    }  # fmt: skip
    assert all(0 <= value <= 1 for value in page["val_macro_f1"]["value"])
    csv = harness.http.get(history, headers={"Accept": "text/csv"}).text
    assert csv.splitlines()[0].startswith("tick,val_auc") and csv.count("nan") == 2
    lines = harness.http.get(history, headers={"Accept": "application/x-ndjson"}).text
    assert [json.loads(line)["val_auc"] for line in lines.splitlines()] == [None, None]
    view = harness.http.get(f"{history}&points=5").json
    assert view["val_macro_f1"] and json.dumps(view, allow_nan=False)
    assert harness.http.get(f"{path}/curve.svg?columns=val_auc,val_macro_f1").status_code == 200


def test_a_report_is_a_file_of_a_checkpoint_with_the_counts_behind_its_metrics(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    final = harness.http.get(f"/v1/jobs/{trained['id']}/checkpoints/final").json
    names = [file["name"] for file in final["files"]]
    response = harness.http.get(f"/v1/jobs/{trained['id']}/checkpoints/final/files/report.json")
    section = json.loads(response.data)["validation"]
    assert "report.json" in names and response.status_code == 200
    assert (section["tick"], section["rows"]) == (20, 10)
    assert {f"val_{name}": value for name, value in section["metrics"].items()} == trained[
        "metrics"
    ]
    matrix = section["confusion"]
    assert [sum(row) for row in matrix] == section["support"] == [5, 5]
    assert (matrix[0][0] + matrix[1][1]) / 10 == trained["metrics"]["val_accuracy"]
    before = harness.http.get(f"/v1/jobs/{trained['id']}/checkpoints/5").json["files"]
    assert "report.json" not in [file["name"] for file in before]  # no validation yet


def test_what_was_trained_and_measured_is_verified_and_told_in_the_plan(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    result = harness.verify(trained["id"])["result"]
    assert (result["verdict"], result["points_compared"]) == ("equal", 2 * len(NAMES))
    plan = harness.http.post("/v1/jobs/plan", json=small_spec(**TWO_CLASSES)).json
    assert plan["metrics"] == [f"val_{name}" for name in NAMES] == list(trained["metrics"])
    assert plan["spec"] == trained["spec"]
    assert plan["spec"]["checkpoint"]["best"] == {"metric": "val_auc", "mode": "max"}


def test_a_fork_with_another_metric_begins_without_a_best(
    harness: ApiHarness, trained: dict[str, Any]
) -> None:
    changes = {
        "checkpoint": {"best": {"metric": "val_loss", "mode": None}},
        "budget": {"ticks": 30},
    }
    path = f"/v1/jobs/{trained['id']}/fork"
    forks = [
        harness.wait_for_end(
            harness.expect_accepted(
                harness.http.post(path, json={"tick": 15, "spec": {**changes, **patch}})
            )["id"]
        )
        for patch in ({}, {"checkpoint": {"keep": 2}})
    ]
    other, same = (job["best"] for job in forks)
    assert trained["best"]["metric"] == same["metric"] == "val_auc"
    assert other["metric"] == "val_loss" and other["tick"] > 15  # the parent's is not of it
    refused = harness.http.post(path, json={"tick": 15, "spec": {"label_smoothing": 0.2}})
    assert (
        refused.status_code == 422
        and refused.json["errors"][0]["pointer"] == "/spec/label_smoothing"
    )
