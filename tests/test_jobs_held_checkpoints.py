"""What is asked of a checkpoint keeps it: `latest` of a job whose checkpoints rotate."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobs.answers.ledger import EXPORT_HOLD_SECONDS, AnswerLeases
from jobs.answers.net_config import NetConfigs
from jobs.files import checkpoint_folders
from jobs.job import Checkpoint, Evaluation
from jobs.ledger.owner import LeaseLedger
from jobs.recording.writer import HistoryWriter
from jobs.retention import Retention
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.scripts import Scripts
from tests.answers import RESULT, TABLE_NET, claim_answer
from tests.datasets import upload_new
from tests.manual_worker import STATE, ManualWorker
from tests.support import small_spec
from tests.test_api_dataset_answers import TABLE, claim_question
from tests.test_api_exports import announce_exporter
from workers.drain import Drain
from workers.export_answer import ExportAnswer
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter

INPUTS = {"inputs": [[0.0] * 6]}
MAX_HELD = 32


class RotatingJob:
    """A running job of which the newest checkpoint alone is kept, and its worker."""

    def __init__(self, client: Any, store: Store, settings: Settings) -> None:
        spec = small_spec(checkpoint={"keep": 1}, budget={"ticks": 1000})
        self.client, self.store, self.settings = client, store, settings
        self.id = str(client.post("/v1/jobs", json=spec).json["id"])
        self.path = f"/v1/jobs/{self.id}/checkpoints"
        self.worker = worker = ManualWorker(store, settings)
        self.files, self.best = worker.files, False
        drain = Drain()
        heartbeat = Heartbeat(
            worker.ledger, worker.lease, renew_seconds=5, stall_seconds=600, drain=drain
        )
        history = HistoryWriter(worker.ledger, store, self.files, worker.lease)
        self.writer = LedgerWriter(
            worker.ledger, history, worker.claim, heartbeat, drain, lambda line: None
        )
        self.save()

    def save(self, **flags: Any) -> Checkpoint:
        """Train for a tick and save, as workers/checkpointing does."""
        worker = self.worker
        worker.record([1.0])
        folder = checkpoint_folders.new_folder(self.files, worker.lease)
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "config.json").write_text(json.dumps(TABLE_NET))
        (folder / "state.json").write_text(json.dumps({**STATE, "tick": worker.tick}))
        checkpoint = checkpoint_folders.publish(
            self.files, worker.lease, folder, tick=worker.tick, state="0" * 16, metrics={},
            **{"is_best": self.best, "is_final": False, **flags},
        )  # fmt: skip
        for old in self.writer.commit_checkpoint(checkpoint, keep_count=1):
            checkpoint_folders.remove_folder(self.files, "default", self.id, old)
        return checkpoint

    def ask(self, body: dict[str, Any], which: str = "latest", kind: str = "predict") -> Any:
        return self.client.post(f"{self.path}/{which}/{kind}?wait=0", json=body)

    def ticks(self) -> list[int]:
        return [checkpoint["tick"] for checkpoint in self.client.get(self.path).json["data"]]

    def folders(self) -> list[int]:
        """Return the ticks of the folders on the disk."""
        parent = self.files.job_folder("default", self.id) / "checkpoints"
        return sorted(int(path.name.split("-")[0]) for path in parent.glob("*-t*"))

    def sweep(self) -> None:
        """Apply retention as one of the workers does."""
        self.store.delete(keys.RETENTION_LOCK)
        Retention(self.store, self.files).apply_some(10, 10)

    def end(self) -> None:
        """Save the last periodic checkpoint and the final one, which is kept beside it; end."""
        self.save()
        self.save(is_final=True)
        self.worker.end(stopped_by="user")


@pytest.fixture
def job(client: Any, store: Store, settings: Settings) -> Iterator[RotatingJob]:
    job = RotatingJob(client, store, settings)
    with closing(job.writer):
        yield job


@pytest.fixture
def dataset(client: Any) -> str:
    return str(upload_new(client, TABLE)["id"])


def test_a_checkpoint_stays_until_the_predict_about_it_has_ended(
    client: Any, store: Store, job: RotatingJob
) -> None:
    question = job.ask(INPUTS)
    assert (question.status_code, question.json["tick"]) == (202, 1)
    one = client.get(f"/v1/jobs/{job.id}").json["bytes"]
    job.save()
    assert job.ticks() == job.folders() == [1, 2], "keep is 1, and 1 is asked"
    assert client.get(f"/v1/jobs/{job.id}").json["bytes"] > one, "what is kept counts"
    leases, claim = claim_answer(store)
    job.save()
    assert job.ticks() == job.folders() == [1, 3], "nobody asks about 2"
    leases.succeed(claim, RESULT)
    job.save()
    assert job.ticks() == job.folders() == [4]
    assert not store.exists(keys.HELD_CHECKPOINTS, keys.checkpoint_holds("default", job.id))
    assert client.get(f"/v1/jobs/{question.json['id']}").json["tick"] == 1


@pytest.mark.parametrize("kind", ["predict", "evaluate"])
def test_a_checkpoint_stays_until_the_job_about_it_and_a_dataset_has_ended(
    store: Store, job: RotatingJob, dataset: str, kind: str
) -> None:
    question = job.ask({"dataset": dataset}, kind=kind)
    assert question.json["tick"] == 1, question.json
    job.end()
    job.sweep()
    assert job.ticks() == job.folders() == [1, 2, 3], "it is held after its job's end too"
    ledger, claim = claim_question(store)
    ledger.finish(claim.lease, "queued", claim.tick, reason="its process died")
    job.sweep()
    assert job.ticks() == [1, 2, 3]
    ledger, claim = claim_question(store)
    result = Evaluation(rows=2, metrics={"loss": 0.5})
    ledger.finish(claim.lease, "succeeded", claim.tick, result=result, file_bytes=0)
    job.sweep()
    assert job.ticks() == job.folders() == [2, 3]
    assert not store.exists(keys.HELD_CHECKPOINTS)


def test_nobody_who_died_holds_a_checkpoint_for_ever(store: Store, job: RotatingJob) -> None:
    answer_id = job.ask(INPUTS).json["id"]
    claim_answer(store)
    job.end()
    job.sweep()
    assert job.ticks() == [1, 2, 3]
    store.delete(keys.answer("default", answer_id))  # as TICKFORGE_ANSWER_SECONDS does
    job.sweep()
    assert job.ticks() == job.folders() == [2, 3]


def test_what_a_client_pinned_meanwhile_is_not_removed_with_its_question(
    client: Any, store: Store, job: RotatingJob
) -> None:
    job.ask(INPUTS)
    job.end()
    assert client.patch(f"{job.path}/1", json={"pinned": True}).status_code == 200
    leases, claim = claim_answer(store)
    leases.succeed(claim, RESULT)
    job.sweep()
    assert job.ticks() == [1, 2, 3] and not store.exists(keys.HELD_CHECKPOINTS)


def test_a_client_deletes_a_checkpoint_though_it_is_asked(
    client: Any, store: Store, job: RotatingJob
) -> None:
    job.ask(INPUTS)
    job.save()
    assert client.delete(f"{job.path}/1").status_code == 204
    assert job.ticks() == job.folders() == [2]
    assert not store.exists(keys.HELD_CHECKPOINTS)
    assert job.ask(INPUTS, "1").json["type"].endswith(":no-such-checkpoint")


def test_questions_keep_a_bounded_number_of_checkpoints_beyond_those_of_the_spec(
    client: Any, store: Store, job: RotatingJob
) -> None:
    for _ in range(MAX_HELD):
        assert job.ask(INPUTS).status_code == 202
        job.save()
    refused = job.ask(INPUTS)
    assert (refused.status_code, refused.json["type"][-10:]) == (429, "queue-full")
    assert f"{MAX_HELD} old checkpoints" in refused.json["detail"]
    assert refused.headers["Retry-After"] and len(job.ticks()) == MAX_HELD + 1
    assert job.ask(INPUTS, "1").status_code == 202, "one that is kept already costs nothing"
    leases, claim = claim_answer(store)
    leases.succeed(claim, RESULT)
    assert job.ask(INPUTS).status_code == 429, "the other question about 1 waits"
    for _ in range(2):
        leases, claim = claim_answer(store)
        leases.end_cancelled(claim)
    assert job.ask(INPUTS).status_code == 202


def save_at_the_next(
    monkeypatch: pytest.MonkeyPatch, job: RotatingJob, owner: Any, name: str, times: int
) -> None:
    """Save before each of the next calls, so that what was the newest, or best, goes."""
    call, left = getattr(owner, name), [times]

    def save_and_call(*arguments: Any, **options: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            job.save()
            job.save()
        return call(*arguments, **options)

    monkeypatch.setattr(owner, name, save_and_call)


@pytest.mark.parametrize("which", ["latest", "best"])
def test_what_moves_while_it_is_asked_or_downloaded_is_the_newer_one_then(
    client: Any,
    store: Store,
    job: RotatingJob,
    dataset: str,
    which: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job.best = which == "best"
    job.save()
    about = {"dataset": dataset}
    for body, kind in ((INPUTS, "predict"), (about, "predict"), (about, "evaluate")):
        for name, times in (("read", 2), ("_find", 1)):  # before its files are read, and after
            with monkeypatch.context() as patch:
                save_at_the_next(patch, job, NetConfigs, name, times)
                question = job.ask(body, which, kind)
            assert question.status_code == 202, question.json
            assert question.json["tick"] == job.worker.tick in job.ticks()
            client.post(f"/v1/jobs/{question.json['id']}/cancel")
    with monkeypatch.context() as patch:
        save_at_the_next(patch, job, checkpoint_folders, "open_file", 3)
        file = client.get(f"{job.path}/{which}/files/config.json")
    assert file.status_code == 200 and json.loads(file.data) == TABLE_NET
    tick = job.worker.tick
    assert file.headers["Content-Location"] == f"{job.path}/{tick}/files/config.json"
    with monkeypatch.context() as patch:
        save_at_the_next(patch, job, checkpoint_folders, "open_file", 1)
        gone = client.get(f"{job.path}/{tick}/files/config.json")
    assert (gone.status_code, gone.json["type"][-18:]) == (404, "no-such-checkpoint")


def test_a_checkpoint_that_is_asked_while_its_successor_is_committed_stays(
    store: Store, job: RotatingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, questions = LeaseLedger.read_checkpoints, list[Any]()

    def read_and_ask(*arguments: Any) -> Any:
        current = read(*arguments)
        if not questions:
            questions.append(job.ask(INPUTS))
        return current

    monkeypatch.setattr(LeaseLedger, "read_checkpoints", read_and_ask)
    job.save()
    assert questions[0].json["tick"] == 1 and job.ticks() == job.folders() == [1, 2]


def test_the_onnx_of_latest_is_that_of_the_tick_it_was_asked_for_at(
    client: Any, store: Store, job: RotatingJob
) -> None:
    announce_exporter(store)
    path = f"{job.path}/latest/files/model.onnx"
    assert (client.get(path).status_code, client.get(path).json["tick"]) == (202, 1)
    job.save()
    assert client.get(path).json["tick"] == 1, "as it was asked for"
    leases = AnswerLeases(store, 60, exports=True)
    claim = leases.claim("w")
    assert claim is not None
    export = ExportAnswer(claim, leases, job.files)
    Path(export.command({})[1]["output"]).write_bytes(b"onnx")
    export.succeed({})
    job.save()
    assert job.ticks() == [1, 3]
    for _ in range(2):
        file = client.get(path)
        assert (file.status_code, file.data) == (200, b"onnx")
        assert file.headers["Content-Location"] == f"{job.path}/1/files/model.onnx"
    assert client.get(f"{job.path}/1/files/model.onnx").data == b"onnx"
    assert leases.claim("w") is None, "it is made once"
    exported = keys.answer("default", claim.answer_id)
    store.hincrby(exported, "finished_ms", -1000 * EXPORT_HOLD_SECONDS)  # a minute later
    assert client.get(path).json["tick"] == 3
    job.save()
    assert job.ticks() == [3, 4]


def test_a_deleted_job_leaves_nothing_of_its_holds(
    client: Any, store: Store, job: RotatingJob
) -> None:
    announce_exporter(store)
    client.get(f"{job.path}/latest/files/model.onnx")
    job.ask(INPUTS)
    job.end()
    assert client.delete(f"/v1/jobs/{job.id}").status_code == 204
    assert not store.keys(f"{keys.job('default', job.id)}*")
    assert not store.exists(keys.HELD_CHECKPOINTS)


def test_a_rebuilt_store_removes_what_a_question_kept_once_that_has_ended(
    client: Any, store: Store, job: RotatingJob, dataset: str
) -> None:
    job.ask({"dataset": dataset})
    job.save()
    job.save()
    store.delete(keys.HELD_CHECKPOINTS, keys.checkpoint_holds("default", job.id))
    header = {"member": keys.job_member("default", job.id), "base": 1000}
    Scripts(store).call("restore", header)  # as jobs/rebuild.py does, after the record is back
    job.sweep()
    assert job.ticks() == job.folders() == [1, 3]
    ledger, claim = claim_question(store)
    ledger.finish(claim.lease, "cancelled", claim.tick)
    job.sweep()
    assert job.ticks() == job.folders() == [3]


def test_a_fork_at_the_newest_tick_goes_on_from_the_newer_one_where_that_goes_meanwhile(
    client: Any, job: RotatingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body, status in (({}, 202), ({"tick": job.worker.tick + 4}, 409)):
        with monkeypatch.context() as patch:
            save_at_the_next(patch, job, checkpoint_folders, "open_file", 2)
            fork = client.post(f"/v1/jobs/{job.id}/fork", json={**body, "spec": {}})
        assert fork.status_code == status, fork.json
    assert fork.json["ticks"] == job.ticks()
