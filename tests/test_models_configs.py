"""Configs of models against the nets they make."""

from typing import Annotated

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError
from torch import nn

from models.build import NET_BUILDERS, build
from models.families import FAMILIES
from models.mlp.config import MlpConfig
from models.norms import NORMS
from models.strict_models import LimitErrors, StrictModel
from models.types import NORM_PARAMETERS

configs = st.builds(
    lambda **fields: MlpConfig.model_validate({"family": "mlp", **fields}),
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    norm=st.sampled_from(sorted(NORM_PARAMETERS)),
    activation=st.sampled_from(["relu", "gelu", "silu", "tanh", "sigmoid"]),
    dropout=st.sampled_from([0, 0.1, 0.9]),
)


def mlp(**fields: object) -> MlpConfig:
    return MlpConfig.model_validate({"family": "mlp", **fields})


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@settings(max_examples=100, deadline=None)
@given(configs, st.integers(1, 30), st.integers(1, 30))
def test_the_parameters_counted_are_the_built_nets(
    config: MlpConfig, inputs: int, outputs: int
) -> None:
    net = build(config, inputs, outputs, 0)
    assert config.num_parameters(inputs, outputs) == count(net)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert config.weight_shapes(inputs, outputs) == shapes


@settings(max_examples=60, deadline=None)
@given(configs, st.integers(1, 30), st.integers(1, 30))
def test_a_net_takes_rows_of_inputs_and_gives_rows_of_outputs(
    config: MlpConfig, inputs: int, outputs: int
) -> None:
    rows = 2 if config.needs_batch_statistics else 1
    net = build(config, inputs, outputs, 0)
    assert net(torch.ones(rows, inputs)).shape == (rows, outputs)


def test_every_norm_that_may_be_named_is_there_and_counted() -> None:
    assert NORM_PARAMETERS.keys() == {*NORMS, "none"}
    assert FAMILIES.keys() == NET_BUILDERS.keys()


@pytest.mark.parametrize("name", sorted(NORMS))
def test_a_norms_learnable_numbers_are_as_counted(name: str) -> None:
    assert count(NORMS[name](24)) == 24 * NORM_PARAMETERS[name]


def test_the_seed_documents_net_is_the_handwritten_one() -> None:
    ours = build(mlp(hidden=[50]), 10, 1, seed=0)
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Linear(10, 50), nn.LayerNorm(50), nn.ReLU(), nn.Linear(50, 1))
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(ours(torch.ones(1, 10)), theirs(torch.ones(1, 10)))


def test_a_norm_changes_no_initial_weight() -> None:
    plain, normed = (build(mlp(hidden=[7, 5], norm=norm), 3, 2, 1) for norm in ("none", "layer"))
    linear = [m.weight for m in normed.modules() if isinstance(m, nn.Linear)]
    assert all(torch.equal(a.weight, b) for a, b in zip(plain[::2], linear, strict=True))


def test_dropout_is_last_in_a_layer_and_absent_by_default() -> None:
    names = [type(m).__name__ for m in build(mlp(hidden=[4], dropout=0.5), 2, 1, 0)]
    assert names == ["Linear", "LayerNorm", "ReLU", "Dropout", "Linear"]
    assert len(build(mlp(hidden=[4], norm="none"), 2, 1, 0)) == 3


def test_only_batch_norms_couple_rows() -> None:
    assert {name for name in NORM_PARAMETERS if mlp(norm=name).needs_batch_statistics} == {
        "batch",
        "layer+batch",
    }


def test_an_integral_float_is_an_integer() -> None:
    assert mlp(hidden=[5.0, 3]).hidden == [5, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden": []}, {"hidden": [0]}, {"hidden": [65_537]}, {"hidden": [1] * 65},
        {"hidden": [True]}, {"hidden": ["8"]}, {"hidden": [2.5]}, {"hidden": 8},
        {"norm": "instance"}, {"norm": None}, {"norm_position": "post"}, {"activation": "step"},
        {"dropout": 1}, {"dropout": -0.1}, {"dropout": float("nan")}, {"dropout": True},
        {"family": "rnn"}, {"width": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_is_out_of_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        mlp(**fields)


def test_the_bounds_are_in_the_published_schema() -> None:
    hidden = MlpConfig.model_json_schema()["properties"]["hidden"]
    assert (hidden["minItems"], hidden["maxItems"]) == (1, 64)
    assert (hidden["items"]["minimum"], hidden["items"]["maximum"]) == (1, 65_536)


class Numbers(StrictModel):
    """A list that is checked in pieces and has a rule of its own."""

    numbers: Annotated[list[int], Field(max_length=10), LimitErrors()]


def test_a_long_lists_own_error_names_the_list() -> None:
    with pytest.raises(ValidationError) as refused:
        Numbers(numbers=[0] * 2500)
    assert {item["loc"] for item in refused.value.errors()} == {("numbers",)}
