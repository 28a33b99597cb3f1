"""Kills one worker's processes again and again; the other worker's grow old, to be measured."""

import contextlib
import signal

import psutil

from faults.processes import send_signal
from faults.soak.clients import SoakClient

MIN_SECONDS, MAX_SECONDS = 4.0, 15.0
#: role -> how often; a killed worker is started again after a delay that grows
ROLE_WEIGHTS = {"trainer": 6.0, "child": 3.0, "template": 1.0, "worker": 0.5}


class WorkerKiller(SoakClient):
    """Sends SIGKILL to a process of the worker whose name comes first."""

    def session(self) -> None:
        """Wait a while and kill one."""
        if self._stopped.wait(self.rng.uniform(MIN_SECONDS, MAX_SECONDS)):
            return
        [role] = self.rng.choices(list(ROLE_WEIGHTS), list(ROLE_WEIGHTS.values()))
        if victims := self._find(role):
            send_signal(self.rng.choice(victims), signal.SIGKILL)
            self.tally.counts[f"kills of a {role}"] += 1

    def _find(self, role: str) -> list[psutil.Process]:
        """Return the living processes of a role that belong to the first worker."""
        workers = self.context.service.processes_of("worker")
        names = {worker.pid: _name_of(worker) for worker in workers}
        if not names:
            return []
        first = min(names, key=lambda pid: names[pid])
        if role == "worker":
            return [worker for worker in workers if worker.pid == first]
        return [
            process for process in self.context.service.processes_of(role)
            if first in _ancestors(process)
        ]  # fmt: skip


def _name_of(worker: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(worker.cmdline()[-1])
    return "~"  # it has ended: behind all others


def _ancestors(process: psutil.Process) -> set[int]:
    with contextlib.suppress(psutil.Error):
        return {parent.pid for parent in process.parents()}
    return set()
