"""Find chains of elementwise operators in a recorded tick, which loop.cpp runs in one pass.

Operators on tensors of several parameters are taken apart, and those on the tensors of one
parameter are put together: AdamW's eight passes over all parameters become one over each. What does
not fit exactly stays torch's own call. Knows no net and no optimizer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ticks.engines.graph.elementwise import Step, find_form, flat_order, is_possible, iter_steps
from ticks.engines.graph.recording import OperatorCall, TensorLayout, iter_layouts

Lane = list[Step]


class Operand(NamedTuple):
    """A tensor of a lane, by its place among them."""

    position: int


class Slot(NamedTuple):
    """A number that changes from tick to tick, by its place among them."""

    position: int


class StepTemplate(NamedTuple):
    """A step of every lane of a chain.

    `number` is a float, a Slot, an Operand of one element, or None.
    """

    kernel: str
    operator: Any
    out: int
    inputs: tuple[int, ...]
    number: Any


class Template(NamedTuple):
    """What a chain does to the operands of each lane: its tensors, then temporary values."""

    steps: tuple[StepTemplate, ...]
    tensors: int
    temporaries: int


@dataclass(frozen=True)
class ChainCall:
    """A chain, and the tensors of each of its lanes in the template's order."""

    template: Template
    lanes: list[tuple[TensorLayout, ...]]


Event = Any  # OperatorCall, SeedCall, Boundary or ChainCall


@dataclass
class CallRun:
    """Elementwise calls that follow each other, and the memory they write or read numbers from."""

    calls: list[OperatorCall] = field(default_factory=list)
    written: set[int] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)

    def add(self, call: OperatorCall) -> bool:
        """Add a call; not one that reads a number where one of them writes, or the reverse."""
        written, numbers = memory_of(call)
        if self.calls and (numbers & (written | self.written) or self.numbers & written):
            return False
        self.calls.append(call)
        self.written |= written
        self.numbers |= numbers
        return True


@dataclass(frozen=True)
class Fusion:
    """Rewrites the events of a tick.

    `outputs` are the memories that are read after it, `slots` maps numbers that change to their
    places, `is_large` tells of a layout whether it is allocated anew at every tick,
    `has_torch_bits` of a template whether it computes what torch does.
    """

    outputs: frozenset[int]
    slots: Mapping[float, int]
    is_large: Callable[[TensorLayout], bool]
    has_torch_bits: Callable[[Template], bool]

    def apply(self, events: Sequence[Event]) -> list[Event]:
        """Return the events with chains in place of what they replace. There are no views in it."""
        last_use = self._find_last_uses(events)
        rewritten: list[Event] = []
        run = CallRun()
        for index, event in enumerate(events):
            if find_form(event) is None:
                rewritten += [*self._fuse_run(run.calls, index, last_use), event]
                run = CallRun()
            elif not run.add(event):
                rewritten += self._fuse_run(run.calls, index, last_use)
                run = CallRun()
                run.add(event)
        return rewritten + self._fuse_run(run.calls, len(events), last_use)

    def _find_last_uses(self, events: Sequence[Event]) -> dict[int, int]:
        last_use = dict.fromkeys(self.outputs, len(events))
        for index, event in enumerate(events):
            if isinstance(event, OperatorCall):
                for layout in iter_layouts([event.arguments, event.results]):
                    last_use[layout.memory] = max(index, last_use.get(layout.memory, 0))
        return last_use

    def _fuse_run(self, run: list[OperatorCall], end: int, last_use: dict[int, int]) -> list[Event]:
        """Return what replaces calls that follow each other, the last before index `end`."""
        chains: dict[Template, list[tuple[TensorLayout, ...]]] = {}
        fused: set[tuple[int, int | None]] = set()
        for lane in split_into_lanes(step for call in run for step in iter_steps(call)):
            results = {step.out.memory for step in lane if not step.is_in_place}
            temporary = {memory for memory in results if last_use[memory] < end}
            if not self._is_fusible(lane, results - temporary):
                continue
            template, tensors = make_template(lane, temporary, self.slots)
            if self.has_torch_bits(template):
                chains.setdefault(template, []).append(tensors)
                fused |= {(id(step.call), step.position) for step in lane}
        calls: list[Event] = [ChainCall(*chain) for chain in chains.items()]
        return calls + [rest for call in run if (rest := without_fused(call, fused))]

    def _is_fusible(self, lane: Lane, results: set[int]) -> bool:
        layouts = {layout for step in lane for layout in step.layouts}
        numbers = {step.number for step in lane if is_layout(step.number)}
        memory = {layout.memory for layout in layouts | numbers}
        return (
            all(map(is_possible, lane))
            and len({flat_order(layout) for layout in layouts}) == 1
            and len(memory) == len(layouts) + len(numbers)
            and not any(layout.memory in results and self.is_large(layout) for layout in layouts)
        )


def memory_of(call: OperatorCall) -> tuple[set[int], set[int]]:
    """Return the memory that a call writes into, and that from which it reads numbers."""
    steps = list(iter_steps(call))
    numbers = {step.number.memory for step in steps if is_layout(step.number)}
    return {step.out.memory for step in steps}, numbers


def is_layout(value: Any) -> bool:
    """Return whether a number is read from a tensor."""
    return isinstance(value, TensorLayout)


def split_into_lanes(steps: Iterable[Step]) -> list[Lane]:
    """Return the steps in groups that share no memory, each in the order in which they were."""
    lanes: dict[int, tuple[list[int], Lane]] = {}  # by memory: the numbers of the steps, and they
    for number, step in enumerate(steps):
        memories = {layout.memory for layout in step.layouts}
        touched = {id(lanes[memory]): lanes[memory] for memory in memories if memory in lanes}
        pairs = sorted(pair for lane in touched.values() for pair in zip(*lane, strict=True))
        merged = ([n for n, _ in pairs] + [number], [s for _, s in pairs] + [step])
        for layout in (layout for member in merged[1] for layout in member.layouts):
            lanes[layout.memory] = merged
    return [lane for _, lane in {id(lane): lane for lane in lanes.values()}.values()]


def make_template(
    lane: Lane, temporary: set[int], slots: Mapping[float, int]
) -> tuple[Template, tuple[TensorLayout, ...]]:
    """Return what a lane does, and its tensors; those of `temporary` memory are none."""
    layouts = [layout for step in lane for layout in step.layouts]
    layouts += [step.number for step in lane if is_layout(step.number)]
    tensors = [layout for layout in dict.fromkeys(layouts) if layout.memory not in temporary]
    operands = dict.fromkeys([*tensors, *layouts])
    place = {layout: index for index, layout in enumerate(operands)}

    def number_of(value: Any) -> Any:
        if is_layout(value):
            return Operand(place[value])
        return Slot(slots[value]) if value in slots else value

    steps = tuple(
        StepTemplate(
            step.kernel, step.call.operator, place[step.out],
            tuple(place[layout] for layout in step.inputs),
            number_of(step.number),
        )
        for step in lane
    )  # fmt: skip
    return Template(steps, len(tensors), len(operands) - len(tensors)), tuple(tensors)


def without_fused(call: OperatorCall, fused: set[tuple[int, int | None]]) -> OperatorCall | None:
    """Return a call on what is left of its tensors, or None."""
    positions = [step.position for step in iter_steps(call)]
    left = [position for position in positions if (id(call), position) not in fused]
    if len(left) == len(positions):
        return call
    if not left:
        return None

    def select(value: Any) -> Any:
        is_list = isinstance(value, list)
        return [value[position] for position in left] if is_list else value

    return OperatorCall(
        call.operator, list(map(select, call.arguments)), list(map(select, call.results))
    )
