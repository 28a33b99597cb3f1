"""Asks the net of a checkpoint: rows in any common form to predictions, a prompt to a text.

Long lists of rows are sent in parts. Prints nothing.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from tickforge_client.errors import AnswerFailed
from tickforge_client.http import ApiSession, api_path

Json = dict[str, Any]
MAX_PART_ROWS = 1000  # of one request
MAX_PART_BYTES = 900_000  # of one request's rows; the server takes 1 MiB
WAIT_SECONDS = 20.0  # that the server holds a request, well below http.READ_TIMEOUT


async def predict(session: ApiSession, job_id: str, which: str | int, rows: Any) -> list[Json]:
    """Return a prediction for each row; `rows` as `Checkpoint.predict` takes them.

    Raises AnswerFailed, and what a request raises.
    """
    field, records = to_json_rows(rows)
    predictions: list[Json] = []
    for part in _split(records):
        predictions += (await ask(session, job_id, which, {field: part}))["predictions"]
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


def to_json_rows(rows: Any) -> tuple[str, list[Any]]:
    """Return the field of a predict's body and its rows as JSON: mappings, or rows of numbers.

    A data frame becomes records by column, an array rows of inputs. What is missing (NaN, NaT) is
    null in a record.
    """
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # a pandas DataFrame
        rows = rows.to_dict("records")
    elif hasattr(rows, "tolist"):  # a numpy array
        rows = rows.tolist()
    records = list(rows)
    if records and isinstance(records[0], Mapping):
        return "rows", [_to_json_record(record) for record in records]
    return "inputs", [[_to_plain(value) for value in row] for row in records]


def _to_json_record(record: Mapping[Any, Any]) -> Json:
    return {str(name): _to_json_value(value) for name, value in record.items()}


def _to_json_value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_to_json_value(item) for item in value]
    value = _to_plain(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return None if value != value else value.isoformat() if hasattr(value, "isoformat") else value


def _to_plain(value: Any) -> Any:
    """Return a number of numpy as Python's, any other value as it is."""
    is_scalar = hasattr(value, "item") and not isinstance(value, bool | int | float | str)
    return value.item() if is_scalar else value


def _split(records: Sequence[Any]) -> Iterator[list[Any]]:
    """Split rows into parts that a request may have; at least one, so that none is told."""
    part, part_bytes = list[Any](), 0
    for record in records:
        record_bytes = len(json.dumps(record, default=str))
        if part and (len(part) == MAX_PART_ROWS or part_bytes + record_bytes > MAX_PART_BYTES):
            yield part
            part, part_bytes = [], 0
        part.append(record)
        part_bytes += record_bytes + 2
    yield part
