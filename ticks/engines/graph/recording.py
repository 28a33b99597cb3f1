"""Record a tick: every operator it calls, and the layout of each of its tensors.

A layout is memory, sizes, strides and offset, so views need no call of their own. The memory itself
is kept alive for the program to use again. Knows no net.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class TensorLayout(NamedTuple):
    """A tensor's storage (its id), sizes, strides, offset (in elements) and dtype."""

    memory: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype


@dataclass(frozen=True)
class OperatorCall:
    """One call: operator, arguments in the schema's order, results; tensors as TensorLayout."""

    operator: Any
    arguments: list[Any]
    results: list[Any]


@dataclass(frozen=True)
class SeedCall:
    """The generator was seeded for a part (from 0) of the tick."""

    part: int


class Boundary:
    """The end of one of a tick's three sections (see trace.record_tick)."""


@dataclass
class Trace:
    """The recorded events in order, and the memory they used by storage id."""

    events: list[OperatorCall | SeedCall | Boundary] = field(default_factory=list)
    memory: dict[int, torch.UntypedStorage] = field(default_factory=dict)

    def layout_of(self, tensor: Tensor) -> TensorLayout:
        """Return a tensor's layout, and keep its memory alive."""
        storage = tensor.untyped_storage()
        self.memory.setdefault(storage._cdata, storage)
        return TensorLayout(
            storage._cdata, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()),
            tensor.dtype,
        )  # fmt: skip

    def add_seed(self, part: int) -> None:
        """Record that the generator is seeded for a part (from 0)."""
        self.events.append(SeedCall(part))

    def add_boundary(self) -> None:
        """Record the end of a section of the tick."""
        self.events.append(Boundary())

    def to_layouts(self, value: Any) -> Any:
        """Return the value with tensors replaced by layouts, also in lists."""
        if isinstance(value, Tensor):
            return self.layout_of(value)
        if isinstance(value, list | tuple):
            return [self.to_layouts(item) for item in value]
        return value


def iter_layouts(values: Any) -> Iterator[TensorLayout]:
    """Yield all layouts in a list and in the lists in it."""
    for value in values:
        if isinstance(value, TensorLayout):
            yield value
        elif isinstance(value, list):
            yield from iter_layouts(value)


def written_layouts(call: OperatorCall) -> Iterator[TensorLayout]:
    """Yield the layouts of the arguments that a call writes into."""
    for value, argument in zip(call.arguments, call.operator._schema.arguments, strict=True):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from iter_layouts([value])


class OperatorTracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator called inside its context, below autograd."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: torch imports its compiler, a second's work, to keep it out of a mode."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the operator and record the call."""
        keywords = kwargs or {}
        arguments = [
            args[i] if i < len(args) else keywords.get(argument.name, argument.default_value)
            for i, argument in enumerate(func._schema.arguments)
        ]
        output = func(*args, **keywords)
        results = list(output) if len(func._schema.returns) > 1 else [output]
        to_layouts = self.trace.to_layouts
        self.trace.events.append(OperatorCall(func, to_layouts(arguments), to_layouts(results)))
        return output


class SeedRecorder:
    """Replaces the generator while a tick is recorded: records each seeding and passes it on."""

    def __init__(self, trace: Trace, seed_generator: Callable[[int], object]) -> None:
        self.trace, self.seed_generator, self.part = trace, seed_generator, 0

    def manual_seed(self, seed: int) -> None:
        """Seed the generator for the next part."""
        self.trace.add_seed(self.part)
        self.part += 1
        self.seed_generator(seed)
