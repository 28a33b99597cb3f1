"""The example on a real text: what it is, and that a net learns more of it than a bigram table."""

import json
from pathlib import Path

import numpy as np
import pytest

from jobs.spec.data import EXAMPLES_FOLDER
from jobs.spec.reading import read_spec
from jobs.spec.text import TextFacts
from tests.texts import text_facts
from tests.training_records import run_and_record, start_training
from ticks.data.batches import RowSource

SPEC = json.loads((EXAMPLES_FOLDER.parent / "text.json").read_text())
#: the example made short enough for a test: half the window, a fifth of the ticks
SHORT = {
    "data": SPEC["data"] | {"window": 32},
    "optimizer": {"name": "adamw", "lr": 0.006},
    "schedule": {"name": "cosine", "warmup_ticks": 20},
    "budget": {"ticks": 300},
    "validation": {"fraction": 0.1, "every_ticks": 300},
}


def pairs(rows: RowSource) -> np.ndarray:
    """Count how often each byte follows each in these rows."""
    counts = np.zeros((256, 256))
    for block in rows.blocks():
        np.add.at(counts, (block.inputs.numpy(), block.targets.numpy()), 1)
    return counts


def bigram_loss(training: RowSource, held_out: RowSource) -> float:
    """Cross entropy of the held-out rows in nats a byte under add-one-smoothed bigrams."""
    counts = pairs(training) + 1
    likely = counts / counts.sum(axis=1, keepdims=True)
    seen = pairs(held_out)
    return float(-(seen * np.log(likely)).sum() / seen.sum())


def test_the_profile_is_the_texts() -> None:
    text = (EXAMPLES_FOLDER / "genesis.txt").read_bytes().decode()
    document = json.loads((EXAMPLES_FOLDER / "genesis.json").read_text())
    assert TextFacts.model_validate(document["text"]) == text_facts(text)
    assert text.startswith("In the beginning God created the heaven and the earth.\n")
    assert text.count("\n") == 1533 and Path(EXAMPLES_FOLDER / "GENESIS_LICENCE.md").is_file()


def test_the_example_is_a_spec_that_can_be_trained() -> None:
    spec = read_spec(SPEC, max_parameters=10**7)
    assert spec.objective == "language_model" and spec.profile.outputs == 256


@pytest.mark.slow
def test_the_example_learns_more_than_bigrams() -> None:
    training = start_training(read_spec(SPEC | SHORT, max_parameters=10**7))
    assert training.held_out is not None
    bigrams = bigram_loss(training.trainer.batches.rows, training.held_out)
    run_and_record(training)
    print(f"val_loss {training.metrics['val_loss']:.3f}, bigrams {bigrams:.3f} nats a byte")
    assert 2.2 < bigrams < 2.5
    assert training.metrics["val_loss"] < bigrams - 0.3
