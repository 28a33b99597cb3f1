"""model.onnx over HTTP: asked for, waited for, downloaded, made again; made by hand."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from jobs.answers.ledger import MAX_ATTEMPTS, AnswerLeases
from jobs.files.artifacts import ArtifactStore
from jobs.queries import worker_registry
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Store
from tests.answers import TABLE_NET, announce_worker, claim_answer, make_net
from workers.export_answer import ExportAnswer

CONTENT = bytes(range(256)) * 3
SHA = hashlib.sha256(CONTENT).hexdigest()


class ExportWorker:
    """A worker that makes what it is told to, and a net that is asked for."""

    def __init__(self, client: Any, store: Store, settings: Settings) -> None:
        self._store, self._files = store, ArtifactStore(settings.artifacts)
        self.net = make_net(client, store, settings, TABLE_NET)
        self.path = f"/v1/jobs/{self.net}/checkpoints/final/files/model.onnx"
        (self.folder,) = (self._files.job_folder("default", self.net) / "checkpoints").glob("*-t*")
        announce_exporter(store)

    def claim(self) -> ExportAnswer:
        leases = AnswerLeases(self._store, 60, exports=True)
        claim = leases.claim("w")
        assert claim is not None, "there is no export to claim"
        return ExportAnswer(claim, leases, self._files)

    def begin(self) -> ExportAnswer:
        """Claim the export and write its file, as the process does."""
        export = self.claim()
        command, header = export.command({})
        assert (command, header["threads"]) == ("export_onnx", 1)
        Path(header["output"]).write_bytes(CONTENT)
        return export

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


def announce_exporter(store: Store) -> None:
    info = {"queue": "cpu", "answers": True, "exports": ["model.onnx"]}
    worker_registry.register(store, "w", info, 60)


@pytest.fixture
def maker(client: Any, store: Store, settings: Settings) -> ExportWorker:
    return ExportWorker(client, store, settings)


def test_a_file_is_202_until_it_is_made_once_and_then_a_download_like_others(
    client: Any, store: Store, maker: ExportWorker
) -> None:
    path, before = maker.path, maker.names()
    job = client.get(f"/v1/jobs/{maker.net}").json
    for response in (client.get(path), client.get(path)):
        assert (response.status_code, response.headers["Retry-After"]) == (202, "2")
        assert response.json == {
            "name": "model.onnx", "tick": 20, "status": "queued", "attempt": 0,
        }  # fmt: skip
    assert client.head(path).status_code == 202
    assert AnswerLeases(store, 60).claim("w") is None, "it waits for a worker that can make it"
    export = maker.begin()
    assert client.get(path).json["status"] == "running"
    export.succeed({"bytes": len(CONTENT)})
    export.succeed({"bytes": len(CONTENT)})  # again, since the first answer was lost

    whole = client.get(path)
    assert (whole.status_code, whole.data, whole.headers["ETag"]) == (200, CONTENT, f'"{SHA}"')
    assert client.head(path).headers["Content-Length"] == str(len(CONTENT))
    part = client.get(path, headers={"Range": "bytes=256-"})
    assert (part.status_code, part.data) == (206, CONTENT[256:])
    assert client.get(path, headers={"If-None-Match": f'"{SHA}"'}).status_code == 304
    assert client.get(path, headers={"If-Match": '"another"'}).status_code == 412
    assert maker.names() == before | {f"model.{SHA}.onnx"}
    assert client.get(f"/v1/jobs/{maker.net}").json == job, "it is no part of the checkpoint"
    assert client.get("/v1/jobs?kind=predict").json["data"] == []
    with pytest.raises(AssertionError, match="no export"):
        maker.claim()


def test_a_damaged_or_lost_file_is_made_again_and_goes_with_its_checkpoint(
    client: Any, maker: ExportWorker
) -> None:
    client.get(maker.path)
    maker.begin().succeed({})
    exported = maker.folder / f"model.{SHA}.onnx"
    exported.write_bytes(CONTENT[1:])
    assert client.get(maker.path).status_code == 202 and not exported.exists()
    (maker.folder / ".model.onnx.0000000000000000.tmp").write_bytes(b"of a worker that was killed")
    other = maker.folder / f"model.{'0' * 64}.onnx"
    other.write_bytes(b"of another version of the packages")
    maker.begin().succeed({})
    assert {name for name in maker.names() if "onnx" in name} == {exported.name}
    assert client.get(maker.path).data == CONTENT
    assert client.delete(f"/v1/jobs/{maker.net}/checkpoints/final").status_code == 204
    assert not maker.folder.exists()
    assert client.get(maker.path).json["type"].endswith(":no-such-checkpoint")


def test_without_a_worker_that_can_make_it_a_file_is_503_and_waits_for_nobody(
    client: Any, store: Store, maker: ExportWorker
) -> None:
    announce_worker(store)
    refused = client.get(maker.path)
    assert (refused.status_code, refused.json["type"][-9:]) == (503, "no-worker")
    assert "requirements-onnx.txt" in refused.json["detail"] and "Retry-After" in refused.headers
    assert not store.exists(keys.EXPORT_QUEUE) and client.get("/v1/version").json["exports"] == []
    announce_exporter(store)
    assert client.get("/v1/version").json["exports"] == ["model.onnx"]
    assert client.get(maker.path).status_code == 202
    announce_worker(store)  # the one that could has left
    assert client.get(maker.path).status_code == 503


@pytest.mark.parametrize(
    ("kind", "status", "problem"),
    [
        ("invalid-input", 422, "not-exportable"),
        ("damaged", 500, "damaged"),
        ("poison", 500, "export-failed"),
    ],
)
def test_an_export_that_failed_is_told_and_not_tried_again_for_now(
    client: Any, store: Store, maker: ExportWorker, kind: str, status: int, problem: str
) -> None:
    client.get(maker.path)
    before = maker.names()
    if kind == "poison":
        for _ in range(MAX_ATTEMPTS):
            maker.begin().give_back("the process ended")
    else:
        maker.begin().fail(kind, "why it did")
    for _ in range(2):
        refused = client.get(maker.path)
        assert (refused.status_code, refused.json["type"].rpartition(":")[2]) == (status, problem)
    assert not store.exists(keys.EXPORT_QUEUE) and maker.names() == before
    for key in store.keys("answer*"):  # its time is over
        assert store.pttl(key) > 0
        store.delete(key)
    assert client.get(maker.path).status_code == 202


def test_a_checkpoint_that_goes_meanwhile_ends_its_export(
    client: Any, store: Store, maker: ExportWorker
) -> None:
    client.get(maker.path)
    export = maker.begin()
    assert client.delete(f"/v1/jobs/{maker.net}").status_code == 204
    export.succeed({})
    record: Any = store.hgetall(store.keys("answer:*")[0])
    assert record[b"status"] == b"failed" and b"checkpoint-gone" in record[b"error"]
    assert not maker.folder.parent.exists()


def test_a_net_of_bfloat16_is_422_with_the_rule(
    client: Any, store: Store, settings: Settings
) -> None:
    announce_exporter(store)
    net = make_net(client, store, settings, {**TABLE_NET, "precision": "bfloat16"})
    refused = client.get(f"/v1/jobs/{net}/checkpoints/final/files/model.onnx")
    assert (refused.status_code, refused.json["type"][-14:]) == (422, "not-exportable")
    assert "trained in float32" in refused.json["detail"]
    assert not store.exists(keys.EXPORT_QUEUE)


def test_exports_count_among_the_answers_that_a_tenant_may_have_in_the_queue(
    client: Any, store: Store, maker: ExportWorker
) -> None:
    client.get(maker.path)
    body = {"inputs": [[0.0] * 6]}
    client.post(f"/v1/jobs/{maker.net}/checkpoints/final/predict?wait=0", json=body)
    assert store.zcard(keys.queued_answers("default")) == 2
    leases, claim = claim_answer(store)
    assert claim.request == body, "a worker without the packages takes predicts alone"
    leases.end_cancelled(claim)
    sizes: Any = store.hgetall(keys.answer_bytes("default"))
    assert sizes[b"total"] == b"0"
