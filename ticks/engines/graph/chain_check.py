"""Compare a chain with torch's own operators on this processor, bit for bit.

torch chooses its kernels by the processor, and a kernel's vectors and its last elements may round
differently. Each chain runs beside torch's calls, on short tensors of many lengths, with values of
every kind; where it agrees, that is recorded for this processor as the proof of a program is.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ticks import machine
from ticks.engines.graph import build_loop
from ticks.engines.graph.elementwise import FORMS, NUMBER_FORMS
from ticks.engines.graph.encoding import encode_chain
from ticks.engines.graph.fusion import Operand, Slot, StepTemplate, Template
from ticks.engines.graph.loop import LoadedProgram, TickArguments, run_programs
from ticks.engines.proofs import PROOF_TICKS, ProofContext, Proofs, current_context

#: elements of the tensors: of torch's vectors (up to two of 16) none, some, and what is left over
LENGTHS = (1, 2, 7, 15, 31, 33, 63, 95)
#: the numbers that change from tick to tick, and that of a tensor of one element, in a trial
SLOT_NUMBERS = (0.99997, 0.31, -0.0123, 1.5, -2.5, 0.7, 3.0, -1.0)
ONE_ELEMENT = 0.3
#: 0.0, -0.0, the infinities, the least and the largest value, NaN as this processor makes it
NAN_BITS = 0xFFC00000
SPECIAL_BITS = (0, 1 << 31, 0x7F800000, 0xFF800000, 1, 0x7F7FFFFF, NAN_BITS)

Pieces = list[Tensor]
log = logging.getLogger(__name__)


@cache
def has_torch_bits(template: Template) -> bool:
    """Return whether a chain gives torch's bits on this processor."""
    proofs = Proofs(_context(), build_loop.default_folder() / "chains")
    operators = [str(step.operator) for step in template.steps]
    text = " ".join([encode_chain(template, []), *operators])
    if proofs.covers([text]):
        return True
    samples = [sample(index, sum(LENGTHS)) for index in range(template.tensors)]
    difference = find_difference(template, samples, LENGTHS)
    if difference is None:
        proofs.add({text: PROOF_TICKS})
    else:
        log.warning("graph leaves %s to torch on this processor: %s", text, difference)
    return difference is None


@cache
def _context() -> ProofContext:
    processor = f"{machine.cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"
    return current_context("chain", processor)


def find_difference(
    template: Template, samples: Sequence[Tensor], lengths: Sequence[int]
) -> str | None:
    """Run a chain and torch's calls on the same values; describe the first element that differs.

    `samples` has the values of each operand, float32 [sum of `lengths`].
    """
    expected = run_by_torch(template, make_operands(template, samples, lengths))
    actual = make_operands(template, samples, lengths)
    run_chain(template, actual)
    for index in range(template.tensors):
        ours, theirs = torch.cat(actual[index]), torch.cat(expected[index])
        unequal = ours.view(torch.int32) != theirs.view(torch.int32)
        if unequal.any():
            at = int(unequal.nonzero()[0])
            return f"{ours[at].item()!r} for torch's {theirs[at].item()!r} (operand {index}, {at})"
    return None


def sample(index: int, count: int) -> Tensor:
    """Return values of every kind for an operand, float32 [count].

    Every second one is of moderate size, the others are of any bits. All NaN are the same, because
    which of two an operation returns is not defined.
    """
    bits = np.arange(1 + count * index, 1 + count * (index + 1), dtype=np.uint32)
    for factor in (0x9E3779B1, 0x85EBCA77):
        bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(factor)
    bits[1::2] = (bits[1::2] & np.uint32(0x87FFFFFF)) | np.uint32(0x38000000)
    bits[::31] = np.resize(np.array(SPECIAL_BITS, np.uint32), len(bits[::31]))
    bits[np.isnan(bits.view(np.float32))] = NAN_BITS
    return torch.from_numpy(bits.view(np.float32))


def make_operands(
    template: Template, samples: Sequence[Tensor], lengths: Sequence[int]
) -> list[Pieces]:
    """Return for each operand tensors of these lengths; for a number one element, repeated."""
    numbers = {step.number.position for step in template.steps if isinstance(step.number, Operand)}
    return [
        [torch.tensor([ONE_ELEMENT])] * len(lengths)
        if index in numbers
        else [piece.clone() for piece in torch.split(values, list(lengths))]
        for index, values in enumerate(samples)
    ]


@torch.no_grad()
def run_by_torch(template: Template, operands: list[Pieces]) -> list[Pieces]:
    """Run a template's steps by torch's operators; return what becomes of the operands."""
    values = dict(enumerate(operands))
    for step in template.steps:
        inputs = [values[index] for index in step.inputs]
        result = call_operator(step, inputs, values)
        if step.out not in step.inputs[:1]:
            values[step.out] = result
    return [values[index] for index in range(template.tensors)]


def call_operator(step: StepTemplate, inputs: list[Pieces], values: dict[int, Pieces]) -> Any:
    """Call a step's operator on all pieces and return its results."""
    arguments = step.operator._schema.arguments
    number: Any = step.number
    if isinstance(number, Operand):
        number = values[number.position][0].reshape(())
    elif isinstance(number, Slot):
        number = SLOT_NUMBERS[number.position]
    forms = (FORMS.get(step.operator), NUMBER_FORMS.get(step.operator))
    form = next(form for form in forms if form and form.kernel == step.kernel)

    def call(tensors: Sequence[Any]) -> Any:
        given = dict(zip(form.inputs, tensors, strict=True))
        if form.number is not None:
            given[form.number] = number
        positional = [given[place] for place, a in enumerate(arguments) if not a.kwarg_only]
        keywords = {a.name: given[place] for place, a in enumerate(arguments) if a.kwarg_only}
        return step.operator(*positional, **keywords)

    if isinstance(arguments[0].type, torch.ListType):
        return call(inputs)
    return [call(tensors) for tensors in zip(*inputs, strict=True)]


def run_chain(template: Template, operands: list[Pieces]) -> None:
    """Run a chain on the operands in place."""
    lanes = list(zip(*operands, strict=True))
    loss = torch.zeros(())
    tensors = [loss, *(tensor for lane in lanes for tensor in lane)]
    registers = iter(range(1, len(tensors)))
    words = [(len(lane[0]), [next(registers) for _ in lane]) for lane in lanes]
    text = f"loss t0\n{encode_chain(template, words)}\ncut\ncut"
    zero = np.zeros(1, np.int64)
    run_programs(
        [LoadedProgram(text, tensors)],
        TickArguments(
            program=zero, first=zero, rows=None, seeds=np.zeros((1, 1), np.uint64),
            numbers=np.array([SLOT_NUMBERS]),
        ),
    )  # fmt: skip
