"""Exports to TensorBoard and Weights & Biases over HTTP, read back byte by byte."""

import io
import json
import math
import struct
import tarfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from jobs.files.artifacts import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.job import SparsePoint
from jobs.queries.jobs import JobQueries
from jobs.settings import Settings
from jobs.store.connection import Store
from jobs.trackers import tick_blocks, wandb_run
from jobs.trackers.ranges import select_ticks
from jobs.trackers.wandb_run import stream_run
from tests.manual_worker import ManualWorker
from tests.tracker_files import (
    crc32c,
    parse_message,
    read_event_records,
    read_events,
    read_history,
    read_log,
)

TICKS, CHUNK = 400, 40  # a log of two blocks, steps of one and of two bytes
#: values that a careless writer would change
LOSSES = np.random.default_rng(7).standard_normal(TICKS).astype(np.float32)
LOSSES[:6] = [np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4028235e38]
SPEC: dict[str, Any] = {
    "budget": {"ticks": TICKS},
    "validation": {"fraction": 0.25, "every_ticks": 2 * CHUNK},
    "schedule": {"name": "cosine"},
    "name": "digits (1)",
}


def point(column: str, tick: int, value: float) -> SparsePoint:
    return SparsePoint(column, tick, struct.pack("<d", value))


def val_loss(tick: int) -> float:
    return 1 / (3 + tick)  # no float32


def record_chunks(worker: ManualWorker, upto: int, **options: Any) -> None:
    """Record chunks of ticks, each with its seconds, and validations."""
    while worker.tick < upto:
        last = worker.tick + CHUNK
        points = [point("time", last, last / 8)]
        if last % (2 * CHUNK) == 0:
            points.append(point("val_loss", last, val_loss(last)))
        worker.record(LOSSES[worker.tick : last], points, **{"elapsed": last / 8, **options})


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history of some blocks: see the test of blocks of every size."""
    monkeypatch.setattr(tick_blocks, "BLOCK_TICKS", 96)


@pytest.fixture
def worker(submit: Callable[..., str], store: Store, settings: Settings) -> ManualWorker:
    """The owner of a running job without ticks; points of tick 0 are recorded with the first."""
    submit(**SPEC)
    return ManualWorker(store, settings)


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}/export"


def expected_rows() -> list[tuple[int, dict[str, float]]]:
    return [
        (tick, {"loss": float(LOSSES[tick - 1])}
         | ({"val_loss": val_loss(tick)} if tick % (2 * CHUNK) == 0 else {}))
        for tick in range(1, TICKS + 1)
    ]  # fmt: skip


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def run_log(data: bytes) -> list[bytes]:
    """Return the records of the one file in a run's folder."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        folder, file = tar.getmembers()
        assert folder.isdir() and folder.name.startswith("offline-run-")
        assert file.name == f"{folder.name}/run-{folder.name.rpartition('-')[2]}.wandb"
        content = tar.extractfile(file)
        assert content is not None
        return read_log(content.read())


def test_an_event_file_has_every_tick_once_with_the_bits_of_every_value(
    client: Any, worker: ManualWorker, path: str
) -> None:
    assert crc32c(b"123456789") == 0xE3069283
    record_chunks(worker, TICKS)
    worker.end("succeeded", stopped_by="budget")
    response = client.get(f"{path}/tensorboard")
    assert response.status_code == 200, response.text
    headers = response.headers
    assert [headers[f"X-{name}"] for name in ("First-Tick", "Last-Tick", "Complete")] == [
        "1", str(TICKS), "true",
    ]  # fmt: skip
    job = client.get(path.removesuffix("/export")).json
    assert headers["Content-Disposition"].startswith('attachment; filename="events.out.tfevents.')
    events = read_events(response.data)
    assert [tick for tick, _, _ in events] == list(range(1, TICKS + 1))
    rates = client.get(path.replace("export", "history?columns=lr")).json["lr"]
    for (tick, at, values), (_, expected) in zip(events, expected_rows(), strict=True):
        float64s = {name: value for name, value in expected.items() if name != "loss"}
        float64s["lr"] = rates[tick - 1]
        shown = {name: float(np.float32(value)) for name, value in float64s.items()}
        exact = {f"float64/{name}": value for name, value in float64s.items()}
        assert {name: bits(value) for name, value in values.items()} == {
            name: bits(value)
            for name, value in ({"loss": expected["loss"]} | shown | exact).items()
        }, tick
        started = datetime.fromisoformat(job["started_at"]).timestamp()
        assert at == pytest.approx(started + tick / 8, abs=1e-6)
    version, spec, parameters = list(read_event_records(response.data))[:3]
    assert b"brain.Event:2" in version
    assert b'"cosine"' in spec and b"_hparams_/session_start_info" in parameters
    assert b"optimizer.lr" in parameters


def test_a_live_jobs_events_followed_to_its_end_are_the_bytes_of_the_whole(
    client: Any, worker: ManualWorker, path: str
) -> None:
    """The last tick is held back: a final validation may still come for it."""
    followed, after = b"", 0
    for upto in (0, CHUNK, 2 * CHUNK, 5 * CHUNK):
        record_chunks(worker, upto)
        response = client.get(f"{path}/tensorboard?after={after}")
        assert response.headers["X-Complete"] == "false"
        followed = (followed if after else b"") + response.data
        after = int(response.headers["X-Last-Tick"])
        assert after == max(upto - 1, 0)
    worker.record([], [point("val_loss", 5 * CHUNK, 0.125)])
    worker.end("succeeded", stopped_by="user")
    followed += client.get(f"{path}/tensorboard?after={after}").data
    whole = client.get(f"{path}/tensorboard").data
    assert followed == whole
    assert read_events(whole)[-1][2]["float64/val_loss"] == 0.125


def test_a_job_that_was_resumed_and_replayed_has_no_tick_twice(
    client: Any, worker: ManualWorker, path: str, store: Store, settings: Settings
) -> None:
    record_chunks(worker, 3 * CHUNK)
    worker.end("paused")
    client.post(path.replace("/export", "/resume"))
    other = ManualWorker(store, settings)
    other.tick = 2 * CHUNK  # where its checkpoint would be
    record_chunks(other, 3 * CHUNK, replayed=True)
    record_chunks(other, 4 * CHUNK)
    other.end("cancelled")
    ticks = list(range(1, 4 * CHUNK + 1))
    assert [tick for tick, _, _ in read_events(client.get(f"{path}/tensorboard").data)] == ticks
    rows = read_history(run_log(client.get(f"{path}/wandb").data))
    assert [int(row["_step"]) for row in rows] == ticks


def test_a_run_has_every_tick_once_and_its_numbers_are_read_back_to_the_bit(
    client: Any, worker: ManualWorker, path: str
) -> None:
    record_chunks(worker, TICKS)
    worker.end("failed", error={"type": "x", "detail": "y"})
    response = client.get(f"{path}/wandb")
    assert response.status_code == 200, response.text
    records = run_log(response.data)
    rows = read_history(records)
    rates = client.get(path.replace("export", "history?columns=lr")).json["lr"]
    for row, (tick, expected) in zip(rows, expected_rows(), strict=True):
        assert int(row["_step"]) == tick
        values = {name: text for name, text in row.items() if not name.startswith("_")}
        for name, value in (expected | {"lr": rates[tick - 1]}).items():
            number = json.loads(values.pop(name))  # NaN, Infinity, -Infinity
            assert bits(number) == bits(value) or math.isnan(number) and math.isnan(value)
        assert not values
        assert float(row["_runtime"]) == tick / 8
    assert [row["loss"] for row in rows[:3]] == ["NaN", "Infinity", "-Infinity"]
    summary, end = (parse_message(record) for record in records[-2:])
    shown = {
        item[2][0]: item[16][0] for item in map(parse_message, parse_message(summary[3][0])[1])
    }
    assert shown[b"_step"] == str(TICKS).encode()
    assert json.loads(shown[b"val_loss"]) == val_loss(TICKS)
    assert parse_message(end[18][0])[1] == [1], "a job that failed is a failed run"


def test_an_export_is_the_same_bytes_whatever_is_read_at_once(
    client: Any, worker: ManualWorker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_chunks(worker, TICKS)
    for form in ("tensorboard", "wandb"):
        whole = client.get(f"{path}/{form}").data
        for size in (23, TICKS - 1):
            monkeypatch.setattr(tick_blocks, "BLOCK_TICKS", size)
            assert client.get(f"{path}/{form}").data == whole, (form, size)


def test_a_live_jobs_run_has_no_end(client: Any, worker: ManualWorker, path: str) -> None:
    record_chunks(worker, CHUNK)
    records = run_log(client.get(f"{path}/wandb").data)
    assert not any(18 in parse_message(record) for record in records)


def test_a_run_of_a_job_that_ends_while_it_is_read_has_the_jobs_own_end(
    worker: ManualWorker, store: Store, settings: Settings
) -> None:
    record_chunks(worker, CHUNK)
    job = JobQueries(store).get_job("default", worker.lease.job_id)
    worker.end("succeeded", stopped_by="user")
    ticks = select_ticks(HistoryReader(store, ArtifactStore(settings.artifacts)), job)
    end = parse_message(run_log(b"".join(stream_run(ticks)))[-1])
    assert parse_message(end[18][0])[1] == [0]


def test_columns_are_chosen_and_those_that_are_no_metric_are_refused(
    client: Any, worker: ManualWorker, path: str
) -> None:
    record_chunks(worker, TICKS)
    worker.end("succeeded", stopped_by="budget")
    for form in ("tensorboard", "wandb"):
        for column, words in {"time": "no metric", "state": "digest", "x": "not recorded"}.items():
            refused = client.get(f"{path}/{form}?columns=loss,{column}")
            assert (refused.status_code, words in refused.text) == (400, True), refused.text
    events = read_events(client.get(f"{path}/tensorboard?columns=val_loss").data)
    assert [(tick, values["float64/val_loss"], len(values)) for tick, _, values in events] == [
        (tick, val_loss(tick), 2) for tick in range(2 * CHUNK, TICKS + 1, 2 * CHUNK)
    ]


def test_an_export_is_304_until_ticks_come(client: Any, worker: ManualWorker, path: str) -> None:
    for form in ("tensorboard", "wandb"):
        record_chunks(worker, worker.tick + CHUNK, elapsed=1.0)
        first = client.get(f"{path}/{form}")
        known = {"If-None-Match": first.headers["ETag"]}
        assert client.get(f"{path}/{form}").data == first.data
        assert client.get(f"{path}/{form}", headers=known).status_code == 304
        record_chunks(worker, worker.tick + CHUNK, elapsed=1.0)
        assert client.get(f"{path}/{form}", headers=known).status_code == 200


def test_rows_and_addresses_are_not_exported_and_a_queued_job_has_a_beginning_alone(
    client: Any, submit: Callable[..., str]
) -> None:
    rows = [[0.123456 + number] for number in range(40)]
    data = {"source": "inline", "inputs": rows, "targets": [row[0] for row in rows]}
    private = {"notify": ["https://1.1.1.1/token"], "notify_when": ["loss<0.1"]}
    path = f"/v1/jobs/{submit(data=data, notes='n' * 9000, labels={'a': 'b'}, **private)}/export"
    response = client.get(f"{path}/tensorboard")
    assert response.headers["X-Last-Tick"] == "0"
    records = run_log(client.get(f"{path}/wandb").data)
    assert b"n" * 9000 in records[1]
    for content in (response.data, records[1]):
        assert b"40 rows" in content
        assert not any(part in content for part in (b"0.123456", b"notify", b"token"))


def test_a_run_of_too_many_ticks_is_refused(
    client: Any, worker: ManualWorker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_chunks(worker, CHUNK)
    monkeypatch.setattr(wandb_run, "MAX_RUN_TICKS", CHUNK - 2)
    refused = client.get(f"{path}/wandb")
    assert (refused.status_code, refused.json["type"][-14:]) == (422, "not-exportable")
    assert "at most 38 ticks" in refused.json["detail"]
