"""A round: jobs that train, attacks on them, and what is found when all has come to an end.

An entry of the catalogue gets an `Attack`: jobs to be had, points to be armed, things to be done a
little later, promises of its own. What it draws comes from its dice, so that a seed repeats it.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from faults.house import Armed, House
from faults.invariants import HANG_SECONDS
from faults.proxy import Trap
from faults.specs import body
from faults.waits import wait_until
from faults.watcher import Seen, Watcher
from jobs.fault_points import Action, Fault

#: what a job may end as beside its undisturbed end, once something was asked of it
AFTER = {"cancel": {"cancelled"}, "stop": {"succeeded"}, "pause": set[str]()}
Promise = Callable[[], str | None]


class NotRun(Exception):
    """A fault that cannot be made to happen on this machine; the text says why."""


@dataclass
class Trained:
    """A job of a round: its spec's name, what clients were shown of it, how it may end."""

    job_id: str
    spec: str
    seen: Seen
    ends: set[str] = field(default_factory=set)  # ends it may have beside the undisturbed one

    @property
    def over(self) -> bool:
        return self.seen.ended

    @property
    def tick(self) -> int:
        return int(self.seen.job.get("tick", 0))


class Scene:
    """What the attacks of one round share."""

    def __init__(self, house: House, watcher: Watcher) -> None:
        self.house, self.watcher = house, watcher
        self.jobs: list[Trained] = []
        self.later: list[threading.Thread] = []
        self.forged = 0  # bells that an attack has put into the broker's list
        self.patience = HANG_SECONDS  # of a client with one answer
        self.told: list[str] = []
        self._began = time.monotonic()

    def tell(self, what: str) -> None:
        """Add a line to the round's story."""
        self.told.append(f"{time.monotonic() - self._began:5.1f} s  {what}")

    def submit(self, spec: str) -> Trained:
        """Submit a job and watch it; asked again while the service is away."""
        headers = {"Idempotency-Key": f"faults-{time.monotonic_ns()}"}
        answer: httpx.Response | None = None

        def accepted() -> bool:
            nonlocal answer
            answer = self.watcher.ask("POST", "/v1/jobs", json=body(spec), headers=headers)
            return answer is not None and answer.status_code == 202

        wait_until(accepted, 30, "an accepted job")
        assert answer is not None
        return self.add(answer.json()["id"], spec)

    def add(self, job_id: str, spec: str) -> Trained:
        """Take an acknowledged job into the round."""
        job = Trained(job_id, spec, self.watcher.watch(job_id))
        self.jobs.append(job)
        return job


class Attack:
    """One attack of a round: the catalogue's name for it, its dice, what it has done."""

    def __init__(self, name: str, scene: Scene, dice: random.Random, spec: str) -> None:
        self.name, self.scene, self.dice, self._spec = name, scene, dice, spec
        self.house = scene.house
        self.armed: list[Armed] = []
        self.traps: list[Trap] = []
        self.promises: list[Promise] = []
        self.struck = 0

    def job(self, spec: str | None = None) -> Trained:
        """A job that this attack may do anything to; new, so that points may wait for it."""
        return self.scene.submit(spec or self._spec)

    def victim(self) -> Trained:
        """A job under way: one of the round's, else a new one, seen to train."""
        under_way = [job for job in self.scene.jobs if not job.over]
        job = self.dice.choice(under_way) if under_way else self.job()
        self.until(lambda: job.tick > 0 or job.over, 20)
        return job

    def arm(self, point: str, action: Action, job: Trained | None = None, **more: Any) -> Armed:
        """Let a fault wait at a point (of one job's processes)."""
        whose = {} if job is None else {"job": job.job_id}
        fault = cast(Fault, {"point": point, "action": action, **whose, **more})
        armed = self.house.arm(fault)
        self.armed.append(armed)
        return armed

    def strike(self, what: str, times: int = 1) -> None:
        """Note that something was done."""
        self.struck += times
        self.say(what)

    def say(self, what: str) -> None:
        """Tell the round's story."""
        self.scene.tell(f"{self.name}: {what}")

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something a little later; the round waits for it."""
        timer = threading.Timer(seconds, act)
        timer.start()
        self.scene.later.append(timer)

    def ask(self, job: Trained, verb: str) -> bool:
        """Ask something of a job as a client; whether it was told that it was taken.

        Who is told nothing, or that the service is away, cannot know: it may have been.
        """
        answer = self.scene.watcher.ask("POST", f"/v1/jobs/{job.job_id}/{verb}")
        if answer is not None and 400 <= answer.status_code < 500:
            return False
        job.ends |= AFTER.get(verb, set())
        return answer is not None and answer.status_code < 300

    def until(self, happened: Callable[[], Any], seconds: float) -> bool:
        """Wait for something that need not happen; whether it did."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def promise(self, what: Promise) -> None:
        """Something that must hold at the round's end beyond the invariants."""
        self.promises.append(what)

    def sleep(self, least: float, most: float) -> None:
        """Let the round go on for a moment of the dice's choice."""
        time.sleep(self.dice.uniform(least, most))

    def done(self) -> int:
        """How many faults have happened, those at points and traps included."""
        fired = [armed.fired for armed in self.armed]
        return self.struck + sum(fired) + sum(trap.sprung.is_set() for trap in self.traps)
