"""Writes what was recorded as a program, a text that loop.cpp runs. Knows no net and no optimizer.

Every value has a register. Most keep their memory from tick to tick (the memory of the recorded
tick): what the state is made of, and what is computed by an operator that can write into memory it
is given. Other operators make fresh memory at every tick, as all do in eager.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ticks.engines.graph.recording import Called, Cut, Place, Recording, Seeded

#: torch's numbers of types (c10/core/ScalarType.h), which the dispatcher takes
DTYPES = {
    torch.uint8: 0, torch.int32: 3, torch.int64: 4, torch.float32: 6, torch.float64: 7,
    torch.bool: 11, torch.bfloat16: 15,
}  # fmt: skip
#: of layouts and memory formats (c10/core/Layout.h, MemoryFormat.h)
FORMATS = {torch.strided: 0, torch.contiguous_format: 0, torch.preserve_format: 1}
EMPTY = ("aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided")
ZEROS = ("aten::zeros", "aten::zeros_like", "aten::new_zeros")
FILLED = ("aten::ones_like", "aten::full", "aten::full_like", "aten::ones")
#: operators whose form for given memory resizes it at every tick
RESIZING = ("aten::mse_loss",)
#: bytes beyond which a value is made anew at every tick and given back after its last use, as in
#: eager: a large net takes no more memory than there, and what was just given back is in the cache
LARGE = 1 << 19


class Untraceable(Exception):
    """Something in a tick that no program can repeat; the message says what."""


class Line(NamedTuple):
    """An instruction, and the memory it touches."""

    text: str
    memory: frozenset[int] = frozenset()


class Writer:
    """Writes one program. `numbers`: values of the recorded tick that change, and their slots."""

    def __init__(self, recording: Recording, numbers: Mapping[float, int]) -> None:
        self.recording, self.numbers = recording, numbers
        self.lines: list[Line] = []
        self.registers: dict[Place, int] = {}
        self.bases: dict[int, Place] = {}  # of memory made anew at every tick
        self._touched: set[int] = set()
        self._write()

    def text(self, head: Sequence[str], kept: Sequence[Place]) -> str:
        """Return the whole program; what lies at the kept places is never given back."""
        last = {memory: at for at, line in enumerate(self.lines) for memory in line.memory}
        drops: dict[int, list[int]] = {}
        spared = {place.memory for place in kept}
        for place, register in self.registers.items():
            memory = place.memory
            if memory in self.bases and memory not in spared and self._is_large(place):
                drops.setdefault(last[memory], []).append(register)
        lines = list(head)
        for at, line in enumerate(self.lines):
            lines.append(line.text)
            if at in drops:
                lines.append(f"drop {listed('T', drops[at])}")
        return "\n".join(lines)

    def tensors(self) -> list[Tensor | None]:
        """Return a tensor for each register that keeps its memory, None for the others."""
        return [
            None if place.memory in self.bases else self._tensor(place) for place in self.registers
        ]

    def register(self, place: Place) -> int:
        """Return the register of a place; a view of fresh memory is made on its first use."""
        self._touched.add(place.memory)
        if place not in self.registers:
            base = self.bases.get(place.memory)
            self.registers[place] = len(self.registers)
            if base is not None and base != place:
                self._view(place, base)
        return self.registers[place]

    def _is_large(self, place: Place) -> bool:
        return self.recording.memory[place.memory].nbytes() > LARGE

    def _tensor(self, place: Place) -> Tensor:
        memory = self.recording.memory[place.memory]
        empty = torch.empty(0, dtype=place.dtype)
        return empty.set_(memory, place.offset, place.sizes, place.strides)

    def _view(self, place: Place, base: Place) -> None:
        if place.dtype != base.dtype:
            raise Untraceable("one memory is read as two types")
        sizes, strides = listed("I", place.sizes), listed("I", place.strides)
        names = f"t{self.registers[place]} t{self.registers[base]}"
        text = f"view {names} {sizes} {strides} i{place.offset - base.offset}"
        self.lines.append(Line(text, frozenset([place.memory])))

    def _add(self, text: str) -> None:
        self.lines.append(Line(text, frozenset(self._touched)))
        self._touched = set()

    def _write(self) -> None:
        events = self.recording.events
        calls = [event for event in events if isinstance(event, Called)]
        written = {place.memory for call in calls for place in changed(call)}
        known: set[int] = set()
        for event in events:
            if isinstance(event, Seeded):
                self._add(f"seed i{event.part}")
            elif isinstance(event, Cut):
                self._add("cut")
            else:
                known |= {place.memory for place in places(event.arguments)}
                self._call(event, known, written)
                known |= {place.memory for place in places(event.results)}

    def _call(self, call: Called, known: set[int], written: set[int]) -> None:
        name, results = call.operator._schema.name, list(places(call.results))
        if not name.startswith("aten::"):
            return  # marks of torch's profiler
        if any(changed(call)):
            self._emit(call.operator, self._arguments(call), [])
        elif not results:
            raise Untraceable(f"{name} gives a number, on which the rest may depend")
        elif all(place.memory in known for place in results):
            return  # a view
        elif name in EMPTY + ZEROS + FILLED:
            self._make(name, results[0], written)
        elif (into := into_form(call.operator)) and not any(map(self._is_large, results)):
            self._emit(into, self._arguments(call) + [self._word(each) for each in results], [])
        else:
            self._emit(call.operator, self._arguments(call), [self._fresh(r) for r in call.results])

    def _make(self, name: str, place: Place, written: set[int]) -> None:
        """Take memory that the recorded tick made; its content stays unless it is written into."""
        if place.memory not in written or name in EMPTY:
            return
        if name not in ZEROS:
            raise Untraceable(f"what {name} makes is changed later")
        self._emit(torch.ops.aten.zero_.default, [self._word(place)], [])

    def _fresh(self, result: Any) -> str:
        """Take a register for each tensor of a result that lies in fresh memory."""
        into = []
        for place in result if isinstance(result, list) else [result]:
            if place is not None:
                self.bases[place.memory] = place
            into.append(-1 if place is None else self.register(place))
        return listed("T", into)

    def _emit(self, operator: Any, arguments: list[str], results: list[str]) -> None:
        schema = operator._schema
        words = [schema.name, schema.overload_name or "-", *arguments, "->", *results]
        self._add(" ".join(["call", *words]))

    def _arguments(self, call: Called) -> list[str]:
        kinds = [str(each.type) for each in call.operator._schema.arguments]
        return [self._word(each, kind) for each, kind in zip(call.arguments, kinds, strict=True)]

    def _word(self, value: Any, kind: str = "Tensor") -> str:
        """Spell an argument of a kind, the schema's."""
        if isinstance(value, Place):
            return f"t{self.register(value)}"
        if isinstance(value, list) and value and isinstance(value[0], Place):
            return listed("T", [self.register(each) for each in value])
        if isinstance(value, float) and value in self.numbers:
            return f"s{self.numbers[value]}"
        return constant(value, kind)


def constant(value: Any, kind: str) -> str:
    """Spell an argument that is the same at every tick."""
    if value is None:
        return "n"
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        known: Mapping[Any, int] = {**DTYPES, **FORMATS}
        if value in known:
            return f"i{known[value]}"
    if isinstance(value, torch.device) and value.type == "cpu":
        return "c0"
    if isinstance(value, list) and ("int" in kind.lower() or "bool" in kind):
        return listed("B" if "bool" in kind else "I", [int(each) for each in value])
    if isinstance(value, str) and " " not in value:
        return f"q{value}"
    if isinstance(value, bool):
        return f"b{int(value)}"
    if isinstance(value, int | float):
        return number(value, kind)
    raise Untraceable(f"an argument {value!r} of type {kind}")


def number(value: float, kind: str) -> str:
    """Spell a number: where the schema asks for a tensor it is one of no dimension."""
    whole = isinstance(value, int)
    if "Tensor" in kind:
        return f"v{value}" if whole else f"w{value.hex()}"
    return f"i{value}" if whole and "float" not in kind else f"f{float(value).hex()}"


def listed(letter: str, values: Sequence[int]) -> str:
    """Spell a list of whole numbers."""
    return letter + ",".join(map(str, values))


def places(values: Any) -> Iterator[Place]:
    """All places in a list, also those in lists in it."""
    for value in values:
        if isinstance(value, Place):
            yield value
        elif isinstance(value, list):
            yield from places(value)


def changed(call: Called) -> Iterator[Place]:
    """The places of the arguments that a call writes into."""
    for value, each in zip(call.arguments, call.operator._schema.arguments, strict=True):
        if each.alias_info is not None and each.alias_info.is_write:
            yield from places([value])


@cache
def into_form(operator: Any) -> Any:
    """Return the form of an operator that writes into memory it is given; None without a kernel."""
    if operator._schema.name in RESIZING:
        return None
    inputs = [(each.name, str(each.type)) for each in operator._schema.arguments]
    packet = operator.overloadpacket
    for name in packet.overloads():
        form = getattr(packet, name)
        given = [each for each in form._schema.arguments if each.is_out]
        others = [(each.name, str(each.type)) for each in form._schema.arguments if not each.is_out]
        full = f"{form._schema.name}.{form._schema.overload_name}"
        if (
            len(given) == len(operator._schema.returns)
            and others == inputs
            and torch._C._dispatch_has_kernel_for_dispatch_key(full, "CPU")
        ):
            return form
    return None
