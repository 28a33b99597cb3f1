"""The functions of an mlp's model.py beside the net: records to rows, outputs to predictions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint_module import CONFIG, load
from models.times import parse_time

BLOCK_ROWS = 32  # rows predicted at a time: constant, because the bits of a prediction depend on it
SEPARATORS = {"comma": ",", "point": ".", "space": " \u00a0\u202f"}
GROUPS = r"[+-]?[1-9]\d{{0,2}}([{0}]\d{{3}})+([^{0}\d]\d*)?"  # of three digits, with a separator
VECTOR_COLUMN = re.compile(r"(.*)\[(\d+)\]", re.DOTALL)


def predict(records: Sequence[Mapping[str, Any]], network: nn.Module | None = None) -> list[Any]:
    """Return a prediction for each record, {column name: value}, of the net beside this file.

    That of a class is {"class", "probabilities": {class: probability}}; that of a number is
    {"value"}, in the units of the target column. Rows are computed 32 at a time, the last ones
    padded, so that a prediction does not depend on the records beside it. Raises what `encode`
    does.
    """
    network = load() if network is None else network
    rows = prepare(encode(records))
    blocks = [rows[at : at + BLOCK_ROWS] for at in range(0, len(rows), BLOCK_ROWS)]
    return [prediction for block in blocks for prediction in _predict(network, block)]


@torch.no_grad()
def _predict(network: nn.Module, rows: Tensor) -> list[dict[str, Any]]:
    padding = torch.zeros(BLOCK_ROWS - len(rows), rows.shape[1])
    outputs = network(torch.cat([rows, padding]))[: len(rows)]
    if CONFIG["objective"] != "cross_entropy":
        values = to_target_units(outputs).tolist()
        is_single = CONFIG["outputs"] == 1
        return [{"value": row[0]} if is_single else {"values": row} for row in values]
    names = _class_list()
    return [
        {"class": name, "probabilities": dict(zip(names, row, strict=True))}
        for name, row in zip(class_names(outputs), outputs.softmax(dim=1).tolist(), strict=True)
    ]


def encode(records: Sequence[Mapping[str, Any]]) -> Tensor:
    """Turn records, each {column name: value}, into rows [records, inputs] (float64) for `prepare`.

    Only for nets trained on a table with named columns. Values may be written as in the file of the
    training, or as the service shows its rows; the columns `v[0]`, `v[1]` of a list may be a list
    `v`. A category becomes one input per class (one-hot), a number that may be missing two: the
    number and 1 where it is missing. Raises KeyError for a missing column and ValueError for an
    unknown category or a value that is not a number.
    """
    return torch.tensor([list(_encode_record(record)) for record in records], dtype=torch.float64)


def _encode_record(record: Mapping[str, Any]) -> Iterator[float]:
    for column in CONFIG["columns"]:
        value = _value_of(record, column["name"])
        if column["type"] == "category":
            code = _class_code(column, value)
            yield from (float(at == code) for at in range(len(column["classes"])))
            continue
        is_gap = _is_missing(value)
        if is_gap and "fill" not in column:
            raise ValueError(f"{column['name']}: {value!r} is missing, which no training row was")
        yield column["fill"] if is_gap else _to_number(column, value)
        if column.get("indicator"):
            yield float(is_gap)


def _value_of(record: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column; that of `v[2]` may be in a list `v`, as in JSON lines."""
    match = VECTOR_COLUMN.fullmatch(name)
    if name in record or match is None or match[1] not in record:
        return record[name]
    numbers, at = record[match[1]], int(match[2])
    if numbers is not None and at >= len(numbers):
        raise ValueError(f"{name}: the list of {len(numbers)} numbers is too short")
    return None if numbers is None else numbers[at]


def _is_missing(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, or a text that stood for that in the file."""
    if value is None or value != value:
        return True
    return str(value).strip() in CONFIG.get("cells", {}).get("missing", [])


def _to_number(column: Mapping[str, Any], value: Any) -> float:
    if column["type"] == "datetime" and isinstance(value, str):
        if (seconds := parse_time(value.strip())) is None:
            raise ValueError(f"{column['name']}: {value!r} is no date or time")
        return seconds
    if isinstance(value, str):
        value = _to_plain(value.strip())
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{column['name']}: {value!r} is not a finite number")
    return number


def _to_plain(text: str) -> str:
    """Return a number as the file of the training wrote it with a point alone, as Python does."""
    cells = CONFIG.get("cells", {})
    separators = SEPARATORS.get(cells.get("thousands", "none"), "")
    if separators and re.fullmatch(GROUPS.format(separators), text):
        text = re.sub(f"[{separators}]", "", text)
    return text.replace(",", ".") if cells.get("decimal") == "comma" else text


def _class_code(column: Mapping[str, Any], value: Any) -> int | None:
    """Return the class number of a value; None where an unknown one is all zeros.

    A value belongs to the class that is spelled like it, else to the only class of equal value
    where the training read numbers, or the value is one.
    """
    classes = column["classes"]
    for text in _spellings(value):
        if text in classes:
            return int(classes.index(text))
    if column.get("by_value") or not isinstance(value, str):
        numbers = [_as_number(name) for name in classes]
        if numbers.count(_as_number(value)) == 1 and _as_number(value) is not None:
            return numbers.index(_as_number(value))
    if column.get("unseen") == "ignore":
        return None
    raise ValueError(f"{column['name']}: {value!r} is none of {classes}")


def _spellings(value: Any) -> list[str]:
    """Return how a training may have spelled a value: as in JSON, and with a CSV's line ends."""
    if _is_missing(value):
        return [""]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value), str(value).replace("\r\n", "\n")]


def _as_number(value: Any) -> float | None:
    try:
        return float(_to_plain(value.strip()) if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None


def prepare(rows: Tensor) -> Tensor:
    """Standardize rows [rows, inputs] as the training rows were, to float32.

    Returns (row - mean) / deviation, computed in float64; the rows themselves if the training did
    not standardize.
    """
    scale = CONFIG.get("scale")
    if scale is None:
        return rows.float()
    mean = torch.tensor(scale["mean"], dtype=torch.float64)
    deviation = torch.tensor(scale["deviation"], dtype=torch.float64)
    return ((rows.double() - mean) / deviation).float()


def to_target_units(outputs: Tensor) -> Tensor:
    """Return outputs [rows, outputs] of a net of numbers in the units of its targets, float64.

    That is output * deviation + mean of the training's targets, or the outputs themselves if the
    training did not standardize its targets.
    """
    scale = CONFIG.get("target_scale")
    if scale is None:
        return outputs.double()
    mean = torch.tensor(scale["mean"], dtype=torch.float64)
    return outputs.double() * torch.tensor(scale["deviation"], dtype=torch.float64) + mean


def class_names(outputs: Tensor) -> list[str]:
    """Return the name of the likeliest class of each row of the net's outputs [rows, classes]."""
    names = _class_list()
    return [names[number] for number in outputs.argmax(dim=1).tolist()]


def _class_list() -> list[str]:
    return CONFIG.get("classes") or [str(number) for number in range(CONFIG["outputs"])]
