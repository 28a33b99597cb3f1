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


class Place(NamedTuple):
    """Where a tensor lies: in which memory, and how."""

    memory: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype


@dataclass(frozen=True)
class Called:
    """One call: operator, arguments in the schema's order with places for tensors, results."""

    operator: Any
    arguments: list[Any]
    results: list[Any]


@dataclass(frozen=True)
class Seeded:
    """The generator was seeded for a part of the tick."""

    part: int


class Cut:
    """The end of a section of the tick."""


@dataclass
class Recording:
    """What happened, in order, and the memory that it happened in."""

    events: list[Called | Seeded | Cut] = field(default_factory=list)
    memory: dict[int, torch.UntypedStorage] = field(default_factory=dict)

    def place(self, tensor: Tensor) -> Place:
        """Say where a tensor lies, and keep that memory."""
        storage = tensor.untyped_storage()
        self.memory.setdefault(storage._cdata, storage)
        return Place(
            storage._cdata, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()),
            tensor.dtype,
        )  # fmt: skip

    def seed(self, part: int) -> None:
        """Note that the generator is seeded for a part."""
        self.events.append(Seeded(part))

    def cut(self) -> None:
        """Note that a section of the tick ends."""
        self.events.append(Cut())

    def places(self, value: Any) -> Any:
        """Put places for tensors, also in lists."""
        if isinstance(value, Tensor):
            return self.place(value)
        if isinstance(value, list | tuple):
            return [self.places(each) for each in value]
        return value


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator called while it is entered, below autograd."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recording = recording

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the operator and note it."""
        given = kwargs or {}
        arguments = [
            args[at] if at < len(args) else given.get(each.name, each.default_value)
            for at, each in enumerate(func._schema.arguments)
        ]
        found = func(*args, **given)
        several = len(func._schema.returns) > 1
        results = list(found) if several else [found]
        places = self.recording.places
        self.recording.events.append(Called(func, places(arguments), places(results)))
        return found


class Dice:
    """Stands for the generator while a tick is recorded: notes each seeding, and does it."""

    def __init__(self, recording: Recording, dice: Callable[[int], object]) -> None:
        self.recording, self.dice, self.part = recording, dice, 0

    def manual_seed(self, seed: int) -> None:
        """Seed for the next part."""
        self.recording.seed(self.part)
        self.part += 1
        self.dice(seed)
