"""Profiles of CSV, JSON lines and text, and the errors of files that are refused."""

import csv
import io
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.datasets.formats.csv_format import CsvReader
from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.table import Value
from tests.datasets import JSONL, PETS, TEXT, csv_of, expect_refusal, jsonl_of, profile_bytes

ROWS = [
    {"age": 31.5, "city": "Köln", "code": 7},
    {"age": -2.0, "city": 'New "York", NY', "code": 8},
    {"age": 1e-3, "city": "two\nlines", "code": 7},
]


def columns(data: bytes, piece: int = 1 << 18) -> dict[str, list[Value]]:
    reader = CsvReader(DataErrors())
    tables = [
        table for at in range(0, len(data), piece) for table in reader.feed(data[at : at + piece])
    ]
    tables += reader.finish()
    return {
        name: [value for table in tables for value in table.columns[at]]
        for at, name in enumerate(reader.names)
    }


def test_a_profile_has_types_ranges_and_classes() -> None:
    age, city, code = profile_bytes(csv_of(ROWS)).columns or []

    assert (age.type, age.min, age.max, age.distinct) == ("number", -2, 31.5, 3)
    assert (city.type, city.distinct) == ("category", 3)
    assert city.classes == sorted(str(row["city"]) for row in ROWS)
    assert (code.type, code.whole, code.classes) == ("number", [7, 8], None)


def test_json_lines_have_the_profile_of_the_same_csv() -> None:
    assert profile_bytes(jsonl_of(ROWS), JSONL) == profile_bytes(csv_of(ROWS))


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_the_pieces_in_which_bytes_come_change_nothing(piece: int) -> None:
    assert profile_bytes(csv_of(ROWS), piece_size=piece) == profile_bytes(csv_of(ROWS))
    assert profile_bytes("Grüße\n".encode(), TEXT, piece) == profile_bytes("Grüße\n".encode(), TEXT)


@pytest.mark.parametrize(
    "spelled", [b"\xef\xbb\xbfa,b\n1,x\n2,y\n", b"a,b\r\n1,x\r\n2,y\r\n", b'"a",b\n"1","x"\n2,y',
                b"a,b\n1,x\n2,y\n\n\r\n"],
)  # fmt: skip
def test_a_bom_crlf_quotes_and_newlines_at_the_end_are_read(spelled: bytes) -> None:
    assert columns(spelled) == {"a": ["1", "2"], "b": ["x", "y"]}


NAME = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=8)
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_rows_that_python_writes_are_read_back(data: st.DataObject) -> None:
    names = data.draw(st.lists(NAME, min_size=1, max_size=4, unique=True))
    width = len(names)
    rows = data.draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1))
    if width == 1:  # a blank line: a row of one missing value, or no row at all
        rows = [row for row in rows if row[0].strip()] or [["x"]]
    rows[-1] = [cell.strip("\n") or "x" for cell in rows[-1]]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    piece = data.draw(st.integers(1, 50))

    parsed = columns(text.getvalue().encode(), piece)

    assert [list(row) for row in zip(*parsed.values(), strict=True)] == rows
    assert list(parsed) == names


def test_rows_are_read_across_blocks() -> None:
    rng = random.Random(1)
    rows = [[str(rng.random()), "x" * rng.randrange(2000) + '\n,"'] for _ in range(1500)]
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b"], *rows])

    parsed = columns(text.getvalue().replace("\r\n", "\n").encode(), 70_001)

    assert [list(row) for row in zip(parsed["a"], parsed["b"], strict=True)] == rows


@pytest.mark.parametrize(
    ("data", "row", "column", "word"),
    [
        (b"", None, None, "header"),
        (b"a,b\n", None, None, "at least one row"),
        (b"a,\0,c\n1,2,3\n", None, None, "column 2"),
        (b"\n1,2\n", None, None, "header"),
        (b"a,b,a\n1,2,3\n", None, "a", "of its own"),
        (b"a,b\n1,2\n3\n", 2, None, "2 fields"),
        (b"a,b\n1,2\n3,4,5\n", 2, None, "2 fields"),
        (b"a,b\n1,2\n\n3,4\n", 2, None, "blank"),
        (b"a\n1\n\n2\n", 2, None, "blank"),
        (b"a,b\n1,2\n3,\xff4\n", 2, "b", "0xff"),
        (b"a,\xff\n1,2\n", None, None, "0xff"),
        (b'a,b\n1,x"y\n', 1, None, "quotes"),
        (b'a,b\n1,2\n3,"x', 2, None, "quotes"),
        (b'a,b\n1,2\n"3,4', 2, None, "quotes"),
        (b'a\n1\n"2\n3\n', 2, None, "quotes"),
        (b'a\n"2', 1, None, "quotes"),
        (b"a,b\n1," + b"x" * (2 << 20) + b"\n", None, None, "1,048,576"),
    ],
)
def test_a_bad_csv_is_refused_with_row_and_column(
    data: bytes, row: int | None, column: str | None, word: str
) -> None:
    fault, *_ = expect_refusal(data)

    assert (fault.row, fault.column) == (row, column)
    assert word in fault.detail


def test_errors_of_a_file_are_reported_up_to_a_hundred() -> None:
    few = expect_refusal(b'a,b\n1\n2,"x"y\n3\n4,5\n')
    many = expect_refusal(b"a,b\n" + b"1\n" * 100_000)

    assert [fault.row for fault in few] == [1, 2, 3]
    assert [fault.row for fault in many] == list(range(1, 101))


def test_texts_that_only_python_takes_for_numbers_are_texts() -> None:
    a, b = profile_bytes("a,b\n1_000,١٢\n7,3\n".encode()).columns or []

    assert (a.classes, b.classes) == (["1_000", "7"], ["3", "١٢"])


def test_a_text_is_counted_in_bytes_and_characters() -> None:
    text = profile_bytes("Grüße, Welt!\n".encode(), TEXT).text

    assert text is not None
    assert (text.bytes, text.characters) == (15, 13)
    assert "".join(text.vocabulary) == "".join(sorted(set("Grüße, Welt!\n")))


@pytest.mark.parametrize("piece", [1, 2, 1000])
def test_a_byte_order_mark_is_no_part_of_a_text(piece: int) -> None:
    plain = profile_bytes(b"ab\xef\xbb\xbf", TEXT).text
    marked = profile_bytes(b"\xef\xbb\xbfab\xef\xbb\xbf", TEXT, piece).text

    assert plain is not None and marked == plain.model_copy(update={"skipped": 3})


@pytest.mark.parametrize(
    ("data", "row", "word"),
    [(b"", None, "one character"), (b"ab\ncd\xffe", 2, "byte 5"), (b"ab\xc3", 1, "byte 2")],
)
def test_a_bad_text_is_refused(data: bytes, row: int | None, word: str) -> None:
    for piece in (1, 1000):
        (fault,) = expect_refusal(data, TEXT, piece)
        assert fault.row == row and word in fault.detail


def test_pets_are_what_the_other_tests_take_them_for() -> None:
    profile: Any = profile_bytes(PETS)

    assert [column.type for column in profile.columns] == [
        "number",
        "category",
        "number",
        "category",
    ]
