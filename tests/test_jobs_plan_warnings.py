"""What a plan says of memory and time, and of the workers that live: it is so."""

from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.memory_estimate import estimate_memory_bytes
from jobs.plan import check_memory, find_worker_warnings, plan
from jobs.spec.base import InvalidSpec
from jobs.spec.spec_warnings import find_spec_warnings
from tests.costs import peak_bytes
from tests.training_records import read_small_spec
from ticks import state_files
from ticks.stopping import StopRules
from ticks.training import TrainingRun

WORKER: dict[str, Any] = {
    "queue": "cpu", "engines": ["eager", "graph", "native"], "memory_bytes": 1 << 40,
    "cores": 4, "stall_seconds": 600,
}  # fmt: skip
LARGE: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [2200, 2200]},
    "data": {"source": "synthetic", "kind": "regression", "samples": 65_536},
    "batch_size": 60_000,
}
TOLERANCE = 0.2


def warnings(*workers: dict[str, Any], **spec: Any) -> list[str]:
    return find_worker_warnings(read_small_spec(**spec), workers)


def test_threads_beyond_the_cores_of_every_worker_are_told() -> None:
    smaller = {**WORKER, "cores": 2}
    assert warnings(smaller, WORKER, compute={"threads": 4}) == []
    (text,) = warnings(smaller, WORKER, compute={"threads": 5})
    assert text.startswith("compute.threads is 5, and the live workers have 4 cores at most")
    assert warnings({"queue": "cpu", "memory_bytes": 1 << 40}, compute={"threads": 99}) == []


@pytest.mark.parametrize(
    ("micro_batches", "stall_seconds", "engine", "subject"),
    [
        (1, 20, "eager", "a tick may take some"), (1000, 20, "eager", None),
        (2, 20, "eager", "a micro-batch may take some"), (1, 3600, "eager", None),
        (1000, 20, "graph", "a tick may take some"),
    ],
)  # fmt: skip
def test_a_tick_without_a_sign_of_life_within_the_stall_limit_is_told(
    micro_batches: int, stall_seconds: int, engine: str, subject: str | None
) -> None:
    worker = {**WORKER, "stall_seconds": stall_seconds}
    spec = {**LARGE, "micro_batches": micro_batches, "compute": {"engine": engine}}
    texts = warnings(worker, **spec)
    assert [text[: len(subject or "")] for text in texts] == ([] if subject is None else [subject])


@pytest.mark.parametrize(
    ("changes", "is_warned"),
    [
        ({"validation": {"fraction": 0.25, "every_ticks": 1}}, True),
        ({"validation": {"fraction": 0.25, "every_ticks": 1000}}, False),
        ({"validation": {"fraction": 0.25}}, False),
        ({"validation": {"fraction": 0.25, "every_ticks": 1}, "budget": {"ticks": 50}}, False),
        ({"validation": {"fraction": 0.25, "every_ticks": 1},
          "checkpoint": {"keep_best": False}}, False),
    ],
)  # fmt: skip
def test_a_save_at_each_tick_is_told(changes: dict[str, Any], is_warned: bool) -> None:
    spec = read_small_spec(**{"budget": {"ticks": 10_000}, **changes})
    shown = [text for text in find_spec_warnings(spec) if "keep_best" in text]
    assert len(shown) == is_warned


def window_spec(window: int, **stop: Any) -> Any:
    rule = {"metric": "loss", "window": window, "rel_change": 0.0}
    return read_small_spec(budget={"ticks": 10**8}, stop={"converged": rule, **stop})


def fill(rules: StopRules, ticks: int) -> None:
    losses = torch.ones(100_000).numpy()
    for first in range(1, ticks, len(losses)):
        rules.observe(first, losses)
    rules.check(ticks, {"loss": 1.0})


def test_a_plan_knows_the_memory_and_the_files_of_a_window(tmp_path: Path) -> None:
    window = 2_100_000  # large arrays come from the system, not from freed memory
    spec, small = window_spec(window), window_spec(1)
    (tmp_path / "small").mkdir()
    state_files.save(TrainingRun(small, torch.device("cpu")), tmp_path / "small")  # imports too
    training = TrainingRun(spec, torch.device("cpu"))

    folder = tmp_path / "large"
    folder.mkdir()

    def train_and_save() -> None:
        fill(training.stop_rules, 3 * window)
        training.trainer.ticks_done = 3 * window
        state_files.save(training, folder)

    measured = peak_bytes(train_and_save)
    planned = estimate_memory_bytes(spec) - estimate_memory_bytes(small)
    assert planned == pytest.approx(measured, rel=TOLERANCE)
    files = sum(path.stat().st_size for path in folder.iterdir())
    assert plan(spec, []).checkpoint_bytes == pytest.approx(files, rel=0.01)


def test_a_window_that_no_worker_has_memory_for_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidSpec) as caught:
        check_memory(window_spec(10**7), [{**WORKER, "memory_bytes": 1 << 29}])
    assert [error.pointer for error in caught.value.errors] == ["/stop/converged/window"]
    check_memory(window_spec(10**7), [{**WORKER, "memory_bytes": 1 << 31}])
