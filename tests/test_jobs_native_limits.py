"""Which specs the native engine takes, in words where it does not."""

from typing import Any

import pytest

from jobs.spec.native_limits import is_worthwhile, native_unsupported_reason
from tests.training_records import read_small_spec

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another family": (
        {"model": {"family": "transformer_lm", "layers": 1, "width": 8, "heads": 1},
         "data": {"source": "example", "name": "genesis", "window": 8}},
        "native runs the family mlp, not transformer_lm",
    ),
    "a norm that couples rows": (
        {"model": {"family": "mlp", "norm": "layer+batch"}},
        "native runs norms that couple no rows, not layer+batch",
    ),
    "a GPU": ({"compute": {"device": "cuda"}}, "native runs on the device cpu"),
    "bfloat16": (
        {"compute": {"precision": "bfloat16"}}, "native computes in float32, not bfloat16",
    ),
    "threads": ({"compute": {"threads": 2}}, "native runs on 1 thread, not 2"),
    "too deep": (
        {"model": {"family": "mlp", "hidden": [4] * 17}},
        "native has at most 16 hidden layers, not 17",
    ),
    "an eps that is 0 in float32": (
        {"optimizer": {"name": "adam", "eps": 1e-60}},
        "native needs an eps of at least 1.17549e-38, a normal float32 number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_spec_outside_the_class_is_refused_with_the_reason(what: str) -> None:
    changes, reason = REFUSED[what]

    assert native_unsupported_reason(read_small_spec(**changes)) == reason


@pytest.mark.parametrize("norm", ["layer", "rms", "group", "none"])
def test_a_small_mlp_is_in_the_class(norm: str) -> None:
    spec = read_small_spec(model={"family": "mlp", "norm": norm, "dropout": 0.1}, micro_batches=4)

    assert native_unsupported_reason(spec) is None and is_worthwhile(spec)


def test_large_products_are_left_to_a_library() -> None:
    digits = {"source": "example", "name": "digits"}
    wide = {"family": "mlp", "hidden": [512, 512, 512]}

    assert not is_worthwhile(read_small_spec(data=digits, model=wide, batch_size=64))
    assert is_worthwhile(read_small_spec(data=digits, batch_size=64))
