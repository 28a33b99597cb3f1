"""JSON lines: gaps, mixed values, vectors and texts as columns, and refusals by row and field."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.profiling import make_profiler
from jobs.spec.profiles import Column, ParseOptions
from tests.datasets import JSONL, expect_refusal, profile_bytes


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def cells(data: bytes, **place: Any) -> dict[str, list[Any]]:
    """Read all columns, or those of the rows from a place on."""
    columns: dict[str, list[Any]] = {}
    blocks = read_table_blocks(io.BytesIO(data), JSONL, ParseOptions(), DataErrors(), **place)
    for names, block in blocks:
        for name, values in zip(names, block.columns, strict=True):
            columns.setdefault(name, []).extend(values)
    return columns


def column(data: bytes, name: str = "a") -> Column:
    described = profile_bytes(data, JSONL).column(name)
    assert described is not None
    return described


def test_null_and_names_left_out_are_gaps_wherever_they_stand() -> None:
    data = lines({"a": None, "b": "x"}, {"a": 2}, {"b": "y", "a": 3.5}, {"b": None, "a": None})

    assert cells(data) == {"a": [None, 2, 3.5, None], "b": ["x", None, "y", None]}
    assert (column(data).type, column(data).missing) == ("number", 2)
    assert (column(data, "b").classes, column(data, "b").missing) == (["x", "y"], 2)


def test_nan_which_python_writes_is_a_gap_and_an_infinite_number_a_text() -> None:
    data = b'{"a": NaN}\n{"a": Infinity}\n{"a": -Infinity}\n{"a": 1e999}\n{"a": 1}\n'

    assert cells(data) == {"a": [None, "inf", "-inf", "inf", 1]}


def test_numbers_and_texts_may_share_a_column_and_true_and_false_are_texts() -> None:
    data = lines({"a": 1, "b": True}, {"a": "x", "b": False}, {"a": True, "b": None})

    assert cells(data) == {"a": [1, "x", "true"], "b": ["true", "false", None]}
    assert column(data).classes == ["1", "true", "x"]
    assert column(data).non_numbers == 2


def test_a_column_of_texts_that_are_numbers_is_a_category_that_may_be_read_as_numbers() -> None:
    texts = column(lines({"a": "1"}, {"a": "2.5"}, {"a": None}))
    mixed = column(lines({"a": 1}, {"a": "2.5"}))

    assert (texts.type, texts.classes, texts.non_numbers) == ("category", ["1", "2.5"], 0)
    assert (mixed.type, mixed.non_numbers) == ("category", 0)


def test_numbers_that_no_float_comes_near_are_texts() -> None:
    huge = 10**400

    assert cells(lines({"a": huge}, {"a": 1})) == {"a": [str(huge), 1]}


def test_a_list_of_numbers_becomes_columns() -> None:
    rows = [{"v": None, "y": 1}, {"v": [1, 2.5, None], "y": 2}, {"y": 3}, {"v": [4, 5, 6], "y": 4}]
    data = lines(*rows)

    columns = cells(data)

    assert list(columns) == ["v[0]", "v[1]", "v[2]", "y"]
    assert columns["v[0]"] == [None, 1, None, 4] and columns["v[2]"] == [None, None, None, 6]
    assert column(data, "v[1]").type == "number"


def test_rows_after_an_offset_are_read_as_in_the_whole_file() -> None:
    vectors = lines({"v": [1, 2], "w[0]": 5}, {"v": None, "w[0]": 6}, {"v": [3, 4]})
    start = vectors.index(b"\n") + 1

    whole = cells(vectors)
    rest = cells(vectors, names=list(whole), first=2, offset=start)

    assert rest == {name: values[1:] for name, values in whole.items()}


def test_messages_become_one_text() -> None:
    talk = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4:\n4"}]

    profile = profile_bytes(lines({"messages": talk}, {"messages": None}), JSONL)

    assert cells(lines({"messages": talk})) == {"messages": ["user: 2 + 2?\nassistant: 4:\n4"]}
    assert (profile.columns or [])[0].missing == 1


@pytest.mark.parametrize("row", [{"text": "Once."}, {"messages": [{"role": "a", "content": "b"}]}])
def test_rows_of_one_text_tell_what_can_read_them(row: Any) -> None:
    notes = {note.code: note for note in profile_bytes(lines(row, row), JSONL).notes}

    assert "text/plain" in notes["text_rows"].detail and notes["text_rows"].column in row


@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
def test_names_in_any_order_and_spacing_are_the_same_rows(piece: int) -> None:
    plain = lines({"a": 1, "b": "x:y"}, {"a": 2, "b": "z"})
    other = b'\xef\xbb\xbf {"b" : "x:y","a":1} \r\n\t{ "a":2 ,"b" :"z"}\r\n'

    assert cells(other) == {"b": ["x:y", "z"], "a": [1, 2]}
    profiles = [profile_bytes(data, JSONL, piece) for data in (plain, other)]
    assert profiles[0].column("b") == profiles[1].column("b")


@pytest.mark.parametrize(
    ("line", "column", "word"),
    [
        (b"", None, "JSON object"),
        (b"[1]", None, "lines=True"),
        (b'{"a": 1}, {"a": 1}', None, "JSON object"),
        (b'{"a": 1, "a": 1, "b": "x"}', None, "twice"),
        (b'{"a" : 1, "a": 1}', None, "twice"),
        (b'{"a": 1, "b": "x", "c": 1}', "c", "first row"),
        (b'{"a": {"c": 1}, "b": "x"}', "a", "flattened"),
        (b'{"a": [1], "b": "x"}', "a", "list of numbers"),
        (b'{"a": 1, "b": "\\ud800"}', "b", "surrogate"),
        (b'{"a": 1, "b": "\xff"}', None, "0xff"),
        (b"[" * 100_000, None, "JSON object"),
        (b'{"v": [1]}', "v", "a list of 2 numbers"),
        (b'{"v": [1, "x"]}', "v", "a list of 2 numbers"),
        (b'{"v": 1}', "v", "a list of 2 numbers"),
        (b'{"messages": [{"role": "a"}]}', "messages", '"content": text'),
        (b'{"messages": [{"role": "a", "content": "b", "name": "c"}]}', "messages", "further"),
    ],
)
def test_a_bad_line_is_refused_with_row_and_field(line: bytes, column: str, word: str) -> None:
    first = b'{"a": 0, "b": "w", "v": [1, 2], "messages": "none"}\n'

    fault, *_ = expect_refusal(first + line + b'\n{"a": 2, "b": "y"}\n', JSONL)

    assert (fault.row, fault.column) == (2, column)
    assert word in fault.detail


def test_all_errors_of_a_row_and_of_other_rows_are_told_at_once() -> None:
    data = b'{"a": 1, "b": 2}\n{"a": [], "b": {}, "c": 1}\nnothing\n{"b": "\\udc00"}\n'

    errors = expect_refusal(data, JSONL)

    places = [(error.row, error.column) for error in errors]
    assert places == [(2, "a"), (2, "b"), (2, "c"), (3, None), (4, "b")]


def test_errors_are_reported_up_to_a_hundred_in_the_order_of_the_rows() -> None:
    many = expect_refusal(b'{"a": 1}\n' + b'{"b": 1, "a": {}}\n' * 100_000, JSONL)

    assert [error.row for error in many] == [2 + at // 2 for at in range(100)]


@pytest.mark.parametrize(
    "row", [{}, {"": 1}, {"v": [1], "v[0]": 2}, {"x" * 201: 1}, {"v": [0] * 10_001}]
)
def test_names_that_no_column_can_have_are_refused(row: Any) -> None:
    assert expect_refusal(lines(row), JSONL)


def test_rows_may_lack_most_names_of_the_first_within_bounds() -> None:
    first = b"{" + b",".join(b'"n%d":1' % at for at in range(2000)) + b"}\n"
    sparse = first + b"".join(b'{"n%d":2}\n' % (at % 2000) for at in range(600))

    profile = profile_bytes(sparse, JSONL)
    assert (profile.rows, len(profile.columns or [])) == (601, 2000)
    assert profile.columns and profile.columns[7].missing == 601 - 2

    (error,) = expect_refusal(first + b"{}\n" * 9000, JSONL)
    assert "cells a byte" in error.detail and error.row is not None and error.row < 6000


def test_rows_of_a_block_that_is_cut_begin_at_the_noted_bytes() -> None:
    first = b"{" + b",".join(b'"n%d":1' % at for at in range(2000)) + b"}\n"
    data = b"\xef\xbb\xbf" + first + b"".join(b'{"n5":%d}\r\n' % at for at in range(600))
    profiler = make_profiler(JSONL, ParseOptions())
    profiler.feed(data)
    profiler.finish(Path("/dev/null"))

    assert len(profiler.row_offsets) > 3
    for row, offset in profiler.row_offsets:
        line = data[offset:].removeprefix(b"\xef\xbb\xbf").split(b"\n")[0]
        assert line == (first.strip() if row == 1 else b'{"n5":%d}\r' % (row - 2))
