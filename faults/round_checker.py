"""After a round: gather the evidence of every job, and check every invariant."""

import os
import time
from collections.abc import Mapping

from faults import invariants, records
from faults.attack import Attack, JobUnderTest, RoundContext
from faults.invariants import Violation
from faults.records import TENANT, Evidence, Reference
from faults.service_under_test import COMPLETE_SERVICE, ServiceUnderTest
from faults.watcher import Watcher
from jobs.errors import NoSuchJob
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE

#: seconds in which all trainers end and ended jobs' histories lie in files
SETTLE_SECONDS = 30.0
STORE_SECONDS = 10.0  # for the store to be back


def load_factor() -> float:
    """Return how much slower this machine is than a quiet one: load per core, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class RoundChecker:
    """Checks the records of a service after a round."""

    def __init__(
        self, service: ServiceUnderTest, watcher: Watcher, references: Mapping[str, Reference]
    ) -> None:
        self._service, self._watcher, self._references = service, watcher, references

    def check_round(self, context: RoundContext, attacks: list[Attack]) -> list[Violation]:
        """Return all violations of a round that has ended."""
        self._wait_until_settled(context)
        gathered = [(job, self._gather_evidence(job)) for job in context.jobs]
        violations = [v for job, evidence in gathered for v in self._check_job(job, evidence)]
        ended = [evidence for _, evidence in gathered if evidence is not None]
        counts = self._service.count_by_role()
        violations += invariants.check_nothing_left(counts, COMPLETE_SERVICE, ended)
        violations += self.check_wakeups(context)
        max_seconds = context.answer_timeout * load_factor()
        violations += invariants.check_responses(self._watcher.take_responses(), max_seconds)
        for attack in attacks:
            results = [promise() for promise in attack.promise_checks]
            violations += [Violation(attack.name, text) for text in results if text is not None]
        return violations

    def check_job(self, job: JobUnderTest) -> list[Violation]:
        """Return all violations of one job that has ended and whose history lies in files."""
        return self._check_job(job, self._gather_evidence(job))

    def is_finalized(self, job: JobUnderTest) -> bool:
        """Return whether the history of an ended job lies in files."""
        try:
            return self._service.store.hget(keys.job(TENANT, job.job_id), "sealed") == b"1"
        except UNAVAILABLE:
            return False

    def _wait_until_settled(self, context: RoundContext) -> None:
        """Wait until zombies have ended and histories lie in files, by a reconciler if need be.

        And until wake-ups were consumed: a worker that was parted from the broker comes back late.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and (
            self._service.processes_of("trainer")
            or self.check_wakeups(context)
            or not all(self.is_finalized(job) for job in context.jobs if job.is_over)
        ):
            time.sleep(0.1)

    def check_wakeups(self, context: RoundContext) -> list[Violation]:
        """I7: no more wake-ups wait than jobs are queued."""
        try:
            wakeups, queued_jobs = self._service.count_wakeups(), self._service.count_queued_jobs()
        except UNAVAILABLE as error:
            return [Violation("I7", f"the store cannot be asked: {error}")]
        return invariants.check_wakeups(wakeups, queued_jobs, context.forged_messages)

    def _gather_evidence(self, job: JobUnderTest) -> Evidence | None:
        """Return the records of a job with what clients were shown; None without a record."""
        self._watcher.observe(job.job_id)
        store, files = self._service.store, self._service.files
        deadline = time.monotonic() + STORE_SECONDS
        while True:
            try:
                evidence = records.gather_evidence(store, files, job.job_id)
            except NoSuchJob:
                return None
            except UNAVAILABLE:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                evidence.shown, evidence.statuses = job.observed.losses, job.observed.statuses
                return evidence

    def _check_job(self, job: JobUnderTest, evidence: Evidence | None) -> list[Violation]:
        violations = invariants.check_acknowledged(job.job_id, evidence)
        if evidence is None:
            return violations
        reference = self._references[job.spec]
        is_as_undisturbed = (evidence.status, evidence.tick) == (reference.status, reference.tick)
        cut_short = evidence.status in job.allowed_ends and not is_as_undisturbed
        return [
            *violations,
            *invariants.check_shown(evidence),
            *invariants.check_equal(evidence, reference, cut_short=cut_short),
            *invariants.check_order(evidence),
            *invariants.check_checkpoint_files(evidence),
            *invariants.check_disk_use(evidence),
        ]
