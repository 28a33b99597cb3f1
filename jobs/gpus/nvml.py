"""The GPUs as NVIDIA's management library lists them, through ctypes.

It belongs to the driver and knows all GPUs of the machine, or those of the container; it makes no
CUDA context and does not read CUDA_VISIBLE_DEVICES.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from jobs.gpus.gpu import Gpu

LIBRARY = "libnvidia-ml.so.1"
TEXT_BYTES = 96  # of a name, a uuid and a version, with the final zero
MIG_ENABLED = 1


class NvmlError(Exception):
    """The library is missing, or a call of it failed."""


class MemoryInfo(ctypes.Structure):
    """The library's `nvmlMemory_t`, in bytes."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Nvml:
    """The library, initialized; a context that shuts it down. Raises NvmlError."""

    def __init__(self, library: str = LIBRARY) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise NvmlError(f"no {library}: {error}") from None
        self._call("nvmlInit_v2")

    def __enter__(self) -> "Nvml":
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(NvmlError):
            self._call("nvmlShutdown")

    def list_gpus(self) -> list[Gpu]:
        """Return all devices in PCI bus order; in the place of a GPU in MIG mode, its MIG devices.

        A GPU that does not answer (lost, or not permitted) is left out; the others keep their
        numbers.
        """
        count = self._integer("nvmlDeviceGetCount_v2")
        driver = self._text("nvmlSystemGetDriverVersion")
        gpus: list[Gpu] = []
        for index in range(count):
            with suppress(NvmlError):
                handle = self._handle("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index))
                gpus += self._devices_of(handle, index, driver)
        return gpus

    def _devices_of(self, handle: ctypes.c_void_p, index: int, driver: str) -> list[Gpu]:
        uuid, capability = self._text("nvmlDeviceGetUUID", handle), self._capability(handle)
        if not self._is_mig_enabled(handle):
            return [self._gpu(handle, index, driver, capability)]
        return [
            self._gpu(mig_handle, index, driver, capability, parent=uuid)
            for mig_handle in self._mig_handles(handle)
        ]

    def _gpu(
        self, handle: ctypes.c_void_p, index: int, driver: str, capability: str | None,
        parent: str | None = None,
    ) -> Gpu:  # fmt: skip
        memory = MemoryInfo()
        self._call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        return Gpu(
            index, self._text("nvmlDeviceGetUUID", handle), self._text("nvmlDeviceGetName", handle),
            int(memory.total), driver, capability, parent,
        )  # fmt: skip

    def _capability(self, handle: ctypes.c_void_p) -> str | None:
        major, minor = ctypes.c_int(), ctypes.c_int()
        name = "nvmlDeviceGetCudaComputeCapability"
        with suppress(NvmlError):
            self._call(name, handle, ctypes.byref(major), ctypes.byref(minor))
            return f"{major.value}.{minor.value}"
        return None

    def _is_mig_enabled(self, handle: ctypes.c_void_p) -> bool:
        current, pending = ctypes.c_uint(), ctypes.c_uint()
        with suppress(NvmlError):  # most GPUs have no such mode
            self._call("nvmlDeviceGetMigMode", handle, ctypes.byref(current), ctypes.byref(pending))
            return current.value == MIG_ENABLED
        return False

    def _mig_handles(self, handle: ctypes.c_void_p) -> Iterator[ctypes.c_void_p]:
        for number in range(self._integer("nvmlDeviceGetMaxMigDeviceCount", handle)):
            with suppress(NvmlError):  # not every place of a GPU has a MIG device
                yield self._handle(
                    "nvmlDeviceGetMigDeviceHandleByIndex", handle, ctypes.c_uint(number)
                )

    def _text(self, function: str, *arguments: Any) -> str:
        buffer = ctypes.create_string_buffer(TEXT_BYTES)
        self._call(function, *arguments, buffer, ctypes.c_uint(TEXT_BYTES))
        return buffer.value.decode(errors="replace")

    def _integer(self, function: str, *arguments: Any) -> int:
        value = ctypes.c_uint()
        self._call(function, *arguments, ctypes.byref(value))
        return value.value

    def _handle(self, function: str, *arguments: Any) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._call(function, *arguments, ctypes.byref(handle))
        return handle

    def _call(self, function: str, *arguments: Any) -> None:
        try:
            call: Callable[..., int] = getattr(self._library, function)
        except AttributeError:
            raise NvmlError(f"this driver's library has no {function}") from None
        if (code := call(*arguments)) != 0:
            raise NvmlError(f"{function} failed with NVML's code {code}")
