"""The compiled loop: found or compiled, and called. Knows no net and no spec."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticks.engines.graph import compiling


class BrokenProgram(RuntimeError):
    """A program that the loop cannot read or run."""


class _Ticks(ctypes.Structure):
    """As struct Ticks in loop.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("count", "parts", "width")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "program", "first", "inputs", "targets", "seeds", "numbers", "losses", "norms",
            )
        ),
    ]  # fmt: skip


class Ticks:
    """What changes from tick to tick: arrays of one entry a tick; losses and norms are filled in.

    `inputs` and `targets` hold the rows that are gathered; consecutive ones stay where they are.
    """

    def __init__(
        self,
        *,
        program: NDArray[np.int64],
        first: NDArray[np.int64],
        rows: tuple[Tensor, Tensor] | None,
        seeds: NDArray[np.uint64],
        numbers: NDArray[np.float64],
    ) -> None:
        count = len(program)
        self.losses = np.empty(count, np.float32)
        self.norms = np.full(count, np.nan, np.float32)
        self._kept = (program, first, rows, seeds, numbers)
        inputs, targets = (None, None) if rows is None else (each.data_ptr() for each in rows)
        self.raw = _Ticks(
            count, seeds.shape[1], numbers.shape[1], program.ctypes.data, first.ctypes.data,
            inputs, targets, seeds.ctypes.data, numbers.ctypes.data, self.losses.ctypes.data,
            self.norms.ctypes.data,
        )  # fmt: skip


class Loaded:
    """A program in the loop's own form. The state it changes is that of its tensors."""

    def __init__(self, text: str, tensors: Sequence[Tensor | None]) -> None:
        self.text, self.tensors, self._library = text, tensors, library()
        kept = [each for each in tensors if each is not None]
        handles = iter(_handles(kept))
        array = (ctypes.c_void_p * len(tensors))(
            *(None if each is None else next(handles) for each in tensors)
        )
        self.raw = self._library.tickforge_read(text.encode(), array, len(tensors))
        for handle in array:
            if handle:
                torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr(_capsule(handle))
        if not self.raw:
            raise BrokenProgram(_failure(self._library))

    def __del__(self) -> None:
        if getattr(self, "raw", None):
            self._library.tickforge_free(self.raw)


def run(programs: Sequence[Loaded], ticks: Ticks) -> int:
    """Run ticks; return how many were made, fewer than asked for where a loss is not finite."""
    array = (ctypes.c_void_p * len(programs))(*(each.raw for each in programs))
    made: int = library().tickforge_run(array, ctypes.byref(ticks.raw))
    if made < 0:
        raise BrokenProgram(_failure(library()))
    return made


@cache
def library() -> ctypes.CDLL:
    """Load the loop, compiled first if it must be. Its calls let go of Python's lock."""
    loaded = ctypes.CDLL(str(compiling.find()))
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    loaded.tickforge_read.restype = pointer
    loaded.tickforge_read.argtypes = [ctypes.c_char_p, pointer, integer]
    loaded.tickforge_free.restype = None
    loaded.tickforge_free.argtypes = [pointer]
    loaded.tickforge_run.restype = integer
    loaded.tickforge_run.argtypes = [pointer, pointer]
    loaded.tickforge_failure.restype = ctypes.c_char_p
    return loaded


def _failure(loaded: ctypes.CDLL) -> str:
    said: bytes = loaded.tickforge_failure()
    return said.decode(errors="replace").split("\n")[0]


def _handles(tensors: list[Tensor]) -> list[int]:
    """Return torch's own handles (AtenTensorHandle) of tensors; each must be given back."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return [get(each, None) for each in torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(tensors)]


def _capsule(handle: int) -> Any:
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = (
        ctypes.py_object,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
    )
    return make(handle, None, None)
