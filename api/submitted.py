"""What a submission is answered: a new job once it is sure to outlive the store, or the old one.

Knows how answers are kept for whoever sends the request again; looks into no spec.
"""

from flask import Response

from api.job_answers import told
from api.registrar import Call, json_answer
from jobs import bell, fault_points
from jobs.archive.shelf import DiskReservation
from jobs.claims import VerifyRange
from jobs.snapshot import JobSnapshot
from jobs.spec.job_spec import JobSpec


def submit(
    call: Call, spec: JobSpec, key: str | None, mark: str, verifies: VerifyRange | None = None
) -> Response:
    """Make a job, or find the one of this idempotency key; raises what Ledger.submit does.

    `mark` is the digest of the body that the key stands for.
    """
    service = call.service
    service.check_room()
    with service.archive.reserve() as room:
        made = service.ledger.submit(
            call.tenant,
            spec,
            idempotency_key=key,
            body_digest=mark,
            max_queued=service.settings.max_queued,
            verify_range=verifies,
        )
        if made.snapshot is None:
            return replayed(call, made.job_id)
        fault_points.hit("api:recorded")
        bell.wake_workers(spec.queue)  # the worker starts while the record is brought to disk
        return _made(call, made.job_id, made.snapshot, room, keep_answer=key is not None)


def replayed(call: Call, job_id: str) -> Response:
    """Give the same answer again; as the job is now, where the first try broke off before it."""
    call.service.archive.ensure_saved(call.tenant, job_id)
    headers = {"Location": f"/v1/jobs/{job_id}", "Idempotent-Replayed": "true"}
    first = call.service.index.get_stored_response(call.tenant, job_id)
    if first is not None:
        return json_answer(first, 202, headers)
    return told(call.service.index.get_job(call.tenant, job_id), 202, headers)


def _made(
    call: Call, job_id: str, snapshot: JobSnapshot, room: DiskReservation, *, keep_answer: bool
) -> Response:
    """Answer a submission, when what it made is sure to outlive the store."""
    job = call.service.index.get_job(call.tenant, job_id)
    answer = told(job, 202, {"Location": f"/v1/jobs/{job_id}"})
    text = answer.get_data(as_text=True) if keep_answer else None
    if text is not None:
        call.service.ledger.store_response(call.tenant, job_id, text)
    call.service.archive.save_submission(room, snapshot, text)
    return answer
