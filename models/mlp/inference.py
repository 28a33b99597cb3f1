"""The functions of an mlp's model.py that predict: rows to outputs, outputs to predictions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint_module import CONFIG, load, training_threads
from models.mlp.records import encode

Record = Mapping[str, Any] | Sequence[float]


def predict(records: Sequence[Record] | Tensor, network: nn.Module | None = None) -> list[Any]:
    """Return a prediction for each record of the net beside this file.

    A record is {column name: value} or, of any net, a row of its inputs: CONFIG["inputs"] numbers
    that are not standardized yet, a category as its one-hot numbers. A prediction of a class is
    {"class", "probabilities": {class: probability}}, of a number {"value"}, of several {"values"},
    in the units of the targets.

    Rows are computed one by one, in the training's precision and on as many threads, so that the
    bits of a prediction do not depend on the records beside it. Those of `network(rows)` do: on
    many shapes a kernel of torch gives a row other last bits among more rows, and at another place
    among as many. Raises KeyError or ValueError, as `encode` does.
    """
    network = load() if network is None else network
    return list(predict_rows(network, prepare(_to_rows(records))))


def predict_rows(network: nn.Module, rows: Tensor) -> Iterator[dict[str, Any]]:
    """Yield the predictions of prepared rows [rows, inputs], one by one."""
    for at in range(len(rows)):
        # a copy, since bits may depend on where in memory a row begins
        yield _predict_row(network, rows[at : at + 1].clone())


def _to_rows(records: Sequence[Record] | Tensor) -> Tensor:
    if not isinstance(records, Tensor) and len(records) and isinstance(records[0], Mapping):
        return encode(records)  # type: ignore[arg-type]
    rows = torch.as_tensor(records, dtype=torch.float64)
    if len(rows) and rows.shape != (len(rows), CONFIG["inputs"]):
        raise ValueError(f"rows of {CONFIG['inputs']} numbers, not of shape {list(rows.shape)}")
    return rows.reshape(len(rows), CONFIG["inputs"])


@torch.no_grad()
def _predict_row(network: nn.Module, row: Tensor) -> dict[str, Any]:
    """Return the prediction of a row [1, inputs]."""
    with training_threads():
        outputs = network(row)
        if CONFIG["objective"] == "cross_entropy":
            probabilities = outputs.softmax(dim=1)[0].tolist()
            named = dict(zip(class_list(), probabilities, strict=True))
            return {"class": class_names(outputs)[0], "probabilities": named}
        values = to_target_units(outputs)[0].tolist()
    return {"value": values[0]} if len(values) == 1 else {"values": values}


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
    names = class_list()
    return [names[number] for number in outputs.argmax(dim=1).tolist()]


def class_list() -> list[str]:
    """Return the names of the classes, in the order of the net's outputs."""
    return CONFIG.get("classes") or [str(number) for number in range(CONFIG["outputs"])]
