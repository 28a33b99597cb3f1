"""The synthetic sequence: tokens are a function of seed and position, and a net can learn them."""

import numpy as np
import pytest
import torch

from jobs.spec.data import SyntheticData
from jobs.spec.reading import read_spec
from ticks.data.synthetic_text import SyntheticText
from ticks.training import TrainingRun

BODY = {
    "model": {"family": "transformer_lm", "layers": 1, "heads": 2, "width": 16},
    "data": {"source": "synthetic", "kind": "sequence", "samples": 400, "features": 16, "seed": 3},
    "optimizer": {"lr": 0.02},
    "budget": {"ticks": 80},
    "validation": {"fraction": 0.1},
}


def test_a_token_does_not_hang_on_where_reading_began() -> None:
    tokens = SyntheticText(3, as_bytes=True)
    whole = tokens.read(0, 1000)

    assert np.array_equal(
        np.concatenate([tokens.read(at, 7) for at in range(0, 700, 7)]), whole[:700]
    )
    assert ((whole >= ord("a")) & (whole <= ord("z"))).all()
    assert np.array_equal(SyntheticText(3, as_bytes=False).read(0, 1000), whole - ord("a"))
    assert not np.array_equal(SyntheticText(4, as_bytes=True).read(0, 1000), whole)


@pytest.mark.parametrize("vocabulary", ["bytes", "characters"])
def test_a_language_model_learns_the_pattern(vocabulary: str) -> None:
    model = {**BODY["model"], "vocabulary": vocabulary}  # type: ignore[dict-item]
    spec = read_spec({**BODY, "model": model}, max_parameters=10**9)
    assert isinstance(spec.data, SyntheticData) and spec.profile.rows == 400
    training = TrainingRun(spec, torch.device("cpu"))
    while training.end_reason is None:
        training.run(100)

    assert training.metrics["val_loss"] < 1.5 < np.log(26)
