"""The profile of any table is that of a reader that looks at every cell by itself."""

import csv
import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.datasets import seen_cells
from jobs.datasets.formats.cell_grid import find_cells
from jobs.datasets.formats.cells import MISSING_TOKENS
from jobs.datasets.formats.decimals import read_decimals
from tests.datasets import profile_bytes
from tests.slow_profiler import NUMBER, slow_columns, slow_gaps

DIGITS = st.text("0123456789", max_size=20)
DECIMALS = st.builds("".join, st.tuples(st.sampled_from(["", "-", "+"]), DIGITS,
                                        st.sampled_from(["", "."]), DIGITS))  # fmt: skip
NUMBERS = st.one_of(
    DECIMALS, st.floats(-1e30, 1e30).map(repr), st.integers(-(10**20), 10**20).map(str),
    st.floats(-100, 100).map("{:.3f}".format),
)  # fmt: skip
TIMES = st.datetimes().map(str) | st.dates().map(str)
WORDS = st.sampled_from(["red", "green", "Yes", "1_000", "0x10", "inf", "Self-emp-not-inc", "é"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=20)
TOKENS = st.sampled_from(sorted(MISSING_TOKENS)).map(" {}".format) | st.just("")
COLUMNS = [NUMBERS, TIMES, WORDS, TEXTS, NUMBERS | TOKENS, NUMBERS | TOKENS | WORDS, TOKENS,
           TIMES | TOKENS, st.sampled_from("0123456789")]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Draw a CSV of a few columns of one kind each, with quotes where the writer needs them."""
    kinds = draw(st.lists(st.sampled_from(COLUMNS), min_size=2, max_size=5))
    rows = draw(st.lists(st.tuples(*kinds), min_size=1, max_size=30))
    text = io.StringIO()
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)
    writer.writerows([[f"c{at}" for at in range(len(kinds))], *rows])
    return text.getvalue().encode()


def check_against_slow(data: bytes) -> None:
    """Compare all that both profilers tell."""
    profile = profile_bytes(data)

    for column, expected in zip(profile.columns or [], slow_columns(data), strict=True):
        for name, value in expected.items():
            actual = getattr(column, name)
            if name in ("mean", "deviation"):
                scale = max(abs(expected["min"]), abs(expected["max"]))
                assert actual == pytest.approx(value, rel=1e-9, abs=1e-12 * scale)
            elif actual is not None or name not in ("non_numbers", "non_times"):
                assert (name, actual) == (name, value)
    assert {tuple(gap.columns): gap.rows for gap in profile.gaps or []} == slow_gaps(data)


@settings(max_examples=120, deadline=None)
@given(data=tables())
def test_any_table_has_the_profile_of_its_cells_one_by_one(data: bytes) -> None:
    check_against_slow(data)


@pytest.mark.parametrize("slot_bits", [1, 4, 17])
def test_a_table_of_many_blocks_has_the_profile_of_its_cells_one_by_one(
    slot_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_cells, "SLOT_BITS", slot_bits)  # few places for many cells
    rng = random.Random(slot_bits)
    makers = [
        lambda: f"{rng.gauss(0, 100):.{rng.randrange(8)}f}",
        lambda: repr(rng.random()),
        lambda: rng.choice(["7", "12", "", "NA", "1e3"]),
        lambda: rng.choice(["red", "Never-married", "a very long name of a class", "?"]),
        lambda: f"name {rng.randrange(10**6)}" if rng.random() < 0.9 else " ? ",
        lambda: rng.choice("ab") + " " * rng.randrange(2) + "the same 16 bytes",
        lambda: rng.choice(["x-the same", "y-the same", "the same", "7"]),
        lambda: f"2020-01-{rng.randrange(1, 29):02}",
        lambda: str(rng.randrange(1200)) + rng.choice(["", ".0"]),
        lambda: rng.choice(["5", "5", "5", "5", "#oops"]),
    ]
    rows = [",".join(make() for make in makers) for _ in range(6000)]
    for at in range(5000, 6000):  # cells like those that have been seen, but others
        late = rows[at].replace("x-the", "z-the").replace("athe", "cthe").replace("a the", "d the")
        rows[at] = late.removesuffix(",7") + ",12" * late.endswith(",7")
    rows[4000] = rows[4000].replace("#oops", '"x, ""y"""')

    check_against_slow("\n".join(["a,b,c,d,e,f,g,h,i,j", *rows]).encode())


@settings(max_examples=120, deadline=None)
@given(cells=st.lists(NUMBERS | TEXTS.map(lambda text: text.replace("\n", "")), min_size=1))
def test_decimals_read_at_once_have_the_bits_that_float_gives(cells: list[str]) -> None:
    plain = [cell for cell in cells if not set(cell) & set(',"\n')]
    grid = find_cells("\n".join(f"{cell}," for cell in ["0", *plain]).encode(), 2,
                      delimiter=",", decimal=".")  # fmt: skip
    assert grid is not None
    decimals = read_decimals(grid)

    for cell, value, is_read in zip(plain, decimals.values[1:, 0], decimals.is_read[1:, 0],
                                    strict=True):  # fmt: skip
        assert not is_read or (
            NUMBER.fullmatch(cell) and np.float64(cell).tobytes() == value.tobytes()
        )
        short = cell.lstrip("+-")
        if NUMBER.fullmatch(cell) and short.replace(".", "").isdigit() and len(short) <= 15:
            assert is_read


def test_a_seen_cell_is_known_by_all_its_bytes_and_its_column() -> None:
    grid = find_cells(b"x-the same,y-the same\nx-the same,the same", 2, delimiter=",", decimal=".")
    assert grid is not None
    keys = seen_cells.make_keys(grid, np.arange(4))
    one_slot = keys._replace(slots=np.zeros(4, np.int64))
    cache = seen_cells.SeenCells()
    cache.add(one_slot, np.array([0]), 3, 0.0)

    assert cache.find(one_slot).tolist() == [True, False, True, False]
    same_column = one_slot._replace(columns=np.zeros(4, np.int64))
    assert cache.find(same_column).tolist() == [True, False, True, False]
    other_column = one_slot._replace(columns=np.ones(4, np.int64))
    assert not cache.find(other_column).any()
