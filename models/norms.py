"""The norms a model may name: LayerNorm and its relatives, with their formulas. Knows no job.

All act on x of shape [rows, width] (LayerNorm and RMSNorm: [..., width]) and start as gamma = 1 and
beta = 0. They draw no random number, so a net's other weights start alike with a norm and without.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5  # torch's default for LayerNorm, BatchNorm and GroupNorm


class LayerNorm(nn.Module):
    """Layer normalization: each row is normalized by the mean and variance of its own features.

        mean = 1/H * sum_i x_i          var = 1/H * sum_i (x_i - mean)^2
        y_i  = gamma_i * (x_i - mean) / sqrt(var + eps) + beta_i

    over the H = width features of one row, with the biased variance and eps inside the root. Ba,
    Kiros and Hinton 2016, "Layer Normalization", arXiv:1607.06450, equations 3 and 4 (eps is not in
    the paper). Rows are independent, so it is the same in training and evaluation and at any batch
    size. Computed by torch's kernel: equal to nn.LayerNorm(width) bit for bit.
    """

    def __init__(self, width: int, eps: float = EPS) -> None:
        super().__init__()
        self.width, self.eps = width, eps
        self.weight = nn.Parameter(torch.ones(width))  # gamma
        self.bias = nn.Parameter(torch.zeros(width))  # beta

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [..., width]; gives the same shape."""
        return F.layer_norm(x, (self.width,), self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.width}, eps={self.eps}"


class RMSNorm(nn.Module):
    """Root mean square normalization: LayerNorm without the mean and without beta.

        y_i = gamma_i * x_i / sqrt(1/H * sum_j x_j^2 + eps)

    Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4
    (eps added inside the root, as torch does). Equal to nn.RMSNorm(width, eps) bit for bit.
    """

    def __init__(self, width: int, eps: float = EPS) -> None:
        super().__init__()
        self.width, self.eps = width, eps
        self.weight = nn.Parameter(torch.ones(width))  # gamma

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [..., width]; gives the same shape."""
        return F.rms_norm(x, (self.width,), self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.width}, eps={self.eps}"


def batch_norm(width: int) -> nn.Module:
    """Return BatchNorm: each feature normalized by its mean and biased variance over the rows.

        y = gamma * (x - mean) / sqrt(var + eps) + beta

    Ioffe and Szegedy 2015, "Batch Normalization", arXiv:1502.03167, algorithm 1. Training needs two
    rows or more; evaluation uses running averages (momentum 0.1, unbiased variance).
    """
    return nn.BatchNorm1d(width, eps=EPS)


class GroupNorm(nn.Module):
    """Group normalization: LayerNorm's formula over each group of a row's features.

    Wu and He 2018, "Group Normalization", arXiv:1803.08494, equation 7, with one gamma and beta per
    feature. The kernel of nn.GroupNorm, without that module's refusal of one row of one feature.
    """

    def __init__(self, width: int, eps: float = EPS) -> None:
        super().__init__()
        self.width, self.groups, self.eps = width, group_count(width), eps
        self.weight = nn.Parameter(torch.ones(width))  # gamma
        self.bias = nn.Parameter(torch.zeros(width))  # beta

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [rows, width]; gives the same shape."""
        return torch.group_norm(x, self.groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.width}, groups={self.groups}, eps={self.eps}"


def group_count(width: int) -> int:
    """Return GroupNorm's number of groups for `width` features: the greatest divisor up to 8.

    For widths up to 8 it is the greatest divisor below the width, because a group of one feature
    equals its own mean and would always become beta.
    """
    return next(n for n in range(min(8, width - 1), 0, -1) if width % n == 0) if width > 1 else 1


def layer_batch_norm(width: int) -> nn.Module:
    """Return LayerNorm followed by BatchNorm, each with its own gamma and beta."""
    return nn.Sequential(LayerNorm(width), batch_norm(width))


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": LayerNorm,
    "rms": RMSNorm,
    "batch": batch_norm,
    "group": GroupNorm,
    "layer+batch": layer_batch_norm,
}


def make_norm(name: str, width: int) -> list[nn.Module]:
    """Return the named norm of `width` features in a list; an empty list for "none"."""
    return [] if name == "none" else [NORMS[name](width)]
