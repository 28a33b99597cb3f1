"""Where a net's tensors lie in the C code: each as lines, in the order of its parameters.

A weight [outputs, inputs] becomes lines along its longer side, so that a block of 8 wastes little:
`columns` (outputs >= inputs) has a line of outputs for each input, `rows` a line of inputs for each
output. That choice is part of the order of sums (see emit.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from models.norms import groups as group_norm_groups
from ticks.engines.native.form import Form


@dataclass(frozen=True)
class Place:
    """One tensor: `lines` of `width`, element (i, j) at i * line_step + j * step of torch's."""

    name: str
    lines: int
    width: int
    line_step: int = 0
    step: int = 1


@dataclass(frozen=True)
class Layer:
    """One linear layer."""

    number: int
    inputs: int
    outputs: int

    @property
    def columns(self) -> bool:
        """Whether its lines are of outputs."""
        return self.outputs >= self.inputs


def layers(form: Form) -> list[Layer]:
    """Return the linear layers in order."""
    widths = [form.inputs, *form.hidden, form.outputs]
    return [Layer(at, *pair) for at, pair in enumerate(zip(widths, widths[1:], strict=False))]


def groups(form: Form, width: int) -> int:
    """Return in how many slices a row of `width` is normed."""
    return group_norm_groups(width) if form.norm == "group" else 1


def places(form: Form) -> Iterator[Place]:
    """Yield the tensors in the order of the net's parameters."""
    for layer in layers(form):
        yield _weight(layer)
        yield Place(f"BIAS{layer.number}", 1, layer.outputs)
        if layer.number < len(form.hidden) and form.norm != "none":
            yield Place(f"GAMMA{layer.number}", 1, layer.outputs)
            if form.norm != "rms":
                yield Place(f"BETA{layer.number}", 1, layer.outputs)


def _weight(layer: Layer) -> Place:
    name = f"WEIGHT{layer.number}"
    if layer.columns:
        return Place(name, layer.inputs, layer.outputs, line_step=1, step=layer.inputs)
    return Place(name, layer.outputs, layer.inputs, line_step=layer.inputs)
