"""A stored file that was damaged: a trainer tells so, whatever its reader meets first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.datasets.formats.damage import DamagedDataset
from tests.dataset_home import Home
from tests.datasets import CSV, JSONL, NPZ, PARQUET, PETS, jsonl_of, npz_of, parquet_of
from tests.needs import PYARROW, needs
from tests.training_records import CPU
from ticks.data.load import load_data

ARRAYS = npz_of(inputs=np.arange(6.0).reshape(3, 2), targets=np.array([0, 1, 1]))
ROWS = [{"a": at, "label": "xy"[at % 2]} for at in range(50)]


@pytest.mark.parametrize(
    ("kind", "make", "target"),
    [
        (CSV, lambda: PETS, "pet"), (JSONL, lambda: jsonl_of(ROWS), "label"),
        (NPZ, lambda: ARRAYS, None),
        pytest.param(PARQUET, lambda: parquet_of(ROWS), "label", marks=needs(PYARROW)),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told_by_the_trainer_whatever_its_reader_meets_first(
    store: Any, tmp_path: Path, kind: str, make: Any, target: str | None
) -> None:
    home, data = Home(store, tmp_path), make()
    spec = home.spec(home.add(data, kind), target, batch_size=2)
    assert spec.facts is not None
    path = tmp_path / spec.facts.data.path
    assert load_data(spec, CPU, tmp_path).training is not None

    for at in range(0, len(data), len(data) // 7):
        for bad in (data[:at], data[:at] + bytes(8) + data[at + 8 :], data[:at] + data[at // 2 :]):
            path.write_bytes(bad)
            if bad != data:
                with pytest.raises(DamagedDataset):
                    load_data(spec, CPU, tmp_path)
