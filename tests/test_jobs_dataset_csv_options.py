"""CSV as tools and people write it: headers, other delimiters, nameless columns, line ends."""

from pathlib import Path

import pytest

from jobs.spec.profiles import DatasetProfile, ParseOptions
from tests.datasets import expect_refusal, profile_bytes

TABLES = Path(__file__).parent / "data" / "tables"
ADULT = b"""39, State-gov, 77516, <=50K
50, Self-emp-not-inc, 83311, <=50K
38, ?, 215646, >50K
"""
WINE = b'"fixed acidity";"pH";"quality"\n7.4;3.51;5\n7.8;3.2;5\n11.2;3.16;6\n'
AUTO_MPG = b"""18.0   8   307.0      130.0      70  1\t"chevrolet chevelle malibu"
15.0   8   350.0      ?          70  1\t"buick skylark 320"
"""


def profile(data: bytes, **options: object) -> DatasetProfile:
    return profile_bytes(data, options=ParseOptions(**options))  # type: ignore[arg-type]


def columns(data: bytes, **options: object) -> list[tuple[str, str, int]]:
    """Return names, types and gaps of the columns."""
    read_columns = profile(data, **options).columns or []
    return [(column.name, column.type, column.missing) for column in read_columns]


def test_a_file_without_a_header_keeps_its_first_row() -> None:
    assert columns(ADULT, header="absent") == [
        ("c1", "number", 0), ("c2", "category", 1), ("c3", "number", 0), ("c4", "category", 0),
    ]  # fmt: skip
    assert profile((TABLES / "no_header.csv").read_bytes(), header="absent").rows == 3


def test_a_header_that_looks_like_data_is_told() -> None:
    (note,) = profile((TABLES / "no_header.csv").read_bytes()).notes
    (error,) = expect_refusal(b"0,0,5,13\n0,0,0,12\n")

    assert note.code == "header_like_data" and "header=absent" in note.detail
    assert "header=absent" in error.detail
    assert profile(b"0,1,2\n5,6,7\n8,9,9\n").notes == []
    assert profile(b"country,2019,2020\nx,6,7\ny,9,8\n").notes == []


def test_semicolons_and_runs_of_blanks_separate_by_an_option() -> None:
    assert columns(WINE, delimiter="semicolon") == [
        ("fixed acidity", "number", 0), ("pH", "number", 0), ("quality", "number", 0),
    ]  # fmt: skip
    mpg = columns(AUTO_MPG, delimiter="space", header="absent")
    assert [kind for _, kind, _ in mpg] == ["number"] * 6 + ["category"]
    assert mpg[3] == ("c4", "number", 1)
    assert columns(b"  a  b\n 1   2 \n", delimiter="space") == columns(b"a,b\n1,2\n")


@pytest.mark.parametrize(
    ("data", "option"),
    [
        (b"a;b\n1;2\n", "delimiter=semicolon"),
        (b"1 2.5 3\n4 5.5 6\n", "delimiter=space"),
        (b"a|b\n1|2\n", "delimiter=pipe"),
    ],
)
def test_one_column_that_looks_like_several_is_told(data: bytes, option: str) -> None:
    (note,) = [note for note in profile(data).notes if note.code == "one_column"]

    assert option in note.detail


def test_rows_of_another_delimiter_are_refused_with_a_suggestion() -> None:
    for data, option in ((WINE, "delimiter=semicolon"), (b"a\tb\n1\t2\n", "delimiter=tab")):
        assert option in expect_refusal(data)[0].detail
    data = (TABLES / "decimal_comma_semicolon.csv").read_bytes()
    error, *_ = expect_refusal(data)
    notes = profile(data, delimiter="semicolon").notes

    assert error.row == 1 and "delimiter=semicolon" in error.detail
    assert [note.column for note in notes if "decimal=comma" in note.detail] == ["dose", "yield"]
    assert columns(data, delimiter="semicolon", decimal="comma") == [
        ("dose", "number", 0), ("yield", "number", 0),
    ]  # fmt: skip


def test_a_line_that_names_the_delimiter_is_no_row() -> None:
    data = b"sep=;\r\na;b\r\n1;2\r\n"
    (error,) = expect_refusal(data)
    by_option = profile(data, delimiter="semicolon")

    assert "delimiter=semicolon" in error.detail
    assert by_option.rows == 1 and [note.code for note in by_option.notes][0] == "sep_line"


def test_a_nameless_first_column_is_a_row_index() -> None:
    table = profile((TABLES / "pandas_index.csv").read_bytes())
    index, *others = table.columns or []

    assert (index.name, index.type, index.index) == ("column_1", "number", True)
    assert not any(column.index for column in others)
    (note,) = table.notes
    assert (note.code, note.column) == ("index", "column_1") and "index=False" in note.detail


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"a,b,\n1,2\n3,4\n", ["a", "b"]),
        (b"a,b,\n1,2,\n3,4,\n", ["a", "b", "column_3"]),
        (b"a,b\n1,2,\n3,4,\n", ["a", "b", "column_3"]),
        (b"a,,c\n1,2,3\n", ["a", "column_2", "c"]),
    ],
)
def test_a_delimiter_too_many_and_nameless_columns_are_forgiven(
    data: bytes, names: list[str]
) -> None:
    assert [name for name, _, _ in columns(data)] == names


@pytest.mark.parametrize("end", [b"\n", b"\n\n\n", b"\r\n  \r\n", b"\n   \n\t\n", b""])
def test_blank_lines_at_the_end_are_no_rows(end: bytes) -> None:
    for piece in (1, 1000):
        assert profile_bytes(b"a,b\n1,x\n2,y" + end, piece_size=piece).rows == 2


def test_tabs_at_the_end_of_a_tab_separated_file_are_a_row_of_gaps() -> None:
    assert columns(b"a\tb\n1\t2\n\t\n", delimiter="tab") == [("a", "number", 1), ("b", "number", 1)]


def test_a_line_break_in_a_cell_is_read_the_same_however_it_is_spelled() -> None:
    unix, windows = b'a,b\n"x\ny",1\n', b'a,b\r\n"x\r\ny",1\r\n'

    assert profile(windows) == profile(unix)
    assert (profile(unix).columns or [])[0].classes == ["x\ny"]


def test_a_gap_of_a_spreadsheet_among_numbers_is_a_gap() -> None:
    assert columns((TABLES / "excel_missing.csv").read_bytes()) == [
        ("temp", "number", 1), ("y", "number", 0),
    ]  # fmt: skip
    gaps = profile((TABLES / "gap_in_unused_column.csv").read_bytes()).gaps or []
    assert [(gap.columns, gap.rows) for gap in gaps] == [([0], 1)]


def test_a_first_line_of_classes_is_told_as_one_that_looks_like_data() -> None:
    (note,) = profile_bytes(b"M,low,y\nF,high,1\nM,high,2\nF,high,3.5\n").notes[:1]

    assert note.code == "header_like_data" and note.detail.startswith("columns are named 'M';")
    good = profile_bytes(b"sex,low,y\nF,high,1\nM,high,2\nF,high,3.5\n").notes
    assert "header_like_data" not in [note.code for note in good]
