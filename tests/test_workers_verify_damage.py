"""A verify reads all that it certifies: one bit of any file changed, and it says which file."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.history.summary_rows import ROW
from tests.api_harness import ApiHarness, running_api_harness
from tests.damage import flipped_bit
from tests.support import small_spec, wait_until

#: one whole bucket of a summary row, and a part of the next
TICKS = 1100
SPEC = small_spec(
    budget={"ticks": TICKS},
    validation={"fraction": 0.2, "every_ticks": 500, "metrics": ["val_loss"]},
    checkpoint={"every_ticks": 500, "keep": 2},
    compute={"engine": "eager"},
)
CHECKPOINT_FILES = [
    "config.json", "manifest.json", "model.py", "model.safetensors", "report.json",
    "state.json", "state.safetensors",
]  # fmt: skip
HISTORY_FILES = [
    "loss/000000.f32", "loss/000000.rows", "state/000000.sparse", "time/000000.sparse",
    "val_loss/000000.sparse",
]  # fmt: skip


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHarness]:
    with running_api_harness(tmp_path_factory.mktemp("damage")) as harness:
        harness.start_worker("usual")
        yield harness


@pytest.fixture(scope="module")
def job_id(harness: ApiHarness) -> str:
    """An ended job whose history has moved to files."""
    job = harness.wait_for_end(harness.submit(SPEC))
    assert job["status"] == "succeeded", job["error"]
    wait_until(lambda: harness.store.hget(f"job:{{default/{job['id']}}}", "sealed"), 10)
    return str(job["id"])


def checkpoint_folder(harness: ApiHarness, job_id: str, tick: int) -> Path:
    (folder,) = (harness.folder(job_id) / "checkpoints").glob(f"{tick}-t*")
    return folder


def expect_damage(verify: dict[str, Any], *files: str) -> dict[str, Any]:
    """Check that a verify failed over exactly these files; return its certificate."""
    assert verify["status"] == "failed", verify["result"]
    assert verify["error"]["type"] == "damaged"
    assert all(name in verify["error"]["detail"] for name in files)
    result: dict[str, Any] = verify["result"]
    assert (result["verdict"], result["first_difference"]) == ("damaged", None)
    assert sorted(result["damaged_files"]) == sorted(files)
    return result


def test_the_job_has_these_files_and_its_verify_is_equal(harness: ApiHarness, job_id: str) -> None:
    history = harness.folder(job_id) / "history"
    stored = [str(path.relative_to(history)) for path in history.rglob("*") if path.is_file()]
    assert sorted(stored) == HISTORY_FILES
    folder = checkpoint_folder(harness, job_id, TICKS)
    assert sorted(path.name for path in folder.iterdir()) == CHECKPOINT_FILES

    result = harness.verify(job_id)["result"]

    assert (result["verdict"], result["damaged_files"]) == ("equal", [])


@pytest.mark.parametrize("name", HISTORY_FILES)
def test_a_flipped_bit_of_a_history_file_is_damage_and_the_file_is_named(
    harness: ApiHarness, job_id: str, name: str
) -> None:
    with flipped_bit(harness.folder(job_id) / "history" / name):
        expect_damage(harness.verify(job_id), f"history/{name}")


def test_a_flipped_bit_of_any_file_of_the_last_checkpoint_is_damage_though_the_ticks_are_equal(
    harness: ApiHarness, job_id: str
) -> None:
    folder = checkpoint_folder(harness, job_id, TICKS)
    with ExitStack() as stack:
        for name in CHECKPOINT_FILES:
            stack.enter_context(flipped_bit(folder / name))
        verify = harness.verify(job_id)

    files = [f"checkpoints/{TICKS}/{name}" for name in CHECKPOINT_FILES]
    result = expect_damage(verify, *files)
    assert result["ticks_compared"] == TICKS
    weights = result["weights_sha256"]
    assert weights["recorded"] == weights["recomputed"] is not None


@pytest.mark.parametrize("name", ["state.safetensors", "model.py"])
def test_a_flipped_bit_of_the_checkpoint_to_begin_from_is_damage_before_any_tick(
    harness: ApiHarness, job_id: str, name: str
) -> None:
    with flipped_bit(checkpoint_folder(harness, job_id, 500) / name):
        verify = harness.verify(job_id, **{"from": 500})

    result = expect_damage(verify, f"checkpoints/500/{name}")
    assert result["ticks_compared"] == 0


@pytest.mark.parametrize("field", ROW.names or ())
def test_a_summary_row_that_is_not_that_of_its_values_is_damage_whatever_its_digest(
    harness: ApiHarness, job_id: str, field: str
) -> None:
    """Whoever can change a row can change the digest that is recorded for its file."""
    name = "loss/000000.rows"
    path, key = harness.folder(job_id) / "history" / name, harness.store_key(job_id, "digests")
    stored, digest = path.read_bytes(), harness.store.hget(key, name)
    rows = np.frombuffer(stored, ROW).copy()
    rows[field] = rows[field] * 2 + 1
    path.write_bytes(rows.tobytes())
    harness.store.hset(key, name, hashlib.sha256(rows.tobytes()).hexdigest())
    try:
        verify = harness.verify(job_id)
    finally:
        path.write_bytes(stored)
        harness.store.hset(key, name, digest or b"")

    expect_damage(verify, f"history/{name}")
