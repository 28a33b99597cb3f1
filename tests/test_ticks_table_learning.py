"""What a net learns from a table by the defaults, as its model.py says of rows it never saw."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from jobs.store.connection import Store
from tests.dataset_home import Home, import_model_file
from tests.datasets import Row, csv_of
from tests.training_records import run_and_record
from ticks import state_files


@pytest.fixture
def home(store: Store, tmp_path: Path) -> Home:
    return Home(store, tmp_path / "artifacts")


def train_by_defaults(home: Home, rows: list[Row], target: str) -> ModuleType:
    """Train 200 epochs on rows; return the model.py of the last checkpoint."""
    spec = home.spec(
        home.add(csv_of(rows)), target, model={"family": "mlp"}, batch_size=32,
        budget={"epochs": 200},
    )  # fmt: skip
    training = home.training(spec)
    run_and_record(training)
    folder = home.folder / "trained"
    folder.mkdir()
    state_files.save(training, folder)
    return import_model_file(folder)


def r_squared(expected: np.ndarray, predicted: np.ndarray) -> float:
    residuals = ((expected - predicted) ** 2).sum()
    return float(1 - residuals / ((expected - expected.mean()) ** 2).sum())


def test_a_straight_line_is_learned_and_predicted_in_the_targets_own_units(home: Home) -> None:
    x = np.random.default_rng(1).uniform(0, 10, 200)
    rows: list[Row] = [{"x": float(at), "y": 5000 + 4000 * float(at)} for at in x]
    model = train_by_defaults(home, rows[:160], "y")

    expected = np.array([row["y"] for row in rows[160:]], float)
    predicted = np.array([answer["value"] for answer in model.predict(rows[160:])])
    assert r_squared(expected, predicted) > 0.99
    assert np.abs(predicted - expected).mean() < 1000


def test_classes_of_numbers_and_a_category_are_learned_and_named(home: Home) -> None:
    rng = np.random.default_rng(2)
    rows: list[Row] = []
    for size, colour in zip(rng.normal(50, 10, 400), rng.choice(["red", "blue"], 400), strict=True):
        ripe = (size > 45) if colour == "red" else (size > 60)
        rows.append({"size": float(size), "colour": str(colour), "ripe": "yes" if ripe else "no"})
    model = train_by_defaults(home, rows[:300], "ripe")

    answers = model.predict(rows[300:])
    hits = [answer["class"] == row["ripe"] for answer, row in zip(answers, rows[300:], strict=True)]
    assert np.mean(hits) > 0.95
    assert {answer["class"] for answer in answers} == {"yes", "no"}
