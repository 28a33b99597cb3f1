"""What notes tell of doubtful columns: the column, the first row and value, the way out."""

import random

import pytest

from jobs.spec.profiles import Note
from tests.datasets import JSONL, profile_bytes


def notes(*cells: str) -> list[Note]:
    """Return the notes on a column of these cells, beside one of whole numbers."""
    rows = "".join(f'"{cell}",{row}\n' for row, cell in enumerate(cells))
    return profile_bytes(f"a,b\n{rows}".encode()).notes


@pytest.mark.parametrize(
    ("cells", "code", "words"),
    [
        (["1", "", "NA"], "missing", ["2 of 3", "row 2", "data.missing"]),
        (["1", "2", "oops"], "mostly_numbers", ["1 of 3", "'oops'", "row 3", "missing=oops"]),
        (["1", "2", "inf"], "mostly_numbers", ["'inf'", "row 3"]),
        (["3,5", "4,25"], "mostly_numbers", ["decimal=comma"]),
        (["1,234", "5,678,901.5"], "mostly_numbers", ["thousands=comma"]),
        (["1.234,5", "2.345,75"], "mostly_numbers", ["decimal=comma", "thousands=point"]),
        (["1,234", "5,678"], "mostly_numbers", ["thousands=comma", "decimal=comma"]),
        (["1,234", "0,634"], "mostly_numbers", ["decimal commas: ", "decimal=comma"]),
        (["320,67", "1.020,84", "1.234.567"], "mostly_numbers", ["decimal=comma and thousands"]),
        (["1 234", "5 678"], "mostly_numbers", ["thousands=space"]),
        (["1 234,5", "5 678", "2,5"], "mostly_numbers", ["decimal=comma and thousands=space"]),
        (["$5", "$1,250"], "mostly_numbers", ["'$5'", "write the numbers alone"]),
        (["5 %", "7%"], "mostly_numbers", ["write the numbers alone"]),
        (["31/12/2020", "1/2/2021"], "ambiguous_dates", ["YYYY-MM-DD", "'31/12/2020'"]),
        (["2020-01-31", "2020-02-30"], "mostly_times", ["1 of 2", "'2020-02-30'"]),
        (
            ["2020-01-31", "2020-02-30", "2020-01-01"],
            "mostly_times",
            ["first is '2020-02-30' in row 2"],
        ),
        (["2020-01-31", "2020", "2020-01-01"], "mostly_times", ["1 of 3", "the first is in row 2"]),
        (["2020-12-31", "1/2/2021"], "ambiguous_dates", ["first is '1/2/2021' in row 2"]),
        (["7", "8", "2020-01-31"], "mostly_numbers", ["first is '2020-01-31' in row 3"]),
        (["x", "x"], "constant", ["same value"]),
        (["Yes", "yes ", "no"], "similar_classes", ["'Yes'", "'yes '"]),
        (["x" * 300, "y"], "long_text", ["255"]),
        ([f"name {at}" for at in range(887)], "nearly_unique", ["887", "data.exclude"]),
        ([f"name {at}" for at in range(1001)], "many_texts", ["1,000", "no category"]),
        (["02134", "10001"], "leading_zeros", ["'02134'", "data.types"]),
        (["", "NA"], "empty", ["no cell"]),
    ],
)
def test_a_doubtful_column_is_told(cells: list[str], code: str, words: list[str]) -> None:
    (note,) = [note for note in notes(*cells) if note.code == code]

    assert note.column == "a"
    assert [word for word in words if word not in note.detail] == []


def test_texts_of_a_typed_format_that_are_all_numbers_are_told() -> None:
    (note,) = profile_bytes(b'{"a": "1.5"}\n{"a": "2.5"}\n', JSONL).notes

    assert note.code == "numbers_as_texts" and '"number"' in note.detail


def test_a_good_table_has_no_notes() -> None:
    assert notes("red", "green", "blue", "red", "green", "blue") == []


def test_notes_of_one_kind_are_limited_and_the_rest_counted() -> None:
    header = ",".join(f"c{at}" for at in range(100))
    table_notes = profile_bytes(
        f"{header}\n{'1,' * 99}1\n{'2,' * 99}\n{',' * 99}3\n".encode()
    ).notes

    assert len(table_notes) == 21
    assert table_notes[-1].column is None and "80 more" in table_notes[-1].detail


def test_a_table_like_titanic_is_stored_typed_and_told() -> None:
    rng = random.Random(0)
    rows = [
        f'{rng.randrange(2)},{rng.choice("123")},"Mr. {at}, Owen ""O"" {rng.random()}",'
        f"{rng.choice(['male', 'female'])},{rng.choice(['', '22', '0.42'])},"
        f"{rng.choice(['', '', '', f'C{at}'])}\n"
        for at in range(887)
    ]
    profile = profile_bytes(("survived,class,name,sex,age,cabin\n" + "".join(rows)).encode())

    assert [column.type for column in profile.columns or []] == [
        "number", "number", "category", "category", "number", "category",
    ]  # fmt: skip
    assert {(note.code, note.column) for note in profile.notes} == {
        ("nearly_unique", "name"), ("missing", "age"), ("missing", "cabin"),
        ("nearly_unique", "cabin"),
    }  # fmt: skip
    assert sum(gap.rows for gap in profile.gaps or []) > 600
