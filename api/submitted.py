"""What a submission is answered: a new job once it is sure to outlive the store, or the old one.

Knows how answers are kept for whoever sends the request again; knows no spec.
"""

from flask import Response

from api.job_answers import told
from api.registrar import Call, json_answer
from jobs.archive.shelf import Room
from jobs.snapshot import Snapshot


def made(call: Call, job_id: str, snapshot: Snapshot, room: Room, *, keep_answer: bool) -> Response:
    """Answer a submission, when what it made is sure to outlive the store."""
    job = call.service.index.job(call.tenant, job_id)
    answer = told(job, 202, {"Location": f"/v1/jobs/{job_id}"})
    text = answer.get_data(as_text=True) if keep_answer else None
    if text is not None:
        call.service.ledger.answered(call.tenant, job_id, text)
    call.service.archive.submitted(room, snapshot, text)
    return answer


def replayed(call: Call, job_id: str) -> Response:
    """Give the same answer again; as the job is now, where the first try broke off before it."""
    call.service.archive.assure(call.tenant, job_id)
    headers = {"Location": f"/v1/jobs/{job_id}", "Idempotent-Replayed": "true"}
    first = call.service.index.first_answer(call.tenant, job_id)
    if first is not None:
        return json_answer(first, 202, headers)
    return told(call.service.index.job(call.tenant, job_id), 202, headers)
