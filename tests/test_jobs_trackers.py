"""The parts of which exports are made: byte strings side by side, framing, the time of a tick."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.trackers import cells
from jobs.trackers.event_framing import crc32c
from jobs.trackers.wandb_log import BLOCK_BYTES, FILE_HEADER, LogFrames
from jobs.trackers.wandb_records import encode_numbers, encode_seconds
from tests import tracker_files

WHOLE = st.lists(st.integers(0, 2**62), min_size=1, max_size=20)
#: lengths of records, those that end at or near the end of a block among them
LENGTHS = st.lists(
    st.one_of(
        st.integers(0, 300),
        st.integers(BLOCK_BYTES - 40, BLOCK_BYTES + 10),
        st.just(3 * BLOCK_BYTES),
    ),
    min_size=1,
    max_size=12,
)


def split(joined: bytes, lengths: list[int]) -> list[bytes]:
    ends = np.cumsum(lengths).tolist()
    return [joined[end - length : end] for end, length in zip(ends, lengths, strict=True)]


@given(values=WHOLE)
@settings(max_examples=40, deadline=None)
def test_varints_and_digits_are_those_of_each_number(values: list[int]) -> None:
    numbers = np.array(values)
    varints = split(cells.varints(numbers).tobytes(), cells.varints(numbers).lengths.tolist())
    fields = [tracker_files.parse_message(b"\x08" + part) for part in varints]
    assert fields == [{1: [value]} for value in values]
    digits = split(cells.digits(numbers).tobytes(), cells.digits(numbers).lengths.tolist())
    assert [part.decode() for part in digits] == [str(value) for value in values]


@given(lengths=LENGTHS)
@settings(max_examples=40, deadline=None)
def test_records_of_any_length_are_read_back_and_counted_as_they_are_written(
    lengths: list[int],
) -> None:
    longest = np.arange(max(lengths) + 1, dtype=np.uint8)[:-1]
    contents = np.tile(longest, (len(lengths), 1))
    used = np.arange(contents.shape[1]) < np.array(lengths)[:, None]
    records = cells.Cells((cells.Piece(contents, used),))
    log, counted = LogFrames(), LogFrames()
    data = FILE_HEADER + log.frame(records)
    counted.skip(records.lengths)
    assert log.size == counted.size == len(data)
    assert tracker_files.read_log(data) == [bytes(longest[:length]) for length in lengths]


def test_checksums_are_those_of_each_string() -> None:
    texts = [bytes(range(length)) for length in range(1, 40)]
    contents = np.zeros((len(texts), 40), np.uint8)
    for row, text in zip(contents, texts, strict=True):
        row[: len(text)] = list(text)
    used = np.arange(40) < np.arange(1, 40)[:, None]
    checksums = crc32c(cells.Cells((cells.Piece(contents, used),)))
    assert checksums.tolist() == [tracker_files.crc32c(text) for text in texts]


@given(values=st.lists(st.floats(), min_size=1, max_size=30))
@example(values=[0.0, -0.0])
@example(values=[1e-7, 1e-7])
@settings(max_examples=40, deadline=None)
def test_a_number_in_json_is_read_back_to_the_bit(values: list[float]) -> None:
    numbers = np.array(values)
    encoded = encode_numbers(numbers)
    parts = split(encoded.tobytes(), encoded.lengths.tolist())
    assert np.array_equal([json.loads(part) for part in parts], numbers, equal_nan=True)
    signs = [np.signbit(json.loads(part)) for part in parts]
    assert [sign for sign, value in zip(signs, values, strict=True) if value == value] == [
        np.signbit(value) for value in values if value == value
    ]


@pytest.mark.parametrize("seconds", [0.0, 0.000001, 59.9999996, 1795922192.346, 86400.5])
def test_seconds_have_six_decimals(seconds: float) -> None:
    assert encode_seconds(np.array([seconds])).tobytes() == f"{seconds:.6f}".encode()
