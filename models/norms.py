"""The norms a model may name: LayerNorm and its relatives, with their formulas. Knows no job.

All act on x of shape [rows, width] (LayerNorm and RMSNorm: [..., width]), start as gamma = 1 and
beta = 0, and draw no random number, so that a net with a norm has the initial weights of the same
net without it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5  # torch's default for LayerNorm, BatchNorm and GroupNorm


class LayerNorm(nn.Module):
    """Layer normalization: each row by the mean and deviation of its own features.

        mean = 1/H * sum_i x_i          var = 1/H * sum_i (x_i - mean)^2
        y_i  = gamma_i * (x_i - mean) / sqrt(var + eps) + beta_i

    over the H = width features of one row; the variance is the biased one and eps lies inside the
    root. Ba, Kiros and Hinton 2016, "Layer Normalization", arXiv:1607.06450, equations 3 and 4 (eps
    is not in the paper). No row sees another, so it is the same in training and evaluation and at
    any batch size. Computed by torch's kernel: equal to nn.LayerNorm(width) bit for bit.
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
    """Root mean square norm: LayerNorm without the mean and without beta.

        y_i = gamma_i * x_i / sqrt(1/H * sum_j x_j^2 + eps)

    Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4
    (eps added inside the root, as torch does).
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
    """Make BatchNorm: each feature by mean and biased variance over the rows of a part.

    Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1. Couples the rows, needs at least two of
    them in training, and keeps running averages (momentum 0.1) that evaluation uses.
    """
    return nn.BatchNorm1d(width, eps=EPS)


class GroupNorm(nn.Module):
    """Group normalization: LayerNorm's formula over each of equal slices of a row's features.

    Wu and He 2018, arXiv:1803.08494, equation 7, with one gamma and beta a feature. The kernel of
    nn.GroupNorm without that module's check of sizes, which refuses one row of one feature.
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
    """Return how many groups GroupNorm makes of `width` features: its greatest divisor up to 8.

    Of widths up to 8 it is the greatest divisor below the width: a group of one feature is its own
    mean, and would normalize everything to beta.
    """
    return next(n for n in range(min(8, width - 1), 0, -1) if width % n == 0) if width > 1 else 1


def layer_batch_norm(width: int) -> nn.Module:
    """Make LayerNorm, then BatchNorm of what it gives; both with their own gamma and beta."""
    return nn.Sequential(LayerNorm(width), batch_norm(width))


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": LayerNorm,
    "rms": RMSNorm,
    "batch": batch_norm,
    "group": GroupNorm,
    "layer+batch": layer_batch_norm,
}


def make_norm(name: str, width: int) -> list[nn.Module]:
    """Make the named norm of `width` features: a list of one module; of none for "none"."""
    return [] if name == "none" else [NORMS[name](width)]
