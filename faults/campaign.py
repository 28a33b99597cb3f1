"""Rounds against one service: attack, wait until all jobs end, compare with undisturbed runs.

The result of a round is a `Finding`. Knows no output format.
"""

import random
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Self

from faults import records
from faults.attack import Attack, NotRunnable, RoundContext
from faults.catalogue import CATALOGUE
from faults.invariants import Violation
from faults.processes import send_signal
from faults.records import Reference
from faults.round_checker import RoundChecker
from faults.schedule import Round
from faults.service_under_test import COMPLETE_SERVICE, ServiceUnderTest
from faults.specs import SPECS
from faults.waits import wait_until
from faults.watcher import Watcher

#: seconds after which a job of a round that has not ended is a violation
ROUND_SECONDS = 90.0
#: seconds in which a service recovers after the last attack: two fork servers import torch
RECOVERY_SECONDS = 60.0
LOG_LINES = 400  # of the service's log, in a finding with violations
STATE_FIELDS = ("status", "tick", "attempt", "phase")  # of a job, in a violation
MAX_STAGGER_SECONDS = 0.4  # between the starts of two attacks


@dataclass
class Finding:
    """The result of a round. `happened` counts the faults of each name, `not_run` holds reasons."""

    round: Round
    happened: dict[str, int] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    jobs: int = 0
    seconds: float = 0.0
    story: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)  # the service's own, where there are violations

    @property
    def fault_count(self) -> int:
        return sum(self.happened.values())


class Campaign:
    """A context in which a service runs and can be attacked in one round after another."""

    def __init__(self) -> None:
        self.service = ServiceUnderTest()
        self.references: dict[str, Reference] = {}

    def __enter__(self) -> Self:
        self.service.__enter__()
        self.watcher = Watcher(self.service.http)
        self.watcher.__enter__()
        try:
            self._run_references()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.watcher.__exit__(None, None, None)
        self.service.__exit__(None, None, None)

    def run(self, round_: Round) -> Finding:
        """Run one round and check all that must hold after it."""
        started, finding = time.monotonic(), Finding(round_)
        _, log_offset = self.service.read_log()
        context = RoundContext(self.service, self.watcher)
        attacks = self._run_attacks(context, round_, finding)
        self._undo_faults(context)
        self._wait_for_ends(context, finding)
        self.service.disarm_unfired()
        checker = RoundChecker(self.service, self.watcher, self.references)
        finding.violations += checker.check_round(context, attacks)
        finding.happened = {attack.name: attack.count_faults() for attack in attacks}
        finding.jobs, finding.story = len(context.jobs), context.story
        if finding.violations:
            finding.log = self.service.read_log(log_offset)[0][-LOG_LINES:]
        self._delete_jobs(context)
        finding.seconds = time.monotonic() - started
        return finding

    def check_recovered(self) -> list[Violation]:
        """Check I6 after the last attack: the service has all its processes and no others."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while not self.service.is_complete():
            if time.monotonic() > deadline:
                counts = self.service.count_by_role()
                return [Violation("I6", f"{counts} live, expected {COMPLETE_SERVICE}")]
            time.sleep(0.1)
        return []

    def _run_references(self) -> None:
        """Run every spec undisturbed."""
        context = RoundContext(self.service, self.watcher)
        jobs = [context.submit(name) for name in SPECS]
        wait_until(lambda: all(job.is_over for job in jobs), 60, "the undisturbed runs")
        for job in jobs:
            evidence = records.gather_evidence(self.service.store, self.service.files, job.job_id)
            self.references[job.spec] = records.make_reference(evidence)
        self._delete_jobs(context)

    def _run_attacks(self, context: RoundContext, round_: Round, finding: Finding) -> list[Attack]:
        """Run the attacks of a round side by side, each to its end."""
        rng = random.Random(round_.seed)
        attacks, threads = [], []
        for name in round_.faults:
            attack = Attack(name, context, random.Random(rng.getrandbits(32)), CATALOGUE[name].spec)
            thread = threading.Thread(target=self._run_attack, args=(attack, finding), name=name)
            attacks.append(attack)
            threads.append(thread)
            thread.start()
            time.sleep(rng.uniform(0, MAX_STAGGER_SECONDS))
        for thread in threads:
            thread.join()
        return attacks

    def _run_attack(self, attack: Attack, finding: Finding) -> None:
        try:
            CATALOGUE[attack.name].run(attack)
        except NotRunnable as reason:
            finding.not_run[attack.name] = str(reason)
        except Exception:
            trace = traceback.format_exc(limit=-4)
            finding.violations.append(Violation("attack", f"{attack.name} broke off: {trace}"))

    def _undo_faults(self, context: RoundContext) -> None:
        """Undo what the attacks left: a frozen or dead store, a bad network, pending timers."""
        for timer in context.timers:
            timer.join()
        self.service.proxy.set_condition()
        self.service.proxy.clear_breakpoints()
        for process in self.service.frozen_processes():
            send_signal(process, signal.SIGCONT)
        self.service.server.start()

    def _wait_for_ends(self, context: RoundContext, finding: Finding) -> None:
        """Wait until every job has ended; a paused one is resumed."""
        deadline = time.monotonic() + ROUND_SECONDS
        while live := [job for job in context.jobs if not job.is_over]:
            for job in live:
                if job.observed.job.get("status") == "paused":
                    self.watcher.request("POST", f"/v1/jobs/{job.job_id}/resume")
            if time.monotonic() > deadline:
                for job in live:
                    state = {name: job.observed.job.get(name) for name in STATE_FIELDS}
                    message = f"{job.job_id} ({job.spec}) did not end: {state}"
                    finding.violations.append(Violation("I1", message))
                    self.watcher.request("POST", f"/v1/jobs/{job.job_id}/cancel")
                return
            time.sleep(0.05)

    def _delete_jobs(self, context: RoundContext) -> None:
        """Delete the round's jobs and its spent faults, so that rounds do not add up."""
        self.watcher.forget()
        for job in context.jobs:
            self.watcher.request("DELETE", f"/v1/jobs/{job.job_id}")
        self.service.disarm_all()
