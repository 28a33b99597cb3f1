"""Pictures over HTTP: forms, columns, sizes, ETags, and the jobs that have little to draw."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jobs.job import SparsePoint
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.manual_worker import ManualWorker

LOSSES = np.linspace(2.0, 1.0, 60).astype(np.float32)
FORMS = {"svg": "image/svg+xml", "png": "image/png", "txt": "text/plain; charset=utf-8"}
BEST = {"metric": "val_loss", "tick": 40, "value": 1.25}


def point(column: str, tick: int, value: float) -> SparsePoint:
    return SparsePoint(column, tick, struct.pack("<d", value))


@pytest.fixture
def worker(submit: Callable[..., str], store: Store, settings: Settings) -> ManualWorker:
    """A running job with 60 ticks, validated at two of them."""
    submit(budget={"ticks": 100}, validation={"fraction": 0.25, "every_ticks": 20}, name="a <b>")
    worker = ManualWorker(store, settings)
    points = [point("val_loss", 20, 1.5), point("val_loss", 40, 1.25)]
    worker.record(LOSSES, points, best=BEST, metrics={"val_loss": 1.25})
    return worker


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}/curve"


def test_every_form_has_its_type_and_shows_columns_validation_and_best(
    client: Any, path: str
) -> None:
    for form, media_type in FORMS.items():
        response = client.get(f"{path}.{form}")
        assert (response.status_code, response.content_type) == (200, media_type), response.text
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert not response.headers["ETag"].startswith("W/")
        head = client.head(f"{path}.{form}", headers={"Accept": "text/html"})
        assert (head.headers["ETag"], head.data) == (response.headers["ETag"], b"")
    svg = client.get(f"{path}.svg?columns=loss,lr")
    policy = svg.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    for text in ("a &lt;b&gt;", "running, tick 60 of 100", "loss 1", "val_loss 1.25", "lr ",
                 "best 1.25 at 40"):  # fmt: skip
        assert f">{text}" in svg.text
    text = client.get(f"{path}.txt?width=80&height=6&log=true").text
    assert "loss 1 (log)   o val_loss 1.25   X best 1.25 at 40" in text
    assert len(text.splitlines()) == 9
    png = client.get(f"{path}.png?width=640&height=200").data
    assert struct.unpack(">II", png[16:24]) == (640, 200)


def test_a_picture_is_304_until_a_tick_comes_and_its_bytes_are_always_the_same(
    client: Any, path: str, worker: ManualWorker
) -> None:
    for form in FORMS:
        first, again = (client.get(f"{path}.{form}") for _ in range(2))
        assert first.data == again.data
        known = {"If-None-Match": first.headers["ETag"]}
        unchanged = client.get(f"{path}.{form}", headers=known)
        assert (unchanged.status_code, unchanged.data) == (304, b"")
        assert unchanged.headers["ETag"] == first.headers["ETag"]
        worker.record([0.75])
        changed = client.get(f"{path}.{form}", headers=known)
        assert changed.status_code == 200
        assert changed.headers["ETag"] != first.headers["ETag"]
    # a point that comes after its tick changes the picture, too
    before = client.get(f"{path}.svg")
    worker.record([], [point("val_loss", worker.tick, 1.0)])
    known = {"If-None-Match": before.headers["ETag"]}
    assert client.get(f"{path}.svg", headers=known).status_code == 200


def test_a_wrong_query_is_one_clear_error(client: Any, path: str) -> None:
    wrong = {
        "columns": ["loss,lr,val_loss", "nope", "state", ""], "width": ["99", "2001", "a"],
        "height": ["59", "1201"], "points": ["0", "2001"], "log": ["maybe"], "colour": ["red"],
    }  # fmt: skip
    for parameter, values in wrong.items():
        for value in values:
            response = client.get(f"{path}.svg?{parameter}={value}")
            assert response.status_code == 400
            assert [error["parameter"] for error in response.json["errors"]] == [parameter]


def test_the_largest_picture_is_drawn_and_a_text_has_its_own_bounds(client: Any, path: str) -> None:
    largest = client.get(f"{path}.png?width=2000&height=1200&points=2000&columns=loss,lr")
    assert struct.unpack(">II", largest.data[16:24]) == (2000, 1200)
    assert client.get(f"{path}.svg?width=100&height=60&points=1").status_code == 200
    assert client.get(f"{path}.txt?width=401").status_code == 400


def test_jobs_without_ticks_and_jobs_that_failed_are_told_as_such(
    client: Any, submit: Callable[..., str], worker: ManualWorker
) -> None:
    queued = submit()
    for form in ("svg", "txt"):
        assert "no ticks yet" in client.get(f"/v1/jobs/{queued}/curve.{form}").text
    worker.record([np.nan])
    worker.end("failed", error={"type": "nonfinite", "detail": "a loss is NaN", "tick": 61})
    svg = client.get(f"/v1/jobs/{worker.lease.job_id}/curve.svg").text
    assert ">failed: nonfinite at tick 61<" in svg
    assert ">not finite: 1<" in svg
    text = client.get(f"/v1/jobs/{worker.lease.job_id}/curve.txt").text
    assert text.endswith("\n(failed: nonfinite at tick 61)\n")


def test_pictures_beyond_the_bounded_places_are_refused(client: Any, path: str) -> None:
    limit = client.application.extensions["tickforge.held"]
    limit.limit, places = 1, limit.limit
    assert limit.acquire_transfer("default")
    try:
        refused = client.get(f"{path}.png")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    finally:
        limit.release_transfer("default")
        limit.limit = places
    assert client.get(f"{path}.png").status_code == 200
