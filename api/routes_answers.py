"""Endpoint of answers: what a checkpoint's net predicts."""

from functools import partial

from flask import Response

from api.dependencies import Dependencies
from api.endpoints import RequestContext, ResponseSpec, Router, read_idempotency
from api.job_responses import job_response
from api.json_body import parse_model
from api.routes_checkpoints import CHECKPOINTS_PATH, parse_which
from api.schemas_answers import PredictQuery
from jobs.answers.answer import Answer
from jobs.answers.requests import PredictRequest

router = Router("answers")
#: seconds to the second look at an answer, doubled from one to the next: many are ready before a
#: new subscription to notices is
FIRST_LOOK_SECONDS = 0.005
HEADERS = ("Location", "ETag", "Idempotent-Replayed", "Retry-After")


@router.endpoint(
    f"POST {CHECKPOINTS_PATH}/<which>/predict",
    query=PredictQuery,
    body=PredictRequest,
    scope="submit",
    headers=("Idempotency-Key",),
    responses={
        200: ResponseSpec("it has ended within the wait", Answer, headers=HEADERS),
        202: ResponseSpec("it is queued, or running", Answer, headers=HEADERS),
    },
    error_statuses=(404, 410, 507),
)
def predict(
    context: RequestContext, job_id: str, which: str, query: PredictQuery, body: object
) -> Response:
    """Predict rows, or continue a prompt, with the net of a checkpoint.

    The answer is a job of kind `predict` that lives in the store alone, for some minutes.
    """
    answers, tenant, selector = context.deps.answers, context.tenant, parse_which(which)
    question = (
        {name: body[name] for name in body if name != "wait"} if isinstance(body, dict) else body
    )
    idempotency = read_idempotency({"predict of": [job_id, selector], "body": question})
    answer_id, is_replayed = answers.find_replay(tenant, idempotency), True
    net = None if answer_id else answers.find_net(tenant, job_id, selector)
    request = parse_model(PredictRequest, body)
    if net is not None:
        answer_id, is_replayed = answers.predict(net, request, idempotency)
    assert answer_id is not None, "found, or made"
    seconds = query.wait if request.wait is None else request.wait
    return _wait_for_end(context.deps, tenant, answer_id, seconds, is_replayed)


def _wait_for_end(
    deps: Dependencies, tenant: str, answer_id: str, seconds: float, is_replayed: bool
) -> Response:
    """Return an answer once it has ended (200), or as it is after `seconds` (202)."""
    result = deps.long_poller.wait_for(
        (tenant, answer_id), seconds, partial(deps.answers.queries.get, tenant, answer_id),
        lambda answer, _waited: answer.is_terminal, first_look=FIRST_LOOK_SECONDS,
    )  # fmt: skip
    headers = {"Location": f"/v1/jobs/{answer_id}"}
    if is_replayed:
        headers["Idempotent-Replayed"] = "true"
    response = job_response(result.value, 200 if result.value.is_terminal else 202, headers)
    return result.add_retry_after(response)
