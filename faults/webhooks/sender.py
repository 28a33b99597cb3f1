"""The sender as a process of its own, which is killed at its fault points in turn."""

import json
import random
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from faults.processes import ROOT, MarkedProcesses
from faults.store_server import StoreServer
from jobs.fault_points import ARMED_SUFFIX, FIRED_SUFFIX

#: each step of the sender
FAULT_POINTS = (
    "store:webhook_lease:before", "store:webhook_lease:after", "store:webhook_due:before",
    "store:webhook_due:after", "webhooks:fan_out", "store:webhook_fan_out:before",
    "store:webhook_fan_out:after", "webhooks:send", "webhooks:answered",
    "store:webhook_report:before", "store:webhook_report:after", "webhooks:recorded",
)  # fmt: skip
MAX_PASSAGES = 4  # of a point, by the last of which it is killed there


class KilledSender:
    """The process that sends, killed at each of some points and started again."""

    def __init__(
        self, server: StoreServer, folder: Path, points: Sequence[str], rng: random.Random
    ) -> None:
        self._server, self._folder, self._rng = server, folder, rng
        self._points_folder = folder / "points"
        self._points_folder.mkdir()
        self._marked = MarkedProcesses()
        self._process: subprocess.Popen[bytes] | None = None
        self._points, self._pending, self.kills = points, list(points), Counter[str]()
        self._armed: tuple[str, Path] | None = None

    def keep_running(self) -> None:
        """Start one if none runs, with a fault at the next point armed."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._armed is not None and self._armed[1].with_suffix(FIRED_SUFFIX).exists():
            self.kills[self._armed[0]] += 1
            self._armed = None
        if self._armed is None and self._pending:
            self._arm(self._pending.pop(0))
        variables = {
            "TICKFORGE_REDIS_URL": self._server.url,
            "TICKFORGE_DATA_DIR": str(self._folder / "data"),
            "TICKFORGE_WEBHOOK_ALLOW": "127.0.0.1",
            "TICKFORGE_FAULTS": str(self._points_folder),
            "TICKFORGE_LEASE_SECONDS": "1",
            "PYTHONPATH": str(ROOT),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.webhook_sender"], cwd=ROOT,
            env={**self._marked.make_environment(self._folder), **variables},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def is_through(self) -> bool:
        """Whether it was killed at every point."""
        return not self._pending and len(self.kills) == len(self._points)

    def end(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _arm(self, point: str) -> None:
        file = self._points_folder / f"{secrets.token_hex(6)}{ARMED_SUFFIX}"
        fault = {"point": point, "action": "kill", "nth": self._rng.randint(1, MAX_PASSAGES)}
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(fault))
        draft.rename(file)
        self._armed = (point, file)
