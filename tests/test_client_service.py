"""The client against the real service: from a spec to arrays, files and exit codes."""

import asyncio
import csv
import hashlib
import html
import io
import json
import math
import os
import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serving.demo import isolated_environment, running_service, train
from tests.datasets import PETS, spec_on_dataset
from tests.documents import code_blocks
from tests.support import ROOT, wait_until
from tests.terminals import install_command
from tests.tracker_files import read_events
from tickforge_client import (
    AsyncClient,
    AsyncJob,
    Client,
    Conflict,
    InvalidRequest,
    Job,
    JobTimeout,
    NotFound,
    cli,
)
from tickforge_client.blocking import run
from tickforge_client.http import ApiSession, StreamedResponse

Spec = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with running_service(
        folder / "data", folder / "serve.log", isolated_environment(folder)
    ) as url:
        yield url


@pytest.fixture
def client(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client (and the command) that knows no more than what serve.py left for the user."""
    for name in ("TICKFORGE_URL", "TICKFORGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", isolated_environment(folder)["XDG_CONFIG_HOME"])
    with Client() as client:
        assert client.url == url
        yield client


def small(**changes: Any) -> Spec:
    return {
        "name": "small",
        "model": {"family": "mlp", "hidden": [8]},
        "data": {"source": "synthetic", "kind": "regression", "samples": 64, "features": 4},
        "budget": {"ticks": 300},
        "validation": {"fraction": 0.25, "every_ticks": 100},
        **changes,
    }


def endless() -> Spec:
    return small(budget={"ticks": 1_000_000_000}, compute={"engine": "eager"})


@pytest.fixture
def trained(client: Client) -> Job:
    return client.submit(small(), idempotency_key="trained once").wait(60)


def test_a_plan_expects_the_time_that_such_a_job_took(client: Client, trained: Job) -> None:
    engine = trained.fields["engine"]
    plan = client.plan(small(budget={"ticks": 3000}, compute={"engine": engine}))
    assert plan["seconds_why"].endswith(f"of such a job with {engine}")
    assert 0.1 < plan["seconds"] / (10 * trained.fields["elapsed_seconds"]) < 1.01


def test_a_table_that_is_learnt_by_heart_is_told_in_plan_and_events(client: Client) -> None:
    draws = np.random.default_rng(7).normal(size=(40, 5)).round(3).tolist()
    data = {"source": "inline", "inputs": [row[1:] for row in draws],
            "targets": [row[0] for row in draws]}  # fmt: skip
    noise = small(
        data=data,
        budget={"ticks": 400},
        model={"family": "mlp", "hidden": [64]},
        optimizer={"name": "adamw", "lr": 0.01},
        validation={"fraction": 0.5, "every_ticks": 20},
    )
    expected = "20 rows are trained on 400 times, and a net often fits such a table by heart"
    assert [text for text in client.plan(noise)["warnings"] if expected in text]
    patient = {**noise, "stop": {"patience": {"metric": "val_loss", "ticks": 100}}}
    assert not [text for text in client.plan(patient)["warnings"] if expected in text]
    job = client.submit(noise).wait(60)
    best = job.fields["best"]["tick"]
    assert best <= 200
    messages = [event.data.get("message", "") for event in job.follow() if event.type == "log"]
    assert [
        text for text in messages if f"the best val_loss, at tick {best} of 400, is kept" in text
    ]


def test_a_jobs_history_is_every_tick_in_every_form(
    trained: Job, client: Client, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert trained.status == "succeeded", trained.fields
    history = trained.history(["loss", "lr", "val_loss"])
    assert history.tick.tolist() == list(range(1, 301))
    assert history["val_loss"].tick.tolist() == [100, 200, 300]
    assert history["loss"][-1] == trained.loss
    assert history.complete
    losses = history["loss"].astype(np.float32)
    assert losses.astype(np.float64).tolist() == history["loss"].tolist()
    assert cli.main(["history", trained.id, "--csv"]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[0] == "tick,loss"
    assert [float(line.split(",")[1]) for line in lines[1:]] == history["loss"].tolist()


def test_the_newest_ticks_and_bounds_are_parts_of_the_whole(trained: Job) -> None:
    whole = trained.history()["loss"].tolist()
    assert trained.history(last=7)["loss"].tolist() == whole[-7:]
    assert trained.history(after=10, before=20)["loss"].tolist() == whole[10:19]


def test_a_view_has_the_exact_extremes(trained: Job) -> None:
    whole = trained.history()["loss"]
    loss = trained.view(points=10)["loss"]
    assert min(loss["min"]) == whole.min()
    assert max(loss["max"]) == whole.max()


def test_a_curve_is_drawn_in_every_form_and_a_link_to_it_needs_no_key(
    trained: Job, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form, beginning in (("svg", b"<svg"), ("png", b"\x89PNG"), ("txt", b"   ")):
        file = tmp_path / f"curve.{form}"
        options = ["-o", str(file), "--columns", "loss,lr", "--log"]
        assert cli.main(["curve", trained.id, *options]) == 0
        assert file.read_bytes() == trained.curve(form, ["loss", "lr"], log=True)
        assert file.read_bytes().startswith(beginning)
    assert cli.main(["curve", trained.id, "--width", "60", "--height", "4"]) == 0
    printed = capsys.readouterr().out
    assert printed == trained.curve("txt", width=60, height=4).decode()
    assert "val_loss" in printed

    assert cli.main(["link", trained.id, "curve.svg?log=true", "--expires-in", "60"]) == 0
    url = capsys.readouterr().out.strip()
    assert url.startswith(client.url)
    assert httpx.get(url).content == trained.curve("svg", log=True)
    assert httpx.get(trained.link("curve.png").url).headers["Content-Type"] == "image/png"
    assert cli.main(["link", trained.id, "events"]) == 2


def test_the_commands_of_the_readme_and_of_the_first_page_work_as_typed(
    client: Client, tmp_path: Path
) -> None:
    for name in (".venv", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (six,) = code_blocks("README.md", "Your own table in six commands", "bash")
    text = httpx.get(client.url, headers={"Accept": "text/html"}).text
    page = re.search(r'<code id="commands">(.*?)</code>', text, re.S)
    assert page is not None
    environ = {**os.environ, "PATH": os.defpath}
    for commands in (six, html.unescape(page[1])):
        done = subprocess.run(
            ["bash", "-ec", commands], env=environ, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "tickforge: command not found" not in done.stderr
    assert (tmp_path / "model" / "model.py").is_file()


def test_the_commands_of_the_documents_sign_a_picture_and_export_by_cron(
    trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "docs/integrations.md"
    (link,) = code_blocks(page, "A picture in a README")
    assert cli.main(shlex.split(link.replace("$JOB", trained.id))[1:]) == 0
    picture = httpx.get(capsys.readouterr().out.strip())
    assert picture.headers["Content-Type"].startswith("image/svg+xml") and "ETag" in picture.headers
    assert 'width="320"' in picture.text and picture.headers["Cache-Control"] == "no-cache"

    (crontab,) = code_blocks(page, "An export by cron", "crontab")
    install_command(tmp_path)
    environ = {**os.environ, "JOB": trained.id, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for entry in (line for line in crontab.splitlines() if line.startswith("*")):
        command = entry.split(maxsplit=5)[5].replace("\\%", "%")
        subprocess.run(["sh", "-c", command], env=environ, cwd=tmp_path, check=True)
    assert len((tmp_path / "loss.csv").read_text().splitlines()) == 301
    assert not (tmp_path / "loss.csv.new").exists()
    assert len(list((tmp_path / "runs").rglob("events.out.tfevents.*"))) == 1


def test_the_commands_of_the_document_about_answers_work_one_after_the_other(
    client: Client, folder: Path, tmp_path: Path
) -> None:
    install_command(tmp_path)
    page = (ROOT / "docs" / "answers.md").read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) >= 8
    script = 'curl() { command curl --fail-with-body -sS "$@"; }\n' + "\n".join(blocks)
    script = script.replace("http://127.0.0.1:8000", client.url)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environ, cwd=folder, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for part in ('"class":"', '"text":"In the beginning', "row,class,probability", '"confusion":{',
                 '"tick":300', '"kind":"evaluate"'):  # fmt: skip
        assert part in ended.stdout, ended.stdout


def test_a_downloaded_checkpoint_is_what_was_saved(
    trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final = trained.checkpoint("final")
    assert final.tick == 300
    assert final in trained.checkpoints
    part = tmp_path / "model.safetensors.part"
    part.write_bytes(b"not the beginning of it")
    assert cli.main(["download", trained.id, "final", "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}\n"
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == final.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f.name for f in final.files)


def test_a_download_resumes_at_the_real_service(
    trained: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = trained.checkpoint("final").download(tmp_path / "whole")
    weights = (final / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors.part").write_bytes(weights[:100])
    responses: dict[str, tuple[int, str | None]] = {}
    stream = ApiSession.stream

    @asynccontextmanager
    async def recorded(
        session: ApiSession, path: str, **options: Any
    ) -> AsyncIterator[StreamedResponse]:
        async with stream(session, path, **options) as response:
            responses[Path(path).name] = (
                response.status_code,
                response.headers.get("content-length"),
            )
            yield response

    monkeypatch.setattr(ApiSession, "stream", recorded)
    trained.checkpoint("final").download(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == weights
    assert responses["model.safetensors"] == (206, str(len(weights) - 100))
    assert {status for status, _ in responses.values()} == {200, 206}


def test_a_job_is_paused_resumed_stopped_and_deleted(client: Client) -> None:
    job = client.submit(endless())
    for _ in job.changes(30):
        if job.tick > 0:
            break
    job.pause()
    for _ in job.changes(30):
        if job.status == "paused":
            break
    job.resume()
    with pytest.raises(Conflict) as caught:
        job.delete()
    assert caught.value.job_status in ("queued", "running")
    job.stop().wait(30)
    assert (job.status, job.fields["stopped_by"]) == ("succeeded", "user")
    job.delete()
    with pytest.raises(NotFound):
        client.job(job.id)


def test_a_job_is_exported_while_it_trains_and_after_a_pause_and_its_end(
    client: Client, tmp_path: Path
) -> None:
    spec = {**endless(), "record": ["loss", "grad_norm"], "test": {"fraction": 0.25}}
    job = client.submit(spec)
    command = ["export", job.id, str(tmp_path), "--to", "tensorboard"]

    def is_exported_beyond(tick: int) -> bool:
        assert cli.main(command) == 0
        (state,) = tmp_path.glob("*/.tickforge.json")
        return int(json.loads(state.read_text())["tick"]) > tick

    wait_until(lambda: is_exported_beyond(150), 60, "ticks of a training job")
    job.pause()
    wait_until(lambda: job.refresh() and job.status == "paused", 30, "a pause")
    assert is_exported_beyond(job.tick - 2)
    job.resume()
    wait_until(lambda: is_exported_beyond(job.tick), 60, "ticks after a pause")
    job.stop().wait(60)
    assert cli.main([*command, "--follow"]) == 0
    (file,) = tmp_path.glob("*/events.out.tfevents.*")
    data = run(client.session.get_bytes(f"/v1/jobs/{job.id}/export/tensorboard"))
    assert file.read_bytes() == data, "followed or at once, it is the same file"
    events = read_events(data)
    history = job.history(["loss", "grad_norm", "lr", "val_loss", "test_loss"])
    assert [tick for tick, _, _ in events] == history.tick.tolist()
    for name, tag in {"loss": "loss", "grad_norm": "grad_norm", "lr": "float64/lr"}.items():
        assert [values[tag] for _, _, values in events] == history[name].tolist()
    for name in ("val_loss", "test_loss"):
        exported = {tick: values[f"float64/{name}"] for tick, _, values in events if name in values}
        points = zip(history[name].tick.tolist(), history[name].value.tolist(), strict=True)
        assert exported == dict(points) and job.tick in exported
    times = [at for _, at, _ in events]
    assert times == sorted(times)


def test_a_cancelled_job_ends_a_watch_with_1(client: Client) -> None:
    job = client.submit(endless())
    assert cli.main(["cancel", job.id]) == 0
    assert cli.main(["watch", job.id]) == 1


def test_a_refused_spec_names_every_fault(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = small(budget={"ticks": 0}, batch_size="8", surprise=1)
    with pytest.raises(InvalidRequest) as caught:
        client.submit(spec)
    where = {fault.where for fault in caught.value.errors}
    assert where == {"/budget/ticks", "/batch_size", "/surprise"}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert cli.main(["submit", str(tmp_path / "spec.json")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_one_idempotency_key_makes_one_job(client: Client, trained: Job) -> None:
    assert client.submit(small(), idempotency_key="trained once").id == trained.id
    with pytest.raises(InvalidRequest):
        client.submit(small(seed=1), idempotency_key="trained once")


def test_jobs_are_found_by_label_and_the_service_describes_itself(client: Client) -> None:
    labels = {"team": "a:b"}
    job = client.submit(small(labels=labels))
    assert [listed.id for listed in client.jobs(label=["team:a:b"])] == [job.id]
    assert client.plan(small())["ticks_total"] == 300
    assert [family["family"] for family in client.models()["data"]] == ["mlp", "transformer_lm"]
    assert len(client.workers()["data"]) == 1
    for command in (["list"], ["workers"], ["models"], ["version"], ["checkpoints", job.id]):
        assert cli.main(command) == 0
    job.wait(60)


def test_the_demo_fails_when_its_job_does(
    client: Client, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = small(optimizer={"name": "sgd", "lr": 10}, model={"family": "mlp", "norm": "none"})
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert train(client.url, tmp_path / "spec.json", folder / "data") == 1
    output = capsys.readouterr().out
    assert "failed at tick" in output
    job = next(client.jobs(status=["failed"]))
    assert job.error is not None
    assert job.error["tick"] == job.tick
    assert not math.isfinite(job.history()["loss"][-1])


def test_a_running_job_is_saved_named_pinned_and_one_is_deleted(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    job = client.submit({**endless(), "validation": None})
    wait_until(lambda: job.refresh() and job.tick > 0, 30)
    assert cli.main(["checkpoint", job.id, "--name", "now", "--pinned"]) == 0
    wait_until(lambda: job.checkpoints, 30)
    (saved,) = job.checkpoints
    assert (saved.name, saved.pinned) == ("now", True)
    assert cli.main(["checkpoints", job.id]) == 0
    assert "pinned  now" in capsys.readouterr().out
    assert saved.update(name=None, pinned=False).name is None

    with pytest.raises(Conflict):
        saved.delete()
    job.cancel().wait(60)
    saved.delete()
    assert job.checkpoints == []
    with pytest.raises(Conflict):
        job.request_checkpoint()


def test_a_verify_is_watched_to_its_verdict(
    client: Client, trained: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", trained.id, "--watch"]) == 0
    assert "equal: 300 ticks and 3 states compared" in capsys.readouterr().out

    part = trained.verify(to=120).wait(60)
    assert part.fields["result"]["to"] == 120
    assert cli.main(["verify", trained.id, "--from", "7"]) == cli.EXIT_USAGE


def test_a_worker_deletes_the_ended_jobs_that_no_rule_keeps(client: Client) -> None:
    secret = client.create_key("aged", ["read", "submit"])["secret"]
    with Client(client.url, secret) as aged:
        old, new = (aged.submit(small(name=name)).wait(60) for name in ("old", "new"))
        client.set_tenant("aged", retention={"keep_last": 1})
        wait_until(lambda: [job.id for job in aged.jobs()] == [new.id], 60, "a deletion")
        (event,) = aged.usage_events()
    assert (event["type"], event["data"]["job"]) == ("job_deleted", old.id)


def test_a_trained_net_predicts_rows_of_every_form(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "pets.csv"
    table.write_bytes(PETS)
    job = client.submit(spec_on_dataset(client.upload(table).id)).wait(60)
    records = list(csv.DictReader(io.StringIO(PETS.decode())))
    expected = job.predict(records)
    assert [*expected[0]["probabilities"]] == ["cat", "dog"] and len(expected) == len(records)
    assert job.checkpoint("final").predict(records) == expected
    numbers = [[4.5, 1, 0, 0, 3]] * 1001  # more than one part
    assert len(job.predict(np.array(numbers))) == 1001
    assert job.predict(numbers[:1]) == job.predict(np.array(numbers[:1], np.float32))
    assert cli.main(["predict", job.id, str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "class,probability" and len(lines) == len(records) + 1
    assert [line.split(",")[0] for line in lines[1:]] == [row["class"] for row in expected]
    assert cli.main(["predict", job.id, str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    dataset = next(iter(client.datasets)).id
    assert cli.main(["predict", job.id, dataset]) == 0
    by_dataset = capsys.readouterr().out.splitlines()
    assert [line.split(",")[1] for line in by_dataset[1:]] == [row["class"] for row in expected]
    evaluation = job.evaluate(dataset)
    assert evaluation["rows"] == len(records) and 0 <= evaluation["metrics"]["accuracy"] <= 1
    assert cli.main(["evaluate", job.id, dataset]) == 0
    assert "accuracy" in capsys.readouterr().out
    table.write_text("weight,colour\n1,pink\n")
    assert cli.main(["predict", job.id, str(table)]) == 2
    assert "/rows/0/age: required" in capsys.readouterr().err
    table.write_text("weight,colour\n1\n")
    assert cli.main(["predict", job.id, str(table)]) == 2
    assert "line 2 has not as many fields" in capsys.readouterr().err


def test_a_language_model_continues_a_prompt(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"family": "transformer_lm", "layers": 1, "heads": 1, "width": 8}
    data = {"source": "example", "name": "genesis", "window": 16}
    spec = {"model": model, "data": data, "budget": {"ticks": 2}, "batch_size": 4}
    job = client.submit(spec).wait(60)
    text = job.generate("In the", max_tokens=20, seed=3)
    assert text.startswith("In the") and text != "In the"
    arguments = ["generate", job.id, "In the", "--max-tokens", "20", "--seed", "3", "--json"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"text": text}


def test_a_job_is_extended_and_forked_and_the_line_is_shown(
    client: Client, trained: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["extend", trained.id, "--ticks", "330"]) == 0
    longer = client.job(capsys.readouterr().out.strip()).wait(60)
    assert (longer.status, longer.tick, longer.fields["parent"]) == ("succeeded", 330, trained.id)
    change = ["--set", "optimizer.lr=0.5", "--set", "name=hot", "--set", "budget.ticks=340"]
    assert cli.main(["fork", longer.id, "--tick", "330", *change, "--watch"]) == 0
    hot = next(client.jobs(name="hot"))
    assert (hot.fields["spec"]["optimizer"]["lr"], hot.fields["first_tick"]) == (0.5, 331)
    line = hot.history(["loss", "lr"], lineage=True)
    assert line.tick.tolist() == list(range(1, 341))
    assert line["lr"].tolist() == [0.001] * 330 + [0.5] * 10
    assert line["loss"][:300].tolist() == trained.history()["loss"].tolist()
    capsys.readouterr()
    assert cli.main(["history", hot.id, "--csv", "--lineage"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 341

    assert cli.main(["fork", trained.id, "--tick", "7"]) == cli.EXIT_USAGE
    assert "300" in capsys.readouterr().err
    for wrong in (["extend", trained.id], ["fork", trained.id, "--set", "lr"]):
        assert cli.main(wrong) == cli.EXIT_USAGE
    assert cli.main(["extend", trained.id, "--ticks", "300"]) == cli.EXIT_USAGE
    assert "/budget" in capsys.readouterr().err


def test_jobs_are_trained_followed_and_read_side_by_side_on_one_loop(
    client: Client, tmp_path: Path
) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("x,y\n" + "".join(f"{n},{2 * n}\n" for n in range(50)))

    async def train(client_of_loop: AsyncClient, seed: int) -> tuple[AsyncJob, list[str]]:
        job = await client_of_loop.submit(small(seed=seed))
        kinds = [event.type async for event in job.follow()]
        return await job.wait(30), kinds

    async def wait_for_a_loss(client_of_loop: AsyncClient) -> None:
        job = await client_of_loop.submit(endless())
        assert (await job.wait(30, until="tick>=50")).tick >= 50
        assert (await job.wait(30, until="loss>0")).status == "running"
        with pytest.raises(InvalidRequest, match="needs a test"):
            await job.wait(30, until="test_loss<1")
        with pytest.raises(JobTimeout):
            await job.wait(0.3, until="loss<-1")
        await job.cancel()
        assert (await job.wait(30, until="loss<-1")).status == "cancelled"

    async def main() -> None:
        async with AsyncClient(client.url) as client_of_loop:
            trainings = [train(client_of_loop, seed) for seed in range(3)]
            *results, _ = await asyncio.gather(*trainings, wait_for_a_loss(client_of_loop))
            for job, kinds in results:
                assert (job.status, job.tick) == ("succeeded", 300) and kinds[-1] == "status"
                history = await job.history(["loss", "lr"])
                assert history["loss"].dtype == np.float64 and len(history) == 300
            listed = {job.id async for job in client_of_loop.jobs(status=["succeeded"])}
            assert listed >= {job.id for job, _ in results}
            checkpoint = (await job.checkpoints)[-1]
            folder = await checkpoint.download(tmp_path / "net")
            assert (folder / "model.safetensors").stat().st_size > 0
            dataset = await client_of_loop.upload(table)
            assert [row["y"] async for row in dataset.rows(limit=2)] == [0, 2]
            await dataset.delete()
            with pytest.raises(NotFound):
                await client_of_loop.dataset(dataset.id)

    asyncio.run(main())
