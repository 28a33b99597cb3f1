"""Endpoints of answers: what a checkpoint's net predicts, and how well."""

from flask import Response

from api.endpoints import RequestContext, ResponseSpec, Router, read_idempotency
from api.job_responses import job_response
from api.json_body import parse_model
from api.routes_checkpoints import CHECKPOINTS_PATH, parse_which
from api.schemas import JobOfAnyKind
from api.schemas_answers import PredictQuery
from jobs.answers.requests import EvaluateRequest, PredictRequest
from jobs.answers.results import read_pieces, to_csv
from jobs.submissions import Idempotency

router = Router("answers")
#: seconds to the second look at an answer, doubled from one to the next: many are ready before a
#: new subscription to notices is
FIRST_LOOK_SECONDS = 0.005
RESULT_PATH = "/v1/jobs/<job_id>/result"
NDJSON, CSV = "application/x-ndjson", "text/csv"
HEADERS = ("Location", "ETag", "Idempotent-Replayed", "Retry-After")


RESPONSES = {
    200: ResponseSpec("it has ended within the wait", JobOfAnyKind, headers=HEADERS),
    202: ResponseSpec("it is queued, or running", JobOfAnyKind, headers=HEADERS),
}


@router.endpoint(
    f"POST {CHECKPOINTS_PATH}/<which>/predict",
    query=PredictQuery,
    body=PredictRequest,
    scope="submit",
    headers=("Idempotency-Key",),
    responses=RESPONSES,
    error_statuses=(404, 409, 410, 507),
)
def predict(
    context: RequestContext, job_id: str, which: str, query: PredictQuery, body: object
) -> Response:
    """Predict rows or a dataset, or continue a prompt, with the net of a checkpoint.

    An answer to rows, inputs or a prompt lives in the store alone, for some minutes; that about a
    dataset is a job like others, whose predictions are at its `result`.
    """
    answers, tenant, selector = context.deps.answers, context.tenant, parse_which(which)
    idempotency = _read_idempotency("predict of", job_id, selector, body)
    answer_id = answers.find_replay(tenant, idempotency)
    net = None if answer_id else answers.find_net(tenant, job_id, selector)
    request, is_replayed = parse_model(PredictRequest, body), True
    if net is not None and request.dataset is not None:
        answer_id, is_replayed = answers.ask_about_dataset(
            net, "predict", request.dataset, idempotency
        )
    elif net is not None:
        answer_id, is_replayed = answers.predict(net, request, idempotency)
    assert answer_id is not None, "found, or made"
    return _wait_for_end(context, answer_id, request.wait, query, is_replayed=is_replayed)


@router.endpoint(
    f"POST {CHECKPOINTS_PATH}/<which>/evaluate",
    query=PredictQuery,
    body=EvaluateRequest,
    scope="submit",
    headers=("Idempotency-Key",),
    responses=RESPONSES,
    error_statuses=(404, 409, 410, 507),
)
def evaluate(
    context: RequestContext, job_id: str, which: str, query: PredictQuery, body: object
) -> Response:
    """Compute the metrics of a checkpoint's net on a dataset, as a validation does."""
    answers, tenant, selector = context.deps.answers, context.tenant, parse_which(which)
    idempotency = _read_idempotency("evaluate of", job_id, selector, body)
    answer_id, is_replayed = answers.find_replay(tenant, idempotency), True
    net = None if answer_id else answers.find_net(tenant, job_id, selector)
    request = parse_model(EvaluateRequest, body)
    if net is not None:
        answer_id, is_replayed = answers.ask_about_dataset(
            net, "evaluate", request.dataset, idempotency
        )
    assert answer_id is not None, "found, or made"
    return _wait_for_end(context, answer_id, request.wait, query, is_replayed=is_replayed)


@router.endpoint(
    f"GET {RESULT_PATH}",
    produces=(NDJSON, CSV),
    responses={200: ResponseSpec("a line for each row", media_types=(NDJSON, CSV))},
    error_statuses=(404, 409),
    is_signable=True,
)
def get_result(context: RequestContext, job_id: str) -> Response:
    """Download the predictions of a dataset, in the order of its rows."""
    job = context.deps.job_queries.get_job(context.tenant, job_id)
    file = context.deps.answers.open_result(job)
    if context.accepted_media_type == CSV:
        return Response(to_csv(file, job.spec), content_type=f"{CSV}; charset=utf-8")
    return Response(read_pieces(file), content_type=NDJSON)


def _read_idempotency(action: str, job_id: str, which: str, body: object) -> Idempotency | None:
    """Return the key with the digest of what is asked, whatever the wait."""
    question = body
    if isinstance(body, dict):
        question = {name: value for name, value in body.items() if name != "wait"}
    return read_idempotency({action: [job_id, which], "body": question})


def _wait_for_end(
    context: RequestContext,
    job_id: str,
    wait: float | None,
    query: PredictQuery,
    *,
    is_replayed: bool,
) -> Response:
    """Return a job once it has ended (200), or as it is when the wait is over (202)."""
    tenant, headers = context.tenant, {"Location": f"/v1/jobs/{job_id}"}
    result = context.deps.long_poller.wait_for(
        (tenant, job_id), query.wait if wait is None else wait,
        lambda: context.deps.get_job(tenant, job_id), lambda job, _waited: job.is_terminal,
        first_look=FIRST_LOOK_SECONDS,
    )  # fmt: skip
    if is_replayed:
        headers["Idempotent-Replayed"] = "true"
    response = job_response(result.value, 200 if result.value.is_terminal else 202, headers)
    return result.add_retry_after(response)
