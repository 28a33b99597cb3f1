"""Write large states in a thread, from a copy, while the training continues. Knows no frames.

The copy's memory is kept from one state to the next: first touching a page costs ten times as much
as copying into it.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ticks.state import Tensors
from ticks.state_files import SaveResult, TrainingState, capture, write
from ticks.training import TrainingRun

#: smaller states are written at once: creating their files takes longer than writing their bytes
MIN_BYTES = 8 << 20
ALIGNMENT_BYTES = 64  # of each tensor of the copy


class BackgroundStateWriter:
    """One trainer's thread for writing states, with memory for one copy; one state at a time."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="state-writer")
        self._copy_buffer: Future[Tensor] | None = None
        self._pending_write: Future[SaveResult] | None = None
        self._is_preallocated = False

    def preallocate(self, training: TrainingRun) -> None:
        """Allocate memory for the copy of a large state in the thread; only the first call acts.

        Call it after the first tick: before that, the optimizer has no state.
        """
        if not self._is_preallocated and (size := _aligned_size(capture(training))) >= MIN_BYTES:
            self._copy_buffer = self._executor.submit(_allocate, size)
        self._is_preallocated = True

    def start(self, state: TrainingState, folder: Path) -> bool:
        """Copy a state and start writing it into an empty folder.

        Returns False, without doing anything, for a small state or without memory for a copy.
        """
        assert self._pending_write is None, "the last write's result has not been polled"
        if (size := _aligned_size(state)) < MIN_BYTES:
            return False
        try:
            buffer = self._buffer_for(size)
        except (MemoryError, RuntimeError) as error:
            print(f"no memory for a copy of {size} bytes, saved at once: {error}", flush=True)
            return False
        self._pending_write = self._executor.submit(write, _copy_state(state, buffer), folder)
        return True

    def poll(self, *, wait: bool = False) -> SaveResult | None:
        """Return the result of the write that was started, once; None before its end.

        `wait`: wait for its end. Raises what the write raised.
        """
        pending = self._pending_write
        if pending is None or not (wait or pending.done()):
            return None
        self._pending_write = None
        return pending.result()

    def _buffer_for(self, size: int) -> Tensor:
        if self._copy_buffer is None or self._copy_buffer.result().nbytes < size:
            self._copy_buffer = self._executor.submit(_allocate, size)
        return self._copy_buffer.result()


def _allocate(size: int) -> Tensor:
    """Allocate `size` bytes and touch every page (numpy asks for huge pages)."""
    memory = np.empty(size, np.uint8)
    memory.fill(0)
    return torch.from_numpy(memory)


def _aligned_size(state: TrainingState) -> int:
    tensors = [*state.net.values(), *state.optimizer.values()]
    return sum(_round_up(tensor.nbytes) for tensor in tensors)


def _round_up(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


@torch.no_grad()
def _copy_state(state: TrainingState, buffer: Tensor) -> TrainingState:
    """Return a copy of the state whose tensors are in `buffer`."""
    offset = 0

    def copy_tensors(tensors: Tensors) -> Tensors:
        nonlocal offset
        copies: Tensors = {}
        for name, tensor in tensors.items():
            target = buffer[offset : offset + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
            copies[name] = target.copy_(tensor)
            offset += _round_up(tensor.nbytes)
        return copies

    return replace(state, net=copy_tensors(state.net), optimizer=copy_tensors(state.optimizer))
