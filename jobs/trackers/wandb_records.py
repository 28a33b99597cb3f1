"""The records of a Weights & Biases run: what it is, one a tick, its summary, its end.

Every value is JSON text, as the package writes it: a number is the shortest decimal of its float64;
NaN and infinities are `NaN`, `Infinity`, `-Infinity`. Layout: `wandb_internal.proto` of
github.com/wandb/wandb.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from jobs.job import TERMINAL_STATUSES, Job
from jobs.trackers.cells import (
    Cells,
    digits,
    fixed_digits,
    join_cells,
    message,
    repeat,
    texts,
    varints,
)
from jobs.trackers.protobuf import field, varint_field
from jobs.trackers.shown_spec import shown_spec
from jobs.trackers.tick_blocks import TickBlock

PROJECT = "tickforge"
# version of what writes the log, and the oldest that can read it
PRODUCER, MIN_CONSUMER = "0.31.0", "0.70.0"
# first bytes of fields: of a Record
NUMBER, HISTORY, SUMMARY, RUN, EXIT, HEADER = (
    b"\x08", b"\x12", b"\x1a", b"\x8a\x01", b"\x92\x01", b"\xaa\x01",
)  # fmt: skip
# of a HistoryRecord or SummaryRecord; of an item
ITEM, STEP, KEY, NESTED_KEY, JSON = b"\x0a", b"\x12", b"\x0a", b"\x12", b"\x82\x01"
# of a RunRecord
RUN_ID, RUN_PROJECT, CONFIG, DISPLAY_NAME, NOTES, START_TIME = (
    b"\x0a", b"\x1a", b"\x22", b"\x42", b"\x4a", b"\x8a\x01",
)  # fmt: skip
FAILED_EXIT = 1
MICROSECONDS = 10**6


def opening_records(job: Job, start: float) -> list[bytes]:
    """Return what a log begins with; `start` is in seconds since 1970."""
    version = field(b"\x0a", PRODUCER.encode()) + field(b"\x12", MIN_CONSUMER.encode())
    config = {**shown_spec(job.spec), "labels": job.labels, "job_id": job.id}
    seconds, fraction = divmod(round(start * 1000), 1000)
    run = (
        field(RUN_ID, job.id.encode())
        + field(RUN_PROJECT, PROJECT.encode())
        + field(CONFIG, b"".join(_item(KEY, name, value) for name, value in config.items()))
        + field(DISPLAY_NAME, (job.name or job.id).encode())
        + (field(NOTES, job.notes.encode()) if job.notes else b"")
        + field(
            START_TIME, varint_field(b"\x08", seconds) + varint_field(b"\x10", 10**6 * fraction)
        )
    )
    header = field(HEADER, field(b"\x0a", version))
    return [varint_field(NUMBER, 1) + header, varint_field(NUMBER, 2) + field(RUN, run)]


def tick_records(block: TickBlock, start: float, number: int) -> Cells:
    """Return a record for each tick; `number` is that of the first."""
    n = block.ticks.size
    columns = [
        _items(column.name, encode_numbers(column.values)).only_where(column.present)
        for column in block.columns
    ]
    history = message(
        HISTORY,
        *columns,
        _items("_timestamp", encode_seconds(start + block.seconds)),
        _items("_runtime", encode_seconds(block.seconds)),
        _items("_step", digits(block.ticks)),
        message(STEP, repeat(b"\x08", n), varints(block.ticks)),
    )
    return join_cells(repeat(NUMBER, n), varints(np.arange(number, number + n)), history)


def closing_records(
    summary: Mapping[str, Any], number: int, *, status: str, seconds: float
) -> list[bytes]:
    """Return the newest value of each column, and how the job ended if it has."""
    items = b"".join(_item(NESTED_KEY, name, value) for name, value in sorted(summary.items()))
    records = [varint_field(NUMBER, number) + field(SUMMARY, items)]
    if status in TERMINAL_STATUSES:
        code = 0 if status == "succeeded" else FAILED_EXIT
        content = varint_field(b"\x08", code) + varint_field(b"\x10", int(seconds))
        records.append(varint_field(NUMBER, number + 1) + field(EXIT, content))
    return records


def encode_numbers(values: npt.NDArray[Any]) -> Cells:
    """Encode numbers as JSON; NaN and infinities as the package does, which JSON has not."""
    bits = values.view(f"u{values.itemsize}")  # 0.0 and -0.0 are equal
    if np.all(bits == bits[:1]):
        return repeat(_encode_list(values[:1])[0], values.size)
    return texts(_encode_list(values))


def encode_seconds(seconds: npt.NDArray[np.float64]) -> Cells:
    """Encode times that are not negative as JSON numbers of six decimals."""
    micros = np.rint(seconds * MICROSECONDS).astype(np.int64)
    whole, fraction = digits(micros // MICROSECONDS), fixed_digits(micros % MICROSECONDS, 6)
    return join_cells(whole, repeat(b".", seconds.size), fraction)


def _encode_list(values: npt.NDArray[Any]) -> list[bytes]:
    """Encode numbers; `to_json` takes a tenth of the time of `repr`."""
    return to_json(values.tolist(), inf_nan_mode="constants")[1:-1].split(b",")


def _items(name: str, values: Cells) -> Cells:
    key = repeat(field(NESTED_KEY, name.encode()), values.count)
    return message(ITEM, key, message(JSON, values))


def _item(key: bytes, name: str, value: Any) -> bytes:
    return field(ITEM, field(key, name.encode()) + field(JSON, json.dumps(value).encode()))
