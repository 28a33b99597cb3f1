"""Encode a program's words, as program.h reads them: arguments, numbers, lists, chains."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ticks.engines.graph.fusion import Operand, Slot, Template

#: the dispatcher's numbers of dtypes (c10/core/ScalarType.h)
DTYPES = {
    torch.uint8: 0, torch.int32: 3, torch.int64: 4, torch.float32: 6, torch.float64: 7,
    torch.bool: 11, torch.bfloat16: 15,
}  # fmt: skip
#: the dispatcher's numbers of layouts and memory formats (c10/core/Layout.h, MemoryFormat.h)
FORMATS = {torch.strided: 0, torch.contiguous_format: 0, torch.preserve_format: 1}


class Untraceable(Exception):
    """A tick does something that no program can repeat; the message says what."""


def encode_constant(value: Any, kind: str) -> str:
    """Encode an argument that is the same at every tick; raises Untraceable."""
    if value is None:
        return "n"
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        codes: Mapping[Any, int] = {**DTYPES, **FORMATS}
        if value in codes:
            return f"i{codes[value]}"
    if isinstance(value, torch.device) and value.type == "cpu":
        return "c0"
    if isinstance(value, list) and ("int" in kind.lower() or "bool" in kind):
        return encode_list("B" if "bool" in kind else "I", [int(item) for item in value])
    if isinstance(value, str) and " " not in value:
        return f"q{value}"
    if isinstance(value, bool):
        return f"b{int(value)}"
    if isinstance(value, int | float):
        return encode_number(value, kind)
    raise Untraceable(f"an argument {value!r} of type {kind}")


def encode_number(value: float, kind: str) -> str:
    """Encode a number; where the schema has a tensor it becomes a 0-dim one."""
    is_integer = isinstance(value, int)
    if "Tensor" in kind:
        return f"v{value}" if is_integer else f"w{value.hex()}"
    return f"i{value}" if is_integer and "float" not in kind else f"f{float(value).hex()}"


def encode_list(letter: str, values: Sequence[int]) -> str:
    """Encode a list of integers, such as "I2,3"."""
    return letter + ",".join(map(str, values))


def encode_chain(template: Template, lanes: Sequence[tuple[int, list[int]]]) -> str:
    """Encode a chain; of each lane its tensors' elements and their registers."""
    words = [f"chain i{template.temporaries}"]
    for step in template.steps:
        if isinstance(step.number, Slot | Operand):
            number = f"{'s' if isinstance(step.number, Slot) else 'o'}{step.number.position}"
        else:
            number = "n" if step.number is None else encode_number(step.number, "float")
        words.append(f"{step.kernel}:o{step.out}:{encode_list('I', step.inputs)}:{number}")
    return " ".join([*words, "->", *(encode_list("I", [count, *row]) for count, row in lanes)])
