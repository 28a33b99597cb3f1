"""Watches ticks being made: every operator called, and where each of its tensors lies.

A tensor is told by its place: memory, sizes, strides, offset. So views need no call of their own.
The memory itself is kept, for the program to use again. Knows no net.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class TensorLayout(NamedTuple):
    """Where a tensor lies: in which memory, and how."""

    memory: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype


@dataclass(frozen=True)
class OperatorCall:
    """One call: operator, arguments in the schema's order with places for tensors, results."""

    operator: Any
    arguments: list[Any]
    results: list[Any]


@dataclass(frozen=True)
class SeedCall:
    """The generator was seeded for a part of the tick."""

    part: int


class SectionBoundary:
    """The end of a section of the tick."""


@dataclass
class Trace:
    """What happened, in order, and the memory that it happened in."""

    events: list[OperatorCall | SeedCall | SectionBoundary] = field(default_factory=list)
    memory: dict[int, torch.UntypedStorage] = field(default_factory=dict)

    def layout_of(self, tensor: Tensor) -> TensorLayout:
        """Say where a tensor lies, and keep that memory."""
        storage = tensor.untyped_storage()
        self.memory.setdefault(storage._cdata, storage)
        return TensorLayout(
            storage._cdata, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()),
            tensor.dtype,
        )  # fmt: skip

    def add_seed(self, part: int) -> None:
        """Note that the generator is seeded for a part."""
        self.events.append(SeedCall(part))

    def add_boundary(self) -> None:
        """Note that a section of the tick ends."""
        self.events.append(SectionBoundary())

    def to_layouts(self, value: Any) -> Any:
        """Put places for tensors, also in lists."""
        if isinstance(value, Tensor):
            return self.layout_of(value)
        if isinstance(value, list | tuple):
            return [self.to_layouts(item) for item in value]
        return value


class OperatorTracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator called while it is entered, below autograd."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the operator and note it."""
        keywords = kwargs or {}
        arguments = [
            args[index]
            if index < len(args)
            else keywords.get(argument.name, argument.default_value)
            for index, argument in enumerate(func._schema.arguments)
        ]
        output = func(*args, **keywords)
        has_many = len(func._schema.returns) > 1
        results = list(output) if has_many else [output]
        to_layouts = self.trace.to_layouts
        self.trace.events.append(OperatorCall(func, to_layouts(arguments), to_layouts(results)))
        return output


class SeedRecorder:
    """Stands for the generator while a tick is recorded: notes each seeding, and does it."""

    def __init__(self, trace: Trace, seed_generator: Callable[[int], object]) -> None:
        self.trace, self.seed_generator, self.part = trace, seed_generator, 0

    def manual_seed(self, seed: int) -> None:
        """Seed for the next part."""
        self.trace.add_seed(self.part)
        self.part += 1
        self.seed_generator(seed)
