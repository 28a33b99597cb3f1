"""The one way a new job is made: disk space, script, wake-up, archive record, response.

What the services of jobs share; each of them checks what is asked before. Knows no HTTP.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from jobs import celery_app, fault_points
from jobs.archive.disk_reserve import CHANGE_BYTES
from jobs.archive.jobs import JobArchive
from jobs.files.artifacts import ArtifactStore
from jobs.job import Job
from jobs.ledger.claims import Question, VerifyRange
from jobs.ledger.client import JobLedger
from jobs.ledger.fork_start import ForkStart
from jobs.plan import find_worker_warnings
from jobs.queries import worker_registry
from jobs.queries.jobs import JobQueries
from jobs.queries.notified_webhooks import find_notify_warnings
from jobs.settings import Settings
from jobs.spec.job_spec import JobSpec
from jobs.store.connection import Store
from jobs.stored_responses import remove_spec, restore_spec


class Idempotency(NamedTuple):
    """An idempotency key, and the digest of the request body that it stands for."""

    key: str
    body_digest: str


@dataclass(frozen=True)
class Submission:
    """What a request with an optional idempotency key led to.

    A replay has the JSON of the first response; or, where the first try broke off before it was
    stored, the job as it is now.
    """

    job_id: str
    job: Job | None = None
    stored_response: str | None = None
    is_replayed: bool = False


class Submissions:
    """Makes queued jobs, and finds those that an idempotency key has made before."""

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        settings: Settings,
        encode_job: Callable[[Job], str],
    ) -> None:
        """`encode_job` writes a job as the JSON that a client is shown."""
        self._store, self._artifacts, self._settings = store, artifacts, settings
        self._encode_job = encode_job
        self._ledger, self._queries = JobLedger(store), JobQueries(store)
        self._archive = JobArchive(store, artifacts)

    def create(
        self,
        tenant: str,
        spec: JobSpec,
        idempotency: Idempotency | None,
        verify_range: VerifyRange | None = None,
        fork: ForkStart | None = None,
        question: Question | None = None,
    ) -> Submission:
        """Queue a job, durable when this returns, or find the job of this idempotency key.

        Raises what `JobLedger.submit` does, StoreFull, DiskUnavailable or NotArchived.
        """
        key, body_digest = idempotency or (None, "")
        self._artifacts.check_free_space(question.result_bytes if question else 0)
        history = {part.name: part.data for part in fork.open_parts} if fork else {}
        history_bytes = 2 * sum(map(len, history.values()))  # in base64, and lines around it
        with self._archive.reserve(_record_bytes(spec) + history_bytes) as reservation:
            result = self._ledger.submit(
                tenant, spec, idempotency_key=key, body_digest=body_digest,
                max_queued=self._settings.max_queued, verify_range=verify_range, fork=fork,
                question=question,
            )  # fmt: skip
            if result.snapshot is None:
                return self._replay(tenant, result.job_id)
            fault_points.hit("api:recorded")
            job = self._queries.get_job(tenant, result.job_id)
            if question is None:
                self.wake_workers(spec.queue)  # a worker starts while the record goes to disk
                job = self._with_warnings(job)
            response = remove_spec(job, self._encode_job(job)) if idempotency else None
            if response is not None:
                self._ledger.store_response(tenant, job.id, response)
            self._archive.save_submission(reservation, result.snapshot, response, history)
            return Submission(job.id, job)

    def find_replay(self, tenant: str, idempotency: Idempotency | None) -> Submission | None:
        """Find what the request with this key and body has made before, or return None."""
        if idempotency is None:
            return None
        job_id = self._queries.find_by_idempotency_key(tenant, *idempotency)
        return None if job_id is None else self._replay(tenant, job_id)

    def wake_workers(self, queue: str) -> None:
        """Wake a worker for a job that was queued, unless each queued job has a wake-up by now.

        A busy worker takes none: it claims its next job without one.
        """
        if self._queries.count_missing_wakeups(queue) > 0:
            celery_app.wake_workers(queue)

    def _with_warnings(self, job: Job) -> Job:
        """Add what is doubtful as workers and webhooks are now: told at submission alone."""
        warnings = find_worker_warnings(job.spec, worker_registry.live_workers(self._store))
        warnings += find_notify_warnings(self._store, job.tenant, job.spec.notify)
        return job.model_copy(update={"warnings": [*job.warnings, *warnings]})

    def _replay(self, tenant: str, job_id: str) -> Submission:
        self._archive.ensure_saved(tenant, job_id)
        response = self._queries.get_stored_response(tenant, job_id)
        return make_replay(self._queries.get_job(tenant, job_id), response)


def make_replay(job: Job, response: str | None) -> Submission:
    """Return the first response again, or the job as it is now if there was none."""
    if response is None:
        return Submission(job.id, job, is_replayed=True)
    return Submission(job.id, None, restore_spec(job, response), is_replayed=True)


def _record_bytes(spec: JobSpec) -> int:
    """Return room enough for a submission's record: its text may double where JSON quotes it."""
    return 2 * len(json.dumps(spec.to_stored())) + CHANGE_BYTES
