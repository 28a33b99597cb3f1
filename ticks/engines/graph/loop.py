"""Load the compiled loop, and run programs by it. Knows no net and no spec."""

import ctypes
import hashlib
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticks.engines.graph import build_loop

#: bytes: torch's kernels read no vector that is wider than this
ALIGNMENT = 64


class BrokenProgram(RuntimeError):
    """A program that the loop cannot read or run."""


class _TickStruct(ctypes.Structure):
    """struct Ticks of loop.cpp, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("count", "parts", "width")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "program", "first", "inputs", "targets", "seeds", "numbers", "losses", "norms",
            )
        ),
    ]  # fmt: skip


class TickArguments:
    """The arguments that change from tick to tick, and the losses and norms that are filled in.

    `program` (which program) and `first` (first row of the batch) are [ticks], `seeds` [ticks,
    parts], `numbers` [ticks, numbers of the update], `losses` and `norms` float32 [ticks]. `rows`
    are the inputs and targets that ticks copy; None where they read consecutive rows in place.
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
        self.losses, self.norms = np.empty(count, np.float32), np.full(count, np.nan, np.float32)
        self._references = (program, first, rows, seeds, numbers)
        inputs, targets = (None, None) if rows is None else (tensor.data_ptr() for tensor in rows)
        self.raw = _TickStruct(
            count, seeds.shape[1], numbers.shape[1], program.ctypes.data, first.ctypes.data,
            inputs, targets, seeds.ctypes.data, numbers.ctypes.data, self.losses.ctypes.data,
            self.norms.ctypes.data,
        )  # fmt: skip


class LoadedProgram:
    """A program as the loop holds it; running it changes its tensors in place.

    `tensors` has one for each register that keeps its memory. Raises BrokenProgram.
    """

    def __init__(self, text: str, tensors: Sequence[Tensor | None]) -> None:
        self.text, self.tensors, self._library = text, tensors, load_library()
        handles = iter(_handles([tensor for tensor in tensors if tensor is not None]))
        pointers = (None if tensor is None else next(handles) for tensor in tensors)
        array = (ctypes.c_void_p * len(tensors))(*pointers)
        self.raw = self._library.tickforge_read(text.encode(), array, len(tensors))
        for handle in array:
            if handle:
                torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr(_capsule(handle))
        if not self.raw:
            raise BrokenProgram(_last_error(self._library))

    @cached_property
    def identity(self) -> str:
        """A digest of what the program computes: its text, and the layout of its tensors.

        A layout is dtype, sizes, strides, offset, which tensors share memory, and the address
        modulo ALIGNMENT: torch chooses kernels by these, and the text has few of them. Tensors
        that are allocated at every tick have the layouts that operators give them.
        """
        memory: dict[int, int] = {}
        layouts = []
        for tensor in self.tensors:
            if tensor is None:
                layouts.append("-")
                continue
            number = memory.setdefault(tensor.untyped_storage()._cdata, len(memory))
            layout = tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
            layouts.append(f"{layout} {number} {tensor.data_ptr() % ALIGNMENT}")
        return hashlib.sha256("\n".join([self.text, *layouts]).encode()).hexdigest()

    def __del__(self) -> None:
        if getattr(self, "raw", None):
            self._library.tickforge_free(self.raw)


def run_programs(programs: Sequence[LoadedProgram], arguments: TickArguments) -> int:
    """Run ticks and return their number: less than requested after a loss that is not finite.

    Raises BrokenProgram.
    """
    array = (ctypes.c_void_p * len(programs))(*(program.raw for program in programs))
    ticks_run: int = load_library().tickforge_run(array, ctypes.byref(arguments.raw))
    if ticks_run < 0:
        raise BrokenProgram(_last_error(load_library()))
    return ticks_run


@cache
def load_library() -> ctypes.CDLL:
    """Load the loop, compiling it if needed. Its calls release Python's global lock."""
    cdll = ctypes.CDLL(str(build_loop.find_or_compile()))
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    cdll.tickforge_read.restype = pointer
    cdll.tickforge_read.argtypes = [ctypes.c_char_p, pointer, integer]
    cdll.tickforge_free.restype = None
    cdll.tickforge_free.argtypes = [pointer]
    cdll.tickforge_run.restype = integer
    cdll.tickforge_run.argtypes = [pointer, pointer]
    cdll.tickforge_failure.restype = ctypes.c_char_p
    return cdll


def _last_error(cdll: ctypes.CDLL) -> str:
    message: bytes = cdll.tickforge_failure()
    return message.decode(errors="replace").split("\n")[0]


def _handles(tensors: list[Tensor]) -> list[int]:
    """Return torch's handles (AtenTensorHandle) of tensors; the caller must release each."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsules = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(tensors)
    return [get(capsule, None) for capsule in capsules]


def _capsule(handle: int) -> Any:
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make(handle, None, None)
