"""After a round: the evidence of every job is gathered, and every invariant asked of it."""

import os
import time
from collections.abc import Mapping

from faults import invariants, records
from faults.attack import Attack, Scene, Trained
from faults.house import WHOLE, House
from faults.invariants import Violation
from faults.records import TENANT, Evidence, Reference
from faults.watcher import Watcher
from jobs.errors import NoSuchJob
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE

#: seconds in which nobody trains any more and ended jobs' histories lie in files
SEAL_SECONDS = 30.0
STORE_SECONDS = 10.0  # for the store to be back


def crowding() -> float:
    """How much longer all takes than on a quiet machine: what waits for a core, by core."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Check:
    """Asks a house's records what a round has done to its jobs."""

    def __init__(self, house: House, watcher: Watcher, references: Mapping[str, Reference]) -> None:
        self._house, self._watcher, self._references = house, watcher, references

    def after(self, scene: Scene, attacks: list[Attack]) -> list[Violation]:
        """All violations of a round that has come to its end."""
        self._settle(scene)
        found = [(job, self._evidence(job)) for job in scene.jobs]
        broken = [each for job, evidence in found for each in self._of(job, evidence)]
        ended = [evidence for _, evidence in found if evidence is not None]
        broken += invariants.nothing_left(self._house.roles(), WHOLE, ended)
        broken += self._unheard(scene)
        broken += invariants.clear(self._watcher.taken(), scene.patience * crowding())
        for attack in attacks:
            told = [promise() for promise in attack.promises]
            broken += [Violation(attack.name, what) for what in told if what is not None]
        return broken

    def _settle(self, scene: Scene) -> None:
        """Wait until zombies have left and histories lie in files, by a reconciler if need be.

        And until bells were heard: a worker that was parted from the broker comes back late.
        """
        deadline = time.monotonic() + SEAL_SECONDS
        while time.monotonic() < deadline and (
            self._house.role("trainer")
            or self._unheard(scene)
            or not all(self._is_sealed(job) for job in scene.jobs if job.over)
        ):
            time.sleep(0.1)

    def _unheard(self, scene: Scene) -> list[Violation]:
        try:
            bells, waiting = self._house.bells(), self._house.waiting()
        except UNAVAILABLE as error:
            return [Violation("I7", f"the store cannot be asked: {error}")]
        return invariants.bells_bounded(bells, waiting, scene.forged)

    def _is_sealed(self, job: Trained) -> bool:
        try:
            return self._house.store.hget(keys.job(TENANT, job.job_id), "sealed") == b"1"
        except UNAVAILABLE:
            return False

    def _evidence(self, job: Trained) -> Evidence | None:
        """What is recorded of a job, and what clients saw; None where there is no record."""
        self._watcher.look(job.job_id)
        deadline = time.monotonic() + STORE_SECONDS
        while True:
            try:
                found = records.read(self._house.store, self._house.files, job.job_id)
            except NoSuchJob:
                return None
            except UNAVAILABLE:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                found.shown, found.statuses = job.seen.losses, job.seen.statuses
                return found

    def _of(self, job: Trained, found: Evidence | None) -> list[Violation]:
        broken = invariants.acknowledged(job.job_id, found)
        if found is None:
            return broken
        due = self._references[job.spec]
        as_undisturbed = (found.status, found.tick) == (due.status, due.tick)
        cut_short = found.status in job.ends and not as_undisturbed
        return [
            *broken,
            *invariants.shown(found),
            *invariants.equal(found, due, cut_short=cut_short),
            *invariants.in_order(found),
            *invariants.verified(found),
            *invariants.bounded(found),
        ]
