"""Rounds against one service: attack, wait until all has ended, compare with undisturbed runs.

What a round found is a `Finding`; who prints it is not known here.
"""

import random
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from faults import records
from faults.attack import Attack, NotRun, Scene
from faults.catalogue import CATALOGUE
from faults.checking import Check
from faults.house import WHOLE, House
from faults.invariants import Violation
from faults.processes import send
from faults.records import Reference
from faults.schedule import Round
from faults.specs import SPECS
from faults.waits import wait_until
from faults.watcher import Watcher

#: seconds in which every job of a round has ended, or the round says that it did not
ROUND_SECONDS = 90.0
#: seconds in which a service that is left alone is whole again: two templates import torch
WHOLE_SECONDS = 60.0
LOG_LINES = 400  # of the service's log that are kept with a violation
STAGGER_SECONDS = 0.4  # between the beginnings of two attacks, at most


@dataclass
class Finding:
    """What came of a round. `happened`: how many faults of each name, `not_run`: why not."""

    round: Round
    happened: dict[str, int] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    jobs: int = 0
    seconds: float = 0.0
    story: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)  # the service's own, where there are violations

    @property
    def faults(self) -> int:
        return sum(self.happened.values())


class Campaign:
    """A context: a service runs inside it, and one round after another may attack it."""

    def __init__(self) -> None:
        self.house = House()
        self.references: dict[str, Reference] = {}

    def __enter__(self) -> Self:
        self.house.__enter__()
        self.watcher = Watcher(self.house.http)
        self.watcher.__enter__()
        try:
            self._learn()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self.watcher.__exit__(None, None, None)
        self.house.__exit__(None, None, None)

    def run(self, round_: Round) -> Finding:
        """Run one round and check all that must hold after it."""
        began, finding = time.monotonic(), Finding(round_)
        _, log_at = self.house.said()
        scene = Scene(self.house, self.watcher)
        attacks = self._attack(scene, round_, finding)
        self._calm(scene)
        self._end(scene, finding)
        self.house.disarm_unmet()
        finding.violations += Check(self.house, self.watcher, self.references).after(scene, attacks)
        finding.happened = {attack.name: attack.done() for attack in attacks}
        finding.jobs, finding.story = len(scene.jobs), scene.told
        if finding.violations:
            finding.log = self.house.said(log_at)[0][-LOG_LINES:]
        self._clear(scene)
        finding.seconds = time.monotonic() - began
        return finding

    def whole_again(self) -> list[Violation]:
        """I6, when nobody attacks any more: the service is whole, and nothing is beside it."""
        deadline = time.monotonic() + WHOLE_SECONDS
        while not self.house.is_whole():
            if time.monotonic() > deadline:
                return [Violation("I6", f"{self.house.roles()} live, a whole service is {WHOLE}")]
            time.sleep(0.1)
        return []

    def _learn(self) -> None:
        """Run every spec undisturbed."""
        scene = Scene(self.house, self.watcher)
        jobs = [scene.submit(name) for name in SPECS]
        wait_until(lambda: all(job.over for job in jobs), 60, "the undisturbed runs")
        for job in jobs:
            found = records.read(self.house.store, self.house.files, job.job_id)
            self.references[job.spec] = records.reference(found)
        self._clear(scene)

    def _attack(self, scene: Scene, round_: Round, finding: Finding) -> list[Attack]:
        """Let the round's attacks run beside one another until each has done its worst."""
        dice = random.Random(round_.seed)
        attacks, threads = [], []
        for name in round_.faults:
            own = random.Random(dice.getrandbits(32))
            attack = Attack(name, scene, own, CATALOGUE[name].spec)
            thread = threading.Thread(target=self._run, args=(attack, finding), name=name)
            attacks.append(attack)
            threads.append(thread)
            thread.start()
            time.sleep(dice.uniform(0, STAGGER_SECONDS))
        for thread in threads:
            thread.join()
        return attacks

    def _run(self, attack: Attack, finding: Finding) -> None:
        try:
            CATALOGUE[attack.name].run(attack)
        except NotRun as reason:
            finding.not_run[attack.name] = str(reason)
        except Exception:
            told = traceback.format_exc(limit=-4)
            finding.violations.append(Violation("attack", f"{attack.name} broke off: {told}"))

    def _calm(self, scene: Scene) -> None:
        """Undo what an attack has left: a frozen or dead store, a bad network, timers."""
        for timer in scene.later:
            timer.join()
        self.house.proxy.behave()
        self.house.proxy.clear()
        for process in self.house.frozen():
            send(process, signal.SIGCONT)
        self.house.server.start()

    def _end(self, scene: Scene, finding: Finding) -> None:
        """Wait until every job has ended; one that waits for a client is resumed."""
        deadline = time.monotonic() + ROUND_SECONDS
        while live := [job for job in scene.jobs if not job.over]:
            for job in live:
                if job.seen.job.get("status") == "paused":
                    self.watcher.ask("POST", f"/v1/jobs/{job.job_id}/resume")
            if time.monotonic() > deadline:
                for job in live:
                    told = {k: job.seen.job.get(k) for k in ("status", "tick", "attempt", "phase")}
                    what = f"{job.job_id} ({job.spec}) did not end: {told}"
                    finding.violations.append(Violation("I1", what))
                    self.watcher.ask("POST", f"/v1/jobs/{job.job_id}/cancel")
                return
            time.sleep(0.05)

    def _clear(self, scene: Scene) -> None:
        """Delete the round's jobs and its spent faults, so that rounds do not add up."""
        self.watcher.forget()
        for job in scene.jobs:
            self.watcher.ask("DELETE", f"/v1/jobs/{job.job_id}")
        self.house.disarm()
