"""The operators that a chain may have, and what one call of them does to each of its tensors.

A step is one operator on tensors of one size; a call of a foreach operator has a step for each
parameter. Knows no net and no optimizer.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from ticks.engines.graph.recording import OperatorCall, TensorLayout

aten = torch.ops.aten


class Form(NamedTuple):
    """A kernel of elementwise.h, and which arguments are its tensors and its number."""

    kernel: str
    inputs: tuple[int, ...]
    number: int | None = None


FORMS: dict[Any, Form] = {
    aten._foreach_mul_.Scalar: Form("multiply", (0,), 1),
    aten._foreach_mul_.Tensor: Form("multiply", (0,), 1),
    aten._foreach_div_.Scalar: Form("divide", (0,), 1),
    aten._foreach_add_.Scalar: Form("add_number", (0,), 1),
    aten._foreach_add_.List: Form("add", (0, 1), 2),
    aten._foreach_add.List: Form("add", (0, 1), 2),
    aten._foreach_lerp_.Scalar: Form("lerp", (0, 1), 2),
    aten._foreach_addcmul_.Scalar: Form("add_product", (0, 1, 2), 3),
    aten._foreach_addcdiv_.Scalar: Form("add_quotient", (0, 1, 2), 3),
    aten._foreach_sqrt.default: Form("square_root", (0,)),
    aten.add_.Tensor: Form("add", (0, 1), 2),
    aten.add.Tensor: Form("add", (0, 1), 2),
    aten.mul.Tensor: Form("product", (0, 1)),
    aten.mul_.Tensor: Form("product", (0, 1)),
    aten.div_.Scalar: Form("divide", (0,), 1),
    aten.relu.default: Form("relu", (0,)),
    aten.threshold_backward.default: Form("threshold_gradient", (0, 1), 2),
}
#: operators of two tensors whose second one is a number
NUMBER_FORMS = {
    aten.mul.Tensor: Form("multiply", (0,), 1),
    aten.mul_.Tensor: Form("multiply", (0,), 1),
    aten.div_.Tensor: Form("divide", (0,), 1),
}


class Step(NamedTuple):
    """One operator on tensors of one size: what it writes, reads and computes with.

    `number` is a float, a layout of one element, or None; `position` is that of the tensors in the
    call's lists, None where the call has no lists.
    """

    kernel: str
    out: TensorLayout
    inputs: tuple[TensorLayout, ...]
    number: Any
    call: OperatorCall
    position: int | None

    @property
    def layouts(self) -> tuple[TensorLayout, ...]:
        """All its tensors but the number."""
        return self.out, *self.inputs

    @property
    def is_in_place(self) -> bool:
        """Whether it writes into its first input."""
        return self.out == self.inputs[0]


def iter_steps(call: OperatorCall) -> Iterator[Step]:
    """Yield the steps of a call; none of a call that is no elementwise operator."""
    form = find_form(call)
    if form is None:
        return
    inputs = [call.arguments[place] for place in form.inputs]
    number = None if form.number is None else call.arguments[form.number]
    is_in_place = bool(call.operator._schema.arguments[0].alias_info)
    outputs = call.arguments[0] if is_in_place else call.results[0]
    if isinstance(outputs, TensorLayout):
        yield Step(form.kernel, outputs, tuple(inputs), number, call, None)
        return
    for position, out in enumerate(outputs):
        tensors = tuple(tensors[position] for tensors in inputs)
        yield Step(form.kernel, out, tensors, number, call, position)


def find_form(call: Any) -> Form | None:
    """Return how an event is computed by a kernel, or None; also of what is no call."""
    if not isinstance(call, OperatorCall):
        return None
    form = FORMS.get(call.operator)
    if form and isinstance(call.arguments[form.inputs[-1]], TensorLayout | list):
        return form
    return NUMBER_FORMS.get(call.operator)


def is_possible(step: Step) -> bool:
    """Return whether a step's tensors are pieces of memory with floats, and its number fits."""
    dtypes = {layout.dtype for layout in step.layouts}
    if None in map(flat_order, step.layouts) or dtypes != {torch.float32}:
        return False
    if isinstance(step.number, TensorLayout):
        return step.number.dtype == torch.float32 and math.prod(step.number.sizes) == 1
    return step.number is None or abs(step.number) <= torch.finfo(torch.float32).max


def flat_order(layout: TensorLayout) -> tuple[tuple[int, int], ...] | None:
    """Return (size, stride) of the dimensions with more than one element.

    None for a tensor without elements, or whose elements are not one piece of memory.
    """
    dimensions = tuple(
        pair for pair in zip(layout.sizes, layout.strides, strict=True) if pair[0] != 1
    )
    expected = 1
    for size, stride in sorted(dimensions, key=lambda pair: pair[1]):
        if stride != expected or size == 0:
            return None
        expected *= size
    return dimensions
