"""A history as a TensorBoard event file: one event a tick, with every column of that tick.

A column is a `simple_value`, which is a float32: TensorBoard 2.21 shows no point of a scalar that
is a float64, unless it is started with `--load_fast=false`. What a history has as float64 is beside
it, to the bit, as a tensor of its own tag, which no page of TensorBoard shows. An event depends on
its tick alone, so that those of later ticks can be appended to a file. Layout: `event.proto`,
`summary.proto` and `tensor.proto` of github.com/tensorflow/tensorboard.
"""

from collections.abc import Iterator

import numpy as np

from jobs.trackers.cells import Cells, join_cells, little_endian, message, repeat, varints
from jobs.trackers.event_beginning import (
    METADATA,
    SUMMARY,
    TAG,
    TENSOR,
    TENSOR_CLASS,
    VALUE,
    WALL_TIME,
    event_file_beginning,
    metadata,
)
from jobs.trackers.event_framing import frame_events
from jobs.trackers.tick_blocks import BlockColumn, TickBlock, TickRange

# first bytes of fields: of an Event, of a Value, of a TensorProto
STEP, SIMPLE_VALUE, DOUBLES = b"\x10", b"\x15", b"\x32"
DOUBLE_SCALAR = b"\x08\x02\x12\x00"  # its type, and a shape without dimensions
EXACT_PREFIX = "float64/"  # of the tags of tensors
EXACT = metadata("tickforge", TENSOR_CLASS)


def stream_event_file(ticks: TickRange, *, has_beginning: bool) -> Iterator[bytes]:
    """Stream the events of the ticks; `has_beginning`: after those that a file begins with."""
    if has_beginning:
        yield event_file_beginning(ticks.job.spec, ticks.created)
    for block in ticks.blocks():
        yield frame_events(_encode_block(block, ticks.start)).tobytes()


def _encode_block(block: TickBlock, start: float) -> Cells:
    at = little_endian(start + block.seconds)
    values = (_encode_column(column, block.ticks.size) for column in block.columns)
    steps = join_cells(repeat(STEP, block.ticks.size), varints(block.ticks))
    return join_cells(repeat(WALL_TIME, block.ticks.size), at, steps, message(SUMMARY, *values))


def _encode_column(column: BlockColumn, n: int) -> Cells:
    with np.errstate(over="ignore"):  # what no float32 reaches is infinite
        rounded = little_endian(column.values.astype(np.float32))
    shown = message(VALUE, _encode_tag(column.name, n), repeat(SIMPLE_VALUE, n), rounded)
    if column.values.dtype == np.float32:
        return shown.only_where(column.present)
    doubles = message(DOUBLES, little_endian(column.values))
    tensor = message(TENSOR, repeat(DOUBLE_SCALAR, n), doubles)
    tag = _encode_tag(EXACT_PREFIX + column.name, n)
    exact = message(VALUE, tag, message(METADATA, repeat(EXACT, n)), tensor)
    return join_cells(shown, exact).only_where(column.present)


def _encode_tag(name: str, n: int) -> Cells:
    return message(TAG, repeat(name.encode(), n))
