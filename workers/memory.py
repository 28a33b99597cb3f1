"""The memory that a trainer may use on this machine and on its GPU. Knows no job."""

from pathlib import Path

from jobs.gpus.gpu import Gpu
from jobs.settings import Settings

MEMINFO = Path("/proc/meminfo")
#: a container's limit, in control groups v2 and v1
CGROUP_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def trainer_memory_limit(settings: Settings, queue: str) -> int | None:
    """Return the bytes that one trainer may use; None for no limit.

    A trainer on a GPU holds most of its data there, so only a setting limits it.
    """
    if settings.trainer_memory_bytes:
        return settings.trainer_memory_bytes
    return machine_memory() if queue == "cpu" else None


def claimed_memory_limit(settings: Settings, queue: str, gpu: Gpu | None) -> int | None:
    """Return the bytes that a job may need for this worker to claim it; None for no limit.

    Those of the memory that the estimate of its queue is about: on a GPU, the GPU's.
    """
    if queue == "cpu":
        return trainer_memory_limit(settings, queue)
    return None if gpu is None else gpu.memory_bytes


def machine_memory() -> int:
    """Return the machine's memory in bytes, or the container's limit if that is less."""
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    total = int(lines["MemTotal"].split()[0]) * 1024
    limits = map(_read_limit, CGROUP_LIMIT_FILES)
    return min([total, *(limit for limit in limits if limit is not None)])


def _read_limit(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None
