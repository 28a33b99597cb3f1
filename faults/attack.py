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

from faults.invariants import MAX_ANSWER_SECONDS
from faults.proxy import ScriptBreakpoint
from faults.service_under_test import ArmedFault, ServiceUnderTest
from faults.specs import make_body
from faults.waits import wait_until
from faults.watcher import ObservedJob, Watcher
from jobs.fault_points import Action, Fault

#: what a job may end as beside its undisturbed end, once something was asked of it
ENDS_AFTER_REQUEST = {"cancel": {"cancelled"}, "stop": {"succeeded"}, "pause": set[str]()}
PromiseCheck = Callable[[], str | None]


class NotRunnable(Exception):
    """A fault that cannot be made to happen on this machine; the text says why."""


@dataclass
class JobUnderTest:
    """A job of a round: its spec's name, what clients were shown of it, how it may end."""

    job_id: str
    spec: str
    observed: ObservedJob
    allowed_ends: set[str] = field(
        default_factory=set
    )  # ends it may have beside the undisturbed one

    @property
    def is_over(self) -> bool:
        return self.observed.has_ended

    @property
    def tick(self) -> int:
        return int(self.observed.job.get("tick", 0))


class RoundContext:
    """What the attacks of one round share."""

    def __init__(self, service: ServiceUnderTest, watcher: Watcher) -> None:
        self.service, self.watcher = service, watcher
        self.jobs: list[JobUnderTest] = []
        self.timers: list[threading.Thread] = []
        self.forged_messages = 0  # bells that an attack has put into the broker's list
        self.answer_timeout = MAX_ANSWER_SECONDS  # of a client with one answer
        self.story: list[str] = []
        self._started = time.monotonic()

    def log(self, message: str) -> None:
        """Add a line to the round's story."""
        self.story.append(f"{time.monotonic() - self._started:5.1f} s  {message}")

    def submit(self, spec: str) -> JobUnderTest:
        """Submit a job and watch it; asked again while the service is away."""
        headers = {"Idempotency-Key": f"faults-{time.monotonic_ns()}"}
        response: httpx.Response | None = None

        def is_accepted() -> bool:
            nonlocal response
            response = self.watcher.request(
                "POST", "/v1/jobs", json=make_body(spec), headers=headers
            )
            return response is not None and response.status_code == 202

        wait_until(is_accepted, 30, "an accepted job")
        assert response is not None
        return self.add(response.json()["id"], spec)

    def add(self, job_id: str, spec: str) -> JobUnderTest:
        """Take an acknowledged job into the round."""
        job = JobUnderTest(job_id, spec, self.watcher.watch(job_id))
        self.jobs.append(job)
        return job


class Attack:
    """One attack of a round: the catalogue's name for it, its dice, what it has done."""

    def __init__(self, name: str, context: RoundContext, rng: random.Random, spec: str) -> None:
        self.name, self.context, self.rng, self._spec = name, context, rng, spec
        self.service = context.service
        self.armed_faults: list[ArmedFault] = []
        self.breakpoints: list[ScriptBreakpoint] = []
        self.promise_checks: list[PromiseCheck] = []
        self.fault_count = 0

    def new_job(self, spec: str | None = None) -> JobUnderTest:
        """A job that this attack may do anything to; new, so that points may wait for it."""
        return self.context.submit(spec or self._spec)

    def running_job(self) -> JobUnderTest:
        """A job under way: one of the round's, else a new one, seen to train."""
        under_way = [job for job in self.context.jobs if not job.is_over]
        job = self.rng.choice(under_way) if under_way else self.new_job()
        self.wait_for(lambda: job.tick > 0 or job.is_over, 20)
        return job

    def arm(
        self, point: str, action: Action, job: JobUnderTest | None = None, **options: Any
    ) -> ArmedFault:
        """Let a fault wait at a point (of one job's processes)."""
        scope = {} if job is None else {"job": job.job_id}
        fault = cast(Fault, {"point": point, "action": action, **scope, **options})
        armed_fault = self.service.arm(fault)
        self.armed_faults.append(armed_fault)
        return armed_fault

    def record_fault(self, description: str, times: int = 1) -> None:
        """Note that something was done."""
        self.fault_count += times
        self.log(description)

    def log(self, message: str) -> None:
        """Tell the round's story."""
        self.context.log(f"{self.name}: {message}")

    def run_later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something a little later; the round waits for it."""
        timer = threading.Timer(seconds, action)
        timer.start()
        self.context.timers.append(timer)

    def request(self, job: JobUnderTest, verb: str) -> bool:
        """Ask something of a job as a client; whether it was told that it was taken.

        Who is told nothing, or that the service is away, cannot know: it may have been.
        """
        response = self.context.watcher.request("POST", f"/v1/jobs/{job.job_id}/{verb}")
        if response is not None and 400 <= response.status_code < 500:
            return False
        job.allowed_ends |= ENDS_AFTER_REQUEST.get(verb, set())
        return response is not None and response.status_code < 300

    def wait_for(self, condition: Callable[[], Any], seconds: float) -> bool:
        """Wait for something that need not happen; whether it did."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def add_check(self, check: PromiseCheck) -> None:
        """Something that must hold at the round's end beyond the invariants."""
        self.promise_checks.append(check)

    def sleep(self, min_seconds: float, max_seconds: float) -> None:
        """Let the round go on for a moment of the dice's choice."""
        time.sleep(self.rng.uniform(min_seconds, max_seconds))

    def count_faults(self) -> int:
        """How many faults have happened, those at points and traps included."""
        fired = [armed_fault.has_fired for armed_fault in self.armed_faults]
        return self.fault_count + sum(fired) + sum(trap.hit.is_set() for trap in self.breakpoints)
