"""Types, gaps and counts of the columns of uploaded tables, which no cell ever refuses."""

import random

import pytest

from jobs.spec.profiles import Column, ParseOptions
from tests.datasets import PETS, profile_bytes


def column(*cells: str, **options: object) -> Column:
    """Profile a column of these cells beside one of numbers."""
    rows = "".join(f'"{cell}",1\n' for cell in cells)
    profile = profile_bytes(f"a,b\n{rows}".encode(), options=ParseOptions(**options))  # type: ignore[arg-type]
    return (profile.columns or [])[0]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2.5", "+3e4", ".5", "7."], "number"),
        (["1", "", "NA", "#N/A", "<NA>", "--", "n.a.", "\\N", "#DIV/0!", "?", " NaN "], "number"),
        (["2020-01-31", "2020/02/01 10:00", "1999-12-31T23:59:59.5Z", ""], "datetime"),
        (["31/12/2020", "01/02/2020"], "category"),
        (["2020-02-30"], "category"),
        (["1_000"], "category"), (["١٢"], "category"), (["0x10"], "category"),
        (["inf", "1"], "category"), (["1e39"], "category"), (["1,234"], "category"),
        (["x" * 255, ""], "category"), (["x" * 256], "text"),
        (["", "null", " "], "empty"),
    ],
)  # fmt: skip
def test_the_type_of_a_column_follows_from_its_cells(cells: list[str], kind: str) -> None:
    assert column(*cells).type == kind


def test_gaps_are_counted_and_leave_the_type_of_a_column_as_it_is() -> None:
    profile = profile_bytes(b"a,b,c\n1,x,\n,x,\nNA,,2020-01-01\n4,y,\n")
    a, b, c = profile.columns or []

    assert [(item.type, item.missing) for item in (a, b, c)] == [
        ("number", 2), ("category", 1), ("datetime", 3),
    ]  # fmt: skip
    assert (a.mean, a.deviation, a.min, a.max, a.whole) == (2.5, 1.5, 1, 4, [1, 4])
    assert [(gap.columns, gap.rows) for gap in profile.gaps or []] == [
        ([2], 2), ([0, 1], 1), ([0, 2], 1),
    ]  # fmt: skip


def test_cells_that_are_no_numbers_or_times_are_counted() -> None:
    mixed = column("1", "2020-01-01", "x", "x", "")

    assert (mixed.type, mixed.non_numbers, mixed.non_times) == ("category", 3, 3)


def test_a_column_of_numbers_keeps_the_spellings_that_differ_from_plain_decimals() -> None:
    codes, plain = column("02134", "00501", "10001"), column("5", "3", "5")
    versions, large = column("1.0", "1", "1.10"), column("9007199254740993", "9007199254740992")

    assert (codes.type, codes.whole) == ("number", [501, 2134, 10001])
    assert codes.spellings == ["00501", "02134", "10001"]
    assert (plain.whole, plain.spellings) == ([3, 5], None)
    assert (versions.distinct, versions.spellings) == (2, ["1", "1.0", "1.10"])
    assert large.spellings == ["9007199254740992", "9007199254740993"]


def test_a_thousand_different_texts_are_classes_and_one_more_is_text() -> None:
    few, many = (column(*(f"name {at}" for at in range(count))) for count in (1000, 1001))

    assert (few.type, few.distinct, len(few.classes or [])) == ("category", 1000, 1000)
    assert (many.type, many.distinct, many.classes) == ("text", None, None)


def test_different_numbers_are_counted_by_value_to_a_thousand() -> None:
    spelled = [form.format(at) for at in range(700) for form in ("{}", "{}.0")]

    assert column(*spelled).distinct == 700
    assert column(*spelled).whole == list(range(700))
    assert column(*(str(at) for at in range(1001))).distinct is None


def test_means_are_exact_for_equal_numbers_and_stable_for_large_ones() -> None:
    constant = column("0.1", "0.1", "0.1")
    offset = column(*(f"{10**9 + at}" for at in range(4)))

    assert (constant.mean, constant.deviation) == (0.1, 0)
    assert offset.mean == 10**9 + 1.5
    assert offset.deviation == pytest.approx(1.25**0.5, rel=1e-12)


def test_tokens_that_mean_missing_are_added_by_an_option() -> None:
    assert column("1", "-999", "unknown").type == "category"
    added = column("1", "-999", "unknown", missing=["-999", "unknown"])

    assert (added.type, added.missing, added.min) == ("number", 2, 1)
    for token in ("-999", "-999.0", "-999.00"):
        floats = column("1", "-999", "-999.0", missing=[token])
        assert (floats.missing, floats.min) == (2, 1), "pandas writes -999.0 beside a gap"
    assert column("1", "-999", "-999,0", missing=["-999"], decimal="comma").missing == 2


def test_decimal_commas_and_thousands_are_read_by_an_option() -> None:
    comma = column("3,5", "1.234,5", "1.234.567", decimal="comma", thousands="point")
    space = column("1 234", "12\u202f345.5", "7", thousands="space")

    assert (comma.type, comma.max, comma.min) == ("number", 1_234_567, 3.5)
    assert (space.type, space.max, space.min) == ("number", 12_345.5, 7)
    assert column("3.5", decimal="comma").type == "category"
    assert column("12,34", thousands="comma").type == "category"
    assert column("0,634", "1,234", thousands="comma").type == "category", "0.634, and not 634"


def test_memory_is_bounded_by_columns_with_many_values() -> None:
    wide = ",".join(f"c{at}" for at in range(400)).encode() + b",label\n"
    rng = random.Random(2)
    for row in range(300):
        wide += ",".join(str(rng.randrange(900)) for _ in range(400)).encode()
        wide += b",%d\n" % (row % 3)

    *some, label = profile_bytes(wide).columns or []

    assert sum(len(column.whole or ()) for column in some) <= 65_536
    assert label.whole == [0, 1, 2]
    assert any(column.type == "number" and column.distinct is None for column in some)


def test_too_many_texts_over_all_columns_become_text() -> None:
    header = ",".join(f"c{at}" for at in range(100))
    rows = [",".join(f"w{at}x{row}" for at in range(100)) for row in range(900)]

    columns = profile_bytes("\n".join([header, *rows]).encode()).columns or []

    assert {item.type for item in columns} == {"category", "text"}


def test_too_many_patterns_of_gaps_are_not_kept() -> None:
    def table(bits: int) -> bytes:
        names = ",".join(f"c{at}" for at in range(bits))
        rows = [",".join("1" if number >> at & 1 else "" for at in range(bits))
                for number in range(1 << bits)]  # fmt: skip
        return "\n".join([names, *rows, ",".join("1" * bits)]).encode()

    assert len(profile_bytes(table(12)).gaps or []) == 4095
    assert profile_bytes(table(13)).gaps is None


def test_pets_have_no_gaps_and_nothing_doubtful() -> None:
    profile = profile_bytes(PETS)

    assert [item.missing for item in profile.columns or []] == [0] * 4
    assert (profile.gaps, profile.notes) == ([], [])
