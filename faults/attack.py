"""One round: jobs that train, attacks on them, and checks once every job has ended.

A catalogue entry gets an `Attack`: it can create jobs, arm fault points, schedule actions and add
checks of its own. It draws from its own random generator, so that a seed repeats it.
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

#: statuses that a job may end with after a request, beside its undisturbed end
ENDS_AFTER_REQUEST = {"cancel": {"cancelled"}, "stop": {"succeeded"}, "pause": set[str]()}
PromiseCheck = Callable[[], str | None]


class NotRunnable(Exception):
    """The fault cannot be produced on this machine; the message says why."""


@dataclass
class JobUnderTest:
    """A job of a round: the name of its spec, what clients were shown, its allowed ends."""

    job_id: str
    spec: str
    observed: ObservedJob
    #: ends it may have beside the undisturbed one
    allowed_ends: set[str] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        return self.observed.has_ended

    @property
    def tick(self) -> int:
        return int(self.observed.job.get("tick", 0))


class RoundContext:
    """The state that the attacks of one round share."""

    def __init__(self, service: ServiceUnderTest, watcher: Watcher) -> None:
        self.service, self.watcher = service, watcher
        self.jobs: list[JobUnderTest] = []
        self.timers: list[threading.Thread] = []
        self.forged_messages = 0  # wake-ups that an attack has put into the broker's list
        self.answer_timeout = MAX_ANSWER_SECONDS  # until a client has its response
        self.story: list[str] = []
        self._started = time.monotonic()

    def log(self, message: str) -> None:
        """Add a line to the round's log of events."""
        self.story.append(f"{time.monotonic() - self._started:5.1f} s  {message}")

    def submit(self, spec: str) -> JobUnderTest:
        """Submit a job and watch it; retried while the service is unavailable."""
        body, headers = make_body(spec), {"Idempotency-Key": f"faults-{time.monotonic_ns()}"}

        def submit_once() -> httpx.Response | None:
            response = self.watcher.request("POST", "/v1/jobs", json=body, headers=headers)
            return response if response is not None and response.status_code == 202 else None

        response = wait_until(submit_once, 30, "an accepted job")
        return self.add(response.json()["id"], spec)

    def add(self, job_id: str, spec: str) -> JobUnderTest:
        """Add an acknowledged job to the round."""
        job = JobUnderTest(job_id, spec, self.watcher.watch(job_id))
        self.jobs.append(job)
        return job


class Attack:
    """One attack of a round: its name in the catalogue, its random generator, its faults so far."""

    def __init__(self, name: str, context: RoundContext, rng: random.Random, spec: str) -> None:
        self.name, self.context, self.rng, self._spec = name, context, rng, spec
        self.service = context.service
        self.armed_faults: list[ArmedFault] = []
        self.breakpoints: list[ScriptBreakpoint] = []
        self.promise_checks: list[PromiseCheck] = []
        self.fault_count = 0

    def new_job(self, spec: str | None = None) -> JobUnderTest:
        """Return a new job that this attack may do anything to; fault points can wait for it."""
        return self.context.submit(spec or self._spec)

    def running_job(self) -> JobUnderTest:
        """Return a job that trains: one of the round's, or else a new one."""
        under_way = [job for job in self.context.jobs if not job.is_over]
        job = self.rng.choice(under_way) if under_way else self.new_job()
        self.wait_for(lambda: job.tick > 0 or job.is_over, 20)
        return job

    def arm(
        self, point: str, action: Action, job: JobUnderTest | None = None, **options: Any
    ) -> ArmedFault:
        """Arm a fault at a point, for the processes of one job or for all."""
        scope = {} if job is None else {"job": job.job_id}
        fault = cast(Fault, {"point": point, "action": action, **scope, **options})
        armed_fault = self.service.arm(fault)
        self.armed_faults.append(armed_fault)
        return armed_fault

    def record_fault(self, description: str, times: int = 1) -> None:
        """Count a fault that has happened and log it."""
        self.fault_count += times
        self.log(description)

    def log(self, message: str) -> None:
        """Add a line to the round's log of events."""
        self.context.log(f"{self.name}: {message}")

    def run_later(self, seconds: float, action: Callable[[], object]) -> None:
        """Run an action after a delay; the round waits for it."""
        timer = threading.Timer(seconds, action)
        timer.start()
        self.context.timers.append(timer)

    def request(self, job: JobUnderTest, verb: str) -> bool:
        """Send a client's request; return whether it was accepted.

        Without an answer, or with 503, it may have been accepted all the same.
        """
        response = self.context.watcher.request("POST", f"/v1/jobs/{job.job_id}/{verb}")
        if response is not None and 400 <= response.status_code < 500:
            return False
        job.allowed_ends |= ENDS_AFTER_REQUEST.get(verb, set())
        return response is not None and response.status_code < 300

    def wait_for(self, condition: Callable[[], Any], seconds: float) -> bool:
        """Wait for a condition that may never hold; return whether it did."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def add_check(self, check: PromiseCheck) -> None:
        """Add a check, beyond the invariants, to be run at the round's end."""
        self.promise_checks.append(check)

    def expect(self, is_true: bool, message: str) -> None:
        """Add a check whose outcome is known: unless `is_true`, `message` is a violation."""
        self.add_check(lambda: None if is_true else message)

    def sleep(self, min_seconds: float, max_seconds: float) -> None:
        """Sleep for a random time."""
        time.sleep(self.rng.uniform(min_seconds, max_seconds))

    def count_faults(self) -> int:
        """Return how many faults have happened, those at fault points and breakpoints included."""
        fired = [armed_fault.has_fired for armed_fault in self.armed_faults]
        return self.fault_count + sum(fired) + sum(point.hit.is_set() for point in self.breakpoints)
