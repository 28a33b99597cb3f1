"""Configure this process's torch so that a tick gives the same bits every time; describe it.

Knows no spec and no net. Never called in the fork server, which must compute nothing.
"""

import contextlib
import ctypes
import os
import platform
import resource

import numpy as np
import torch

from jobs.gpus import kernel_driver


class DeviceUnavailable(RuntimeError):
    """torch cannot compute on the device that this worker is for."""


def configure_torch(threads: int) -> None:
    """Set torch's thread counts and deterministic kernels; once a process, before any operator."""
    set_up_vector_math()
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:  # may be set only once
        torch.set_num_interop_threads(1)
    # as use_deterministic_algorithms(True), which imports torch's compiler for a setting of it
    torch.set_deterministic_debug_mode("error")
    # A debugging aid of the deterministic mode, which would fill every fresh tensor with NaN.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # Without it cuBLAS may not be deterministic and torch refuses to use it; read at its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # TF32 rounds the factors of float32 products to 10 bits; a benchmark
    # chooses among kernels by their speed of the moment.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # The gradients of these two attention kernels differ from run to run on a GPU.
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)


def check_device(device: torch.device) -> None:
    """Raise DeviceUnavailable if torch cannot compute on a device. Makes the CUDA context."""
    if device.type != "cuda":
        return
    try:
        torch.ones(1, device=device).add_(1)
    except (AssertionError, RuntimeError) as error:  # the first: torch has no CUDA at all
        built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs alone"
        detail = f"torch {torch.__version__}, built for {built_for}, sees no CUDA device"
        raise DeviceUnavailable(f"{detail}: {str(error).splitlines()[0]}") from error


def set_up_vector_math() -> None:
    """Make MKL's vector math choose its kernels now, on this thread alone.

    torch gives it sqrt, exp, log, tanh, erf and sin. At its first call in a process it stores the
    processor's type in two steps, without a lock; a thread that reads it between the two, for its
    part of the same tensor, uses kernels of another accuracy (findings/ has the numbers). A tensor
    of one element is never split between threads, and no later call stores anything.
    """
    torch.sqrt(torch.ones(1))


def limit_memory(max_bytes: int) -> None:
    """Limit this process's private memory to `max_bytes`, so that an excess fails this job alone.

    RLIMIT_DATA counts private writable memory, including pages still shared with the fork server;
    for nets of 29 to 25 million parameters it was within 10 % of the resident memory. RLIMIT_AS
    would also count torch's libraries and the address space that every thread reserves.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))


def return_freed_memory() -> None:
    """Return freed memory to the system: the C library keeps it, and a limit counts it."""
    with contextlib.suppress(AttributeError):  # of glibc alone
        ctypes.CDLL(None).malloc_trim(0)


def versions() -> dict[str, str]:
    """Return the versions of torch, numpy, Python, CUDA and cuDNN, for people to read."""
    installed = {"torch": torch.__version__, "numpy": np.__version__}
    installed["python"] = platform.python_version()
    if torch.version.cuda:
        installed |= {"cuda": torch.version.cuda, "cudnn": str(cudnn_version())}
    return installed


def cudnn_version() -> int | None:
    """Return cuDNN's version as one number, such as 91002 for 9.10.2; None without it."""
    number: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return number


def describe_gpu(device: torch.device) -> dict[str, object] | None:
    """Return what the bits of a GPU depend on beside torch; None of a CPU.

    Its name, capability, number of multiprocessors and memory (a MIG device has fewer of both than
    its GPU), the driver, and the versions of CUDA and cuDNN that torch was built with.
    """
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "driver": kernel_driver.read_version(),
        "cuda": torch.version.cuda,
        "cudnn": cudnn_version(),
    }


def fingerprint(engine: str, device: torch.device, threads: int) -> dict[str, object]:
    """Return what a job's bits depend on, without the canary, and the versions beside it.

    `engine` is an engine's identity (`engine_identity`), `threads` torch's thread count.
    """
    return {
        "engine": engine,
        "torch": torch.__version__,
        "device": device.type,
        "threads": threads,
        "cpu": cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        **({"gpu": describe_gpu(device)} if device.type == "cuda" else {}),
        "versions": versions(),
    }


def cpu_name() -> str:
    """Return the processor's name from /proc/cpuinfo, else Python's name for it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
