"""Histories in the client: every tick of every page, and non-finite values as they were."""

import math
import struct
import sys
from typing import Any

import numpy as np
import pytest

from tests.stub_server import KEY, ReceivedRequest, StubResponse, job_document, running_stub
from tickforge_client import Client
from tickforge_client.job import Job

LOSSES = [float(np.float32(1 / tick)) for tick in range(1, 8)]


def paged(request: ReceivedRequest) -> StubResponse:
    """Seven ticks, three a page whatever was asked."""
    if request.path.endswith("history"):
        first = int(request.query.get("after", ["0"])[0])
        last = min(first + 3, 7)
        more: dict[str, Any] = {"next_after": last if last < 7 else None}
        return StubResponse(
            body={
                "job_id": "job_a",
                "tick": list(range(first + 1, last + 1)),
                "loss": LOSSES[first:last],
                "val_loss": {"tick": [last], "value": [float(last)]},
                "nonfinite": [],
                "last_tick": 7,
                "complete": last == 7,
                **more,
            }
        )
    return StubResponse(body=job_document())


def read(rule: Any, columns: Any = "loss", **request: Any) -> Any:
    with running_stub(rule) as server, Client(server.url, KEY) as client:
        return Job(client.session, job_document()).history(columns, **request)


def test_all_pages_become_one_array_of_the_very_float32s() -> None:
    history = read(paged)
    assert history.tick.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert history["loss"].dtype == np.float64
    assert history["loss"].astype(np.float32).tolist() == LOSSES
    assert history.complete


def test_sparse_columns_keep_their_ticks() -> None:
    history = read(paged, ["loss", "val_loss"])
    assert history["val_loss"].tick.tolist() == [3, 6, 7]
    assert history["val_loss"].value.tolist() == [3.0, 6.0, 7.0]


def test_without_numpy_the_arrays_are_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    history = read(paged)
    assert history.tick.typecode == "q"
    assert history["loss"].tolist() == LOSSES
    assert struct.pack("<7f", *history["loss"]) == struct.pack("<7f", *LOSSES)


def test_non_finite_values_come_back_as_they_were() -> None:
    response = {
        "job_id": "job_a", "tick": [1, 2, 3, 4], "loss": [1.0, None, None, None],
        "nonfinite": [
            {"tick": 2, "column": "loss", "value": "inf"},
            {"tick": 3, "column": "loss", "value": "-inf"},
            {"tick": 4, "column": "loss", "value": "nan"},
        ],
        "next_after": None, "last_tick": 4, "complete": True,
    }  # fmt: skip
    loss = read([StubResponse(body=response)])["loss"].tolist()
    assert loss[:3] == [1.0, math.inf, -math.inf]
    assert math.isnan(loss[3])


def test_an_empty_history_is_empty_arrays() -> None:
    response = {"job_id": "job_a", "tick": [], "loss": [], "next_after": None, "last_tick": 0}
    history = read([StubResponse(body={**response, "complete": False})])
    assert len(history) == 0
    assert history["loss"].tolist() == []


def test_state_digests_stay_text() -> None:
    state = {"tick": [0, 7], "value": ["00ff" * 4, "ff00" * 4]}
    response = {"job_id": "job_a", "state": state, "next_after": None, "last_tick": 7}
    history = read([StubResponse(body={**response, "complete": True})], "state")
    assert history["state"].value == ["00ff" * 4, "ff00" * 4]
    assert history["state"].tick.tolist() == [0, 7]
