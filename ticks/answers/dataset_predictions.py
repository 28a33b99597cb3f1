"""Predict every row of an uploaded dataset into a file of JSON lines."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from jobs.datasets.formats.damage import StoredPath
from jobs.datasets.formats.joined_file import locate
from jobs.spec.dataset_binding import DataFile
from ticks.answers.dataset_rows import (
    NPZ_TYPE,
    RecordBlock,
    check_file,
    read_arrays,
    read_records,
    require_form,
)
from ticks.answers.nets import LoadedNet
from ticks.answers.predictions import predict_rows
from ticks.answers.result_file import ResultFile, cut_error
from ticks.answers.work import JsonDict, Progress, Work, refuse
from ticks.data.dataset_files import Announce

STEP_ROWS = 64  # of an array, predicted in one step


def predict_dataset(
    net: LoadedNet, artifacts: Path, file: DataFile, output: ResultFile, announce: Announce
) -> Work:
    """Write a line {"row", ...} for each row (from 1), or {"row", "error"} where it cannot be read.

    On any failure there is no file. Returns the numbers of rows and of those with an error. Raises
    RefusedRequest, DamagedDataset, ResultTooLarge, DiskFull, or OSError.
    """
    if not hasattr(net.module, "predict_rows"):
        raise refuse("/dataset", f"left out: a {net.config['model']['family']} reads a prompt")
    require_form(net, file)
    path = locate(artifacts, file)
    for _ in check_file(path, file.sha256, announce):
        yield Progress(0, file.rows)
    is_array = file.type == NPZ_TYPE
    lines = _array_lines(net, path, file) if is_array else _record_lines(net, path, file)
    rows = errors = 0
    with output:
        for block in lines:
            rows += len(block)
            errors += sum("error" in line for line in block)
            output.write(block)
            yield Progress(rows, file.rows)
    return {"rows": rows, "errors": errors}


def _record_lines(net: LoadedNet, path: StoredPath, file: DataFile) -> Iterator[list[JsonDict]]:
    for block in read_records(net.config, path, file):
        for first in range(0, len(block.records), STEP_ROWS):
            rows = range(first, min(first + STEP_ROWS, len(block.records)))
            yield _predict_records(net, block.take(rows))


def _predict_records(net: LoadedNet, block: RecordBlock) -> list[JsonDict]:
    """Return the lines of some rows; those that cannot be encoded say why."""
    errors: dict[int, str] = {}
    try:
        rows: Tensor = net.module.encode(block.records)
    except (KeyError, ValueError):
        for position, _, detail, _ in net.module.find_faults(block.records):
            errors.setdefault(position, cut_error(detail))
        readable = [at for at in range(len(block.records)) if at not in errors]
        rows = net.module.encode(block.take(readable).records)
    predictions = predict_rows(net, rows)
    return [
        {"row": number, **({"error": errors[at]} if at in errors else next(predictions))}
        for at, number in enumerate(block.numbers)
    ]


def _array_lines(net: LoadedNet, path: StoredPath, file: DataFile) -> Iterator[list[JsonDict]]:
    numbers = count(1)
    for piece in read_arrays(net, path, file, "inputs"):
        for start in range(0, len(piece), STEP_ROWS):
            rows = torch.tensor(piece[start : start + STEP_ROWS])
            yield [{"row": next(numbers), **line} for line in predict_rows(net, rows)]
