"""Configure this process's torch so that a tick gives the same bits every time; describe it.

Knows no spec and no net. Never called in the fork server, which must compute nothing.
"""

import platform
import resource

import numpy as np
import torch


def configure_torch(threads: int) -> None:
    """Set torch's thread counts and deterministic kernels; once a process, before any operator."""
    set_up_vector_math()
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:  # may be set only once
        torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True)
    # A debugging aid of the deterministic mode, which would fill every fresh tensor with NaN.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # The gradients of these two attention kernels differ from run to run on a GPU.
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)


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


def versions() -> dict[str, str]:
    """Return the versions of torch, numpy, Python and CUDA, for people to read."""
    installed = {"torch": torch.__version__, "numpy": np.__version__}
    installed["python"] = platform.python_version()
    return installed | ({"cuda": torch.version.cuda} if torch.version.cuda else {})


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
        **({"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}),
        "versions": versions(),
    }


def cpu_name() -> str:
    """Return the processor's name from /proc/cpuinfo, else Python's name for it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
