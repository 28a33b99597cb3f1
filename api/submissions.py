"""What a submission is answered: a new job once it is sure to outlive the store, or the old one.

Knows how answers are kept for whoever sends the request again; looks into no spec.
"""

from flask import Response

from api.endpoints import RequestContext, json_response
from api.job_responses import job_response
from jobs import celery_app, fault_points
from jobs.archive.record_folders import DiskReservation
from jobs.ledger.claims import VerifyRange
from jobs.spec.job_spec import JobSpec
from jobs.store.job_snapshot import JobSnapshot


def create_job(
    context: RequestContext,
    spec: JobSpec,
    idempotency_key: str | None,
    body_digest: str,
    verify_range: VerifyRange | None = None,
) -> Response:
    """Make a job, or find the one of this idempotency key; raises what JobLedger.submit does.

    `mark` is the digest of the body that the key stands for.
    """
    deps = context.deps
    deps.check_disk_space()
    with deps.job_archive.reserve() as reservation:
        result = deps.ledger.submit(
            context.tenant,
            spec,
            idempotency_key=idempotency_key,
            body_digest=body_digest,
            max_queued=deps.settings.max_queued,
            verify_range=verify_range,
        )
        if result.snapshot is None:
            return replay_response(context, result.job_id)
        fault_points.hit("api:recorded")
        celery_app.wake_workers(spec.queue)  # the worker starts while the record is brought to disk
        return _creation_response(
            context,
            result.job_id,
            result.snapshot,
            reservation,
            keep_response=idempotency_key is not None,
        )


def replay_response(context: RequestContext, job_id: str) -> Response:
    """Give the same answer again; as the job is now, where the first try broke off before it."""
    context.deps.job_archive.ensure_saved(context.tenant, job_id)
    headers = {"Location": f"/v1/jobs/{job_id}", "Idempotent-Replayed": "true"}
    stored_response = context.deps.job_queries.get_stored_response(context.tenant, job_id)
    if stored_response is not None:
        return json_response(stored_response, 202, headers)
    return job_response(context.deps.job_queries.get_job(context.tenant, job_id), 202, headers)


def _creation_response(
    context: RequestContext,
    job_id: str,
    snapshot: JobSnapshot,
    reservation: DiskReservation,
    *,
    keep_response: bool,
) -> Response:
    """Answer a submission, when what it made is sure to outlive the store."""
    job = context.deps.job_queries.get_job(context.tenant, job_id)
    response = job_response(job, 202, {"Location": f"/v1/jobs/{job_id}"})
    response_json = response.get_data(as_text=True) if keep_response else None
    if response_json is not None:
        context.deps.ledger.store_response(context.tenant, job_id, response_json)
    context.deps.job_archive.save_submission(reservation, snapshot, response_json)
    return response
