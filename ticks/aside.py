"""Writes large states in a thread, each from a copy, while the training goes on. Knows no leash.

The copy has a room of its own, kept from one to the next: memory that a process has not touched yet
costs ten times the copying.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ticks.checkpoint import Saved, State, gather, write
from ticks.state import Tensors
from ticks.training import Training

#: smaller states are written at once: their files cost more than their bytes do
LEAST_BYTES = 8 << 20
ALIGNED = 64  # bytes


class Aside:
    """One trainer's thread for writing states; it holds one copy and writes one at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._room: Future[Tensor] | None = None
        self._writing: Future[Saved] | None = None
        self._prepared = False

    def prepare(self, training: Training) -> None:
        """Make room for the copy of a large state ahead, in the thread; does nothing twice.

        To be called behind the first tick: before it there is no optimizer's state.
        """
        if not self._prepared and (size := _size(gather(training))) >= LEAST_BYTES:
            self._room = self._thread.submit(_made, size)
        self._prepared = True

    def begin(self, state: State, folder: Path) -> bool:
        """Copy a state and have it written into an empty folder.

        False, and nothing is done, for a small one, or where there is no memory for a copy.
        """
        assert self._writing is None, "one at a time: the outcome of the last was not asked for"
        if (size := _size(state)) < LEAST_BYTES:
            return False
        try:
            room = self._of(size)
        except (MemoryError, RuntimeError) as error:
            print(f"no memory for a copy of {size} bytes, saved at once: {error}", flush=True)
            return False
        self._writing = self._thread.submit(write, _copied(state, room), folder)
        return True

    def outcome(self, *, wait: bool = False) -> Saved | None:
        """Tell once what came of it; None where there is nothing to tell (yet).

        Raises what the writing raised.
        """
        writing = self._writing
        if writing is None or not (wait or writing.done()):
            return None
        self._writing = None
        return writing.result()

    def _of(self, size: int) -> Tensor:
        if self._room is None or self._room.result().nbytes < size:
            self._room = self._thread.submit(_made, size)
        return self._room.result()


def _made(size: int) -> Tensor:
    """Memory of so many bytes, every page of it touched (numpy asks for large pages)."""
    room = np.empty(size, np.uint8)
    room.fill(0)
    return torch.from_numpy(room)


def _size(state: State) -> int:
    tensors = [*state.net.values(), *state.optimizer.values()]
    return sum(_aligned(each.nbytes) for each in tensors)


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


@torch.no_grad()
def _copied(state: State, room: Tensor) -> State:
    """The same state in other memory."""
    at = 0

    def copied(tensors: Tensors) -> Tensors:
        nonlocal at
        copies: Tensors = {}
        for name, tensor in tensors.items():
            place = room[at : at + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
            copies[name] = place.copy_(tensor)
            at += _aligned(tensor.nbytes)
        return copies

    return replace(state, net=copied(state.net), optimizer=copied(state.optimizer))
