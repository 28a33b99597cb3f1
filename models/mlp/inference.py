"""The functions of an mlp's model.py beside the net: records to rows, outputs to class names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.checkpoint_module import CONFIG


def encode(records: Sequence[Mapping[str, Any]]) -> Tensor:
    """Turn records, each {column name: value}, into rows [records, inputs] (float64) for `prepare`.

    Only for nets trained on a table with named columns; a category becomes one input per class
    (one-hot). Raises KeyError for a missing column and ValueError for an unknown category or a
    value that is not a number.
    """
    return torch.tensor([list(_encode_record(record)) for record in records], dtype=torch.float64)


def _encode_record(record: Mapping[str, Any]) -> Iterator[float]:
    for column in CONFIG["columns"]:
        value = record[column["name"]]
        if column["type"] == "number":
            yield float(value)
            continue
        if str(value) not in column["classes"]:
            raise ValueError(f"{column['name']}: {value!r} is none of {column['classes']}")
        yield from (float(str(value) == name) for name in column["classes"])


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


def class_names(outputs: Tensor) -> list[str]:
    """Return the name of the likeliest class of each row of the net's outputs [rows, classes]."""
    classes = CONFIG.get("classes") or [str(number) for number in range(CONFIG["outputs"])]
    return [classes[number] for number in outputs.argmax(dim=1).tolist()]
