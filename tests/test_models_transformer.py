"""The language model: its config against its net, what its positions see, its initial weights."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from models.build import build
from models.transformer_lm.config import TransformerLmConfig
from ticks import machine
from ticks.objectives import OBJECTIVES


def lm(**fields: Any) -> TransformerLmConfig:
    sizes = {"family": "transformer_lm", "layers": 2, "heads": 2, "width": 12}
    return TransformerLmConfig.model_validate(sizes | fields)


@st.composite
def configs(draw: st.DrawFn) -> TransformerLmConfig:
    heads = draw(st.integers(1, 4))
    return lm(
        heads=heads,
        width=heads * draw(st.integers(1, 8)),
        layers=draw(st.integers(1, 3)),
        feed_forward=draw(st.integers(1, 5)),
        norm=draw(st.sampled_from(["layer", "rms", "none"])),
        norm_position=draw(st.sampled_from(["pre", "post"])),
        activation=draw(st.sampled_from(["relu", "gelu", "silu", "tanh", "sigmoid"])),
        dropout=draw(st.sampled_from([0, 0.1, 0.9])),
        tied_embeddings=draw(st.booleans()),
    )


@settings(max_examples=80, deadline=None)
@given(configs(), st.integers(1, 20), st.integers(1, 30))
def test_the_parameters_counted_are_the_built_nets(
    config: TransformerLmConfig, window: int, kinds: int
) -> None:
    net = build(config, window, kinds, 0)
    assert config.num_parameters(window, kinds) == sum(p.numel() for p in net.parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert config.weight_shapes(window, kinds) == shapes
    assert net(torch.zeros(2, window, dtype=torch.int64)).shape == (2, window, kinds)


def perturbed(config: TransformerLmConfig, window: int, kinds: int) -> nn.Module:
    """A net whose weights are none of them special, in evaluation mode."""
    net, generator = build(config, window, kinds, 1), torch.Generator().manual_seed(2)
    for parameter in net.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return net.eval()


@settings(max_examples=40, deadline=None)
@given(configs(), st.integers(2, 40), st.data())
def test_a_later_token_changes_no_earlier_output_by_a_bit(
    config: TransformerLmConfig, window: int, data: st.DataObject
) -> None:
    machine.configure_torch(1)
    net = perturbed(config, window, kinds=11)
    tokens = torch.randint(11, (3, window), generator=torch.Generator().manual_seed(3))
    at = data.draw(st.integers(1, window - 1))
    other = tokens.clone()
    other[:, at:] = (other[:, at:] + 1) % 11
    with torch.no_grad():
        one, two = net(tokens), net(other)
    assert torch.equal(one[:, :at], two[:, :at])
    if config.width > 3:  # a norm of one or two features leaves little to see
        assert not torch.equal(one[:, at], two[:, at])


@pytest.mark.parametrize("position", ["pre", "post"])
def test_an_earlier_token_is_seen_by_every_later_one(position: str) -> None:
    net = perturbed(lm(norm_position=position), window=9, kinds=7)
    tokens = torch.arange(9)[None] % 7
    other = tokens.clone()
    other[0, 0] = 5
    assert (net(tokens) != net(other)).any(dim=2).all()


def test_the_position_of_a_token_matters() -> None:
    net = perturbed(lm(), window=4, kinds=3)
    (logits,) = net(torch.zeros(1, 4, dtype=torch.int64))
    assert not torch.equal(logits[0], logits[1])


def test_fewer_tokens_than_a_window_are_the_windows_first() -> None:
    net = perturbed(lm(), window=8, kinds=5)
    tokens = torch.arange(8)[None] % 5
    assert torch.allclose(net(tokens[:, :3]), net(tokens)[:, :3], atol=1e-6)


def test_the_initial_weights_are_the_seeds_and_the_same_for_every_norm() -> None:
    def linear(seed: int, **fields: Any) -> list[torch.Tensor]:
        torch.rand(seed + 3)  # whatever was drawn before
        net = build(lm(**fields), 8, 16, seed)
        return [m.weight for m in net.modules() if isinstance(m, nn.Linear | nn.Embedding)]

    first = linear(5)
    for fields in ({}, {"norm": "rms"}, {"norm": "none"}, {"norm_position": "post"}):
        assert all(map(torch.equal, first, linear(5, **fields)))
    assert not any(map(torch.equal, first, linear(6)))


def test_at_first_every_token_is_about_as_likely() -> None:
    net = build(lm(width=64, heads=4), 32, 256, 0)
    tokens = torch.randint(256, (8, 33), generator=torch.Generator().manual_seed(0))
    loss = OBJECTIVES["language_model"]()(net(tokens[:, :-1]), tokens[:, 1:])
    assert loss.item() == pytest.approx(torch.log(torch.tensor(256.0)).item(), abs=0.3)


def test_the_objective_is_the_mean_over_all_tokens_in_nats() -> None:
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(12).reshape(3, 4) % 5
    token_losses = -torch.log_softmax(logits, dim=2).gather(2, targets[..., None])
    loss = OBJECTIVES["language_model"]()(logits, targets)
    assert loss.shape == () and torch.allclose(loss, token_losses.mean())


def test_the_norms_are_ours_and_layer_norm_unless_another_is_named() -> None:
    def names(**fields: Any) -> list[str]:
        net = build(TransformerLmConfig(family="transformer_lm", layers=1, **fields), 4, 4, 0)
        kinds = (type(module) for module in net.modules())
        return [f"{kind.__module__}.{kind.__name__}" for kind in kinds if "Norm" in kind.__name__]

    assert names() == ["models.norms.LayerNorm"] * 3
    assert names(norm_position="post") == ["models.norms.LayerNorm"] * 2
    assert names(norm="rms") == ["models.norms.RMSNorm"] * 3
    assert names(norm="none") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"layers": 0}, {"layers": 97}, {"heads": 0}, {"heads": 257}, {"width": 0},
        {"width": 65_537}, {"width": "8"}, {"width": True}, {"feed_forward": 0},
        {"feed_forward": 17}, {"feed_forward": 2.5}, {"norm": "instance"}, {"norm": None},
        {"norm_position": "both"}, {"activation": "step"}, {"dropout": 1}, {"dropout": -0.1},
        {"dropout": float("nan")}, {"vocabulary": "words"}, {"tied_embeddings": 1},
        {"family": "mlp"}, {"hidden": [3]},
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_is_out_of_bounds_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        lm(**fields)


@pytest.mark.parametrize("norm", ["batch", "layer+batch", "group"])
def test_a_norm_that_is_not_a_tokens_own_is_refused_with_the_reason(norm: str) -> None:
    with pytest.raises(ValidationError, match="normalizes each token by itself"):
        lm(norm=norm)


@pytest.mark.parametrize(
    "fields",
    [{}, {"norm_position": "post"}, {"dropout": 0.2}, {"feed_forward": 8}, {"layers": 6}],
    ids=str,
)
def test_the_memory_estimated_is_about_what_the_backward_pass_needs(fields: Any) -> None:
    config = lm(**{"layers": 3, "width": 64, "heads": 4} | fields)
    net, tokens = build(config, 32, 100, 0), torch.zeros(8, 32, dtype=torch.int64)
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    saved_tensors: dict[int, tuple[int, torch.Tensor]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved_tensors[storage.data_ptr()] = (
                storage.nbytes(),
                tensor,
            )  # alive: no place is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        OBJECTIVES["language_model"]()(net(tokens), tokens)
    needed = sum(size for size, _ in saved_tensors.values())
    estimate = 4 * len(tokens) * config.activation_count(32, 100)
    assert needed < estimate < 2 * needed
