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

from tests.support import small_spec, wait_until
from tests.workshop import Workshop, workshop
from ticks.engines import selection
from ticks.engines.graph import build_loop

pytestmark = pytest.mark.skipif(
    len(selection.available_engines()) < 3, reason="no C and C++ compilers here"
)

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
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path / "data") as made:
        yield made


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


def log(shop: Workshop, job_id: str) -> str:
    return (shop.folder(job_id) / "log.txt").read_text()


def engines(shop: Workshop) -> dict[str, list[str]]:
    workers = shop.http.get("/v1/workers").json["data"]
    return {each["name"]: each["engines"] for each in workers}


def test_a_job_shows_its_engine_says_why_and_comes_again_in_a_verify(shop: Workshop) -> None:
    build_loop.find_or_compile()
    shop.worker("usual")
    assert engines(shop) == {"usual": ["eager", "graph", "native"]}
    ids = {name: shop.submit(job_of(name)) for name in ("eager", "graph", "native")}
    jobs = {name: shop.ended(job_id) for name, job_id in ids.items()}

    for name, job in jobs.items():
        assert (job["status"], job["engine"]) == ("succeeded", name), job
        assert job["fingerprint"]["engine"].split("-")[0] == name
        assert f"engine {name}: the spec names it" in log(shop, job["id"])
        told = shop.verify(job["id"], **{"from": 150})["result"]
        assert told["verdict"] == "equal", told
        assert told["fingerprint"]["run"]["engine"] == job["fingerprint"]["engine"]
        assert not shop.events(job["id"], "log")
    one, same, other = (jobs[name]["loss"] for name in ("eager", "graph", "native"))
    assert one == same != other


def test_a_native_job_waits_for_a_worker_with_a_compiler(shop: Workshop, tmp_path: Path) -> None:
    shop.worker("poor", **without_compiler(tmp_path / "poor"))
    assert engines(shop) == {"poor": ["eager"]}
    job_id = shop.submit(job_of("native"))
    waits = shop.until(job_id, lambda job: job["queue"]["reason"] == "fingerprint")
    assert waits["status"] == "queued"

    shop.worker("able")

    assert shop.ended(job_id)["status"] == "succeeded"
    assert [each["worker"] for each in shop.attempts(job_id)] == ["able"]


def test_a_native_job_goes_on_from_a_checkpoint_on_another_processor_and_no_bit_differs(
    shop: Workshop, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    first = shop.worker("first", TICKFORGE_FAULTS=str(faults))
    straight = shop.ended(shop.submit(job_of("native", **MOVED)))
    weights = [first_weights(shop)]
    held_up = {"point": "tick", "action": "delay", "at": 1000, "seconds": 5}
    (faults / "one.fault").write_text(json.dumps(held_up))
    job_id = shop.submit(job_of("native", **MOVED))
    wait_until(lambda: (faults / "one.fired").exists(), 30)
    shop.ask(job_id, "pause")
    assert shop.until(job_id, lambda job: job["status"] == "paused")["tick"] < 4000
    first.stop()
    shop.worker("older", **OLDER)
    shop.ask(job_id, "resume")
    job = shop.ended(job_id)

    assert (job["status"], job["exact"]) == ("succeeded", True), job
    attempts = shop.attempts(job_id)
    assert [each["worker"] for each in attempts] == ["first", "older"]
    assert len({each["fingerprint"]["canary"] for each in attempts}) == 2
    assert (job["loss"], job["metrics"]) == (straight["loss"], straight["metrics"])
    assert weights_of(shop, job_id) == weights_of(shop, straight["id"])
    weights.append(first_weights(shop))
    assert len(set(weights)) == 2  # torch's: why a job without a checkpoint is not moved


def first_weights(shop: Workshop) -> str:
    """The sha256 of the net as it is drawn where this runs, one step too small to count later."""
    optimizer = {"name": "sgd", "lr": 1e-30}
    spec = job_of("native", optimizer=optimizer, budget={"ticks": 1}, validation=None)
    return weights_of(shop, shop.ended(shop.submit(spec))["id"])


def weights_of(shop: Workshop, job_id: str) -> str:
    return str(shop.http.get(f"/v1/jobs/{job_id}/checkpoints/final").json["sha256"])


def test_an_engine_that_errs_is_caught_before_a_tick_is_shown_and_the_job_says_so(
    shop: Workshop, tmp_path: Path
) -> None:
    programs = dict.fromkeys(("sh", "sed", "gcc", "as", "ld"), "")
    shop.worker(
        "erring", **machine(tmp_path / "erring", cc_wrong=ERRING, **programs), CC="cc_wrong"
    )
    job = shop.ended(shop.submit(job_of("native")))

    assert (job["status"], job["engine"]) == ("succeeded", "eager"), job
    (event,) = shop.events(job["id"], "log")
    assert event["level"] == "warning"
    assert event["message"].startswith("engine eager: native was tried and not taken: loss of tick")
    assert event["message"] in log(shop, job["id"])
    shop.worker("usual")
    assert shop.ended(shop.submit(job_of("eager")))["loss"] == job["loss"]


def test_a_compiler_that_does_not_work_under_auto_is_told_and_the_job_is_trained(
    shop: Workshop, tmp_path: Path
) -> None:
    failing = "#!/bin/sh\necho a compiler\n[ $# = 1 ] || exit 3\n"
    shop.worker("failing", **machine(tmp_path / "failing", sh="", gcc=failing))
    stop = {"target": {"metric": "loss", "below": 1e9}}
    spec = job_of("auto", budget={"ticks": 1_000_000}, stop=stop)
    job = shop.ended(shop.submit(spec))

    assert (job["status"], job["engine"]) == ("succeeded", "eager"), job
    (event,) = shop.events(job["id"], "log")
    assert "the C compiler failed" in event["message"]


def test_the_loop_is_compiled_ahead_and_that_ends_with_the_worker(
    shop: Workshop, tmp_path: Path
) -> None:
    env = machine(tmp_path / "machine", sh="", sleep="", cxx=HANGING)
    worker = shop.worker("ahead", **env)
    compilers = lambda: [  # noqa: E731
        each for each in worker.marked.alive() if "sleep" in each.name()
    ]
    wait_until(lambda: bool(compilers()), 60, "the compiler")
    assert engines(shop) == {"ahead": ["eager", "graph"]}
    # a short job does not wait for it
    job = shop.ended(shop.submit(job_of("auto", budget={"ticks": 50})))
    assert (job["status"], job["engine"]) == ("succeeded", "eager")
    assert all(psutil.Process(each.pid).nice() == 19 for each in compilers())

    worker.process.kill()

    wait_until(lambda: not worker.marked.alive(), 20)
    assert not list((tmp_path / "machine" / "cache").rglob("*.so"))


def test_a_worker_that_leaves_takes_its_compiler_with_it(shop: Workshop, tmp_path: Path) -> None:
    worker = shop.worker("ahead", **machine(tmp_path / "machine", sh="", sleep="", cxx=HANGING))
    wait_until(lambda: any("sleep" in each.name() for each in worker.marked.alive()), 60)

    assert worker.stop() == 0
    assert not worker.marked.alive()


def test_where_the_loop_is_there_nothing_is_compiled(shop: Workshop, tmp_path: Path) -> None:
    env = machine(tmp_path / "machine", sh="", sleep="", cxx=HANGING)
    shutil.copytree(build_loop.find_or_compile().parent, compiling_folder(env))
    worker = shop.worker("ready", **env)
    job = shop.ended(shop.submit(job_of("graph")))

    assert (job["status"], job["engine"]) == ("succeeded", "graph"), job
    assert not any("sleep" in each.name() for each in worker.marked.alive())


def compiling_folder(env: dict[str, str]) -> Path:
    """Where that machine keeps the loop."""
    return Path(os.path.join(env["XDG_CACHE_HOME"], "tickforge", "graph"))
