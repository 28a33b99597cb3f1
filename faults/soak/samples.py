"""Memory and descriptors of a service's processes over time, and how fast they grow.

Knows no load and no fault.
"""

import contextlib
import statistics
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil

from faults.invariants import Violation
from faults.processes import MarkedProcesses, role_of
from jobs.background_thread import BackgroundThread

SAMPLE_SECONDS = 5.0
#: not counted of a process' life is a quarter, within these bounds: it loads, and fills what it
#: keeps (parsed specs, digests of files, patterns that `re` has compiled)
WARM_UP_SECONDS, MAX_WARM_UP_SECONDS = 300.0, 900.0
#: after the warm-up, without which a growth says nothing
MIN_HOURS = 1 / 6
MAX_MIB_PER_HOUR = 1.0
MAX_DESCRIPTORS = 4.0  # connections to the store come and go
#: of the store's memory, for a job that was deleted: its tombstone
TOMBSTONE_BYTES = 512
MAX_FITTED_POINTS = 240  # pairs grow with their square
MAX_SHOWN_POINTS = 60
#: they live as long as the service does, or as long as nobody kills them
LONG_LIVED_ROLES = ("serve", "store", "api", "worker", "child", "template")


@dataclass
class ProcessHistory:
    """What was sampled of one process: seconds of the run, MiB of its own memory, descriptors."""

    pid: int
    role: str
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)

    @property
    def hours(self) -> float:
        """How long it was sampled after its warm-up."""
        times = self._after_warm_up(self.seconds)
        return (times[-1] - times[0]) / 3600 if times else 0.0

    @property
    def has_lived(self) -> bool:
        """Whether its growth can be told."""
        return self.role in LONG_LIVED_ROLES and self.hours >= MIN_HOURS

    @property
    def mib_per_hour(self) -> float:
        """How fast its memory grew after the warm-up."""
        return self._growth_per_hour(self.mib)

    @property
    def descriptors_per_hour(self) -> float:
        """How fast the number of its descriptors grew after the warm-up."""
        return self._growth_per_hour(self.descriptors)

    def as_json(self) -> dict[str, Any]:
        """Return what a report shows; its points are [minutes of the run, MiB], evenly thinned."""
        step = len(self.mib) // MAX_SHOWN_POINTS + 1
        points = zip(self.seconds[::step], self.mib[::step], strict=True)
        return {
            "role": self.role,
            "pid": self.pid,
            "hours": round(self.hours, 2),
            "mib": [round(self.mib[0], 1), round(self.mib[-1], 1)],
            "mib_per_hour": round(self.mib_per_hour, 2),
            "descriptors": [self.descriptors[0], self.descriptors[-1]],
            "points": [[round(seconds / 60, 1), round(mib, 1)] for seconds, mib in points],
        }

    def _after_warm_up(self, values: list[float]) -> list[float]:
        """Return the values after the warm-up, evenly thinned."""
        life = self.seconds[-1] - self.seconds[0]
        warm_up = min(max(WARM_UP_SECONDS, life / 4), MAX_WARM_UP_SECONDS)
        first = bisect_left(self.seconds, self.seconds[0] + warm_up)
        return values[first :: (len(values) - first) // MAX_FITTED_POINTS + 1]

    def _growth_per_hour(self, values: list[float]) -> float:
        """Return the median slope of all pairs of points (Theil and Sen)."""
        points = zip(self._after_warm_up(self.seconds), self._after_warm_up(values), strict=True)
        slopes = [(y - x) / (t - s) for (s, x), (t, y) in combinations(points, 2)]
        return 3600 * statistics.median(slopes)


class Sampler(BackgroundThread):
    """A context in which every process of a service is sampled."""

    def __init__(self, processes: MarkedProcesses) -> None:
        super().__init__("sampler")
        self._processes, self._began = processes, time.monotonic()
        self.histories: dict[tuple[int, float], ProcessHistory] = {}

    def sample(self) -> None:
        """Add a point to the history of every process that lives."""
        now = time.monotonic() - self._began
        for process in self._processes.living_processes():
            with contextlib.suppress(psutil.Error, OSError):
                key = (process.pid, process.create_time())
                if key not in self.histories:
                    self.histories[key] = ProcessHistory(process.pid, role_of(process))
                history, memory = self.histories[key], anonymous_mib(process.pid)
                history.descriptors.append(process.num_fds())
                history.seconds.append(now)
                history.mib.append(memory)

    def long_lived(self) -> list[ProcessHistory]:
        """Return the histories whose growth can be told."""
        return [history for history in self.histories.values() if history.has_lived]

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.sample()


def anonymous_mib(pid: int) -> float:
    """Return the memory of a process that is no file's, in MiB. Raises OSError if it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0  # a zombie has none


def check_growth(histories: list[ProcessHistory], deleted_jobs: int) -> list[Violation]:
    """I7: a process that has lived grows by no more than MAX_MIB_PER_HOUR, nor in descriptors.

    In less than an hour a MiB is allowed all the same: an allocator grows by steps. The store keeps
    a tombstone for each deleted job; those are not counted.
    """
    messages = []
    for history in histories:
        longest = max(1.0, history.hours)
        max_mib = MAX_MIB_PER_HOUR * longest
        if history.role == "store":
            max_mib += deleted_jobs * TOMBSTONE_BYTES / 2**20
        name, time_ = f"{history.role} {history.pid}", f"in {history.hours:.2f} h"
        if (mib := history.mib_per_hour * history.hours) > max_mib:
            messages.append(f"{name} grew by {mib:.1f} MiB {time_}")
        if (more := history.descriptors_per_hour * history.hours) > MAX_DESCRIPTORS:
            messages.append(f"{name} holds {more:.0f} descriptors more {time_}")
    return [Violation("I7", message) for message in messages]
