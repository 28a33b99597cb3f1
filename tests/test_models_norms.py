"""Every norm against its formula, written out in float64."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.norms import EPS, NORMS, LayerNorm, group_count, make_norm

SHAPES = [(1, 2), (1, 50), (7, 3), (32, 64), (5, 257), (3, 1024), (4, 6, 33)]
TOLERANCE = 5e-6  # float32 against float64, for inputs of some size


def some(shape: tuple[int, ...], scale: float = 3.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) + 1


def formula(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = EPS) -> Tensor:
    """The docstring's formula in float64, with nothing of torch's own norms."""
    x, gamma, beta = x.double(), gamma.double(), beta.double()
    mean = x.sum(-1, keepdim=True) / x.shape[-1]
    variance = ((x - mean) ** 2).sum(-1, keepdim=True) / x.shape[-1]
    return gamma * (x - mean) / torch.sqrt(variance + eps) + beta


def filled(module: nn.Module) -> nn.Module:
    """Give gamma and beta values that are not 1 and 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def furthest(a: Tensor, b: Tensor) -> float:
    return float((a.detach().double() - b.detach().double()).abs().max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_norm_is_the_formula(shape: tuple[int, ...]) -> None:
    layer = filled(LayerNorm(shape[-1]))
    x = some(shape)
    assert furthest(layer(x), formula(x, layer.weight, layer.bias)) < TOLERANCE


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_norms_gradients_are_the_formulas(shape: tuple[int, ...]) -> None:
    layer, x = filled(LayerNorm(shape[-1])), some(shape).requires_grad_()
    inputs = [x, *layer.parameters()]
    weights = some(shape, scale=0.5)
    ours = torch.autograd.grad((layer(x) * weights).sum(), inputs)
    exact = torch.autograd.grad((formula(*inputs) * weights.double()).sum(), inputs)
    assert all(furthest(a, b) < 1e-4 for a, b in zip(ours, exact, strict=True))


@pytest.mark.parametrize("scale", [1e-3, 1e-2], ids=str)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, mean, var: (x - mean) / torch.sqrt(var * x.shape[-1] / (x.shape[-1] - 1) + EPS),
        lambda x, mean, var: (x - mean) / (torch.sqrt(var) + EPS),
        lambda x, mean, var: x / torch.sqrt(var + EPS),
    ],
    ids=["unbiased variance", "eps outside the root", "no mean"],
)
def test_a_formula_that_is_wrong_is_seen(wrong, scale: float) -> None:
    x = some((32, 64), scale).double()
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    ours = LayerNorm(64).double()(x)
    assert furthest(ours, wrong(x, mean, variance)) > 100 * TOLERANCE


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_norm_equals_torchs_module_bit_for_bit(shape: tuple[int, ...]) -> None:
    ours, theirs = filled(LayerNorm(shape[-1])), filled(nn.LayerNorm(shape[-1]))
    x, y = some(shape).requires_grad_(), some(shape).requires_grad_()
    a, b = ours(x), theirs(y)
    assert torch.equal(a, b)
    ours_back = torch.autograd.grad(a.sin().sum(), [x, *ours.parameters()])
    theirs_back = torch.autograd.grad(b.sin().sum(), [y, *theirs.parameters()])
    assert all(torch.equal(p, q) for p, q in zip(ours_back, theirs_back, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rms_norm_is_its_formula(shape: tuple[int, ...]) -> None:
    rms, x = filled(NORMS["rms"](shape[-1])), some(shape)
    mean_square = (x.double() ** 2).sum(-1, keepdim=True) / shape[-1]
    exact = rms.weight.double() * x.double() / torch.sqrt(mean_square + EPS)
    assert furthest(rms(x), exact) < TOLERANCE


@pytest.mark.parametrize("width", [2, 6, 11, 64, 100])
def test_group_norm_is_layer_norms_formula_in_each_group(width: int) -> None:
    group, x = filled(NORMS["group"](width)), some((5, width))
    size = width // group_count(width)
    slices = zip(x.split(size, 1), group.weight.split(size), group.bias.split(size), strict=True)
    exact = torch.cat([formula(*group_slice) for group_slice in slices], dim=1)
    assert furthest(group(x), exact) < TOLERANCE


def test_group_norm_has_no_group_of_one_feature_unless_there_is_only_one() -> None:
    assert [group_count(width) for width in (1, 2, 3, 4, 8, 9, 10, 11, 64, 100)] == [
        1, 1, 1, 2, 4, 3, 5, 1, 8, 5,
    ]  # fmt: skip


def test_group_norm_equals_torchs_module_bit_for_bit() -> None:
    ours, theirs, x = filled(NORMS["group"](64)), filled(nn.GroupNorm(8, 64)), some((9, 64))
    assert torch.equal(ours(x), theirs(x))


def test_batch_norm_is_its_formula_over_rows() -> None:
    batch, x = filled(NORMS["batch"](6)), some((32, 6))
    exact = formula(x.t(), torch.ones(32), torch.zeros(32)).t()
    exact = exact * batch.weight.double() + batch.bias.double()
    assert furthest(batch(x), exact) < TOLERANCE


def test_layer_batch_norm_is_the_one_after_the_other() -> None:
    both, x = filled(NORMS["layer+batch"](6)), some((32, 6))
    layered = F.layer_norm(x, (6,), both[0].weight, both[0].bias, EPS)
    exact = F.batch_norm(layered, None, None, both[1].weight, both[1].bias, training=True)
    assert torch.equal(both(x), exact)


@pytest.mark.parametrize("name", ["layer", "rms", "group"])
def test_norms_over_features_couple_no_rows(name: str) -> None:
    module, x = filled(NORMS[name](12)), some((8, 12))
    alone = torch.cat([module(row) for row in x.split(1)])
    assert torch.equal(module(x), alone)


def test_batch_norms_couple_rows() -> None:
    x = some((8, 12))
    assert not torch.equal(NORMS["batch"](12)(x)[:4], NORMS["batch"](12)(x[:4]))


def test_the_absence_of_a_norm_is_no_module() -> None:
    assert make_norm("none", 5) == []
