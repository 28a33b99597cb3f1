"""A verify over HTTP: a job that runs recorded ticks again and compares every bit."""

from collections.abc import Iterator

from flask import Response

from api import submitted
from api.body import digest, read_as
from api.errors import invalid
from api.registrar import LONGEST_KEY, Answer, Call, Endpoints, header_of
from api.schemas_care import VerifyAsk
from jobs.claims import VerifyRange
from jobs.errors import DatasetDeleted, NoSuchDataset
from jobs.job import Job
from jobs.spec.rules import FieldError

endpoint = Endpoints("jobs")


@endpoint(
    "POST /v1/jobs/<job_id>/verify",
    body=VerifyAsk,
    may_be_empty=True,
    scope="submit",
    headers=("Idempotency-Key",),
    answers={202: Answer("queued", Job, headers=("Location", "ETag", "Idempotent-Replayed"))},
    refusals=(404, 409, 410, 507),
)
def verify_job(call: Call, job_id: str, body: object) -> Response:
    """Run recorded ticks again on a worker with an equal fingerprint, and compare every bit."""
    key = header_of("Idempotency-Key", LONGEST_KEY)
    mark = digest({"verify of": job_id, "body": body})
    asked = read_as(VerifyAsk, body)
    before = call.service.index.find_by_idempotency_key(call.tenant, key, mark) if key else None
    if before is not None:
        return submitted.replayed(call, before)
    parent = call.service.index.get_job(call.tenant, job_id)
    if parent.kind == "verify" or parent.tick == 0:
        call.service.ledger.raise_illegal_transition(
            call.tenant, job_id, "verify, for want of ticks of its own,"
        )
    end = parent.tick if asked.to is None else asked.to
    starts = [each.tick for each in call.service.index.list_checkpoints(call.tenant, job_id)]
    if found := list(_faults(parent, asked, end, starts)):
        raise invalid("invalid-body", found)
    try:
        return submitted.submit(call, parent.spec, key, mark, VerifyRange(job_id, asked.start, end))
    except NoSuchDataset as error:
        raise DatasetDeleted(
            f"dataset {error} has been deleted: nothing can be run again"
        ) from None


def _faults(parent: Job, asked: VerifyAsk, end: int, starts: list[int]) -> Iterator[FieldError]:
    """What does not fit between the body and the job."""
    if end > parent.tick:
        yield FieldError("/to", f"at most the last accepted tick: {parent.tick}", end)
    if asked.start >= end:
        yield FieldError("/from", f"less than `to`: {end}", asked.start)
    if asked.start and asked.start not in starts:
        known = ", ".join(map(str, [0, *(tick for tick in starts if tick)]))
        yield FieldError("/from", f"0 or the tick of a checkpoint: {known}", asked.start)
    if asked.start < parent.inexact_upto:
        rule = f"at least {parent.inexact_upto}: ticks up to it are of another fingerprint"
        yield FieldError("/from", rule, asked.start)
