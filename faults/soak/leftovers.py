"""What a service at rest should not hold: zombies, temporary files, folders of deleted jobs."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from faults.invariants import Violation
from faults.processes import role_of
from faults.round_checker import load_factor
from faults.service_under_test import ServiceUnderTest

TENANT_FOLDER = Path("artifacts") / "default"
#: torch's cache of compiled code, one for all processes of a user
CACHE_PREFIX = "torchinductor_"
#: for an ended child to be reaped, on a quiet machine
REAP_SECONDS = 10.0


@dataclass(frozen=True)
class Inventory:
    """What lies in a service's folders."""

    temporary: dict[str, list[str]]  # names in the temp folder by how they begin, without a cache
    unfinished: list[str]  # drafts among the artifacts
    job_folders: int


def take_inventory(service: ServiceUnderTest) -> Inventory:
    """Look at the service's folders."""
    temporary: dict[str, list[str]] = {}
    for path in sorted(service.temporary.iterdir()):
        if not path.name.startswith(CACHE_PREFIX):
            temporary.setdefault(_kind(path.name), []).append(path.name)
    return Inventory(temporary, _find_unfinished(service.data), _count_job_folders(service.data))


def check_inventory(before: Inventory, after: Inventory, live_jobs: int) -> list[Violation]:
    """I6: at rest again, a service's folders hold no more than they did before."""
    messages = []
    for kind, names in after.temporary.items():
        if len(names) > len(before.temporary.get(kind, [])):
            messages.append(f"temporary files {kind}: {before.temporary.get(kind)} became {names}")
    if drafts := sorted(set(after.unfinished) - set(before.unfinished)):
        messages.append(f"unfinished files: {drafts[:5]}")
    if after.job_folders > live_jobs:
        messages.append(f"{after.job_folders} folders of jobs, {live_jobs} jobs")
    return [Violation("I6", message) for message in messages]


def check_zombies(service: ServiceUnderTest) -> list[Violation]:
    """I6: no ended process waits for its parent to look at it."""
    deadline = time.monotonic() + REAP_SECONDS * load_factor()
    while (zombies := _find_zombies(service)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [Violation("I6", f"a zombie: {zombie}") for zombie in zombies]


def _kind(name: str) -> str:
    """Return a temporary name without its random end."""
    return name.rpartition("-")[0] or name.rpartition("_")[0] or "other"


def _find_zombies(service: ServiceUnderTest) -> list[str]:
    """Return the zombies below the service, each with its parent's role."""
    zombies = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            parents = process.parents() if process.status() == psutil.STATUS_ZOMBIE else []
            if any(parent.pid == service.serving.pid for parent in parents):
                zombies.append(f"{process.name()} {process.pid} of a {role_of(parents[0])}")
    return zombies


def _find_unfinished(data: Path) -> list[str]:
    """Return drafts and uploads that nobody works on any more."""
    return sorted(
        str(path.relative_to(data))
        for path in (data / "artifacts").rglob("*")
        if path.suffix in (".tmp", ".gone")
        or path.name.startswith("tmp-")
        or path.parent.name == "incoming"
    )


def _count_job_folders(data: Path) -> int:
    folder = data / TENANT_FOLDER
    return sum(path.name.startswith("job_") for path in folder.iterdir()) if folder.is_dir() else 0
