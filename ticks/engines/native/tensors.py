"""The layout of a net's tensors in the C code: each as lines, in the order of the parameters.

A weight [outputs, inputs] is stored as lines along its longer side, so that blocks of 8 waste
little: a columnwise layer (outputs >= inputs) has a line of outputs per input, another a line of
inputs per output. That choice is part of the order of sums (see codegen.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from models.norms import group_count as group_norm_groups
from ticks.engines.native.signature import KernelSignature


@dataclass(frozen=True)
class TensorPlacement:
    """One tensor as `lines` of `width`; element (i, j) is torch's at i * line_step + j * step."""

    name: str
    lines: int
    width: int
    line_step: int = 0
    step: int = 1

    @property
    def is_weight(self) -> bool:
        """Whether it is a linear layer's weight, not a bias or a norm's parameter."""
        return self.name.startswith("WEIGHT")


@dataclass(frozen=True)
class LinearLayer:
    """One linear layer, numbered from 0."""

    number: int
    inputs: int
    outputs: int

    @property
    def is_columnwise(self) -> bool:
        """Whether a line of its weight holds outputs (of one input)."""
        return self.outputs >= self.inputs


def linear_layers(kernel: KernelSignature) -> list[LinearLayer]:
    """Return the linear layers in order."""
    widths = [kernel.inputs, *kernel.hidden, kernel.outputs]
    return [LinearLayer(number, *pair) for number, pair in enumerate(pairwise(widths))]


def group_count(kernel: KernelSignature, width: int) -> int:
    """Return the number of groups in which the norm normalizes a row of `width`."""
    return group_norm_groups(width) if kernel.norm == "group" else 1


def tensor_placements(kernel: KernelSignature) -> Iterator[TensorPlacement]:
    """Yield the tensors in the order of the net's parameters."""
    for layer in linear_layers(kernel):
        yield _weight_placement(layer)
        yield TensorPlacement(f"BIAS{layer.number}", 1, layer.outputs)
        if layer.number < len(kernel.hidden) and kernel.norm != "none":
            yield TensorPlacement(f"GAMMA{layer.number}", 1, layer.outputs)
            if kernel.norm != "rms":
                yield TensorPlacement(f"BETA{layer.number}", 1, layer.outputs)


def _weight_placement(layer: LinearLayer) -> TensorPlacement:
    name = f"WEIGHT{layer.number}"
    if layer.is_columnwise:
        return TensorPlacement(name, layer.inputs, layer.outputs, line_step=1, step=layer.inputs)
    return TensorPlacement(name, layer.outputs, layer.inputs, line_step=layer.inputs)
