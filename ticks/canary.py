"""The canary: a hash of the results of torch's kernels here, for one device and thread count.

Machines with equal canaries are assumed to compute equal bits. Names of processors do not suffice:
environment variables change MKL's results. Knows no job; never called in the fork server.
"""

import hashlib
import json

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jobs.spec import training as spec
from ticks.machine import describe_gpu
from ticks.optimizers import make_optimizer, make_update_rule
from ticks.state import tensor_bytes

#: (rows, inner size, columns) of the products: few and many, odd and even, in a cache and beyond
SHAPES = ((1, 10, 50), (1, 64, 64), (7, 13, 5), (32, 64, 10), (33, 129, 257), (256, 256, 256))
WIDTHS = (10, 50, 64, 257)  # features of the normed rows
OPTIMIZERS: tuple[spec.OptimizerSpec, ...] = (
    spec.Sgd(name="sgd", lr=0.01, weight_decay=0.01, decay="all", momentum=0.9),
    spec.Adam(name="adam", lr=0.01, weight_decay=0.01, decay="all"),
    spec.AdamW(name="adamw", lr=0.01, weight_decay=0.01, decay="all"),
)


def compute_canary(device: torch.device) -> str:
    """Return the canary, 32 hex digits, for the thread count that is set. Takes about 20 ms.

    A GPU's has its name, size, driver and libraries in it too: they choose kernels by these, and
    none of the shapes here need be one where two choices differ.
    """
    sha = hashlib.sha256()
    if (gpu := describe_gpu(device)) is not None:
        sha.update(json.dumps(gpu, sort_keys=True).encode())
    for result in kernel_results(device):
        sha.update(tensor_bytes(result))
    return sha.hexdigest()[:32]


def kernel_results(device: torch.device) -> list[Tensor]:
    """Return the results of a fixed set of operators on fixed inputs.

    Products, norms, elementary functions, reductions, optimizers, attention and random numbers.
    """
    generator = torch.Generator().manual_seed(20_16)
    results = [draw(generator, 4099).to(device)]
    for rows, inner, columns in SHAPES:
        a, b = draw(generator, rows, inner).to(device), draw(generator, inner, columns).to(device)
        # The last one reads from an unaligned address, where MKL sums in another order.
        results += [a @ b, F.linear(a, b.t().contiguous()), (a.t() @ a)[0], a[-1] @ b]
    for width in WIDTHS:
        results += layer_norm_results(draw(generator, 33, width).to(device))
    results += elementary_results(3 * draw(generator, 5003).to(device))
    results += optimizer_results(draw(generator, 65, 33).to(device))
    weight = draw(generator, 72, 24).to(device)
    results += attention_results(draw(generator, 2, 17, 24).to(device), weight)
    with torch.autocast(device.type, torch.bfloat16):
        results += attention_results(draw(generator, 2, 17, 24).to(device), weight)
    torch.manual_seed(7)
    results.append(F.dropout(torch.ones(5003, device=device), 0.3))
    return results


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw standard normal numbers, float32, on the CPU."""
    return torch.randn(*shape, generator=generator)


def layer_norm_results(x: Tensor) -> list[Tensor]:
    """Return LayerNorm, BatchNorm and RMSNorm of x [rows, width], a loss of them, and gradients."""
    x = x.requires_grad_()
    width = x.shape[1]
    gamma = torch.full_like(x[0], 1.5).requires_grad_()
    beta = torch.ones_like(x[0]).requires_grad_()
    hidden = F.layer_norm(x, (width,), gamma, beta)
    hidden = F.batch_norm(hidden, None, None, training=True) + F.rms_norm(x, (width,), gamma)
    targets = torch.arange(len(x), device=x.device) % width
    loss = F.cross_entropy(F.gelu(hidden), targets) + F.mse_loss(hidden, torch.zeros_like(hidden))
    return [hidden.detach(), loss.detach(), *torch.autograd.grad(loss, [x, gamma, beta])]


def attention_results(x: Tensor, weight: Tensor) -> list[Tensor]:
    """Return causal attention of three heads over x [rows, window, 24], and its gradients.

    `weight` is [72, 24].
    """
    x, weight = x.requires_grad_(), weight.clone().requires_grad_()
    parts = F.linear(x, weight).chunk(3, dim=2)
    q, k, v = (part.reshape(len(x), -1, 3, 8).transpose(1, 2) for part in parts)
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    output = F.gelu(F.linear(attended, weight)).float()
    return [output.detach(), *torch.autograd.grad(output.square().mean(), [x, weight])]


def elementary_results(x: Tensor) -> list[Tensor]:
    """Return elementary functions, softmax and reductions of x [n]."""
    functions = (torch.exp, torch.tanh, torch.sigmoid, F.silu, torch.sqrt, torch.log, torch.rsqrt)
    reductions = (torch.softmax(x, 0), x.sum(), x.mean(), x.var(), torch.linalg.vector_norm(x))
    return [*(function(x.abs() + 0.1) for function in functions), *reductions]


def optimizer_results(x: Tensor) -> list[Tensor]:
    """Return the weights x [rows, columns] after three updates by each optimizer."""
    results = []
    for settings in OPTIMIZERS:
        weight = nn.Parameter(x.clone())
        optimizer, rule = make_optimizer(settings, [weight]), make_update_rule(settings)
        for step in (1, 2, 3):
            gradient = torch.sin(weight.detach())
            rule.apply(optimizer, [gradient], rule.step_scalars(settings.lr, step))
        results.append(weight.detach())
    return results
