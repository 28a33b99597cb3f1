"""The file of a dataset's predictions: NDJSON, a line for each row; also read as CSV."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from jobs.spec.job_spec import JobSpec

RESULT_FILE = "result.ndjson"  # in the job's folder
PIECE_BYTES = 1 << 16


def read_pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of an open file, and close it."""
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def to_csv(file: BinaryIO, spec: JobSpec) -> Iterator[bytes]:
    """Yield the predictions of a net of this spec as CSV with a header, and close the file.

    Columns are `row`, then `class` and `probability`, or `value` (`value_1`, … of several), and
    `error`, of a row that the net could not read.
    """
    if spec.objective == "cross_entropy":
        columns = ["class", "probability"]
    elif spec.profile.outputs == 1:
        columns = ["value"]
    else:
        columns = [f"value_{number}" for number in range(1, spec.profile.outputs + 1)]
    with file:
        yield _csv_line(["row", *columns, "error"])
        for line in file:
            prediction = json.loads(line)
            cells = _cells(prediction) or [None] * len(columns)
            yield _csv_line([prediction["row"], *cells, prediction.get("error")])


def _cells(prediction: dict[str, Any]) -> list[Any]:
    if "class" in prediction:
        return [prediction["class"], prediction["probabilities"].get(prediction["class"])]
    if "values" in prediction:
        return list(prediction["values"])
    return [prediction["value"]] if "value" in prediction else []


def _csv_line(cells: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()
