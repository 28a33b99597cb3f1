"""`tickforge export`: folders that grow with their jobs, whatever stops the command meanwhile."""

import asyncio
import io
import json
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from jobs.job import SparsePoint
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.manual_worker import ManualWorker
from tests.stub_server import (
    ReceivedRequest,
    StubResponse,
    job_document,
    problem_response,
    running_stub,
)
from tests.support import ADMIN_KEY
from tests.tracker_files import parse_message, read_events, read_history, read_log
from tickforge_client import cli
from tickforge_client.blocking import run
from tickforge_client.client import AsyncClient, Client
from tickforge_client.commands import export as export_command
from tickforge_client.export_state import find_export
from tickforge_client.trackers import export_events

CHUNK = 30


class World:
    """A job trained by hand, and the API that tells of it. `plan`: see `answer`."""

    def __init__(self, api: Any, worker: ManualWorker) -> None:
        self.api, self.worker = api, worker
        self.job_id = worker.lease.job_id
        self.plan: list[str] = []
        self.requests: list[ReceivedRequest] = []

    def train(self) -> None:
        last = self.worker.tick + CHUNK
        points = [
            SparsePoint(name, last, struct.pack("<d", value))
            for name, value in {"time": last / 8, "val_loss": 1 / last}.items()
        ]
        self.worker.record([1 / tick for tick in range(last - CHUNK + 1, last + 1)], points)

    def end(self) -> None:
        self.worker.end(stopped_by="user")

    def answer(self, request: ReceivedRequest) -> StubResponse:
        """Answer as the API does. Before each export the next of the plan happens.

        train: a chunk is recorded; end: the job ends; cut: the answer breaks off half way.
        """
        steps: list[str] = []
        if "/export/" in request.path:
            self.requests.append(request)
            steps = self.plan.pop(0).split() if self.plan else []
        for step in steps:
            if step != "cut":
                getattr(self, step)()
        sent = {name: value for name, value in request.headers.items() if name != "Host"}
        query = urlencode(request.query, doseq=True)
        answer = self.api.get(f"{request.path}?{query}", headers=sent)
        headers = {name: value for name, value in answer.headers if name != "Content-Length"}
        cut = len(answer.data) // 2 if "cut" in steps else None
        return StubResponse(answer.status_code, answer.data, headers, cut)

    def whole(self, tracker: str = "tensorboard", query: str = "") -> bytes:
        data: bytes = self.api.get(f"/v1/jobs/{self.job_id}/export/{tracker}{query}").data
        return data


@pytest.fixture
def world(
    client: Any, submit: Callable[..., str], store: Store, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:  # fmt: skip
    submit(name="digits (1)", budget={"ticks": 10_000}, validation={"fraction": 0.25})
    monkeypatch.setattr(export_command, "FOLLOW_SECONDS", 0.0)
    world = World(client, ManualWorker(store, settings))
    with running_stub(world.answer) as server:
        monkeypatch.setenv("TICKFORGE_URL", server.url)
        monkeypatch.setenv("TICKFORGE_KEY", ADMIN_KEY)
        yield world


def export(world: World, folder: Path, *options: str, to: str = "tensorboard") -> int:
    return cli.main(["export", world.job_id, str(folder), "--to", to, *options])


def event_file(folder: Path) -> Path:
    (path,) = folder.glob("*/events.out.tfevents.*")
    return path


def test_a_followed_event_file_has_each_tick_once_though_answers_break_off(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.plan = ["", "train", "cut", "", "train", "", "train cut", "", "end cut"]
    assert export(world, tmp_path, "--follow", "--json") == 0
    path = event_file(tmp_path)
    assert path.read_bytes() == world.whole()
    ticks = [tick for tick, _, _ in read_events(path.read_bytes())]
    assert ticks == list(range(1, 3 * CHUNK + 1))
    assert path.parent.name == f"digits-1-{world.job_id[-6:]}"
    lines = capsys.readouterr().out.splitlines()  # beside the log of this process's API
    printed = next(line for line in lines if line.startswith("[{"))
    assert json.loads(printed) == [
        {"job_id": world.job_id, "path": str(path), "last_tick": 3 * CHUNK, "complete": True}
    ]
    afters = [int(request.query["after"][0]) for request in world.requests]
    assert not world.plan
    assert afters == sorted(afters) and afters[-1] == 3 * CHUNK - 1, "only what is new is sent"


def test_a_command_that_was_killed_at_any_step_goes_on_without_doubled_ticks(
    world: World, tmp_path: Path
) -> None:
    world.train()
    assert export(world, tmp_path) == 0
    path, state = event_file(tmp_path), event_file(tmp_path).parent / ".tickforge.json"
    before = tmp_path / "before.json"
    shutil.copy(state, before)
    world.train()
    assert export(world, tmp_path) == 0
    shutil.copy(before, state)  # killed after the file was written, before its state was
    path.write_bytes(path.read_bytes() + b"half an event")
    world.train()
    world.end()
    assert export(world, tmp_path) == 0
    assert path.read_bytes() == world.whole()
    assert export(world, tmp_path) == 0  # and with nothing new
    assert path.read_bytes() == world.whole()
    path.write_bytes(b"")  # somebody's accident
    assert export(world, tmp_path) == 0
    assert path.read_bytes() == world.whole()


def test_two_commands_in_one_folder_write_the_same_bytes(world: World, tmp_path: Path) -> None:
    with Client() as client:
        one = other = find_export(tmp_path, world.job_id, "", "tensorboard", "")
        for _ in range(3):
            world.train()
            one = run(export_events(client.session, one))
            other = run(export_events(client.session, other))
            assert one.path.read_bytes() == other.path.read_bytes() == world.whole()
            world.train()
            other = run(export_events(client.session, other))
        assert run(export_events(client.session, one)).path.read_bytes() == world.whole()


def test_other_columns_begin_the_file_anew_and_what_has_not_changed_is_not_sent(
    world: World, tmp_path: Path
) -> None:
    world.train()
    world.end()
    for columns in ("loss", "val_loss"):
        assert export(world, tmp_path, "--columns", columns) == 0
        assert event_file(tmp_path).read_bytes() == world.whole(query=f"?columns={columns}")
    size = len(world.requests)
    for _ in range(2):
        assert export(world, tmp_path, "--columns", "val_loss") == 0
    assert world.requests[size + 1].headers["If-None-Match"]
    assert event_file(tmp_path).read_bytes() == world.whole(query="?columns=val_loss")


def test_a_run_is_written_once_its_job_has_ended(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.train()
    assert export(world, tmp_path / "runs", to="wandb") == 0
    assert "has not ended" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    world.train()
    world.end()
    world.plan = ["cut"]
    assert export(world, tmp_path / "runs", "--follow", to="wandb") == 0
    (log,) = tmp_path.glob("runs/offline-run-*/run-*.wandb")
    records = read_log(log.read_bytes())
    assert [int(row["_step"]) for row in read_history(records)] == list(range(1, 2 * CHUNK + 1))
    assert 18 in parse_message(records[-1]), "the run has its end"
    assert list((tmp_path / "runs").iterdir()) == [log.parent]
    mark = log.with_name(f"{log.name}.synced")
    mark.touch()
    assert export(world, tmp_path / "runs", to="wandb") == 0
    assert mark.exists(), "a run that is there is not uploaded again"


def test_a_tar_with_other_members_is_refused_and_nothing_of_it_is_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../run-job_a.wandb"))
    world.end()
    answer = world.answer

    def lie(request: ReceivedRequest) -> StubResponse:
        is_export = "/export/" in request.path
        return StubResponse(200, content.getvalue()) if is_export else answer(request)

    with running_stub(lie) as server:
        monkeypatch.setenv("TICKFORGE_URL", server.url)
        assert export(world, tmp_path / "runs", to="wandb") == 3
    assert not list((tmp_path / "runs").iterdir())
    assert not list(tmp_path.glob("run-*"))


def test_a_job_that_is_deleted_while_several_are_followed_ends_the_others_export_no_sooner(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    gone, answer, looks = "job_" + "a" * 26, world.answer, [job_document(name="digits (1)")]

    def rule(request: ReceivedRequest) -> StubResponse:
        if gone not in request.path:
            return answer(request)
        return StubResponse(body=looks.pop()) if looks else problem_response(404, title="Gone")

    world.plan = ["train", "train", "end"]
    with running_stub(rule) as server:
        monkeypatch.setenv("TICKFORGE_URL", server.url)
        words = ["export", gone, world.job_id, str(tmp_path), "--to", "tensorboard", "--follow"]
        assert cli.main(words) == 2
    assert f"tickforge: {gone}: Gone (404)" in capsys.readouterr().err
    assert event_file(tmp_path).read_bytes() == world.whole() and not world.plan


def test_programs_export_as_the_command_does(world: World, tmp_path: Path) -> None:
    """Each goes on where the other was; a run of a job that has not ended is not written."""
    events, runs = tmp_path / "events", tmp_path / "runs"
    with Client() as client:
        job = client.job(world.job_id)
        world.train()
        assert job.export(events, "tensorboard") == (event_file(events), CHUNK - 1, False)
        assert job.export(runs, to="wandb") == (None, 0, False) and not runs.exists()
        world.train()
        assert export(world, events) == 0
        world.end()
        done = job.export(str(events), to="tensorboard")
        assert done == (event_file(events), 2 * CHUNK, True)
        assert event_file(events).read_bytes() == world.whole()
        run_file = job.export(runs, "wandb").path
        assert job.ended and run_file is not None and run_file.stat().st_size > 0
        chosen = job.export(events, "tensorboard", columns=["loss", "val_loss"])
        assert chosen.path is not None
        assert chosen.path.read_bytes() == world.whole(query="?columns=loss%2Cval_loss")


def test_exports_side_by_side_on_one_event_loop_wait_for_one_another(
    world: World, tmp_path: Path
) -> None:
    world.train()

    async def export_all(to: str) -> None:
        async with AsyncClient() as client:
            job = await client.job(world.job_id)
            exported = await asyncio.gather(*(job.export(tmp_path, to) for _ in range(8)))
            assert len(set(exported)) == 1 and exported[0].path is not None

    asyncio.run(export_all("tensorboard"))
    assert event_file(tmp_path).read_bytes() == world.whole()
    world.end()
    asyncio.run(export_all("wandb"))
    (log,) = tmp_path.glob("offline-run-*/run-*.wandb")
    assert len(read_history(read_log(log.read_bytes()))) == CHUNK
    assert not list(tmp_path.glob("*.part"))


def test_a_wrong_command_is_one_clear_error(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "runs"
    assert export(world, folder) == 0
    (state,) = folder.glob("*/.tickforge.json")
    other = state.parent.with_name("another-aaaaaa")
    shutil.copytree(state.parent, other)
    (other / state.name).write_text("half")
    assert export(world, folder) == 0, "what is wrong with another job's folder is not told here"
    state.write_text("{}")
    wrong = {
        (world.job_id, "--to", "tensorboard"): "at least one JOB",
        (world.job_id, str(folder), "--to", "mlflow"): "'mlflow'",
        (world.job_id, str(folder)): "--to",
        (world.job_id, str(tmp_path / "file"), "--to", "wandb"): "is a file",
        (world.job_id, str(tmp_path / "new"), "--to", "tensorboard", "--columns", "x"): (
            "not recorded"
        ),
        (world.job_id, str(folder), "--to", "tensorboard"): "remove",
    }
    for arguments, words in wrong.items():
        assert cli.main(["export", *arguments]) == 2, arguments
        assert words in capsys.readouterr().err
