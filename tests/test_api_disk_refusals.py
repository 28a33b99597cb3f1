"""A disk that refuses: what is answered is so, nothing is half done, and it passes by itself."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from werkzeug.serving import make_server

from api.app import create_app
from jobs import fault_points, rebuild
from jobs.archive.store_identity import check_not_older
from jobs.archive.upkeep import ArchiveUpkeep
from jobs.errors import StoreMismatch
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from jobs.startup import prepare_store
from jobs.store import keys
from serving.readiness import ReadinessProbe
from tests.disk_operations import DiskOperations, Operation

RESERVING = ("archive:write",)
RECORD, SHORT_RECORD = ("file:write",), ("archive:fsync",)
#: which writes are refused; a full disk refuses all, but has the space that was kept
PLACES = [
    RESERVING, SHORT_RECORD, ("archive:rename",), RECORD, ("file:fsync",), ("file:rename",),
    ("file:write", "archive:rename"), ("upload:write",), ("upload:fsync", "file:rename"),
    ("upload:rename", "archive:write"),
]  # fmt: skip
CASES = [("enospc", places) for places in PLACES]
CASES += [
    (error, places)
    for error in ("erofs", "eio")
    for places in (RESERVING, SHORT_RECORD, ("file:write", "archive:rename"))
]
CASES.append(("eacces", RESERVING))

Arm = Callable[..., None]


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arm:
    """Let every write at these places fail, until it is called without any."""
    folder = tmp_path / "points"
    folder.mkdir()
    monkeypatch.setattr(fault_points, "_faults_folder", folder)
    monkeypatch.setattr(fault_points, "_hit_counts", {})

    def set_faults(action: str = "", *places: str) -> None:
        for file in folder.iterdir():
            file.unlink()
        for place in places:
            fault = {"point": place, "action": action, "lasting": True}
            (folder / f"{place}.fault").write_text(json.dumps(fault))

    return set_faults


@pytest.fixture
def operations(client: Any, store: "redis.Redis", settings: Settings) -> DiskOperations:
    prepare_store(store, ArtifactStore(settings.artifacts), settings)
    return DiskOperations(client, store, settings)


@pytest.mark.parametrize(("error", "places"), CASES, ids=lambda value: str(value))
def test_a_refused_request_changes_nothing_and_what_is_acknowledged_outlives_the_store(
    client: Any,
    store: "redis.Redis",
    settings: Settings,
    arm: Arm,
    operations: DiskOperations,
    error: str,
    places: tuple[str, ...],
) -> None:
    arm(error, *places)
    answers = {operation.name: operation.send() for operation in operations.all}
    for operation in operations.all:
        check_answer(operation, answers[operation.name], error)
    arm()
    for operation in operations.all:
        if (first := answers[operation.name]).status_code >= 500:
            again = operation.send()
            is_changed = first.json["type"].endswith("not-archived")
            if is_changed and operation.repeated_status is not None:
                assert again.status_code == operation.repeated_status, operation.name
            else:
                assert again.status_code < 300, (operation.name, again.json)
    assert left_over(settings.artifacts) == []

    store.flushall()
    assert rebuild.rebuild(store, ArtifactStore(settings.artifacts)) == 0
    assert [operation.name for operation in operations.all if not operation.is_done()] == []


def check_answer(operation: Operation, answer: Any, error: str) -> None:
    """Check that an answer under refusal says what is so."""
    where = (operation.name, answer.status_code, answer.data)
    if answer.status_code < 300:
        assert operation.is_done(), where
        return
    problem = answer.json["type"].removeprefix("urn:tickforge:problem:")
    assert int(answer.headers.get("Retry-After", 0)) > 0, where
    if problem == "not-archived":
        assert answer.status_code == 503 and operation.is_done(), where
        return
    expected = (507, "storage-full") if error == "enospc" else (503, "disk-away")
    assert (answer.status_code, problem) == expected and not operation.is_done(), where
    assert "nothing was stored" in answer.json["detail"], where


def left_over(artifacts: Path) -> list[Path]:
    """Return files that no record names: unfinished ones, and those of refused requests."""
    files = [path for path in artifacts.rglob("*") if path.is_file()]
    return [path for path in files if "incoming" in path.parts or path.suffix in (".tmp", ".gone")]


def test_a_full_disk_refuses_new_things_and_takes_changes_and_deletions(
    client: Any, arm: Arm, operations: DiskOperations
) -> None:
    arm("enospc", "archive:write", "file:write", "upload:write")

    for operation in operations.all:
        status = operation.send().status_code
        assert (status == 507) if operation.is_new else (status < 300), operation.name


def test_the_space_kept_for_changes_is_used_up_and_filled_again(
    client: Any, store: "redis.Redis", settings: Settings, arm: Arm, submit: Callable[..., str]
) -> None:
    files = ArtifactStore(settings.artifacts)
    prepare_store(store, files, settings)
    reserve = files.root / "tickforge.archive" / "reserve"
    path = f"/v1/jobs/{submit()}"
    count = len(list(reserve.iterdir()))
    arm("enospc", "archive:write", "file:write")
    statuses = [client.patch(path, json={"notes": str(n)}).status_code for n in range(count + 1)]

    assert statuses == [200] * count + [507]
    assert client.get(path).json["notes"] == str(count - 1)
    arm()
    prepare_store(store, files, settings)
    assert len(list(reserve.iterdir())) == count
    assert client.patch(path, json={"notes": "last"}).status_code == 200


@pytest.mark.parametrize("error", ["enospc", "erofs", "eacces", "eio"])
def test_readiness_tells_that_the_disk_refuses_and_comes_back(
    client: Any, arm: Arm, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    monkeypatch.setattr("jobs.archive.disk_probe.MAX_AGE_SECONDS", 0.0)
    assert client.get("/readyz").status_code == 200
    arm(error, "archive:write" if error in ("enospc", "erofs") else "archive:fsync")
    refused = client.get("/readyz")
    reason = "disk-full" if error == "enospc" else "disk-refused"

    assert (refused.status_code, refused.json["reason"]) == (503, reason)
    assert refused.json["detail"] and refused.headers["Retry-After"]
    arm()
    assert client.get("/readyz").status_code == 200


def test_what_the_disk_refused_is_archived_later_without_another_request(
    client: Any, store: "redis.Redis", settings: Settings, arm: Arm, operations: DiskOperations
) -> None:
    arm("eio", "archive:rename", "file:write")
    owed = {operation.name: operation.send() for operation in operations.all}
    assert {"cancel queued", "delete job", "delete key"} <= {
        name
        for name, answer in owed.items()
        if answer.status_code == 503 and answer.json["type"].endswith("not-archived")
    }
    arm()
    upkeep = ArchiveUpkeep(store, ArtifactStore(settings.artifacts))
    for _ in range(2):
        upkeep.run_once()

    store.flushall()
    assert rebuild.rebuild(store, ArtifactStore(settings.artifacts)) == 0
    unfinished = {operation.name for operation in operations.all if not operation.is_done()}
    assert unfinished <= {"make key"}, "which is withdrawn where it cannot be archived"


def test_a_service_starts_on_a_full_disk_so_that_jobs_can_be_deleted(
    store: "redis.Redis", settings: Settings, arm: Arm
) -> None:
    lines: list[str] = []
    server = make_server("127.0.0.1", 0, create_app(settings), threaded=True)
    address = ("127.0.0.1", server.server_port)
    probe = ReadinessProbe(settings, address, worker_pids=dict, log=lines.append)
    with ThreadPoolExecutor() as threads:
        threads.submit(server.serve_forever)
        try:
            arm("enospc", "archive:write")
            assert probe.is_service_ready()
        finally:
            server.shutdown()
            server.server_close()

    assert lines == ["the disk of the artifacts takes nothing: the disk is full"]


def test_a_store_older_than_a_change_on_a_full_disk_is_refused(
    client: Any, store: "redis.Redis", settings: Settings, arm: Arm, submit: Callable[..., str]
) -> None:
    files = ArtifactStore(settings.artifacts)
    prepare_store(store, files, settings)
    job_id = submit()
    arm("enospc", "file:write")
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    arm()
    check_not_older(store, files)
    store.hset(keys.job("default", job_id), "archived", "1")

    with pytest.raises(StoreMismatch, match="was changed since"):
        check_not_older(store, files)
