"""What clients ask of jobs: script, archive record and wake-up, one method per client action.

A method returns only when what it promises is on disk, so a lost store does not lose it. Any method
that changes something may raise StoreFull or DiskUnavailable (nothing is changed), or NotArchived
(the change is in effect and its record owed: the request may be sent again). Knows no HTTP.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from jobs.archive.disk_probe import DiskProbe
from jobs.archive.jobs import JobArchive
from jobs.archive.upkeep import ArchiveUpkeep
from jobs.datasets.repository import DatasetRepository
from jobs.errors import (
    DatasetDeleted,
    IllegalTransition,
    JobSpared,
    NoSuchDataset,
    NoSuchJob,
    NotTerminal,
)
from jobs.files.artifacts import ArtifactStore
from jobs.forks.held_folder import held_folder
from jobs.forks.initial_weights import InitialWeights
from jobs.ids import new_job_id
from jobs.job import QUESTION_KINDS, Checkpoint, Job, Transition
from jobs.job_deletion import JobDeletion
from jobs.ledger.checkpoint_requests import CheckpointRequests
from jobs.ledger.checkpoint_set import RequestedCheckpoint
from jobs.ledger.claims import VerifyRange
from jobs.ledger.client import JobLedger
from jobs.plan import Plan, place_spec
from jobs.queries import worker_registry
from jobs.queries.ended_jobs import EndedJobFilter, EndedJobs
from jobs.queries.jobs import JobQueries
from jobs.queries.plans import plan_now
from jobs.settings import Settings
from jobs.spec.base import FieldError, InvalidFields, InvalidSpec
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from jobs.store.connection import Store
from jobs.stored_responses import remove_spec
from jobs.submissions import Idempotency, Submission, Submissions, make_replay
from jobs.webhooks.notify_check import make_notify_check

MAX_BULK_SECONDS = 10.0  # a client waits for the answer


class InvalidVerifyRange(InvalidFields):
    """The ticks to verify do not fit the job."""


class BulkDeleteResult(NamedTuple):
    """How many jobs were deleted, how many matched and stay, and where the next call begins."""

    deleted: int
    spared: int
    next_after: str | None


class JobService:
    """Changes jobs for clients. A method that names a job raises NoSuchJob if there is none."""

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        datasets: DatasetRepository,
        settings: Settings,
        encode_job: Callable[[Job], str],
    ) -> None:
        """`encode_job` writes a job as the JSON that a client is shown."""
        self._store, self._artifacts, self._datasets = store, artifacts, datasets
        self._settings, self._encode_job = settings, encode_job
        self._ledger, self._queries = JobLedger(store), JobQueries(store)
        self._archive = JobArchive(store, artifacts)
        self._deletion, self._ended_jobs = JobDeletion(store, artifacts), EndedJobs(store)
        self._initial_weights = InitialWeights(store, artifacts)
        self._submissions = Submissions(store, artifacts, settings, encode_job)
        self._checkpoints = CheckpointRequests(store, artifacts, self._archive)
        self._notify = make_notify_check(store, artifacts, settings)
        self.check_disk = DiskProbe(artifacts).check
        self.upkeep = ArchiveUpkeep(store, artifacts)

    def plan(self, tenant: str, body: object) -> Plan:
        """Return what a spec would mean; stores nothing. Raises InvalidSpec."""
        return plan_now(self._store, tenant, self._parse_spec(tenant, body))

    def submit(self, tenant: str, body: object, idempotency: Idempotency | None) -> Submission:
        """Queue a training job, or find the job of this idempotency key.

        Raises InvalidSpec, IdempotencyMismatch, IdempotentResultDeleted, RequestInProgress or
        QueueFull or QuotaExceeded.
        """
        while True:
            try:
                return self._submit(tenant, self._parse_spec(tenant, body), idempotency)
            except NoSuchDataset:  # deleted since the spec was checked
                continue
            except InvalidSpec:
                # it may have been valid at the first try: a dataset it names was deleted since
                if replay := self._submissions.find_replay(tenant, idempotency):
                    return replay
                raise

    def verify(
        self, tenant: str, job_id: str, start: int, end: int | None, idempotency: Idempotency | None
    ) -> Submission:
        """Queue a job that runs ticks `start`+1…`end` again (None: all that are accepted).

        Raises what `submit` does, and IllegalTransition, InvalidVerifyRange or DatasetDeleted.
        """
        if replay := self._submissions.find_replay(tenant, idempotency):
            return replay
        parent = self._queries.get_job(tenant, job_id)
        if parent.kind != "train" or parent.tick < parent.first_tick:
            action = "verify, for want of ticks of its own,"
            self._ledger.raise_illegal_transition(tenant, job_id, action)
        start = max(start, parent.first_tick - 1)  # a fork begins with a state
        verify_range = VerifyRange(job_id, start, parent.tick if end is None else end)
        starts = [saved.tick for saved in self._queries.list_checkpoints(tenant, job_id)]
        if errors := list(_find_range_errors(parent, verify_range, starts)):
            raise InvalidVerifyRange(errors)
        try:
            return self._submissions.create(tenant, parent.spec, idempotency, verify_range)
        except NoSuchDataset as error:
            detail = f"dataset {error} has been deleted: nothing can be run again"
            raise DatasetDeleted(detail) from None

    def patch(self, tenant: str, job_id: str, changes: dict[str, Any]) -> Job:
        """Change a job's name, labels, notes or priority."""
        with self._archive.reserve_change() as reservation:
            self._ledger.patch(tenant, job_id, **changes)
            self._archive.save_change(tenant, job_id, reservation)
        return self._queries.get_job(tenant, job_id)

    def request_transition(self, tenant: str, job_id: str, action: Transition) -> tuple[Job, bool]:
        """Return the job, and whether the transition is done rather than under way.

        Raises IllegalTransition.
        """
        if action != "cancel":
            job = self._queries.get_job(tenant, job_id)
            if job.kind in QUESTION_KINDS:
                allowed = [] if job.is_terminal else ["cancel"]
                raise IllegalTransition(action, job.status, allowed)
        with self._archive.reserve_change() as reservation:
            outcome = self._ledger.request_transition(tenant, job_id, action)
            self._archive.save_change(tenant, job_id, reservation)
        job = self._queries.get_job(tenant, job_id)
        if action in ("stop", "resume") and job.status == "queued":
            self._submissions.wake_workers(job.spec.queue)
        return job, outcome == "done"

    def delete(self, tenant: str, job_id: str) -> None:
        """Remove an ended job with its history and files. Raises NotTerminal."""
        self._deletion.delete(tenant, job_id)

    def delete_ended(
        self, tenant: str, choice: EndedJobFilter, *, after: str | None = None
    ) -> BulkDeleteResult:
        """Delete the ended jobs that match, the first submitted first, but those spared.

        Looks at 1,000 jobs at most, and begins none after ten seconds. Raises BadCursor.
        """
        deadline, deleted, spared = time.monotonic() + MAX_BULK_SECONDS, 0, 0
        page = self._ended_jobs.read_page(tenant, choice, after=after)
        for sequence, job_id in page.data:
            if time.monotonic() >= deadline:
                return BulkDeleteResult(deleted, spared, after)
            try:
                self._deletion.delete(tenant, job_id, spare=True)
                deleted += 1
            except (JobSpared, NotTerminal):
                spared += 1
            except NoSuchJob:  # another request was quicker
                pass
            after = str(sequence)
        return BulkDeleteResult(deleted, spared, page.next_after)

    def request_checkpoint(
        self, tenant: str, job_id: str, name: str | None, pinned: bool,
        idempotency: Idempotency | None,
    ) -> Submission:  # fmt: skip
        """Have a running job saved at the end of its chunk.

        Raises IllegalTransition, IdempotencyMismatch or IdempotentResultDeleted.
        """
        key, body_digest = idempotency or (None, "")
        is_repeated, job = self._checkpoints.request(
            tenant, job_id, RequestedCheckpoint(name, pinned),
            lambda job: remove_spec(job, self._encode_job(job)),
            idempotency_key=key, body_digest=body_digest,
        )  # fmt: skip
        if is_repeated:
            return self._replay_checkpoint_request(tenant, job, key or "")
        return Submission(job_id, job)

    def patch_checkpoint(
        self, tenant: str, job_id: str, selector: str, changes: dict[str, Any]
    ) -> Checkpoint:
        """Change a checkpoint's name or pin. Raises NoSuchCheckpoint."""
        return self._checkpoints.update(tenant, job_id, selector, changes)

    def delete_checkpoint(self, tenant: str, job_id: str, selector: str) -> None:
        """Remove a checkpoint and its files. Raises NoSuchCheckpoint or LastCheckpoint."""
        self._checkpoints.delete(tenant, job_id, selector)

    def _parse_spec(self, tenant: str, body: object) -> JobSpec:
        look_up = partial(self._datasets.look_up, tenant)
        spec = read_spec(body, max_parameters=self._settings.max_parameters, datasets=look_up)
        self._notify.check(tenant, spec.notify)
        spec = self._initial_weights.bind(tenant, spec)
        return place_spec(spec, worker_registry.live_workers(self._store))

    def _submit(self, tenant: str, spec: JobSpec, idempotency: Idempotency | None) -> Submission:
        """Queue a job, with its own copy of the weights that it begins with, if they are named."""
        self._notify.prepare(tenant, spec.notify)
        if spec.weights is None:
            return self._submissions.create(tenant, spec, idempotency)
        if replay := self._submissions.find_replay(tenant, idempotency):
            return replay
        self._artifacts.check_free_space(spec.weights.bytes)
        job_id = new_job_id()
        with held_folder(self._store, self._artifacts, tenant, job_id) as folder:
            spec, start = self._initial_weights.copy(tenant, spec, job_id, folder)
            folder.publish()
            return self._submissions.create(tenant, spec, idempotency, fork=start)

    def _replay_checkpoint_request(self, tenant: str, job: Job, key: str) -> Submission:
        return make_replay(job, self._checkpoints.get_stored_response(tenant, job.id, key))


def _find_range_errors(
    parent: Job, verify_range: VerifyRange, starts: Sequence[int]
) -> Iterator[FieldError]:
    """Find what does not fit between a verify and its job with checkpoints at `starts`."""
    start, end = verify_range.start, verify_range.end
    if end > parent.tick:
        yield FieldError("/to", f"at most the last accepted tick: {parent.tick}", end)
    if start >= end:
        yield FieldError("/from", f"less than `to`: {end}", start)
    is_fork = parent.first_tick > 1
    if (start or is_fork) and start not in starts:
        allowed = sorted({*starts, *(() if is_fork else (0,))})
        rule = "the tick of a checkpoint" if is_fork else "0 or the tick of a checkpoint"
        yield FieldError("/from", f"{rule}: {', '.join(map(str, allowed))}", start)
    if start < parent.inexact_upto:
        rule = f"at least {parent.inexact_upto}: ticks up to it are of another fingerprint"
        yield FieldError("/from", rule, start)
