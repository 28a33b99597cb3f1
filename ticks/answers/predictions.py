"""Answer a request for predictions of rows, of inputs, or of a text that begins with a prompt.

All numbers come from the functions of the checkpoint's model.py. What a net offers is what its
model.py has: `predict_rows` for rows, `sample_text` for prompts.
"""

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ticks.answers.nets import LoadedNet
from ticks.answers.work import (
    MAX_ERRORS,
    JsonDict,
    Progress,
    RefusedRequest,
    RequestError,
    Work,
    escape_pointer,
    refuse,
    request_error,
)

ENCODE_ROWS = 256  # that are encoded at a time


def predict(net: LoadedNet, request: JsonDict) -> Work:
    """Answer a body with rows, inputs or a prompt by {"predictions"}. Raises RefusedRequest."""
    has_rows = hasattr(net.module, "predict_rows")
    if "prompt" in request:
        if not hasattr(net.module, "sample_text"):
            raise refuse(
                "/prompt", f"left out: {_kind(net)} reads rows or inputs", request["prompt"]
            )
        return (yield from _continue_text(net, request))
    field = "inputs" if "inputs" in request else "rows"
    if not has_rows:
        raise refuse(f"/{field}", f"left out: {_kind(net)} reads a prompt")
    items = request.get(field)
    if not isinstance(items, list) or not items:
        raise refuse(f"/{field}", "a list of one row or more", items)
    rows = yield from _encode(net, items, _encode_inputs if field == "inputs" else encode_records)
    return (yield from _predict_rows(net, rows))


def _encode(
    net: LoadedNet, items: list[Any], encode: Callable[[LoadedNet, list[Any], int], Tensor]
) -> Generator[Progress, None, Tensor]:
    """Return all rows, some at a time. Raises RefusedRequest with the errors of all of them."""
    pieces: list[Tensor] = []
    errors: list[RequestError] = []
    for first in range(0, len(items), ENCODE_ROWS):
        try:
            pieces.append(encode(net, items[first : first + ENCODE_ROWS], first))
        except RefusedRequest as refusal:
            errors += refusal.errors
        if len(errors) > MAX_ERRORS:
            break
        yield Progress(0, len(items))
    _raise_errors(errors)
    return torch.cat(pieces)


def _predict_rows(net: LoadedNet, rows: Tensor) -> Work:
    predictions: list[JsonDict] = []
    for prediction in predict_rows(net, rows):
        predictions.append(prediction)
        yield Progress(len(predictions), len(rows))
    return {"predictions": predictions}


def predict_rows(net: LoadedNet, rows: Tensor) -> Iterator[JsonDict]:
    """Yield the predictions of rows [rows, inputs] as they were encoded, one by one.

    A number that is not finite, as JSON has none, becomes None; so does the class then.
    """
    return map(_finite, net.module.predict_rows(net.network, net.module.prepare(rows)))


def encode_records(net: LoadedNet, records: list[Any], first: int = 0) -> Tensor:
    """Turn records with named columns into rows, float64 [records, inputs]; number `first` is the
    first. Raises RefusedRequest with every fault."""
    if net.config.get("columns") is None:
        rule = f"inputs, rows of {net.config['inputs']} numbers: the net's data had no column names"
        raise refuse("/rows", rule)
    _raise_errors(
        request_error(f"/rows/{first + at}", "an object: column name to value", record)
        for at, record in enumerate(records)
        if not isinstance(record, dict)
    )
    try:
        rows: Tensor = net.module.encode(records)
    except (KeyError, ValueError):
        _raise_errors(
            request_error(f"/rows/{first + at}/{escape_pointer(column)}", detail, value)
            for at, column, detail, value in net.module.find_faults(records)
        )
        raise
    return rows


def _encode_inputs(net: LoadedNet, items: list[Any], first: int) -> Tensor:
    rule = f"a row of {net.config['inputs']} numbers"
    _raise_errors(
        request_error(f"/inputs/{first + at}", rule, row)
        for at, row in enumerate(items)
        if not _is_row(row, net.config["inputs"])
    )
    return torch.tensor(items, dtype=torch.float64)


def _is_row(row: object, length: int) -> bool:
    if not isinstance(row, list) or len(row) != length:
        return False
    return all(type(number) in (int, float) and _fits_float32(number) for number in row)


def _fits_float32(number: float) -> bool:
    return abs(number) <= torch.finfo(torch.float32).max


def _continue_text(net: LoadedNet, request: JsonDict) -> Work:
    prompt, length = request["prompt"], request.get("max_tokens", 200)
    text = prompt
    try:
        for count, so_far in enumerate(
            net.module.sample_text(
                net.network,
                prompt,
                length,
                request.get("seed", 0),
                request.get("temperature", 1.0),
                request.get("top_k"),
                request.get("top_p"),
                request.get("stop") or (),
            )  # fmt: skip
        ):
            text = so_far
            yield Progress(count + 1, length)
    except ValueError as error:
        raise refuse("/prompt", str(error), prompt) from error
    return {"predictions": [{"text": text}]}


def _raise_errors(errors: Iterable[RequestError]) -> None:
    """Raise RefusedRequest if there is an error; no more are looked at than it tells."""
    if first_errors := list(islice(errors, MAX_ERRORS + 1)):
        raise RefusedRequest(first_errors)


def _finite(prediction: JsonDict) -> JsonDict:
    numbers = prediction.get("probabilities", {}).values() or prediction.get("values") or ()
    if all(map(math.isfinite, [*numbers, prediction.get("value", 0.0)])):
        return prediction
    if "probabilities" in prediction:
        return {"class": None, "probabilities": dict.fromkeys(prediction["probabilities"])}
    if "value" in prediction:
        return {"value": None}
    values = prediction["values"]
    return {"values": [value if math.isfinite(value) else None for value in values]}


def _kind(net: LoadedNet) -> str:
    return f"a net of the family {net.config['model']['family']}"
