"""Histories over HTTP: every tick once in every form, views, the newest ticks, ETags."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from api.json_text import dump_in_steps
from jobs.job import SparsePoint
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.manual_worker import ManualWorker

LOSSES = np.random.default_rng(1).standard_normal(2500).astype(np.float32)
CSV, NDJSON = {"Accept": "text/csv"}, {"Accept": "application/x-ndjson"}
BINARY = {"Accept": "application/octet-stream"}


@pytest.fixture
def worker(submit: Callable[..., str], store: Store, settings: Settings) -> ManualWorker:
    """A running job with 2,500 ticks, and a point of `time` at tick 2000."""
    submit(budget={"ticks": 5000}, optimizer={"name": "sgd", "lr": 0.1})
    worker = ManualWorker(store, settings)
    worker.record(LOSSES[:2000], [SparsePoint("time", 2000, struct.pack("<d", 0.25))])
    worker.record(LOSSES[2000:])
    return worker


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}/history"


def test_pages_hold_every_tick_once_and_the_bits_of_every_loss(client: Any, path: str) -> None:
    ticks: list[int] = []
    losses: list[float] = []
    after: int | None = 0
    while after is not None:
        page = client.get(f"{path}?limit=999&after={after}").json
        ticks += page["tick"]
        losses += page["loss"]
        after = page["next_after"]

    assert ticks == list(range(1, 2501))
    assert np.array(losses, np.float32).tobytes() == LOSSES.tobytes()
    assert (page["last_tick"], page["complete"]) == (2500, False)


def test_csv_ndjson_and_binary_hold_equal_values(client: Any, path: str) -> None:
    csv = client.get(path, headers=CSV)
    assert csv.mimetype == "text/csv"
    header, *lines = csv.text.splitlines()
    assert header == "tick,loss"
    by_csv = dict(line.split(",") for line in lines)

    ndjson = client.get(path, headers=NDJSON)
    assert ndjson.mimetype == "application/x-ndjson"
    by_ndjson = {row["tick"]: row["loss"] for row in map(json.loads, ndjson.text.splitlines())}

    binary = client.get(path, headers=BINARY)
    assert (binary.headers["X-First-Tick"], binary.headers["X-Last-Tick"]) == ("1", "2500")
    assert binary.content_length == 10_000
    assert binary.data == LOSSES.tobytes()
    assert [int(tick) for tick in by_csv] == list(by_ndjson) == list(range(1, 2501))
    assert np.array(list(by_csv.values()), np.float64).astype("<f4").tobytes() == binary.data
    assert np.array(list(by_ndjson.values())).astype("<f4").tobytes() == binary.data


@pytest.mark.parametrize("form", [CSV, NDJSON, BINARY])
def test_streams_keep_to_the_range(client: Any, path: str, form: dict[str, str]) -> None:
    assert client.get(f"{path}?after=10&before=14&limit=1", headers=BINARY).data == (
        LOSSES[10:13].tobytes()
    )
    by_last = client.get(f"{path}?last=3", headers=form).data
    assert by_last == client.get(f"{path}?after=2497", headers=form).data
    assert client.get(f"{path}?after=2500", headers=BINARY).data == b""


def test_last_is_the_newest_ticks(client: Any, path: str) -> None:
    page = client.get(f"{path}?last=3&columns=loss,lr").json
    assert page["tick"] == [2498, 2499, 2500]
    assert page["loss"] == LOSSES[-3:].tolist()
    assert page["lr"] == [0.1, 0.1, 0.1]


def test_a_view_has_exact_extremes(client: Any, path: str) -> None:
    view = client.get(f"{path}?points=7").json
    assert view["points"] == 7 == len(view["loss"]["min"])
    assert view["loss"]["tick_first"][0] == 1
    assert view["loss"]["tick_last"][-1] == 2500
    assert min(view["loss"]["min"]) == float(LOSSES.min())
    assert max(view["loss"]["max"]) == float(LOSSES.max())


def test_sparse_columns_are_points(client: Any, path: str) -> None:
    assert client.get(f"{path}?columns=time").json["time"] == {"tick": [2000], "value": [0.25]}
    lines = client.get(f"{path}?columns=loss,time&after=1998&before=2002", headers=NDJSON).text
    assert [json.loads(line).get("time") for line in lines.splitlines()] == [None, 0.25, None]


@pytest.mark.parametrize("columns", ["state", "loss,state", "state,lr,time"])
def test_a_state_digest_of_tick_0_is_in_every_form(
    client: Any, worker: ManualWorker, path: str, columns: str
) -> None:
    worker.record([1.0], [SparsePoint("state", tick, bytes([tick + 1] * 8)) for tick in (0, 3)])
    names = columns.split(",")
    ranges = (
        ("", [0, 3]),
        ("&after=0", [0, 3]),
        ("&before=1", [0]),
        ("&before=2", [0]),
        ("&after=1", [3]),
    )
    for query, ticks in ranges:
        page = client.get(f"{path}?columns={columns}{query}").json
        by_json = dict(zip(page["state"]["tick"], page["state"]["value"], strict=True))
        assert list(by_json) == ticks

        header, *lines = client.get(f"{path}?columns={columns}{query}", headers=CSV).text.split()
        rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
        assert {int(row["tick"]): row["state"] for row in rows if row["state"]} == by_json

        text = client.get(f"{path}?columns={columns}{query}", headers=NDJSON).text
        objects = list(map(json.loads, text.splitlines()))
        assert {row["tick"]: row["state"] for row in objects if "state" in row} == by_json
        assert [row["tick"] for row in objects] == [int(row["tick"]) for row in rows]
        if 0 in ticks:  # before any update there is nothing else
            others = [name for name in names if name != "state"]
            assert [rows[0][name] for name in others] == [""] * len(others)
            assert objects[0] == {"tick": 0, "state": by_json[0]}


def test_nonfinite_losses_are_null_and_named(client: Any, worker: ManualWorker, path: str) -> None:
    worker.record([np.nan, np.inf, 1.0])
    page = client.get(f"{path}?last=3")
    assert "NaN" not in page.text
    assert page.json["loss"] == [None, None, 1.0]
    named = [{"tick": 2501, "column": "loss", "value": "nan"},
             {"tick": 2502, "column": "loss", "value": "inf"}]  # fmt: skip
    assert page.json["nonfinite"] == named
    assert client.get(f"{path}?last=3", headers=CSV).text.split() == [
        "tick,loss", "2501,nan", "2502,inf", "2503,1.0",
    ]  # fmt: skip
    first = json.loads(client.get(f"{path}?last=3", headers=NDJSON).text.splitlines()[0])
    assert first == {"tick": 2501, "loss": None, "nonfinite": {"loss": "nan"}}
    assert client.get(path).json["last_tick"] == 2503


@pytest.mark.parametrize("form", [{}, CSV, NDJSON, BINARY])
def test_every_format_is_304_until_ticks_come(
    client: Any, worker: ManualWorker, path: str, form: dict[str, str]
) -> None:
    first = client.get(path, headers=form)
    tag = first.headers["ETag"]
    assert first.headers["Vary"] == "Accept"
    assert client.get(path, headers={**form, "If-None-Match": tag}).status_code == 304

    worker.record([1.0])
    assert client.get(path, headers={**form, "If-None-Match": tag}).status_code == 200


def test_the_etag_of_one_format_does_not_answer_for_another(client: Any, path: str) -> None:
    tags = {client.get(path, headers=form).headers["ETag"] for form in ({}, CSV, NDJSON, BINARY)}
    assert len(tags) == 4


def test_the_history_of_an_ended_job_is_complete(
    client: Any, worker: ManualWorker, path: str
) -> None:
    worker.end("cancelled")
    assert client.get(path).json["complete"] is True


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, text/csv;q=0.5, application/json;q=0.1", "text/csv"),
        ("text/csv, */*", "text/csv"),
    ],
)
def test_the_format_is_the_one_that_the_client_prefers(
    client: Any, path: str, accept: str, form: str
) -> None:
    assert client.get(path, headers={"Accept": accept}).mimetype == form


@pytest.mark.parametrize(
    ("query", "accept", "parameters"),
    [
        ("columns=val_loss", "*/*", ["columns"]),
        ("columns=loss,", "*/*", ["columns"]),
        ("columns=", "*/*", ["columns"]),
        ("columns=state&points=10", "*/*", ["columns"]),
        ("columns=time", "application/octet-stream", ["columns"]),
        ("columns=loss,lr", "application/octet-stream", ["columns"]),
        ("points=10", "text/csv", ["points"]),
        ("points=10&limit=10", "*/*", ["limit"]),
        ("last=5&after=3&points=9", "*/*", ["after", "points"]),
        ("limit=0", "*/*", ["limit"]),
        ("limit=100001&last=x&after=-1", "*/*", ["after", "limit", "last"]),
        ("after=1_0&before=5.0", "*/*", ["after", "before"]),
    ],
)
def test_an_impossible_query_is_400_and_names_the_parameter(
    client: Any, path: str, query: str, accept: str, parameters: list[str]
) -> None:
    response = client.get(f"{path}?{query}", headers={"Accept": accept})
    assert response.status_code == 400
    assert [error["parameter"] for error in response.json["errors"]] == parameters


def test_an_unknown_column_is_answered_with_the_known_ones(client: Any, path: str) -> None:
    body = client.get(f"{path}?columns=loss,val_loss").json
    assert body["recorded"] == ["loss", "lr", "time", "state"]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1500])
def test_a_page_encoded_in_steps_has_the_bytes_of_one_encoded_at_once(count: int) -> None:
    page = {
        "tick": list(range(count)),
        "é": {"value": [0.1, None] * count},
        "end": [True, {}],
        "": "x",
    }

    assert dump_in_steps(page) == json.dumps(page)
