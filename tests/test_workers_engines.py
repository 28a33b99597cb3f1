"""Jobs of every engine by real workers: chosen, recorded, moved between machines, compiled ahead.

A machine is made by its PATH and CC: without a compiler, with one that errs, with one that hangs.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.api_harness import ApiHarness, running_api_harness
from tests.needs import C_COMPILER, CPP_COMPILER, needs
from tests.support import small_spec, wait_until
from ticks.engines import proofs
from ticks.engines.graph import build_loop

pytestmark = needs(C_COMPILER, CPP_COMPILER)

MOVED = {"budget": {"ticks": 4000}}
#: torch's kernels as an older processor has them
OLDER = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
HANGING = "#!/bin/sh\nsleep 1000 &\nwait\n"
#: Adam's correction left out of the source before it is compiled
ERRING = """#!/bin/sh
for each; do case "$each" in *.c) sed -i 's/power(job->beta1, (long)step)/0.0/' "$each";; esac; done
exec gcc "$@"
"""


def job_of(engine: str, **changes: Any) -> dict[str, Any]:
    return small_spec(
        **{
            "model": {"family": "mlp", "hidden": [6], "dropout": 0.2},
            "data": {"source": "example", "name": "digits"},
            "validation": {"fraction": 0.2, "every_ticks": 100},
            "budget": {"ticks": 400},
            "checkpoint": {"every_ticks": 150, "every_seconds": None},
            "compute": {"engine": engine},
            **changes,
        }
    )


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ApiHarness]:
    with running_api_harness(tmp_path / "data") as harness:
        yield harness


@pytest.fixture(scope="module")
def usual_harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHarness]:
    with running_api_harness(tmp_path_factory.mktemp("usual")) as harness:
        yield harness


def machine(folder: Path, **programs: str) -> dict[str, str]:
    """The environment of a machine that has these programs alone, and no compiled object."""
    tools = folder / "bin"
    tools.mkdir(parents=True)
    for name, text in programs.items():
        file = tools / name.replace("cxx", "g++")
        if text:
            file.write_text(text)
            file.chmod(0o755)
        else:
            file.symlink_to(shutil.which(name) or "")
    return {"PATH": str(tools), "XDG_CACHE_HOME": str(folder / "cache")}


def without_compiler(folder: Path) -> dict[str, str]:
    return machine(folder, sh="")


def log(harness: ApiHarness, job_id: str) -> str:
    return (harness.folder(job_id) / "log.txt").read_text()


def engines(harness: ApiHarness) -> dict[str, list[str]]:
    workers = harness.http.get("/v1/workers").json["data"]
    return {worker["name"]: worker["engines"] for worker in workers}


def test_a_native_job_waits_for_a_worker_with_a_compiler(
    usual_harness: ApiHarness, tmp_path: Path
) -> None:
    harness = usual_harness
    poor = harness.start_worker("poor", **without_compiler(tmp_path / "poor"))
    assert engines(harness) == {"poor": ["eager"]}
    job_id = harness.submit(job_of("native"))
    waits = harness.wait_for(job_id, lambda job: job["queue"]["reason"] == "fingerprint")
    assert waits["status"] == "queued"

    build_loop.find_or_compile()
    harness.start_worker("usual")

    assert harness.wait_for_end(job_id)["status"] == "succeeded"
    assert [attempt["worker"] for attempt in harness.attempts(job_id)] == ["usual"]
    assert poor.stop() == 0


def test_a_job_shows_its_engine_says_why_and_comes_again_in_a_verify(
    usual_harness: ApiHarness,
) -> None:
    """By the worker that the test before it has started."""
    harness = usual_harness
    assert engines(harness) == {"usual": ["eager", "graph", "native"]}
    ids = {name: harness.submit(job_of(name)) for name in ("eager", "graph", "native")}
    jobs = {name: harness.wait_for_end(job_id) for name, job_id in ids.items()}

    for name, job in jobs.items():
        assert (job["status"], job["engine"]) == ("succeeded", name), job
        assert job["fingerprint"]["engine"].split("-")[0] == name
        assert f"engine {name}: the spec names it" in log(harness, job["id"])
        result = harness.verify(job["id"], **{"from": 150})["result"]
        assert result["verdict"] == "equal", result
        assert result["fingerprint"]["run"]["engine"] == job["fingerprint"]["engine"]
        assert not harness.events(job["id"], "log")
    one, same, other = (jobs[name]["loss"] for name in ("eager", "graph", "native"))
    assert one == same != other
    again = harness.wait_for_end(harness.submit(job_of("graph")))
    is_proven = "; its programs are proven" in log(harness, again["id"])
    assert is_proven != proofs.is_retrial_due(again["id"])
    assert weights_of(harness, again["id"]) == weights_of(harness, ids["eager"])


def test_a_native_job_goes_on_from_a_checkpoint_on_another_processor_and_no_bit_differs(
    harness: ApiHarness, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    first = harness.start_worker("first", TICKFORGE_FAULTS=str(faults))
    straight = harness.wait_for_end(harness.submit(job_of("native", **MOVED)))
    weights = [first_weights(harness)]
    blocked = {"point": "tick", "action": "block", "at": 1000}
    (faults / "one.fault").write_text(json.dumps(blocked))
    job_id = harness.submit(job_of("native", **MOVED))
    wait_until(lambda: (faults / "one.fired").exists(), 30)
    harness.request(job_id, "pause")
    (faults / "one.fired").unlink()
    assert harness.wait_for(job_id, lambda job: job["status"] == "paused")["tick"] < 4000
    first.stop()
    harness.start_worker("older", **OLDER)
    harness.request(job_id, "resume")
    job = harness.wait_for_end(job_id)

    assert (job["status"], job["exact"]) == ("succeeded", True), job
    attempts = harness.attempts(job_id)
    assert [attempt["worker"] for attempt in attempts] == ["first", "older"]
    assert len({attempt["fingerprint"]["canary"] for attempt in attempts}) == 2
    assert (job["loss"], job["metrics"]) == (straight["loss"], straight["metrics"])
    assert weights_of(harness, job_id) == weights_of(harness, straight["id"])
    weights.append(first_weights(harness))
    assert len(set(weights)) == 2  # torch's: why a job without a checkpoint is not moved


def first_weights(harness: ApiHarness) -> str:
    """The sha256 of the net as it is drawn where this runs, one step too small to count later."""
    optimizer = {"name": "sgd", "lr": 1e-30}
    spec = job_of("native", optimizer=optimizer, budget={"ticks": 1}, validation=None)
    return weights_of(harness, harness.wait_for_end(harness.submit(spec))["id"])


def weights_of(harness: ApiHarness, job_id: str) -> str:
    return str(harness.http.get(f"/v1/jobs/{job_id}/checkpoints/final").json["sha256"])


def test_an_engine_that_errs_is_caught_before_a_tick_is_shown_and_the_job_says_so(
    harness: ApiHarness, tmp_path: Path
) -> None:
    programs = dict.fromkeys(("sh", "sed", "gcc", "as", "ld"), "")
    harness.start_worker(
        "erring", **machine(tmp_path / "erring", cc_wrong=ERRING, **programs), CC="cc_wrong"
    )
    job = harness.wait_for_end(harness.submit(job_of("native")))

    assert (job["status"], job["engine"]) == ("succeeded", "eager"), job
    (event,) = harness.events(job["id"], "log")
    assert event["level"] == "warning"
    assert event["message"].startswith("engine eager: native was tried and not taken: loss of tick")
    assert event["message"] in log(harness, job["id"])
    assert harness.wait_for_end(harness.submit(job_of("eager")))["loss"] == job["loss"]


def test_a_compiler_that_fails_under_auto_is_reported_and_the_job_is_trained(
    harness: ApiHarness, tmp_path: Path
) -> None:
    failing = "#!/bin/sh\necho a compiler\n[ $# = 1 ] || exit 3\n"
    harness.start_worker("failing", **machine(tmp_path / "failing", sh="", gcc=failing))
    stop = {"target": {"metric": "loss", "below": 1e9}}
    spec = job_of("auto", budget={"ticks": 1_000_000}, stop=stop)
    job = harness.wait_for_end(harness.submit(spec))

    assert (job["status"], job["engine"]) == ("succeeded", "eager"), job
    (event,) = harness.events(job["id"], "log")
    assert "the C compiler failed" in event["message"]


def test_the_loop_is_compiled_ahead_and_that_ends_with_the_worker(
    harness: ApiHarness, tmp_path: Path
) -> None:
    env = machine(tmp_path / "machine", sh="", sleep="", cxx=HANGING)
    worker = harness.start_worker("ahead", **env)
    compilers = lambda: [  # noqa: E731
        process for process in worker.processes.living_processes() if "sleep" in process.name()
    ]
    wait_until(lambda: bool(compilers()), 60, "the compiler")
    assert engines(harness) == {"ahead": ["eager", "graph"]}
    # a short job does not wait for it
    job = harness.wait_for_end(harness.submit(job_of("auto", budget={"ticks": 50})))
    assert (job["status"], job["engine"]) == ("succeeded", "eager")
    assert all(psutil.Process(process.pid).nice() == 19 for process in compilers())

    worker.process.kill()

    wait_until(lambda: not worker.processes.living_processes(), 20)
    assert not list((tmp_path / "machine" / "cache").rglob("*.so"))


def test_a_worker_that_leaves_takes_its_compiler_with_it(
    harness: ApiHarness, tmp_path: Path
) -> None:
    worker = harness.start_worker(
        "ahead", **machine(tmp_path / "machine", sh="", sleep="", cxx=HANGING)
    )
    wait_until(
        lambda: any("sleep" in process.name() for process in worker.processes.living_processes()),
        60,
    )

    assert worker.stop() == 0
    assert not worker.processes.living_processes()


def test_a_loop_compiled_ahead_is_not_compiled_again(harness: ApiHarness, tmp_path: Path) -> None:
    env = machine(tmp_path / "machine", sh="", sleep="", cxx=HANGING)
    shutil.copytree(build_loop.find_or_compile().parent, compiling_folder(env))
    worker = harness.start_worker("ready", **env)
    job = harness.wait_for_end(harness.submit(job_of("graph")))

    assert (job["status"], job["engine"]) == ("succeeded", "graph"), job
    assert not any("sleep" in process.name() for process in worker.processes.living_processes())


def compiling_folder(env: dict[str, str]) -> Path:
    """Where that machine keeps the loop."""
    return Path(os.path.join(env["XDG_CACHE_HOME"], "tickforge", "graph"))
