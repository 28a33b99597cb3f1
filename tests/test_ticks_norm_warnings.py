"""Norms that leave nothing of a row, and rows that are too large for them: told, not refused."""

from typing import Any

import pytest
import torch

from jobs.spec.reading import read_spec
from jobs.spec.spec_warnings import find_spec_warnings
from models.norms import make_norm
from tests.training_records import read_small_spec, start_training

PER_ROW = ["layer", "layer+batch", "group", "rms"]
ONE = "over one feature"


def model(norm: str, width: int) -> dict[str, Any]:
    return {"family": "mlp", "hidden": [4, width], "norm": norm}


def find_texts(texts: list[str], words: str) -> list[str]:
    return [text for text in texts if words in text]


@pytest.mark.parametrize("norm", PER_ROW)
def test_a_norm_over_one_feature_is_told(norm: str) -> None:
    (text,) = find_texts(
        find_spec_warnings(read_small_spec(model=model(norm, 1))), "over one feature"
    )
    assert text.startswith("model.hidden has a layer of width 1") and repr(norm) in text
    normed = make_norm(norm, 1)[0](torch.tensor([[3.0], [-0.5], [7.0]])).abs()
    assert (normed - (1.0 if norm == "rms" else 0.0)).abs().max() < 1e-4, "what the text says"
    for harmless in (model(norm, 2), model("batch", 1), model("none", 1)):
        assert find_texts(find_spec_warnings(read_small_spec(model=harmless)), ONE) == []


def test_a_language_model_of_width_one_is_told_too() -> None:
    body = {
        "model": {"family": "transformer_lm", "layers": 1, "heads": 1, "width": 1},
        "data": {"source": "example", "name": "genesis", "window": 24}, "budget": {"ticks": 1},
    }  # fmt: skip
    (text,) = find_texts(
        find_spec_warnings(read_spec(body, max_parameters=10**7)), "over one feature"
    )
    assert text.startswith("model.width is 1")


def test_inputs_whose_squares_overflow_in_a_norm_are_told() -> None:
    def warnings(largest: float, norm: str = "layer") -> list[str]:
        inputs = [[0.5, 1.0], [largest, -1.0]] * 16
        data = {"source": "inline", "inputs": inputs, "targets": [0.5, -0.5] * 16}
        spec = read_small_spec(data=data, model=model(norm, 8))
        return find_texts(start_training(spec).warnings, "overflow")

    (text,) = warnings(-2e19)
    assert text.startswith("inputs reach 2e+19, and model.norm is 'layer'")
    assert warnings(9e18) == warnings(-2e19, "none") == []


def test_a_norm_of_such_inputs_is_zero_or_nan_without_an_error() -> None:
    normed = make_norm("layer", 64)[0](torch.linspace(1, 3, 64)[None] * 3e19)
    assert normed.nan_to_num().abs().max() == 0
