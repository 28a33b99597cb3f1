"""The archive suffices for a rebuild, whatever was cut short; what is broken is named."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from api.json_body import body_digest
from jobs import rebuild
from jobs.archive import restore
from jobs.archive.backfill import backfill
from jobs.archive.job_file import JobFile, archive_folder
from jobs.archive.jobs import JobArchive
from jobs.archive.store_identity import check_not_older, check_store_matches
from jobs.errors import LeaseLost, StoreMismatch, UnsafeStore
from jobs.files.artifacts import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.history.summary_rows import SEGMENT
from jobs.job import SparsePoint
from jobs.ledger.client import JobLedger
from jobs.queries.jobs import JobQueries
from jobs.recording.segments import Segments
from jobs.settings import Settings
from jobs.store import keys
from tests import ledger_helpers
from tests.datasets import PETS, upload
from tests.manual_worker import FINGERPRINT, ManualWorker
from tests.support import small_spec

TENANT = "default"
Capture = pytest.CaptureFixture[str]


class RebuildHarness:
    """A store, its artifacts, and a rebuild of the one from the other."""

    def __init__(self, store: "redis.Redis", settings: Settings) -> None:
        self.store, self.settings = store, settings
        self.files = ArtifactStore(settings.artifacts)
        self.archive = JobArchive(store, self.files)
        check_store_matches(store, self.files)

    def lose_and_rebuild(self) -> int:
        """Empty the store and fill it again; gives the exit code."""
        self.store.flushall()
        return rebuild.rebuild(self.store, self.files)

    def home(self, job_id: str) -> Path:
        return archive_folder(self.files, TENANT, job_id)

    def submission(self, job_id: str) -> Path:
        return self.files.root / "tickforge.archive" / "submitted" / f"{TENANT}.{job_id}.json"

    def losses(self, job_id: str) -> np.ndarray[Any, Any]:
        job = JobQueries(self.store).get_job(TENANT, job_id)
        last = max(job.tick, 1)
        pieces = HistoryReader(self.store, self.files).stream_binary(job, "loss", 0, None).pieces
        return np.frombuffer(b"".join(pieces), "<f4")[:last]


@pytest.fixture
def rebuilder(store: "redis.Redis", settings: Settings) -> RebuildHarness:
    return RebuildHarness(store, settings)


def test_a_job_that_was_only_submitted_is_restored(
    rebuilder: RebuildHarness, client: Any, submit: Callable[..., str]
) -> None:
    ids = [submit(priority=n) for n in (0, 3, 1)]
    before = [client.get(f"/v1/jobs/{job_id}").json for job_id in ids]
    assert rebuilder.lose_and_rebuild() == 0
    assert [client.get(f"/v1/jobs/{job_id}").json for job_id in ids] == before
    assert [job["queue"]["position"] for job in before] == [3, 1, 2]
    assert client.get(f"/v1/jobs/{submit()}").json["queue"]["position"] == 4


def test_an_altered_record_is_named_and_the_others_are_restored(
    rebuilder: RebuildHarness, client: Any, submit: Callable[..., str], capsys: Capture
) -> None:
    bad, good = submit(name="spoiled"), submit(name="sound")
    path = rebuilder.submission(bad)
    path.write_bytes(path.read_bytes().replace(b'"spoiled"', b'"SPOILED"'))
    assert rebuilder.lose_and_rebuild() == 1
    captured = capsys.readouterr()
    assert str(path) in captured.err and "altered" in captured.err and "1 faults" in captured.out
    assert client.get(f"/v1/jobs/{good}").status_code == 200
    assert client.get(f"/v1/jobs/{bad}").status_code == 404


def test_a_record_of_an_unknown_schema_is_refused_by_name(
    rebuilder: RebuildHarness, submit: Callable[..., str], capsys: Capture
) -> None:
    path = rebuilder.submission(submit())
    path.write_bytes(path.read_bytes().replace(b'{"schema":1', b'{"schema":2', 1))
    assert rebuilder.lose_and_rebuild() == 1
    assert f"{path}: its schema is 2" in capsys.readouterr().err


def test_a_missing_record_of_a_job_with_files_is_reported(
    rebuilder: RebuildHarness, submit: Callable[..., str], capsys: Capture
) -> None:
    job_id = submit()
    ManualWorker(rebuilder.store, rebuilder.settings).save()
    rebuilder.submission(job_id).unlink()
    assert rebuilder.lose_and_rebuild() == 1
    assert "there is no record of this job" in capsys.readouterr().err


@pytest.mark.parametrize("spoil", ["missing", "altered"])
def test_a_damaged_history_is_reported(
    rebuilder: RebuildHarness, submit: Callable[..., str], capsys: Capture, spoil: str
) -> None:
    job_id = submit()
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    worker.record([3.0, 2.0, 1.0])
    worker.end("cancelled")
    seal(rebuilder, job_id)
    part = rebuilder.files.job_folder(TENANT, job_id) / "history" / "loss" / "000000.f32"
    part.unlink() if spoil == "missing" else part.write_bytes(part.read_bytes()[::-1])
    assert rebuilder.lose_and_rebuild() == 1
    assert str(part) in capsys.readouterr().err


def test_a_lost_checkpoint_is_reported_and_its_job_restored(
    rebuilder: RebuildHarness, client: Any, submit: Callable[..., str], capsys: Capture
) -> None:
    job_id = submit()
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    worker.record([1.0])
    saved = worker.save()
    worker.end("cancelled")
    seal(rebuilder, job_id)
    shutil.rmtree(rebuilder.files.job_folder(TENANT, job_id) / "checkpoints" / saved.folder)
    assert rebuilder.lose_and_rebuild() == 1
    assert saved.folder in capsys.readouterr().err
    assert client.get(f"/v1/jobs/{job_id}").json["status"] == "cancelled"


def test_a_server_that_is_not_empty_is_refused(
    rebuilder: RebuildHarness, submit: Callable[..., str]
) -> None:
    submit()
    with pytest.raises(UnsafeStore, match="not empty"):
        rebuild.rebuild(rebuilder.store, rebuilder.files)


def test_a_full_disk_refuses_a_submission_before_anything_is_stored(
    rebuilder: RebuildHarness, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    headers = {"Idempotency-Key": "k"}
    assert client.post("/v1/jobs", json=small_spec(), headers=headers).status_code == 507
    body = {"tenant": "a", "scopes": ["read"], "name": "n"}
    assert client.post("/v1/keys", json=body, headers=headers).status_code == 507
    assert upload(client, PETS).status_code == 507
    monkeypatch.undo()
    assert client.get("/v1/jobs").json["data"] == client.get("/v1/keys").json["data"] == []
    assert client.get("/v1/datasets").json["data"] == []
    assert not any((rebuilder.files.root / "tickforge.archive" / "incoming").iterdir())
    assert client.post("/v1/jobs", json=small_spec(), headers=headers).status_code == 202


def test_a_submission_whose_api_died_is_kept_when_it_is_sent_again(
    rebuilder: RebuildHarness, client: Any, ledger: JobLedger
) -> None:
    body = small_spec()
    submitted = ledger.submit(
        TENANT, ledger_helpers.make_job_spec(), idempotency_key="k", body_digest=body_digest(body)
    )  # and then the API died
    headers = {"Idempotency-Key": "k"}
    again = client.post("/v1/jobs", json=body, headers=headers)
    assert (again.status_code, again.json["id"]) == (202, submitted.job_id)
    assert rebuilder.lose_and_rebuild() == 0
    third = client.post("/v1/jobs", json=body, headers=headers)
    assert third.json["id"] == submitted.job_id and len(client.get("/v1/jobs").json["data"]) == 1


def test_an_unanswered_submission_is_not_restored_twice(
    rebuilder: RebuildHarness, client: Any, ledger: JobLedger
) -> None:
    body, headers = small_spec(), {"Idempotency-Key": "k"}
    ledger.submit(
        TENANT, ledger_helpers.make_job_spec(), idempotency_key="k", body_digest=body_digest(body)
    )
    assert rebuilder.lose_and_rebuild() == 0
    assert client.post("/v1/jobs", json=body, headers=headers).status_code == 202
    assert len(client.get("/v1/jobs").json["data"]) == 1


def test_a_running_job_is_restored_as_its_owner_kept_it_and_as_clients_changed_it(
    rebuilder: RebuildHarness, client: Any, submit: Callable[..., str]
) -> None:
    job_id = submit()
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    worker.record(np.arange(1, 3001), [SparsePoint("state", 2000, b"12345678")])
    job_file = rebuilder.archive.save(TENANT, job_id, lease=worker.lease)
    worker.record(np.arange(3001, 4001))
    saved = worker.save()
    rebuilder.archive.save(TENANT, job_id, lease=worker.lease, job_file=job_file)
    events = client.get(f"/v1/jobs/{job_id}/events").json["data"]
    worker.record(np.arange(4001, 5001))
    client.patch(f"/v1/jobs/{job_id}", json={"name": "said", "labels": {"a": "b"}})
    assert client.post(f"/v1/jobs/{job_id}/stop").status_code == 202

    assert rebuilder.lose_and_rebuild() == 0
    job = client.get(f"/v1/jobs/{job_id}").json
    assert (job["status"], job["tick"], job["requested"]) == ("queued", 4000, "stop")
    assert (job["name"], job["latest_checkpoint"]) == ("said", saved.tick)
    assert client.get("/v1/jobs?label=a:b").json["data"][0]["id"] == job_id
    assert rebuilder.losses(job_id).tolist() == list(range(1, 4001))
    assert client.get(f"/v1/jobs/{job_id}/history?points=2").json["loss"]["max"][-1] == 4000
    points = client.get(f"/v1/jobs/{job_id}/history?columns=state").json["state"]
    assert points == {"tick": [2000], "value": [b"12345678"[::-1].hex()]}
    assert client.get(f"/v1/jobs/{job_id}/events").json["data"][: len(events)] == events
    worker.ledger.claim("cpu", worker="w", device="cpu", canaries={"1": "c"})
    with pytest.raises(LeaseLost):  # who held it before has no say
        rebuilder.archive.save(TENANT, job_id, lease=worker.lease)


def test_a_stop_and_what_was_skipped_outlive_a_pause_and_two_lost_stores(
    rebuilder: RebuildHarness, client: Any, submit: Callable[..., str]
) -> None:
    job_id = submit()
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    worker.record([1.0, float("nan")], is_last_skipped=True)
    rebuilder.archive.save(TENANT, job_id, lease=worker.lease)
    worker.record([float("nan")], is_last_skipped=True)
    for verb, code in (("stop", 202), ("pause", 200), ("resume", 202)):
        assert client.post(f"/v1/jobs/{job_id}/{verb}").status_code == code
        assert rebuilder.lose_and_rebuild() == 0
        job = client.get(f"/v1/jobs/{job_id}").json
        status = "paused" if verb == "pause" else "queued"
        assert (job["status"], job["requested"]) == (status, "stop")
        assert (job["tick"], job["skipped"]) == (2, 1), "the newest tick was in the store alone"


def test_a_history_over_a_segments_border_is_restored_whole(
    rebuilder: RebuildHarness, submit: Callable[..., str]
) -> None:
    job_id = submit(budget={"ticks": SEGMENT + 10_000})
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    values = np.random.default_rng(1).random(SEGMENT + 3000, np.float32)
    job_file: JobFile | None = None
    for start in range(0, values.size, 1 << 19):
        worker.record(values[start : start + (1 << 19)])
        job_file = rebuilder.archive.save(TENANT, job_id, lease=worker.lease, job_file=job_file)
    assert rebuilder.lose_and_rebuild() == 0
    assert rebuilder.losses(job_id).tobytes() == values.tobytes()


def test_a_record_costs_what_is_new(rebuilder: RebuildHarness, submit: Callable[..., str]) -> None:
    job_id = submit()
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    worker.record(np.zeros(100_000))
    job_file = rebuilder.archive.save(TENANT, job_id, lease=worker.lease)
    assert job_file is not None
    whole = job_file.length
    worker.record(np.zeros(1000))
    rebuilder.archive.save(TENANT, job_id, lease=worker.lease, job_file=job_file)
    assert job_file.length - whole < whole / 20
    assert [path.name for path in rebuilder.home(job_id).iterdir()] == [job_file.path.name]


def test_a_tail_that_was_cut_short_does_not_count(
    rebuilder: RebuildHarness, submit: Callable[..., str]
) -> None:
    job_id = submit()
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    worker.record([1.0, 2.0])
    job_file = rebuilder.archive.save(TENANT, job_id, lease=worker.lease)
    saved_bytes = job_file.path.read_bytes() if job_file else b""
    worker.record([3.0])
    rebuilder.archive.save(TENANT, job_id, lease=worker.lease, job_file=job_file)
    assert job_file is not None
    for length in (len(saved_bytes) + 1, job_file.path.stat().st_size - 1):
        data = job_file.path.read_bytes()
        job_file.path.write_bytes(data[:length])
        assert rebuilder.lose_and_rebuild() == 0
        assert rebuilder.losses(job_id).tolist() == [1.0, 2.0]
        job_file.path.write_bytes(data)
    assert rebuilder.lose_and_rebuild() == 0
    assert rebuilder.losses(job_id).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("exact", ["required", "best_effort"])
def test_a_rebuilt_job_still_knows_its_fingerprint(
    rebuilder: RebuildHarness, client: Any, submit: Callable[..., str], exact: str
) -> None:
    job_id = submit(compute={"exact": exact})
    worker = ManualWorker(rebuilder.store, rebuilder.settings)
    rebuilder.archive.save(
        TENANT, job_id, lease=worker.lease
    )  # begun; the ticks it shows are not kept
    worker.record([1.0, 2.0])
    assert rebuilder.lose_and_rebuild() == 0
    claim = worker.ledger.claim("cpu", worker="w", device="cpu", canaries={"1": "other"})
    if exact == "required":
        assert claim is None
        return
    assert claim is not None
    worker.ledger.record_engine(claim.lease, "eager", "cpu", {**FINGERPRINT, "canary": "other"})
    job = client.get(f"/v1/jobs/{job_id}").json
    assert (job["exact"], job["inexact_from"]) == (False, 1)


def test_a_deleted_job_stays_deleted_even_if_its_deletion_was_cut_short(
    rebuilder: RebuildHarness, client: Any, ledger: JobLedger, submit: Callable[..., str]
) -> None:
    job_id = submit()
    client.post(f"/v1/jobs/{job_id}/cancel")
    ledger.delete(TENANT, job_id)  # and then the API died
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert rebuilder.lose_and_rebuild() == 0
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert client.get("/v1/jobs").json["data"] == []


def test_a_dataset_that_was_deleted_and_uploaded_again_is_restored(
    rebuilder: RebuildHarness, client: Any
) -> None:
    first = upload(client, PETS, key="one").json["id"]
    client.delete(f"/v1/datasets/{first}")
    assert upload(client, PETS, key="two").json["id"] == first
    assert rebuilder.lose_and_rebuild() == 0
    assert client.get(f"/v1/datasets/{first}/content").data == PETS
    assert upload(client, PETS, key="one").status_code == 410
    assert upload(client, PETS, key="two").status_code == 201


def test_a_store_older_than_the_archive_is_archived_whole(
    rebuilder: RebuildHarness, client: Any, ledger: JobLedger
) -> None:
    shutil.rmtree(rebuilder.files.root)
    rebuilder.store.flushall()
    jobs = [ledger_helpers.submit_job(ledger) for _ in range(2)]
    check_store_matches(rebuilder.store, rebuilder.files)
    backfill(rebuilder.store, rebuilder.files)
    before = client.get("/v1/jobs").json
    assert rebuilder.lose_and_rebuild() == 0
    assert client.get("/v1/jobs").json == before and len(before["data"]) == len(jobs)


def test_artifacts_of_another_store_are_refused(
    rebuilder: RebuildHarness, submit: Callable[..., str]
) -> None:
    submit()
    rebuilder.store.set(keys.STORE_UUID, "another")
    with pytest.raises(StoreMismatch, match="are of another one"):
        check_store_matches(rebuilder.store, rebuilder.files)
    rebuilder.store.flushall()
    with pytest.raises(StoreMismatch, match="the store is empty.*jobs.rebuild"):
        check_store_matches(rebuilder.store, rebuilder.files)


def test_a_store_without_its_artifacts_is_refused(
    rebuilder: RebuildHarness, submit: Callable[..., str], tmp_path: Path
) -> None:
    submit()
    with pytest.raises(StoreMismatch, match="know no store"):
        check_store_matches(rebuilder.store, ArtifactStore(tmp_path / "elsewhere"))


@pytest.mark.parametrize("since", ["submitted", "deleted", "patched", "key", "no key"])
def test_a_store_set_back_to_a_backup_is_refused(
    rebuilder: RebuildHarness, client: Any, submit: Callable[..., str], tmp_path: Path, since: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(restore, "SKIPPED_NUMBERS", 0)  # a rebuild stands for the backup here
    job_id = submit()
    ended = submit()
    client.post(f"/v1/jobs/{ended}/cancel")
    body = {"tenant": "a", "scopes": ["read"], "name": "n"}
    key = client.post("/v1/keys", json=body).json["id"]
    shutil.copytree(rebuilder.files.root, tmp_path / "backup")
    what: dict[str, Callable[[], Any]] = {
        "submitted": lambda: submit(),
        "deleted": lambda: client.delete(f"/v1/jobs/{ended}"),
        "patched": lambda: client.patch(f"/v1/jobs/{job_id}", json={"name": "later"}),
        "key": lambda: client.post("/v1/keys", json=body),
        "no key": lambda: client.delete(f"/v1/keys/{key}"),
    }
    what[since]()
    check_not_older(rebuilder.store, rebuilder.files)
    rebuilder.store.flushall()
    assert rebuild.rebuild(rebuilder.store, ArtifactStore(tmp_path / "backup")) == 0
    check_store_matches(rebuilder.store, rebuilder.files)
    with pytest.raises(StoreMismatch, match="older than the artifacts"):
        check_not_older(rebuilder.store, rebuilder.files)


def seal(rebuilder: RebuildHarness, job_id: str) -> None:
    Segments(JobLedger(rebuilder.store), rebuilder.store, rebuilder.files).finalize(TENANT, job_id)
