"""Write a recorded tick as a program, a text that loop.cpp runs. Knows no net and no optimizer.

Every value has a register. Most keep the memory of the recorded tick: the state, and the results of
operators that can write into given memory. Other operators allocate memory at every tick, as all do
in eager.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ticks.engines.graph.chain_check import has_torch_bits
from ticks.engines.graph.encoding import (
    Untraceable,
    encode_chain,
    encode_constant,
    encode_list,
)
from ticks.engines.graph.fusion import ChainCall, Fusion
from ticks.engines.graph.recording import (
    Boundary,
    OperatorCall,
    SeedCall,
    TensorLayout,
    Trace,
    iter_layouts,
    written_layouts,
)
from ticks.engines.graph.schedule import advance_boundary, advance_updates

EMPTY = ("aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided")
ZEROS = ("aten::zeros", "aten::zeros_like", "aten::new_zeros")
FILLED = ("aten::ones_like", "aten::full", "aten::full_like", "aten::ones")
#: operators whose out variant resizes the given memory at every tick
RESIZING = ("aten::mse_loss",)
#: bytes above which a value is allocated at every tick and freed after its last use, as in eager:
#: a large net needs no more memory than there, and memory just freed is still in the cache
MIN_LARGE_BYTES = 1 << 19


class Instruction(NamedTuple):
    """An instruction, and the memory (storage ids) it touches."""

    text: str
    memory: frozenset[int] = frozenset()


class ProgramWriter:
    """Writes one program.

    `scalar_slots` maps values in the record that change from tick to tick to their slots; the
    memory of `outputs` is read after the tick. Raises Untraceable.
    """

    def __init__(
        self, trace: Trace, scalar_slots: Mapping[float, int], outputs: Sequence[TensorLayout]
    ) -> None:
        self.trace, self.scalar_slots = trace, scalar_slots
        self.output_memory = frozenset(layout.memory for layout in outputs)
        self.instructions: list[Instruction] = []
        self.registers: dict[TensorLayout, int] = {}
        self.bases: dict[int, TensorLayout] = {}  # of memory allocated at every tick
        self._touched_memory: set[int] = set()
        self._write_instructions()

    def render(self, head: Sequence[str]) -> str:
        """Return the program's text."""
        last = {memory: i for i, step in enumerate(self.instructions) for memory in step.memory}
        drops: dict[int, list[int]] = {}
        for layout, register in self.registers.items():
            memory = layout.memory
            is_output = memory in self.output_memory
            if memory in self.bases and not is_output and self._is_large(layout):
                drops.setdefault(last[memory], []).append(register)
        lines = list(head)
        for index, instruction in enumerate(self.instructions):
            lines.append(instruction.text)
            if index in drops:
                lines.append(f"drop {encode_list('T', drops[index])}")
        return "\n".join(lines)

    def tensors(self) -> list[Tensor | None]:
        """Return a tensor for each register that keeps its memory, None for the others."""
        return [
            None if layout.memory in self.bases else self._tensor(layout)
            for layout in self.registers
        ]

    def register(self, layout: TensorLayout) -> int:
        """Return a layout's register; a view of fresh memory is created on its first use."""
        self._touched_memory.add(layout.memory)
        if layout not in self.registers:
            base = self.bases.get(layout.memory)
            self.registers[layout] = len(self.registers)
            if base is not None and base != layout:
                self._view(layout, base)
        return self.registers[layout]

    def _is_large(self, layout: TensorLayout) -> bool:
        return self.trace.memory[layout.memory].nbytes() > MIN_LARGE_BYTES

    def _tensor(self, layout: TensorLayout) -> Tensor:
        memory = self.trace.memory[layout.memory]
        empty = torch.empty(0, dtype=layout.dtype)
        return empty.set_(memory, layout.offset, layout.sizes, layout.strides)

    def _view(self, layout: TensorLayout, base: TensorLayout) -> None:
        if layout.dtype != base.dtype:
            raise Untraceable("one memory is read as two types")
        sizes, strides = encode_list("I", layout.sizes), encode_list("I", layout.strides)
        names = f"t{self.registers[layout]} t{self.registers[base]}"
        text = f"view {names} {sizes} {strides} i{layout.offset - base.offset}"
        self.instructions.append(Instruction(text, frozenset([layout.memory])))

    def _add(self, text: str) -> None:
        self.instructions.append(Instruction(text, frozenset(self._touched_memory)))
        self._touched_memory = set()

    def _write_instructions(self) -> None:
        fusion = Fusion(self.output_memory, self.scalar_slots, self._is_large, has_torch_bits)
        events = advance_boundary(list(without_views(self.trace.events)), self.output_memory)
        events = advance_updates(fusion.apply(events), self._is_large)
        calls = [event for event in events if isinstance(event, OperatorCall)]
        written_memory = {layout.memory for call in calls for layout in written_layouts(call)}
        for event in events:
            if isinstance(event, SeedCall):
                self._add(f"seed i{event.part}")
            elif isinstance(event, Boundary):
                self._add("cut")
            elif isinstance(event, ChainCall):
                self._write_chain(event)
            else:
                self._write_call(event, written_memory)

    def _write_chain(self, chain: ChainCall) -> None:
        lanes = [(math.prod(lane[0].sizes), [*map(self.register, lane)]) for lane in chain.lanes]
        self._add(encode_chain(chain.template, lanes))

    def _write_call(self, call: OperatorCall, written: set[int]) -> None:
        name, results = call.operator._schema.name, list(iter_layouts(call.results))
        if any(written_layouts(call)):
            self._emit(call.operator, self._arguments(call), [])
        elif not results:
            raise Untraceable(f"{name} gives a number, on which the rest may depend")
        elif name in EMPTY + ZEROS + FILLED:
            self._initialize(name, results[0], written)
        elif (variant := find_out_variant(call.operator)) and not any(map(self._is_large, results)):
            self._emit(variant, [*self._arguments(call), *map(self._encode, results)], [])
        else:
            self._emit(
                call.operator, self._arguments(call), list(map(self._fresh_registers, call.results))
            )

    def _initialize(self, name: str, layout: TensorLayout, written_memory: set[int]) -> None:
        """Reuse memory the recorded tick allocated; zero it if the tick writes into it."""
        if layout.memory not in written_memory or name in EMPTY:
            return
        if name not in ZEROS:
            raise Untraceable(f"what {name} makes is changed later")
        self._emit(torch.ops.aten.zero_.default, [self._encode(layout)], [])

    def _fresh_registers(self, result: Any) -> str:
        """Return the registers of a result's tensors, which are in fresh memory."""
        registers = []
        for layout in result if isinstance(result, list) else [result]:
            if layout is not None:
                self.bases[layout.memory] = layout
            registers.append(-1 if layout is None else self.register(layout))
        return encode_list("T", registers)

    def _emit(self, operator: Any, arguments: list[str], results: list[str]) -> None:
        schema = operator._schema
        words = [schema.name, schema.overload_name or "-", *arguments, "->", *results]
        self._add(" ".join(["call", *words]))

    def _arguments(self, call: OperatorCall) -> list[str]:
        kinds = [str(argument.type) for argument in call.operator._schema.arguments]
        return [self._encode(arg, kind) for arg, kind in zip(call.arguments, kinds, strict=True)]

    def _encode(self, value: Any, kind: str = "Tensor") -> str:
        """Encode an argument whose type in the operator's schema is `kind`."""
        if isinstance(value, TensorLayout):
            return f"t{self.register(value)}"
        if isinstance(value, list) and value and isinstance(value[0], TensorLayout):
            return encode_list("T", [self.register(layout) for layout in value])
        if isinstance(value, float) and value in self.scalar_slots:
            return f"s{self.scalar_slots[value]}"
        return encode_constant(value, kind)


def without_views(events: Sequence[Any]) -> Iterator[Any]:
    """Yield the events but calls that only look at memory another way, and profilers' marks."""
    seen_memory: set[int] = set()
    for event in events:
        if not isinstance(event, OperatorCall):
            yield event
            continue
        seen_memory |= {layout.memory for layout in iter_layouts(event.arguments)}
        results = {layout.memory for layout in iter_layouts(event.results)}
        is_view = bool(results) and results <= seen_memory and not any(written_layouts(event))
        if event.operator._schema.name.startswith("aten::") and not is_view:
            yield event
        seen_memory |= results


@cache
def find_out_variant(operator: Any) -> Any:
    """Return an operator's out variant, or None where it has none with a CPU kernel."""
    if operator._schema.name in RESIZING:
        return None
    inputs = [(argument.name, str(argument.type)) for argument in operator._schema.arguments]
    packet = operator.overloadpacket
    for name in packet.overloads():
        variant = getattr(packet, name)
        schema = variant._schema
        out_arguments = [argument for argument in schema.arguments if argument.is_out]
        arguments = [(arg.name, str(arg.type)) for arg in schema.arguments if not arg.is_out]
        full_name = f"{schema.name}.{schema.overload_name}"
        if (
            len(out_arguments) == len(operator._schema.returns)
            and arguments == inputs
            and torch._C._dispatch_has_kernel_for_dispatch_key(full_name, "CPU")
        ):
            return variant
    return None
