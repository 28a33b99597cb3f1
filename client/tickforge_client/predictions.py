"""Asks the net of a checkpoint: rows to predictions, a prompt to a text.

Long lists of rows are sent in parts. Prints nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

from tickforge_client.errors import AnswerFailed, InvalidRequest
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path
from tickforge_client.prediction_rows import frame_to_numbers, to_parts

Json = dict[str, Any]
WAIT_SECONDS = 20.0  # that the server holds a request, well below http.READ_TIMEOUT


async def predict(session: ApiSession, job_id: str, which: str | int, rows: Any) -> list[Json]:
    """Return a prediction for each row, all by one net; `rows` as `Job.predict` takes them.

    Raises InvalidInput before anything is sent, AnswerFailed, and what a request raises.
    """
    field, parts = to_parts(rows)
    numbers = frame_to_numbers(rows)
    predictions: list[Json] = []
    for number, part in enumerate(parts):
        try:
            job = await _run(session, job_id, which, "predict", {field: part})
        except InvalidRequest as error:
            places = [entry.where for entry in error.errors]
            if number == 0 and numbers is not None and places == ["/rows"]:
                # no value is wrong, but the form: a net that was trained on arrays has no names
                return await predict(session, job_id, which, numbers)
            raise _count_from(len(predictions), error, field) from error
        predictions += job["result"]["predictions"]
        if len(parts) > 1:  # kept until they expire, the answers of a long list fill a quota
            await session.discard(api_path("jobs", job["id"]))
        which = job["tick"]  # `latest` and `best` may be another net by the next part
    return predictions


async def ask(session: ApiSession, job_id: str, which: str | int, body: Json) -> Json:
    """Send one predict and wait for its result. Raises AnswerFailed."""
    job = await _run(session, job_id, which, "predict", body)
    result: Json = job["result"]
    return result


async def _run(session: ApiSession, job_id: str, which: str | int, action: str, body: Json) -> Json:
    """Ask a net and wait; return the fields of the job that succeeded. Raises AnswerFailed."""
    path, key = api_path("jobs", job_id, "checkpoints", which, action), secrets.token_hex(16)
    job = await session.create(path, {**body, "wait": WAIT_SECONDS}, key)
    while job["finished_at"] is None:
        params = {"wait": WAIT_SECONDS, "until": "end"}
        job = await session.get(api_path("jobs", job["id"]), params)
    if job["status"] != "succeeded":
        raise AnswerFailed(job)
    return job


async def evaluate(session: ApiSession, job_id: str, which: str | int, dataset_id: str) -> Json:
    """Return rows, metrics and confusion of a net on a dataset. Raises AnswerFailed."""
    job = await _run(session, job_id, which, "evaluate", {"dataset": dataset_id})
    result: Json = job["result"]
    return result


async def predict_dataset(
    session: ApiSession, job_id: str, which: str | int, dataset_id: str
) -> Json:
    """Predict a dataset, wait for it and return the job's fields. Raises AnswerFailed."""
    return await _run(session, job_id, which, "predict", {"dataset": dataset_id})


async def stream_result(session: ApiSession, job_id: str, media_type: str) -> AsyncIterator[bytes]:
    """Yield the predictions of a dataset as they arrive: as NDJSON or CSV."""
    path = api_path("jobs", job_id, "result")
    async with session.stream(path, headers={"Accept": media_type}) as response:
        async for piece in response.pieces:
            yield piece


def _count_from(offset: int, error: InvalidRequest, field: str) -> InvalidRequest:
    """Return a refusal of a part with the numbers of its rows in the whole."""

    def shift(entry: Any) -> Any:
        if not isinstance(entry, dict) or not isinstance(entry.get("pointer"), str):
            return entry
        head, slash, rest = entry["pointer"].removeprefix(f"/{field}/").partition("/")
        if entry["pointer"].startswith(f"/{field}/") and head.isdigit():
            return {**entry, "pointer": f"/{field}/{int(head) + offset}{slash}{rest}"}
        return entry

    entries = error.body.get("errors")
    shifted = [shift(entry) for entry in entries] if isinstance(entries, list) else entries
    return type(error)(error.status, {**error.body, "errors": shifted})
